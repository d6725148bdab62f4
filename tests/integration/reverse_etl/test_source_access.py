"""The test of a source with exactly the permissions of each way: whatever needs another one is denied."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.installation import Installation

from tidemill.bigquery import access_source, grants_source
from tidemill.bigquery.access_steps import Step
from tidemill.bigquery.client import Client
from tidemill.bigquery.credentials import Auth
from tidemill.bigquery.grants_source import SourceUse
from tidemill.bigquery.local.service import DEFAULT_PROJECT

ACCOUNT = f"serviceAccount:source@{DEFAULT_PROJECT}.iam.gserviceaccount.com"
READING, STATE = grants_source.READING, grants_source.STATE
FULL = [*{*READING, *STATE, grants_source.MAKING}]
SESSION = "readsessions.create"


@dataclasses.dataclass
class Warehouse:
    """A dataset with data, and the name of one for state."""

    installation: Installation
    admin: Client
    state: str

    def limited(self) -> list[str]:
        """Reading, and everything on the state dataset alone."""
        return [*READING, *(f"{permission}@{self.state}" for permission in STATE)]

    def make_state(self, location: str = "EU") -> None:
        """Make the state dataset, as a user does."""
        self.installation.local.create_dataset(self.state, location)

    def test(self, permissions: list[str], use: SourceUse) -> dict[str, Step]:
        """Test a source of these permissions."""
        key = self.installation.local.key("source", allow=permissions)
        steps = access_source.test(Auth(json.dumps(key)), DEFAULT_PROJECT, self.installation.dataset, use)
        return {step.name: step for step in steps}

    def test_limited(self, *without: str) -> dict[str, Step]:
        """The same of limited access, without some permissions."""
        permissions = [name for name in self.limited() if name not in without]
        return self.test(permissions, SourceUse(False, self.state))

    def run(self, sql: str) -> None:
        """Run a statement as somebody who may do everything."""
        self.admin.google().query(sql, location=self.admin.location).result()

    def requests(self, since: int) -> list[dict[str, Any]]:
        """Requests that were made."""
        return self.installation.local.requests()[since:]


@pytest.fixture
def warehouse(fresh_installation: Installation) -> Iterator[Warehouse]:
    admin = fresh_installation.client()
    yield Warehouse(fresh_installation, admin, f"__state_{fresh_installation.dataset}")
    admin.close()


@pytest.fixture
def before(warehouse: Warehouse) -> int:
    """How many requests there were before the test."""
    return len(warehouse.requests(0))


def _with_status(steps: dict[str, Step], status: str) -> list[str]:
    """Steps that ended so; the one about reading faster is another matter."""
    return [name for name, step in steps.items() if step.status == status and name != SESSION]


def test_limited_access_needs_three_permissions_and_its_own_dataset(warehouse: Warehouse, before: int) -> None:
    warehouse.make_state()
    before += 1
    steps = warehouse.test_limited()
    assert _with_status(steps, "passed") == [name for name in steps if name != SESSION]
    assert steps["dataset"].found == "EU"
    assert steps["state tables.delete"].message == "nothing is left behind"
    assert warehouse.admin.list_tables(warehouse.state) == []
    data = warehouse.installation.dataset
    touched = [one for one in warehouse.requests(before) if f"/datasets/{data}" in one["path"]]
    assert {one["method"] for one in touched} == {"GET"}
    assert [one["path"] for one in touched if one["status"] == 403] == [
        f"/bigquery/v2/projects/{DEFAULT_PROJECT}/datasets/{data}/tables"
    ]


@pytest.mark.parametrize("permission", READING)
def test_what_reading_lacks_is_named_with_what_grants_it(warehouse: Warehouse, permission: str) -> None:
    warehouse.make_state()
    steps = warehouse.test_limited(permission)
    (failed,) = _with_status(steps, "failed")
    assert failed == {"bigquery.datasets.get": "dataset"}.get(permission, permission.removeprefix("bigquery."))
    assert f"The permission {permission} is missing" in steps[failed].message
    assert "gcloud iam roles create tidemillReverseEtl" in steps[failed].hint
    assert f'--member="{ACCOUNT}"' in steps[failed].hint
    assert warehouse.admin.list_tables(warehouse.state) == []


@pytest.mark.parametrize(
    ("permission", "failed"),
    [
        ("bigquery.tables.create", "state tables.create"),
        ("bigquery.tables.updateData", "state tables.updateData"),
        ("bigquery.tables.get", "state tables.getData"),
        ("bigquery.tables.delete", "state tables.delete"),
    ],
)
def test_what_the_state_lacks_is_granted_on_its_dataset(warehouse: Warehouse, permission: str, failed: str) -> None:
    warehouse.make_state()
    steps = warehouse.test_limited(f"{permission}@{warehouse.state}")
    assert _with_status(steps, "failed") == [failed]
    assert f"The permission {permission} is missing" in steps[failed].message
    grant = f'GRANT `roles/bigquery.dataEditor` ON SCHEMA `{DEFAULT_PROJECT}.{warehouse.state}` TO "{ACCOUNT}";'
    assert steps[failed].hint.splitlines()[-1] == grant
    left = warehouse.admin.list_tables(warehouse.state)
    assert len(left) == (permission == "bigquery.tables.delete")


def test_with_limited_access_a_dataset_that_is_missing_is_made_by_the_user(warehouse: Warehouse) -> None:
    steps = warehouse.test_limited()
    assert _with_status(steps, "failed") == ["state dataset"]
    name = f"{DEFAULT_PROJECT}.{warehouse.state}"
    assert steps["state dataset"].hint.splitlines()[1:] == [
        f'CREATE SCHEMA IF NOT EXISTS `{name}` OPTIONS (location = "EU");',
        f'GRANT `roles/bigquery.dataEditor` ON SCHEMA `{name}` TO "{ACCOUNT}";',
    ]
    assert warehouse.state not in [dataset for dataset, _ in warehouse.admin.list_datasets()]


def test_with_full_access_it_is_made_where_the_data_is_and_stays(warehouse: Warehouse) -> None:
    use = SourceUse(True, warehouse.state)
    for said in ("it was made, in EU", "in EU"):
        steps = warehouse.test(FULL, use)
        assert _with_status(steps, "passed") == [name for name in steps if name != SESSION]
        assert steps["state dataset"].message == said
        assert warehouse.admin.get_dataset(warehouse.state).location == "EU"
        assert warehouse.admin.list_tables(warehouse.state) == []


@pytest.mark.parametrize("permission", sorted(FULL))
def test_what_full_access_lacks_is_a_role_on_the_project(warehouse: Warehouse, permission: str) -> None:
    steps = warehouse.test([name for name in FULL if name != permission], SourceUse(True, warehouse.state))
    failed, *_ = _with_status(steps, "failed")  # what is granted on the project is missing in both datasets
    assert f"The permission {permission} is missing" in steps[failed].message
    role = "user" if permission in {"bigquery.jobs.create", "bigquery.datasets.create"} else "dataEditor"
    assert f'--member="{ACCOUNT}" --role="roles/bigquery.{role}"' in steps[failed].hint


def test_who_only_reads_has_no_state_dataset_and_writes_nothing(warehouse: Warehouse, before: int) -> None:
    steps = warehouse.test([*READING], SourceUse(False, None))
    assert _with_status(steps, "passed") == [name for name in steps if name != SESSION]
    assert not [name for name in steps if name.startswith("state")]
    paths = {one["path"].rsplit("/", 1)[1] for one in warehouse.requests(before) if one["method"] != "GET"}
    assert paths <= {"token", "jobs", "CreateReadSession"}


@pytest.mark.parametrize("permission", READING)
def test_what_is_missing_to_only_read(warehouse: Warehouse, permission: str) -> None:
    steps = warehouse.test([name for name in READING if name != permission], SourceUse(False, None))
    (failed,) = _with_status(steps, "failed")
    assert f"The permission {permission} is missing" in steps[failed].message


@pytest.mark.parametrize("full", [True, False])
def test_state_that_lies_elsewhere_than_the_data_fails_and_both_are_said(warehouse: Warehouse, full: bool) -> None:
    warehouse.make_state("US")
    steps = warehouse.test(FULL, SourceUse(full, warehouse.state))
    assert _with_status(steps, "failed") == ["state location"]
    step = steps["state location"]
    assert f"The data is in EU, and the state dataset {warehouse.state} in US" in step.message
    assert "--state-dataset" in step.hint
    assert ("CREATE SCHEMA" in step.hint) != full
    assert warehouse.admin.list_tables(warehouse.state) == []


def test_a_state_dataset_that_deletes_tables_fails(warehouse: Warehouse) -> None:
    warehouse.make_state()
    google = warehouse.admin.google()
    dataset = google.get_dataset(f"{DEFAULT_PROJECT}.{warehouse.state}")
    dataset.default_table_expiration_ms = 86_400_000
    google.update_dataset(dataset, ["default_table_expiration_ms"])
    steps = warehouse.test_limited()
    assert _with_status(steps, "failed") == ["state expiration"]
    assert "deletes new tables after 1 day" in steps["state expiration"].message
    assert "ALTER SCHEMA" in steps["state expiration"].hint


def test_a_table_is_read_if_tables_may_be_listed(warehouse: Warehouse) -> None:
    data = f"{DEFAULT_PROJECT}.{warehouse.installation.dataset}"
    warehouse.run(f"CREATE TABLE `{data}.people` AS SELECT 1 AS id")
    warehouse.run(f"CREATE VIEW `{data}.a_view` AS SELECT * FROM `{data}.people`")
    seeing = ["bigquery.tables.list", "bigquery.tables.get"]
    steps = warehouse.test([*READING, *seeing], SourceUse(False, None))
    assert steps["tables.getData"].message == f"{warehouse.installation.dataset}.people"
    denied = [name for name in (*READING, *seeing) if name != "bigquery.tables.getData"]
    steps = warehouse.test(denied, SourceUse(False, None))
    assert _with_status(steps, "failed") == ["tables.getData"]
    steps = warehouse.test([*READING, "bigquery.tables.list"], SourceUse(False, None))
    assert steps["tables.getData"].status == "passed"


def test_without_the_storage_read_api_it_goes_on_slower(warehouse: Warehouse) -> None:
    for use in (SourceUse(True, warehouse.state), SourceUse(False, None)):
        step = warehouse.test(FULL, use)[SESSION]
        assert step.status == "warning"
        assert "REST API instead, which is slower" in step.message


def test_neither_the_key_nor_a_token_is_shown(warehouse: Warehouse) -> None:
    warehouse.make_state()
    key = warehouse.installation.local.key("source", allow=[])
    for steps in (warehouse.test([], SourceUse(True, warehouse.state)), warehouse.test_limited()):
        shown = repr(steps)
        assert key["private_key"][40:80] not in shown
        assert key["private_key_id"] not in shown
        assert "ya29" not in shown
