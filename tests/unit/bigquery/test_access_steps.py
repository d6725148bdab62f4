"""The connection test: what each missing permission is told as, and that nothing is left behind."""

from __future__ import annotations

import json

import pytest
from tests.fake_bigquery import ACCOUNT, DATASET, PROJECT, FakeBigQuery, Fault

from tidemill.bigquery import access, grants
from tidemill.bigquery.access_steps import Step
from tidemill.bigquery.credentials import Auth

ALL = [
    *("key", "token", "project", "dataset", "location", "expiration", "jobs.create"),
    *("tables.create", "tables.get", "tables.list", "tables.updateData", "tables.getData", "tables.delete"),
]


def _test(bigquery: FakeBigQuery, dataset: str = DATASET, key: str | None = None) -> dict[str, Step]:
    steps = list(access.test(Auth(key if key is not None else bigquery.key()), PROJECT, dataset))
    assert [step.name for step in steps] == ALL
    return {step.name: step for step in steps}


def _with_status(steps: dict[str, Step], status: str) -> list[str]:
    return [name for name, step in steps.items() if step.status == status]


def test_all_is_well_and_nothing_is_left(bigquery: FakeBigQuery) -> None:
    steps = _test(bigquery)
    assert _with_status(steps, "passed") == ALL
    assert steps["dataset"].found == "EU"
    assert ACCOUNT in steps["key"].message
    assert bigquery.tables == {}
    assert len(bigquery.jobs) == 1


@pytest.mark.parametrize(
    ("permission", "skipped"),
    [
        ("bigquery.datasets.get", ["location", "expiration", "tables.updateData", "tables.getData"]),
        ("bigquery.jobs.create", ["tables.updateData", "tables.getData"]),
        ("bigquery.tables.create", ["tables.get", "tables.updateData", "tables.getData", "tables.delete"]),
        ("bigquery.tables.get", ["tables.getData"]),
        ("bigquery.tables.list", []),
        ("bigquery.tables.getData", []),
    ],
)
def test_each_missing_permission_fails_its_step_alone(
    bigquery: FakeBigQuery, permission: str, skipped: list[str]
) -> None:
    bigquery.denied = {permission}
    steps = _test(bigquery)
    short = permission.removeprefix("bigquery.")
    failed = "dataset" if short == "datasets.get" else short
    assert _with_status(steps, "failed") == [failed]
    assert _with_status(steps, "skipped") == skipped
    assert permission in steps[failed].message
    assert f"serviceAccount:{ACCOUNT}" in steps[failed].hint
    assert all("did not pass" in steps[name].message for name in skipped)
    assert bigquery.tables == {}


def test_a_load_that_is_refused_fails_the_upload_step_and_leaves_nothing(bigquery: FakeBigQuery) -> None:
    text = f"Access Denied: Table {PROJECT}:{DATASET}.t: Permission bigquery.tables.updateData denied on table"
    bigquery.results = [{"reason": "accessDenied", "message": text}]
    steps = _test(bigquery)
    assert _with_status(steps, "failed") == ["tables.updateData"]
    assert _with_status(steps, "skipped") == ["tables.getData"]
    assert "GRANT `roles/bigquery.dataEditor`" in steps["tables.updateData"].hint
    assert bigquery.tables == {}


def test_without_the_right_to_drop_the_table_expires(bigquery: FakeBigQuery) -> None:
    bigquery.denied = {"bigquery.tables.delete"}
    steps = _test(bigquery)
    assert _with_status(steps, "warning") == ["tables.delete"]
    assert _with_status(steps, "failed") == []
    assert "expires within the hour" in steps["tables.delete"].message
    assert "persons" in steps["tables.delete"].message
    (left,) = bigquery.tables.values()
    assert "expirationTime" in left


def test_a_dataset_that_deletes_tables_is_a_warning(bigquery: FakeBigQuery) -> None:
    bigquery.datasets[DATASET]["defaultTableExpirationMs"] = "86400000"
    steps = _test(bigquery)
    assert _with_status(steps, "warning") == ["expiration"]
    assert "1 day" in steps["expiration"].message
    assert "ALTER SCHEMA" in steps["expiration"].hint


@pytest.mark.parametrize(("said", "status"), [("US", "warning"), ("eu", "passed"), (None, "passed")])
def test_a_dataset_that_is_elsewhere_than_was_said_is_a_warning(
    bigquery: FakeBigQuery, said: str | None, status: str
) -> None:
    steps = {step.name: step for step in access.test(Auth(bigquery.key()), PROJECT, DATASET, said)}
    assert steps["location"].status == status
    assert _with_status(steps, "failed") == []
    assert "EU" in steps["location"].message
    assert ("US" in steps["location"].hint) == (status == "warning")


def test_a_permission_on_the_dataset_can_be_granted_alone(bigquery: FakeBigQuery) -> None:
    bigquery.denied = {"bigquery.tables.create"}
    hint = _test(bigquery)["tables.create"].hint
    (made,) = [line for line in hint.splitlines() if line.startswith("gcloud iam roles create")]
    named = made.partition("--permissions=")[2].split(",")
    assert sorted(named) == sorted({*grants.BATCH_EXPORT, *grants.OPTIONAL} - {"bigquery.jobs.create"})
    assert f"--project={PROJECT}" in made
    own = f'GRANT `projects/{PROJECT}/roles/tidemillBatchExport` ON SCHEMA `{PROJECT}.{DATASET}` TO "serviceAccount:'
    assert own in hint


def test_a_missing_dataset_says_how_to_make_it_and_the_rest_that_can_be_is_tested(bigquery: FakeBigQuery) -> None:
    steps = _test(bigquery, dataset="nope")
    assert _with_status(steps, "failed") == ["dataset"]
    assert "CREATE SCHEMA" in steps["dataset"].hint
    assert _with_status(steps, "passed") == ["key", "token", "project", "jobs.create"]


def test_a_bad_key_stops_at_the_key(bigquery: FakeBigQuery) -> None:
    steps = _test(bigquery, key=json.dumps({"type": "service_account"}))
    assert _with_status(steps, "failed") == ["key"]
    assert _with_status(steps, "passed") == []
    assert not bigquery.requests


def test_a_refused_key_stops_at_the_token(bigquery: FakeBigQuery) -> None:
    bigquery.faults = [Fault("POST", "/token", 400, {"error": "invalid_grant"}, times=99)]
    steps = _test(bigquery)
    assert _with_status(steps, "failed") == ["token"]
    assert _with_status(steps, "passed") == ["key"]


def test_a_test_that_is_left_in_the_middle_cleans_up(bigquery: FakeBigQuery) -> None:
    steps = access.test(Auth(bigquery.key()), PROJECT, DATASET)
    while next(steps).name != "tables.updateData":
        pass
    assert len(bigquery.tables) == 1
    steps.close()  # type: ignore[attr-defined] # an Iterator that is a generator
    assert bigquery.tables == {}


def test_a_table_whose_creation_was_not_answered_is_removed_too(bigquery: FakeBigQuery) -> None:
    bigquery.faults = [Fault("POST", "/tables[?]", 400, {"error": {"message": "odd"}}, done=True)]
    steps = _test(bigquery)
    assert steps["tables.create"].status == "failed"
    assert bigquery.tables == {}


def test_no_step_shows_the_key(bigquery: FakeBigQuery) -> None:
    bigquery.denied = set(grants.BATCH_EXPORT)
    key = json.loads(bigquery.key())
    shown = repr(_test(bigquery))
    assert key["private_key"][40:80] not in shown
    assert key["private_key_id"] not in shown


def test_the_permissions_are_those_of_the_set_up() -> None:
    tested = {f"bigquery.{name}" for name in ALL if "." in name} | {"bigquery.datasets.get"}
    assert tested == {*grants.BATCH_EXPORT, *grants.OPTIONAL}
