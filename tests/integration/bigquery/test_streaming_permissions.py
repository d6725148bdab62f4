"""The connection test for streaming exports, with exactly their permissions: whatever needs another one is denied."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.installation import CONNECTION, Installation

from tidemill.bigquery import access, grants
from tidemill.bigquery.access_steps import Step
from tidemill.bigquery.client import Client
from tidemill.bigquery.credentials import Auth
from tidemill.bigquery.local.service import DEFAULT_PROJECT

FIVE = list(grants.STREAMING_EXPORT)
DELETE = "bigquery.tables.delete"
APPEND = "/google.cloud.bigquery.storage.v1.BigQueryWrite/AppendRows"


@pytest.fixture
def admin(installation: Installation) -> Iterator[Client]:
    made = installation.client()
    yield made
    installation.local.set_faults([])
    made.close()


@pytest.fixture
def before(installation: Installation) -> int:
    """How many requests there were before the test."""
    return len(installation.local.requests())


def _key(installation: Installation, permissions: list[str]) -> dict[str, Any]:
    key: dict[str, Any] = installation.local.key("streamer", allow=permissions)
    return key


def _test(installation: Installation, permissions: list[str]) -> dict[str, Step]:
    auth = Auth(json.dumps(_key(installation, permissions)))
    tested = access.test(auth, DEFAULT_PROJECT, installation.dataset, use=grants.Use.STREAMING)
    return {step.name: step for step in tested}


def _with_status(steps: dict[str, Step], status: str) -> list[str]:
    return [name for name, step in steps.items() if step.status == status]


def _left(admin: Client, installation: Installation) -> list[str]:
    """The one table that may be left: it expires within the hour, and holds one row. Gives what the row says."""
    (name,) = admin.list_tables(installation.dataset)
    found = admin.get_table(installation.dataset, name)
    assert found
    assert found.expires
    assert found.expires - dt.datetime.now(dt.UTC) < dt.timedelta(hours=1, minutes=1)
    return [str(row[0]) for row in admin.read(installation.dataset, name, 10)]


def test_five_permissions_are_enough_and_no_other_is_asked_for(
    installation: Installation, admin: Client, before: int
) -> None:
    steps = _test(installation, FIVE)
    assert _with_status(steps, "passed") == list(steps)
    assert "expires within the hour" in steps["tables.updateData"].message
    assert steps["dataset"].found == "EU"
    requests = installation.local.requests()[before:]
    denied = [(one["method"], one["path"]) for one in requests if one["status"] in {403, "PERMISSION_DENIED"}]
    assert [method for method, _ in denied] == ["DELETE"]  # quietly: the table expires
    assert not [one["path"] for one in requests if one["path"].endswith(("/jobs", "/queries", "/data"))]
    (row,) = _left(admin, installation)
    assert row in steps["tables.create"].message


def test_who_may_drop_tables_leaves_nothing(installation: Installation, admin: Client) -> None:
    steps = _test(installation, [*FIVE, DELETE])
    assert _with_status(steps, "passed") == list(steps)
    assert steps["tables.updateData"].message == "nothing is left behind"
    assert admin.list_tables(installation.dataset) == []


SKIPPED = {
    "bigquery.datasets.get": ["location", "expiration"],
    "bigquery.tables.create": ["tables.get", "tables.updateData"],
}


@pytest.mark.parametrize("more", [[], [DELETE]], ids=["", "delete"])
@pytest.mark.parametrize("permission", FIVE)
def test_each_missing_permission_is_named_with_what_grants_it(
    installation: Installation, admin: Client, permission: str, more: list[str]
) -> None:
    steps = _test(installation, [*({*FIVE} - {permission}), *more])
    short = permission.removeprefix("bigquery.")
    (failed,) = _with_status(steps, "failed")
    assert failed == ("dataset" if short == "datasets.get" else short)
    assert _with_status(steps, "skipped") == SKIPPED.get(permission, [])
    assert _with_status(steps, "warning") == []
    step = steps[failed]
    assert f"The permission {permission} is missing" in step.message
    account = f"serviceAccount:streamer@{DEFAULT_PROJECT}.iam.gserviceaccount.com"
    dataset = f'ON SCHEMA `{DEFAULT_PROJECT}.{installation.dataset}` TO "{account}"'
    assert f"GRANT `roles/bigquery.dataEditor` {dataset}" in step.hint
    assert f"GRANT `projects/{DEFAULT_PROJECT}/roles/tidemillStreamingExport` {dataset}" in step.hint
    assert f"--permissions={','.join(FIVE)}" in step.hint
    if more or permission == "bigquery.tables.create":
        assert admin.list_tables(installation.dataset) == []
    else:
        assert len(_left(admin, installation)) == (permission != "bigquery.tables.updateData")


CUT = {"method": "GRPC", "path": APPEND, "fault": "cut"}


@pytest.mark.parametrize(
    ("faults", "offsets"),
    [
        ([CUT], [0, 0]),
        ([{**CUT, "times": 2}], [0, 0, 0]),
        ([{**CUT, "after_commit": True}], [0, 0]),
        ([{**CUT, "after_commit": True, "times": 2}], [0, 0, 0]),
        ([{"path": APPEND, "fault": "status", "grpc_code": "UNAVAILABLE", "after_commit": True}], [0, 0]),
        ([{"path": APPEND, "fault": "status", "grpc_code": "INTERNAL", "in_response": True}], [0, 0]),
        ([{"path": APPEND, "fault": "status", "grpc_code": "NOT_FOUND"}], [0, 0]),
        ([{"path": APPEND, "fault": "expire_tokens"}], [0, 0]),
        ([{"path": "CreateWriteStream", "fault": "status", "grpc_code": "NOT_FOUND", "times": 2}], [0]),
        ([{"path": "CreateWriteStream", "fault": "cut", "after_commit": True}], [0]),
        ([{"path": "FinalizeWriteStream", "fault": "cut", "after_commit": True}], [0]),
    ],
)
def test_whatever_goes_wrong_the_row_is_there_once(
    installation: Installation, admin: Client, before: int, faults: list[dict[str, Any]], offsets: list[int]
) -> None:
    installation.local.set_faults(faults)
    steps = _test(installation, FIVE)
    assert _with_status(steps, "passed") == list(steps)
    assert [fault["fired"] for fault in installation.local.faults()] == [fault.get("times", 1) for fault in faults]
    calls = [one for one in installation.local.requests()[before:] if one["path"] == APPEND and one.get("body")]
    assert [one["body"]["offset"] for one in calls] == offsets
    assert len({one["body"]["write_stream"] for one in calls}) == 1
    assert len(_left(admin, installation)) == 1


def test_neither_the_key_nor_a_token_is_shown(installation: Installation, admin: Client) -> None:
    key = _key(installation, [])
    for permissions in ([], FIVE[:-1], FIVE):
        shown = repr(_test(installation, permissions))
        assert key["private_key"][40:80] not in shown
        assert key["private_key_id"] not in shown
        assert "ya29" not in shown
    assert len(admin.list_tables(installation.dataset)) == 2


def test_on_the_command_line(installation: Installation, admin: Client, tmp_path: Path) -> None:
    key = tmp_path / "key.json"
    key.write_text(json.dumps(_key(installation, FIVE)))
    words = ("connection", "add", CONNECTION, "--dataset", installation.dataset, "--key", str(key))
    batch = installation.run(*words)
    assert batch.returncode == 3
    assert "bigquery.jobs.create is missing" in batch.stdout
    added = installation.run(*words, "--for", "streaming")
    assert added.returncode == 0, added.stdout + added.stderr
    assert "one row by a write stream" in added.stdout
    assert not {"!", "✗", "-"} & {line[:1] for line in added.stdout.splitlines()}
    tested = installation.run("connection", "test", CONNECTION, "--for", "streaming", "--json")
    assert tested.returncode == 0, tested.stdout
    assert json.loads(tested.stdout)["passed"] is True
    assert json.loads(key.read_text())["private_key"][40:80] not in tested.stdout
    assert installation.run("connection", "test", CONNECTION).returncode == 3
    edited = installation.run("connection", "edit", CONNECTION, "--rename", "streamer", "--for", "streaming")
    assert edited.returncode == 0, edited.stdout
    key.write_text(json.dumps(_key(installation, FIVE[:-1])))
    limited = installation.run("connection", "test", "streamer", "--for", "streaming")
    assert limited.returncode == 3
    assert "bigquery.tables.updateData is missing" in limited.stdout
    assert "gcloud iam roles create tidemillStreamingExport" in limited.stdout
    assert installation.run("connection", "test", "streamer", "--for", "nothing").returncode == 2
    assert admin.list_tables(installation.dataset)
