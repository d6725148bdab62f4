"""The commands that grant: they can be typed as they are printed."""

from __future__ import annotations

import shlex

import pytest

from tidemill.bigquery import grant_commands, grants

PROJECT, DATASET, ACCOUNT = "project-123", "analytics", "loader@project-123.iam.gserviceaccount.com"


def test_the_least_set_up_grants_all_that_is_needed_and_nothing_else() -> None:
    jobs, role, grant = grants.least(PROJECT, DATASET, ACCOUNT)
    assert "--role=roles/bigquery.jobUser" in shlex.split(jobs)
    assert f"--member=serviceAccount:{ACCOUNT}" in shlex.split(jobs)
    words = shlex.split(role)
    assert words[:5] == ["gcloud", "iam", "roles", "create", "tidemillBatchExport"]
    (permissions,) = [word.removeprefix("--permissions=") for word in words if word.startswith("--permissions=")]
    assert {*permissions.split(","), "bigquery.jobs.create"} == {*grants.BATCH_EXPORT, *grants.OPTIONAL}
    assert grant == (
        f"GRANT `projects/{PROJECT}/roles/tidemillBatchExport` ON SCHEMA `{PROJECT}.{DATASET}` "
        f'TO "serviceAccount:{ACCOUNT}";'
    )


def test_the_least_set_up_for_streaming_grants_five_permissions_and_nothing_on_the_project() -> None:
    role, grant = grants.least(PROJECT, DATASET, ACCOUNT, grants.Use.STREAMING)
    words = shlex.split(role)
    assert words[:5] == ["gcloud", "iam", "roles", "create", "tidemillStreamingExport"]
    (permissions,) = [word.removeprefix("--permissions=") for word in words if word.startswith("--permissions=")]
    assert permissions.split(",") == [
        "bigquery.datasets.get",
        "bigquery.tables.create",
        "bigquery.tables.get",
        "bigquery.tables.list",
        "bigquery.tables.updateData",
    ]
    assert grant == (
        f"GRANT `projects/{PROJECT}/roles/tidemillStreamingExport` ON SCHEMA `{PROJECT}.{DATASET}` "
        f'TO "serviceAccount:{ACCOUNT}";'
    )


@pytest.mark.parametrize(
    ("account", "project"),
    [
        ("a@own-project.iam.gserviceaccount.com", "own-project"),
        ("a@own-project.example.com.iam.gserviceaccount.com", "example.com:own-project"),
        ("123-compute@developer.gserviceaccount.com", PROJECT),
        (None, PROJECT),
    ],
)
def test_an_account_is_sought_in_its_own_project(account: str | None, project: str) -> None:
    command = grant_commands.act_as(account, None, PROJECT)
    assert f"--project={project}" in shlex.split(command)


def test_a_permission_that_the_custom_role_lacks_is_not_promised_by_it() -> None:
    assert "roles create" not in grants.hint("bigquery.tables.updateTag", PROJECT, DATASET, ACCOUNT)
    assert "roles create" not in grants.hint("bigquery.jobs.create", PROJECT, DATASET, ACCOUNT)
    for permission in ("bigquery.tables.getData", "bigquery.tables.delete"):
        told = grants.hint(permission, PROJECT, DATASET, ACCOUNT, use=grants.Use.STREAMING)
        assert "roles create" not in told
        assert "tidemillBatchExport" in grants.hint(permission, PROJECT, DATASET, ACCOUNT)
