"""The commands that make a source: exactly those of the full, the limited and the read-only way."""

from __future__ import annotations

import shlex

import pytest

from tidemill.bigquery import grants, grants_source
from tidemill.bigquery.grants_source import SourceUse

PROJECT, DATASET, STATE = "project-123", "analytics", "__tidemill_reverse_etl"
ACCOUNT = "loader@project-123.iam.gserviceaccount.com"
FULL, LIMITED, READ_ONLY = SourceUse(True, STATE), SourceUse(False, STATE), SourceUse(False, None)
CREATE = (
    "gcloud iam roles create tidemillReverseEtl --project=project-123 --title='Tidemill reverse ETL' --stage=GA "
    "--permissions=bigquery.datasets.get,bigquery.jobs.create,bigquery.tables.getData"
)


def _binding(role: str) -> list[str]:
    member = f"--member=serviceAccount:{ACCOUNT}"
    return ["gcloud", "projects", "add-iam-policy-binding", PROJECT, member, f"--role={role}", "--condition=None"]


def test_full_access_is_two_roles_on_the_project() -> None:
    commands = grants_source.least(PROJECT, ACCOUNT, FULL, "EU")
    assert [shlex.split(command) for command in commands] == [
        _binding("roles/bigquery.user"),
        _binding("roles/bigquery.dataEditor"),
    ]


def test_limited_access_is_a_role_of_three_permissions_and_a_dataset_in_the_datas_location() -> None:
    role, binding, dataset, grant = grants_source.least(PROJECT, ACCOUNT, LIMITED, "EU")
    assert shlex.split(role) == shlex.split(CREATE)
    assert shlex.split(binding) == _binding("projects/project-123/roles/tidemillReverseEtl")
    assert dataset == 'CREATE SCHEMA IF NOT EXISTS `project-123.__tidemill_reverse_etl` OPTIONS (location = "EU");'
    assert grant == (
        "GRANT `roles/bigquery.dataEditor` ON SCHEMA `project-123.__tidemill_reverse_etl` "
        f'TO "serviceAccount:{ACCOUNT}";'
    )


def test_a_dataset_that_is_granted_to_segment_can_be_named_and_a_location_be_left_to_bigquery() -> None:
    *_, dataset, grant = grants_source.least(PROJECT, ACCOUNT, SourceUse(False, "__segment_reverse_etl"), None)
    assert dataset == "CREATE SCHEMA IF NOT EXISTS `project-123.__segment_reverse_etl`;"
    assert "`project-123.__segment_reverse_etl`" in grant


def test_who_only_reads_gets_the_role_alone() -> None:
    role, binding = grants_source.least(PROJECT, ACCOUNT, READ_ONLY, "EU")
    assert shlex.split(role) == shlex.split(CREATE)
    assert shlex.split(binding) == _binding("projects/project-123/roles/tidemillReverseEtl")


@pytest.mark.parametrize("use", [LIMITED, READ_ONLY])
@pytest.mark.parametrize("permission", grants_source.READING)
def test_what_reading_lacks_is_added_to_the_role_and_nothing_is_granted_on_the_data(
    permission: str, use: SourceUse
) -> None:
    told = grants.hint(permission, PROJECT, DATASET, ACCOUNT, use=use).splitlines()
    assert shlex.split(told[1]) == shlex.split(CREATE)
    assert shlex.split(told[2]) == _binding("projects/project-123/roles/tidemillReverseEtl")
    assert told[-1].endswith(f"--add-permissions={permission}")
    assert "dataEditor" not in "".join(told)


@pytest.mark.parametrize("permission", grants_source.STATE)
def test_what_the_state_lacks_is_granted_on_its_dataset_alone(permission: str) -> None:
    told = grants.hint(permission, PROJECT, STATE, ACCOUNT, use=LIMITED)
    assert f"it has {permission}" in told
    assert told.splitlines()[1:] == [grants_source.state(PROJECT, STATE, ACCOUNT, None)[1]]


@pytest.mark.parametrize(
    ("permission", "role"),
    [
        ("bigquery.jobs.create", "roles/bigquery.user"),
        ("bigquery.datasets.create", "roles/bigquery.user"),
        ("bigquery.readsessions.create", "roles/bigquery.user"),
        ("bigquery.datasets.get", "roles/bigquery.dataEditor"),
        ("bigquery.tables.getData", "roles/bigquery.dataEditor"),
        ("bigquery.tables.create", "roles/bigquery.dataEditor"),
    ],
)
def test_with_full_access_one_of_the_two_roles_is_missing(permission: str, role: str) -> None:
    told = grants.hint(permission, PROJECT, STATE, ACCOUNT, use=FULL).splitlines()
    assert shlex.split(told[1]) == _binding(role)


def test_what_is_for_speed_is_said_to_be() -> None:
    told = grants.hint(grants_source.FAST, PROJECT, None, ACCOUNT, use=LIMITED)
    assert "only needed for speed" in told
    assert shlex.split(told.splitlines()[1]) == _binding("roles/bigquery.readSessionUser")


def test_who_acts_as_another_is_told_so_whatever_the_use() -> None:
    told = grants.hint("iam.serviceAccounts.getAccessToken", PROJECT, None, ACCOUNT, "me@example.com", LIMITED)
    assert "roles/iam.serviceAccountTokenCreator" in told


@pytest.mark.parametrize(
    ("account", "project"),
    [
        ("loader@project-123.iam.gserviceaccount.com", "project-123"),
        ("loader@project-123.example.com.iam.gserviceaccount.com", "example.com:project-123"),
        ("project-123@appspot.gserviceaccount.com", "project-123"),
        ("123-compute@developer.gserviceaccount.com", None),
        ("somebody@example.com", None),
        ("", None),
    ],
)
def test_the_address_of_an_account_says_its_project(account: str, project: str | None) -> None:
    assert grants_source.project_of(account) == project
