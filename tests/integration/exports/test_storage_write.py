"""Runs that deliver by the Storage Write API: the same rows as by load jobs, each once, seen all at once."""

from __future__ import annotations

import json
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from google.cloud import bigquery
from tests.installation import CONNECTION, Installation, write_events
from tests.kill_checks import rows, write

from tidemill.app import App
from tidemill.bigquery.tables import Layout
from tidemill.errors import AccessError, ConfigError, ConflictError, UnavailableError
from tidemill.events import batches, duck
from tidemill.events.lake import Lake
from tidemill.exports.service import RunProgress
from tidemill.exports.steps import commit, send
from tidemill.models.model import Column
from tidemill.models.types import Type

SMALL = {"commit_rows": 500, "chunk_bytes": 150_000}
BY_STREAMS = {"delivery": "storage-write"}
SERVICE = "/google.cloud.bigquery.storage.v1.BigQueryWrite/"
ALL_TYPES = """
    SELECT uuid, n, n * 1.5 AS price, (n / 7)::DECIMAL(38, 9) AS exact, (n * 1000003)::DECIMAL(38, 0) AS wide,
        CASE n % 4 WHEN 0 THEN 'nan'::DOUBLE WHEN 1 THEN 'infinity'::DOUBLE WHEN 2 THEN n / 3 END AS x,
        n % 2 = 0 AS even, timestamp AS moment, timestamp::DATE AS day, timestamp::TIMESTAMP AS clock,
        CASE WHEN n % 3 > 0 THEN list_transform(range(n % 3), i -> 'ü' || i) END AS texts, range(n % 3) AS numbers,
        [timestamp::DATE, DATE '0001-01-01', DATE '9999-12-31'] AS days,
        properties::JSON AS more, CASE WHEN n % 5 = 0 THEN event || chr(10) || '\\"' END AS label
    FROM (SELECT *, (properties->>'number')::BIGINT AS n FROM events)
    WHERE inserted_at >= {data_interval_start} AND inserted_at < {data_interval_end}
"""


def create(installation: Installation, app: App, **fields: Any) -> None:
    """A connection, and an export `daily` that sends by write streams."""
    installation.connect(app)
    app.exports.create(CONNECTION, {"name": "daily", "table": "events", **BY_STREAMS, **fields}, by="tester")


def load(app: App, path: Path, count: int, **fields: Any) -> list[str]:
    """Take events into the store."""
    uuids = write_events(path, count, **fields)
    app.events.load(str(path))
    return uuids


def calls(installation: Installation, name: str) -> list[dict[str, Any]]:
    """The calls of the Storage Write API on the tables of this installation."""
    found = [line for line in installation.local.requests() if line["path"] == SERVICE + name]
    return [line for line in found if installation.dataset in json.dumps(line["body"])]


def tables(installation: Installation) -> list[str]:
    client = installation.client()
    try:
        return client.list_tables(installation.dataset)
    finally:
        client.close()


def test_rows_arrive_once_and_are_seen_all_at_once(installation: Installation, tmp_path: Path) -> None:
    seen: dict[str, int] = {}

    def look(state: RunProgress) -> None:
        if state.doing not in {"looking for what is new", "preparing the table"}:
            seen[state.doing] = len(installation.uuids())

    with installation.app(**SMALL) as app:
        create(installation, app)
        uuids = load(app, tmp_path / "a.jsonl", 2_000)
        (run,) = app.exports.run("daily", by="tester", progress=look)
        assert (run.status, run.mode, run.rows_done, run.rows_rejected) == ("completed", "append", 2_000, 0)
        assert len(run.chunks) > 3
        assert run.bytes_done > 2_000 * 300
        assert installation.uuids() == uuids
        assert seen.pop("done") == 2_000
        assert "committing" in seen
        assert set(seen.values()) == {0}
        assert {"streams" in (chunk.job_id or "") for chunk in run.chunks} == {True}
        assert app.exports.run("daily", by="tester") == []
        uuids += load(app, tmp_path / "b.jsonl", 300, first=10_000)
        (run,) = app.exports.run("daily", by="tester")
        assert run.rows_done == 300
        assert installation.uuids() == sorted(uuids)
        assert app.exports.tables.verify("daily", by="tester").different == ()
    assert not (installation.home / "exports").exists(), "no file is written"
    assert len(calls(installation, "BatchCommitWriteStreams")) == 2


def test_a_first_run_into_a_filled_table_adds_what_it_lacks(installation: Installation, tmp_path: Path) -> None:
    with installation.app(**SMALL) as app:
        create(installation, app, delivery="load")
        uuids = load(app, tmp_path / "a.jsonl", 900)
        app.exports.run("daily", by="tester")
        app.exports.delete("daily")
        uuids += load(app, tmp_path / "b.jsonl", 100, first=10_000)
        app.exports.create(CONNECTION, {"name": "anew", "table": "events", **BY_STREAMS}, by="tester")
        (run,) = app.exports.run("anew", by="tester")
        assert (run.mode, run.rows_done, sum(chunk.rows for chunk in run.chunks)) == ("merge", 100, 1_000)
        assert installation.uuids() == sorted(uuids)
    assert tables(installation) == ["events"]


@pytest.mark.parametrize("json_type", [False, True])
@pytest.mark.parametrize("model", ["persons", "sessions", "amplitude_events", "merge_ids"])
def test_other_models_are_as_by_load_jobs(
    installation: Installation, tmp_path: Path, model: str, json_type: bool
) -> None:
    if json_type and model in {"sessions", "merge_ids"}:
        pytest.skip("no column of it holds JSON")
    with installation.app(commit_rows=100, chunk_bytes=8_000) as app:
        installation.connect(app)
        fields: dict[str, Any] = {"model": model, "team_id": 1} | ({"json_type": True} if json_type else {})
        app.exports.create(CONNECTION, {"name": "by_jobs", "table": "by_jobs", **fields}, by="t")
        app.exports.create(CONNECTION, {"name": "by_streams", "table": "by_streams", **fields, **BY_STREAMS}, by="t")
        chance = random.Random(3)
        for turn in range(3):
            write(tmp_path / f"{turn}.jsonl", chance, turn * 1000)
            app.events.load(str(tmp_path / f"{turn}.jsonl"))
            for name in ("by_jobs", "by_streams"):
                runs = app.exports.run(name, by="t")
                assert all(run.status == "completed" for run in runs)
                assert not any(run.rows_rejected for run in runs)
        assert rows(installation, "by_streams") == rows(installation, "by_jobs") != []
        assert app.exports.tables.verify("by_streams", by="t").different == ()
        estimate = app.exports.backfills.estimate(
            "by_streams", "earliest", None, "week" if model != "merge_ids" else None
        )
        client = installation.client()
        client.query(f"DELETE FROM `{installation.dataset}.by_streams` WHERE TRUE", job_id=f"t_{installation.dataset}")
        client.close()
        app.exports.backfills.begin("by_streams", estimate, by="t", parallel=2, progress=lambda _: None)
        assert rows(installation, "by_streams") == rows(installation, "by_jobs")
    assert not [table for table in tables(installation) if "stage" in table]


@pytest.mark.parametrize("key", [(), ("uuid",)])
@pytest.mark.parametrize("json_type", [False, True])
def test_all_types_of_a_query_are_as_by_load_jobs(
    installation: Installation, tmp_path: Path, key: tuple[str, ...], json_type: bool
) -> None:
    with installation.app() as app:
        installation.connect(app)
        for name in ("by_jobs", "by_streams"):
            fields = {"sql": ALL_TYPES, "key": key, "json_type": json_type}
            app.exports.create(CONNECTION, {"name": name, "table": name, **fields}, by="t")
        app.exports.edit("by_streams", BY_STREAMS)
        for first in (0, 100):
            load(app, tmp_path / f"{first}.jsonl", 40, first=first)
            for name in ("by_jobs", "by_streams"):
                (run,) = app.exports.run(name, by="t")
                assert (run.mode, run.rows_done, run.rows_rejected) == ("replace" if key else "append", 40, 0)
    kinds = {field.name: (field.field_type, field.mode) for field in described(installation, "by_streams").schema}
    assert {"NUMERIC", "BIGNUMERIC", "DATE", "DATETIME", "TIMESTAMP", "FLOAT"} <= {kind for kind, _ in kinds.values()}
    assert (kinds["days"], kinds["more"][0]) == (("DATE", "REPEATED"), "JSON" if json_type else "STRING")
    found, wanted = (installation.rows(name) for name in ("by_streams", "by_jobs"))
    assert sorted(map(repr, found)) == sorted(map(repr, wanted))
    assert len(found) == 80


def described(installation: Installation, table: str) -> bigquery.Table:
    client = installation.client()
    try:
        return client.google().get_table(f"{client.project}.{installation.dataset}.{table}")
    finally:
        client.close()


def test_json_is_repaired(installation: Installation, tmp_path: Path) -> None:
    texts = {"plain": '{"a": 1}', "wide": '{"a": 12345678901234567890123}', "nul": '{"a": "\\u0000"}'}
    file = tmp_path / "odd.jsonl"
    event = '{{"uuid": "{}", "event": "e", "distinct_id": "d", "timestamp": "2026-01-01T00:00:00Z", "properties": {}}}'
    file.write_text("\n".join(event.format(name, text) for name, text in texts.items()))
    with installation.app() as app:
        create(installation, app, json_type=True)
        app.events.load(str(file))
        (run,) = app.exports.run("daily", by="tester")
        assert (run.rows_done, run.rows_rejected, run.rows_repaired) == (3, 0, 2)
    found = {row["uuid"]: row["properties"] for row in installation.rows("events")}
    values = {name: (value if isinstance(value, dict) else json.loads(value))["a"] for name, value in found.items()}
    assert values == {"plain": 1, "wide": 12345678901234567890123.0, "nul": "\ufffd"}


def test_rows_that_bigquery_refuses_are_set_aside_and_tried_again(installation: Installation, tmp_path: Path) -> None:
    """A column became REQUIRED since the table was looked at."""
    client = installation.client()
    google, table = client.google(), f"{client.project}.{installation.dataset}.events"

    def narrow(state: RunProgress) -> None:
        if state.doing == "sending chunk 1" and google.get_table(table).schema[8].mode == "NULLABLE":
            made = google.get_table(table)
            google.delete_table(table)
            required = [
                bigquery.SchemaField(field.name, field.field_type, "REQUIRED" if field.name == "ip" else "NULLABLE")
                for field in made.schema
            ]
            google.create_table(bigquery.Table(table, required))

    events = [
        {"uuid": f"u{n:03d}", "event": "e", "distinct_id": "d", "timestamp": "2026-01-01T00:00:00Z"}
        | ({} if n % 7 == 3 else {"ip": "1.2.3.4"})
        for n in range(300)
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, events)))
    refused = [event["uuid"] for event in events if "ip" not in event]
    with installation.app(commit_rows=30, chunk_bytes=1_000_000) as app:
        create(installation, app)
        app.events.load(str(tmp_path / "a.jsonl"), "posthog")
        (run,) = app.exports.run("daily", by="tester", progress=narrow)
        assert (run.rows_done, run.rows_rejected) == (300 - len(refused), len(refused))
        found = app.exports.set_aside.find("daily")
        assert sorted(reject.uuid for reject in found) == refused
        assert {reject.code for reject in found} == {"row_refused"}
        assert "ip cannot be empty" in found[0].message
        assert installation.uuids() == sorted({event["uuid"] for event in events} - set(refused))
        wide = google.get_table(table)
        wide.schema = [bigquery.SchemaField(field.name, field.field_type) for field in wide.schema]
        google.update_table(wide, ["schema"])
        (again,) = app.exports.set_aside.retry("daily", by="tester")
        assert (again.mode, again.rows_done, again.rows_rejected) == ("merge", len(refused), 0)
        assert installation.uuids() == sorted(event["uuid"] for event in events)
        assert app.exports.set_aside.find("daily") == []
    client.close()


def test_all_rows_may_be_refused(installation: Installation, tmp_path: Path) -> None:
    """The embedded BigQuery holds fewer digits than a BIGNUMERIC has."""
    sql = "SELECT uuid, 0.123456789012::DECIMAL(38, 12) AS x FROM events"
    with installation.app() as app:
        create(installation, app, sql=sql, key=["uuid"], table="mine")
        load(app, tmp_path / "a.jsonl", 10)
        (run,) = app.exports.run("daily", by="tester")
        assert (run.status, run.rows_done, run.rows_rejected) == ("completed", 0, 10)
        assert {reject.code for reject in app.exports.set_aside.find("daily")} == {"row_refused"}
    assert installation.rows("mine") == []


def test_rows_that_are_too_large_go_by_load_jobs(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(send, "MAX_ROW_BYTES", 100_000)
    with installation.app() as app:
        create(installation, app)
        uuids = load(app, tmp_path / "a.jsonl", 100)
        large = load(app, tmp_path / "b.jsonl", 1, first=500, size=200_000)
        (run,) = app.exports.run("daily", by="tester")
        assert (run.rows_done, run.rows_rejected) == (100, 1)
        (reject,) = app.exports.set_aside.find("daily")
        assert (reject.uuid, reject.code) == (large[0], "row_too_large")
        assert "the limit is 100,000" in reject.message
        assert "--delivery load" in reject.message
        (again,) = app.exports.set_aside.retry("daily", by="tester")
        assert again.rows_rejected == 1
        app.exports.edit("daily", {"delivery": "load"})
        (done,) = app.exports.set_aside.retry("daily", by="tester")
        assert (done.rows_done, done.rows_rejected) == (1, 0)
        assert "streams" not in str(done.chunks[0].job_id)
        assert installation.uuids() == sorted(uuids + large)


def test_rows_of_any_size_go_through(installation: Installation, tmp_path: Path) -> None:
    """Several large chunks at once, in the memory that there is."""
    wanted = []
    with installation.app(commit_rows=20, chunk_bytes=12_000_000, duckdb_threads=2) as app:
        create(installation, app, json_type=True)
        for number, (count, size) in enumerate([(100, 300_000), (3, 9_000_000), (500, 1_000), (15, 2_000_000)]):
            wanted += load(app, tmp_path / f"{number}.jsonl", count, first=number * 1_000, size=size)
            (tmp_path / f"{number}.jsonl").unlink()
        (run,) = app.exports.run("daily", by="tester")
        assert len(run.chunks) > 4
        assert (run.rows_done, run.rows_rejected) == (len(wanted), 0)
    assert installation.uuids() == sorted(wanted)
    bodies = calls(installation, "AppendRows")
    assert len({(body["body"]["write_stream"], body["body"]["offset"]) for body in bodies}) == len(bodies)


def test_what_memory_is_too_short_for_is_read_alone(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DuckDB gave up in the middle of a chunk: it is sent anew, on another stream."""
    short, threads = [3], list[int]()
    unordered = batches.unordered

    def reading(lake: Lake, *arguments: Any, **named: Any) -> batches.Reading:
        for number, some in enumerate(unordered(lake, *arguments, **named)):
            if short and number == short[0]:
                short.pop(0)
                raise UnavailableError(duck.OUT_OF_MEMORY, "There is no memory.")
            with lake.cursor() as cursor:
                threads.append(cursor.execute("SELECT current_setting('threads')").fetchall()[0][0])
            yield some

    monkeypatch.setattr(batches, "unordered", reading)
    monkeypatch.setattr(send, "REQUEST_BYTES", 50_000)
    with installation.app(chunk_bytes=10**9, duckdb_threads=2) as app:
        create(installation, app)
        uuids = load(app, tmp_path / "a.jsonl", 2_000)
        (run,) = app.exports.run("daily", by="tester")
        assert run.rows_done == 2_000
        with pytest.raises(UnavailableError):  # alone, too
            short += [1, 2]
            load(app, tmp_path / "b.jsonl", 2_000, first=9_000)
            app.exports.run("daily", by="tester")
    assert {1, 2} == set(threads)
    assert installation.uuids() == uuids


def test_what_the_filters_leave_nothing_of_makes_no_stream(installation: Installation, tmp_path: Path) -> None:
    with installation.app(**SMALL) as app:
        create(installation, app, include_events=["nothing"])
        load(app, tmp_path / "a.jsonl", 600)
        (run,) = app.exports.run("daily", by="tester")
        assert (run.status, run.rows_done) == ("completed", 0)
    assert {chunk.job_id for chunk in run.chunks} == {None}
    assert calls(installation, "CreateWriteStream") == calls(installation, "BatchCommitWriteStreams") == []


def test_columns_that_the_table_lacks_are_left_out(installation: Installation, tmp_path: Path) -> None:
    client = installation.client()
    own = {"uuid": Type.STRING, "team_id": Type.INT64, "mine": Type.FLOAT64}
    client.create_table(installation.dataset, "events", Layout(tuple(Column(n, kind, "") for n, kind in own.items())))
    client.close()
    with installation.app() as app:
        create(installation, app)
        uuids = load(app, tmp_path / "a.jsonl", 5)
        (run,) = app.exports.run("daily", by="tester")
        assert "distinct_id" in run.notes[0]
    assert installation.uuids() == uuids


def test_appending_needs_no_right_to_run_jobs(installation: Installation, tmp_path: Path) -> None:
    with installation.app(**SMALL) as app:
        installation.connect(app, account="limited", deny=["bigquery.jobs.create", "bigquery.tables.getData"])
        app.exports.create(CONNECTION, {"name": "daily", "table": "events", **BY_STREAMS}, by="tester")
        uuids = load(app, tmp_path / "a.jsonl", 600)
        (run,) = app.exports.run("daily", by="tester")
        assert run.rows_done == 600
        installation.local.key("limited", deny=["bigquery.tables.updateData"])
        uuids += load(app, tmp_path / "b.jsonl", 600, first=1_000)
        with pytest.raises(AccessError) as caught:
            app.exports.run("daily", by="tester")
        assert "bigquery.tables.updateData is missing on the table" in caught.value.message
        assert "limited@" in caught.value.hint
        installation.local.key("limited")
        (run,) = app.exports.run("daily", by="tester")
        assert run.attempt == 2
    assert installation.uuids() == sorted(uuids)


def test_the_delivery_is_chosen_shown_and_changed(installation: Installation, tmp_path: Path) -> None:
    with installation.app() as app:
        installation.connect(app)
        load(app, tmp_path / "a.jsonl", 10)
    words = ("export", "create", "daily", "--connection", CONNECTION, "--delivery", "storage-write", "--json")
    made = installation.run(*words)
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["delivery"] == "storage-write"
    run = installation.run("export", "run", "daily")
    assert "Write stream projects/" in run.stdout + run.stderr
    assert installation.run("export", "edit", "daily", "--delivery", "load").returncode == 0
    assert json.loads(installation.run("export", "show", "daily", "--json").stdout)["delivery"] == "load"
    wrong = installation.run("export", "edit", "daily", "--delivery", "pigeon")
    assert (wrong.returncode, "storage-write" in wrong.stderr) == (2, True)
    with installation.app() as app:
        with pytest.raises(ConflictError) as caught:
            app.exports.runs.retry(app.exports.runs.find("daily", limit=1)[0].short_id, arrived=True)
        assert caught.value.code == "nothing_to_confirm"


def test_lists_of_decimals_arrive(installation: Installation, tmp_path: Path) -> None:
    sql = "SELECT uuid, [1.5, 2]::DECIMAL(38, 9)[] AS a, [0.25]::DECIMAL(38, 12)[] AS b, [timestamp] AS c FROM events"
    with installation.app() as app:
        create(installation, app, sql=sql, key=["uuid"], table="mine")
        load(app, tmp_path / "a.jsonl", 2)
        app.exports.run("daily", by="tester")
    for row in installation.rows("mine"):
        assert (row["a"], row["b"], len(row["c"])) == ([Decimal("1.5"), Decimal(2)], [Decimal("0.25")], 1)


def test_more_streams_than_one_commit_takes_are_refused_unless_they_go_to_a_stage(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit, "MOST_STREAMS", 2)
    with installation.app(commit_rows=500, chunk_bytes=40_000) as app:
        create(installation, app)
        uuids = load(app, tmp_path / "a.jsonl", 2_000)
        with pytest.raises(ConfigError) as caught:
            app.exports.run("daily", by="tester")
        assert caught.value.code == "too_many_streams"
        assert app.exports.runs.find("daily", limit=9) == []
        app.exports.edit("daily", {"delivery": "load"})
        app.exports.run("daily", by="tester")
        app.exports.edit("daily", BY_STREAMS)
        (first,) = app.exports.runs.find("daily", limit=1)
        again = app.exports.runs.again(first.short_id, by="tester")
        assert (again.mode, again.rows_done, len(again.chunks) > 3) == ("merge", 0, True)
        assert installation.uuids() == uuids
    assert len(calls(installation, "BatchCommitWriteStreams")) == len(again.chunks) // 2 + len(again.chunks) % 2
