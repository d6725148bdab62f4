"""The connection test for streaming exports: its steps, and what each missing permission is told as."""

from __future__ import annotations

import json

import pytest
from tests.fake_bigquery import ACCOUNT, DATASET, PROJECT, FakeBigQuery, Fault, google_error

from tidemill.bigquery import access, access_stream, errors, grants
from tidemill.bigquery.access_steps import Step
from tidemill.bigquery.client import Client
from tidemill.bigquery.credentials import Auth
from tidemill.bigquery.errors import Problem
from tidemill.bigquery.write_streams import WriteStreams

BEFORE = ["key", "token", "project", "dataset", "location", "expiration"]
ALL = [*BEFORE, "tables.create", "tables.get", "tables.list", "tables.updateData"]


@pytest.fixture
def uploads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tables of uploads, which are all well: the fake has no gRPC, and the embedded BigQuery has."""
    seen: list[str] = []

    def upload(_client: Client, _streams: WriteStreams, _dataset: str, table: str) -> None:
        seen.append(table)

    monkeypatch.setattr(access_stream, "upload", upload)
    return seen


def _test(bigquery: FakeBigQuery) -> dict[str, Step]:
    steps = list(access.test(Auth(bigquery.key()), PROJECT, DATASET, use=grants.Use.STREAMING))
    assert [step.name for step in steps] == ALL
    return {step.name: step for step in steps}


def _with_status(steps: dict[str, Step], status: str) -> list[str]:
    return [name for name, step in steps.items() if step.status == status]


def test_the_steps_are_those_of_the_five_permissions() -> None:
    named = {f"bigquery.{name}" for name in ALL if "." in name} | {"bigquery.datasets.get"}
    assert named == set(grants.STREAMING_EXPORT)


def test_all_is_well_without_a_job_and_nothing_is_left(bigquery: FakeBigQuery, uploads: list[str]) -> None:
    steps = _test(bigquery)
    assert _with_status(steps, "passed") == ALL
    assert steps["tables.updateData"].message == "nothing is left behind"
    assert uploads[0] in steps["tables.create"].message
    assert bigquery.tables == {}
    assert not bigquery.jobs
    assert not [path for _, path, _ in bigquery.requests if "/jobs" in path or "/queries" in path or "/data?" in path]


@pytest.mark.parametrize("status", [403, 400])
def test_that_the_table_cannot_be_dropped_is_nothing_amiss(
    bigquery: FakeBigQuery, uploads: list[str], status: int
) -> None:
    bigquery.faults = [Fault("DELETE", "/tables/", status, google_error(status, "", "no"), times=9)]
    steps = _test(bigquery)
    assert _with_status(steps, "passed") == ALL
    assert "expires within the hour" in steps["tables.updateData"].message
    assert "expires within the hour" in steps["tables.create"].message
    assert all(not step.hint for step in steps.values())
    (left,) = bigquery.tables.values()
    assert "expirationTime" in left
    assert len(bigquery.seen("DELETE", uploads[0])) == 1


@pytest.mark.parametrize(
    ("permission", "skipped"),
    [
        ("bigquery.datasets.get", ["location", "expiration"]),
        ("bigquery.tables.create", ["tables.get", "tables.updateData"]),
        ("bigquery.tables.get", []),
        ("bigquery.tables.list", []),
    ],
)
def test_each_missing_permission_fails_its_step_alone(
    bigquery: FakeBigQuery, uploads: list[str], permission: str, skipped: list[str]
) -> None:
    bigquery.denied = {permission}
    steps = _test(bigquery)
    short = permission.removeprefix("bigquery.")
    failed = "dataset" if short == "datasets.get" else short
    assert _with_status(steps, "failed") == [failed]
    assert _with_status(steps, "skipped") == skipped
    assert permission in steps[failed].message
    assert len(uploads) == ("tables.updateData" not in skipped)
    assert bigquery.tables == {}


def test_what_is_granted_is_the_least_for_streaming(bigquery: FakeBigQuery, uploads: list[str]) -> None:
    bigquery.denied = {"bigquery.tables.list"}
    lines = _test(bigquery)["tables.list"].hint.splitlines()
    (made,) = [line for line in lines if line.startswith("gcloud iam roles create")]
    assert made.partition("--permissions=")[2].split(",") == list(grants.STREAMING_EXPORT)
    own = f"GRANT `projects/{PROJECT}/roles/tidemillStreamingExport` ON SCHEMA `{PROJECT}.{DATASET}`"
    assert lines[-1] == f'{own} TO "serviceAccount:{ACCOUNT}";'
    assert uploads


def test_an_upload_that_is_refused_leaves_nothing(bigquery: FakeBigQuery, monkeypatch: pytest.MonkeyPatch) -> None:
    def upload(client: Client, _streams: WriteStreams, dataset: str, table: str) -> None:
        said = google_error(403, "accessDenied", "Permission 'TABLES_UPDATE_DATA' denied")["error"]["message"]
        target = client.target("bigquery.tables.updateData", dataset, table)
        raise errors.denied(Problem(403, "accessDenied", said), target)

    monkeypatch.setattr(access_stream, "upload", upload)
    steps = _test(bigquery)
    assert _with_status(steps, "failed") == ["tables.updateData"]
    assert "bigquery.tables.updateData is missing" in steps["tables.updateData"].message
    assert "tidemillStreamingExport" in steps["tables.updateData"].hint
    assert bigquery.tables == {}


def test_no_step_shows_the_key_or_the_token(bigquery: FakeBigQuery, uploads: list[str]) -> None:
    bigquery.denied = set(grants.STREAMING_EXPORT)
    key = json.loads(bigquery.key())
    shown = repr(_test(bigquery))
    assert key["private_key"][40:80] not in shown
    assert key["private_key_id"] not in shown
    assert "Bearer" not in shown
    assert not uploads
