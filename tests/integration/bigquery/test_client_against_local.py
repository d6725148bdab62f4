"""The client against the embedded BigQuery: real tables and rows, permissions, and the faults that Google may have."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.installation import Installation

from tidemill.bigquery import access, grants, sql
from tidemill.bigquery.client import Client
from tidemill.bigquery.credentials import Auth
from tidemill.bigquery.jobs import Load
from tidemill.bigquery.local.service import DEFAULT_PROJECT
from tidemill.bigquery.retry import Policy
from tidemill.bigquery.tables import Layout
from tidemill.errors import AccessError, ConfigError, NotFoundError, TidemillError
from tidemill.models.model import Column
from tidemill.models.types import Type

COLUMNS = (Column("uuid", Type.STRING, "Id"), Column("team_id", Type.INT64, "Team"))
JSON_COLUMNS = (*COLUMNS, Column("properties", Type.JSON, "Properties"))
UUIDS = [f"u{number}" for number in range(5)]
UPLOAD = "/upload/bigquery/"


@pytest.fixture
def client(installation: Installation) -> Iterator[Client]:
    made = installation.client()
    made.policy = Policy(deadline=30)
    made.create_table(installation.dataset, "events", Layout(COLUMNS))
    yield made
    made.close()
    installation.local.set_faults([])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"uuid": UUIDS, "team_id": [1] * len(UUIDS)}), file, compression="zstd")
    return file


@pytest.fixture
def job(installation: Installation) -> Load:
    return Load(
        f"job_{installation.dataset}", installation.dataset, "events", COLUMNS, "PARQUET", {"tidemill_run": "r"}
    )


def test_a_table_is_made_filled_counted_and_dropped(client: Client, job: Load, path: Path) -> None:
    assert client.get_table(job.dataset, "nope") is None
    assert client.load(path, job).rows == len(UUIDS)
    assert sorted(row[0] for row in client.read(job.dataset, "events", 10)) == UUIDS
    table = (DEFAULT_PROJECT, job.dataset, "events")
    answer = client.query(sql.keys(table, ["team_id", "uuid"]), job_id=f"{job.job_id}_count")
    assert sorted(answer.rows) == [(1, uuid, 1) for uuid in UUIDS]
    assert answer.columns == ("team_id", "uuid", "row_count")
    client.delete_table(job.dataset, "events")
    assert client.list_tables(job.dataset) == []


def test_a_merge_adds_what_is_missing_and_once(client: Client, job: Load, path: Path) -> None:
    client.load(path, job)
    client.create_table(job.dataset, "stage", Layout(COLUMNS))
    more = [*UUIDS[:2], "new", "new"]
    pq.write_table(pa.table({"uuid": more, "team_id": [1] * len(more)}), path)
    client.load(path, dataclasses.replace(job, job_id=f"{job.job_id}_stage", table="stage"))
    final, stage = ((DEFAULT_PROJECT, job.dataset, table) for table in ("events", "stage"))
    merge = sql.insert_missing(sql.Merge(final, stage, ["uuid", "team_id"], ["team_id", "uuid"]))
    for attempt in ("a", "b"):
        client.query(merge, job_id=f"{job.job_id}_{attempt}")
        assert sorted(row[0] for row in client.read(job.dataset, "events", 10)) == sorted([*UUIDS, "new"])


def test_of_two_rows_with_one_key_the_newest_is_merged(client: Client, job: Load, tmp_path: Path) -> None:
    columns = (*COLUMNS, Column("timestamp", Type.TIMESTAMP, ""), Column("properties", Type.JSON, ""))
    for table in ("typed", "stage"):
        client.create_table(job.dataset, table, Layout(columns))
    rows = [
        {"uuid": "u", "team_id": 1, "timestamp": f"2026-01-0{day}T00:00:00Z", "properties": day} for day in (2, 3, 1)
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    staged = dataclasses.replace(job, table="stage", columns=columns, format="NEWLINE_DELIMITED_JSON")
    client.load(path, staged)
    final, stage = ((DEFAULT_PROJECT, job.dataset, table) for table in ("typed", "stage"))
    names = [column.name for column in columns]
    merge = sql.Merge(final, stage, names, key=["team_id", "uuid"], newest=["timestamp"])
    client.query(sql.insert_missing(merge), job_id=f"{job.job_id}_merge")
    assert [row[3] for row in client.read(job.dataset, "typed", 10)] == [3]


def test_keys_that_read_alike_are_counted_apart(client: Client, job: Load, path: Path) -> None:
    pq.write_table(pa.table({"uuid": ["23", "3"], "team_id": [1, 12]}), path)
    client.load(path, job)
    table = (DEFAULT_PROJECT, job.dataset, "events")
    found = client.query(sql.keys(table, ["team_id", "uuid"]), job_id=f"{job.job_id}_count").rows
    assert sorted(found) == [(1, "23", 1), (12, "3", 1)]


def test_json_lines_go_into_json_columns_and_parquet_does_not(client: Client, job: Load, path: Path) -> None:
    client.create_table(job.dataset, "typed", Layout(JSON_COLUMNS))
    typed = dataclasses.replace(job, table="typed", columns=JSON_COLUMNS)
    pq.write_table(pa.table({"uuid": ["u"], "team_id": [1], "properties": ["{}"]}), path)
    with pytest.raises(ConfigError, match="JSON"):
        client.load(path, typed)
    path.write_text(json.dumps({"uuid": "u", "team_id": 1, "properties": {"a": [1, "ü"]}}) + "\n")
    lines = dataclasses.replace(typed, format="NEWLINE_DELIMITED_JSON", job_id=f"{job.job_id}_lines")
    assert client.load(path, lines).rows == 1
    assert client.read(job.dataset, "typed", 10) == [("u", 1, {"a": [1, "ü"]})]


@pytest.mark.parametrize(
    "faults",
    [
        [{"path": UPLOAD, "method": "PUT", "fault": "status", "status": 503, "after_commit": True}],
        [{"path": UPLOAD, "method": "PUT", "fault": "status", "status": 503}],
        [{"path": UPLOAD, "method": "PUT", "fault": "cut", "after_commit": True}],
        [{"path": UPLOAD, "method": "PUT", "fault": "cut", "times": 2}],
        [{"path": UPLOAD, "method": "POST", "fault": "cut", "after_commit": True}],
        [{"path": UPLOAD, "method": "POST", "fault": "status", "status": 429, "retry_after": 1}],
        [{"path": UPLOAD, "method": "POST", "fault": "status", "status": 403, "reason": "rateLimitExceeded"}],
        [{"path": "/jobs/", "method": "GET", "fault": "cut", "times": 2}],
        [{"path": "/jobs/", "method": "GET", "fault": "status", "status": 500, "nth": 2}],
        [{"path": UPLOAD, "method": "PUT", "fault": "expire_tokens"}],
        [{"path": "/jobs/", "method": "GET", "fault": "expire_tokens", "nth": 2}],
        [
            {"path": "/token", "method": "POST", "fault": "status", "status": 503},
            {"path": UPLOAD, "fault": "expire_tokens"},
        ],
    ],
    ids=lambda plan: "+".join(f"{fault['fault']}-{fault.get('method', '')}{fault.get('status', '')}" for fault in plan),
)
def test_whatever_goes_wrong_the_file_is_loaded_once(
    installation: Installation, client: Client, job: Load, path: Path, faults: list[dict[str, Any]]
) -> None:
    client.get_dataset(job.dataset)
    installation.local.set_faults(faults)
    assert client.load(path, job).job_id == job.job_id
    assert all(fault["fired"] for fault in installation.local.faults())
    installation.local.set_faults([])
    assert client.load(path, job).job_id == job.job_id
    assert sorted(row[0] for row in client.read(job.dataset, "events", 100)) == UUIDS


@pytest.mark.parametrize("reason", ["backendError", "jobInternalError", "rateLimitExceeded"])
def test_a_job_that_fails_for_a_while_is_followed_by_another(
    installation: Installation, client: Client, job: Load, path: Path, reason: str
) -> None:
    fault = {"path": UPLOAD, "method": "PUT", "fault": "job_error", "reason": reason, "times": 2}
    installation.local.set_faults([fault])
    assert client.load(path, job).job_id == f"{job.job_id}_t2"
    assert client.load(path, job).job_id == f"{job.job_id}_t2"
    assert sorted(row[0] for row in client.read(job.dataset, "events", 100)) == UUIDS


def test_a_daily_quota_ends_it_at_once_and_a_later_run_goes_on(
    installation: Installation, client: Client, job: Load, path: Path
) -> None:
    message = "Quota exceeded: Your table exceeded quota for imports or query appends per table."
    fault = {"path": UPLOAD, "method": "PUT", "fault": "job_error", "reason": "quotaExceeded", "message": message}
    installation.local.set_faults([fault])
    with pytest.raises(TidemillError) as caught:
        client.load(path, job)
    assert caught.value.code == "quota_exceeded"
    assert client.load(path, job).rows == len(UUIDS)
    assert len(client.read(job.dataset, "events", 100)) == len(UUIDS)


def test_four_loads_at_once_and_each_asked_for_twice(client: Client, job: Load, tmp_path: Path) -> None:
    def load(number: int) -> str:
        path = tmp_path / f"{number}.parquet"
        pq.write_table(pa.table({"uuid": [f"{number % 4}"], "team_id": [1]}), path)
        return client.load(path, dataclasses.replace(job, job_id=f"{job.job_id}_{number % 4}")).job_id

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert set(pool.map(load, range(8))) == {f"{job.job_id}_{number}" for number in range(4)}
    assert sorted(row[0] for row in client.read(job.dataset, "events", 100)) == ["0", "1", "2", "3"]


def test_a_wrong_location_is_told(client: Client, job: Load, path: Path) -> None:
    client.location = "US"
    with pytest.raises(NotFoundError):
        client.load(path, job)


Call = Callable[[Client, Load, Path], object]
CALLS: dict[str, Call] = {
    "bigquery.jobs.create": lambda client, job, path: client.load(path, job),
    "bigquery.tables.updateData": lambda client, job, path: client.load(path, job),
    "bigquery.datasets.get": lambda client, job, _: client.get_dataset(job.dataset),
    "bigquery.tables.create": lambda client, job, _: client.create_table(job.dataset, "new", Layout(COLUMNS)),
    "bigquery.tables.get": lambda client, job, _: client.get_table(job.dataset, "events"),
    "bigquery.tables.getData": lambda client, job, _: client.read(job.dataset, "events", 1),
    "bigquery.tables.list": lambda client, job, _: client.list_tables(job.dataset),
    "bigquery.tables.delete": lambda client, job, _: client.delete_table(job.dataset, "events"),
}


@pytest.mark.parametrize("permission", CALLS)
def test_each_missing_permission_is_named(
    installation: Installation, client: Client, job: Load, path: Path, permission: str
) -> None:
    key = installation.local.key(f"without-{permission.rsplit('.', 1)[1].lower()}", deny=[permission])
    limited = Client(Auth(json.dumps(key)), DEFAULT_PROJECT, client.location, Policy(deadline=20))
    try:
        with pytest.raises(AccessError) as caught:
            CALLS[permission](limited, job, path)
    finally:
        limited.close()
    assert permission in caught.value.message
    assert key["client_email"] in caught.value.hint
    assert client.read(job.dataset, "events", 100) == []


@pytest.mark.parametrize("permission", [None, *grants.BATCH_EXPORT, *grants.OPTIONAL])
def test_the_connection_test_names_what_is_missing_and_leaves_nothing(
    installation: Installation, client: Client, permission: str | None
) -> None:
    key = installation.local.key("tested", deny=[permission] if permission else [])
    steps = list(access.test(Auth(json.dumps(key)), DEFAULT_PROJECT, installation.dataset))
    failed = [step for step in steps if step.status == "failed"]
    if permission is None or permission in grants.OPTIONAL:
        assert failed == []
    else:
        (step,) = failed
        assert permission in step.message
        assert key["client_email"] in step.hint
    left = [table for table in client.list_tables(installation.dataset) if table.startswith("tidemill_test_")]
    assert len(left) == (permission in grants.OPTIONAL)
