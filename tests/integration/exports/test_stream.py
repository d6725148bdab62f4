"""Streaming exports against the embedded BigQuery: every event once, in whatever way it goes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from google.cloud import bigquery
from tests.installation import CONNECTION, Installation, write_events
from tests.streams import NAME, caught_up, eventually, make_stream, send_all, streaming

from tidemill.bigquery import grants
from tidemill.bigquery.local.service import DEFAULT_PROJECT
from tidemill.errors import AccessError, ConfigError, ConflictError, TidemillError

#: Each commit is a request of its own, and several are in flight.
SMALL: dict[str, Any] = {"commit_rows": 100, "stream_window_bytes": 1000}


def start(installation: Installation, app: Any, tmp_path: Path, count: int = 1000, **permissions: Any) -> list[str]:
    """Events, and a stream that has not begun."""
    uuids = write_events(tmp_path / "events.jsonl", count)
    app.events.load(str(tmp_path / "events.jsonl"))
    installation.connect(app, **permissions)
    make_stream(app)
    return uuids


def odd(path: Path, number: int, **more: Any) -> str:
    """A file of one event."""
    event: dict[str, Any] = {"uuid": f"11111111-0000-7000-8000-{number:012d}", "event": "odd", "distinct_id": "u"}
    event |= {"timestamp": "2026-01-01T00:00:00Z", "properties": {}, **more}
    path.write_text(json.dumps(event) + "\n")
    return str(event["uuid"])


def test_all_events_are_in_the_table_once(installation: Installation, tmp_path: Path) -> None:
    """Those that were there, and those that come later."""
    with installation.app(**SMALL) as app:
        wanted = start(installation, app, tmp_path)
        send_all(app)
        assert installation.uuids() == wanted
        wanted += write_events(tmp_path / "b.jsonl", 50, first=1000)
        app.events.load(str(tmp_path / "b.jsonl"))
        told = send_all(app)
        assert told[-1].rows == 50
        send_all(app)
        assert installation.uuids() == sorted(wanted)
        view = app.exports.get(NAME)
        assert (view.waiting_rows, view.trouble, view.last_status) == (0, None, "not streamed")
        runs = app.exports.runs.find(NAME, limit=10)
        assert [(run.kind, run.status, run.rows_done, run.snapshot_upto) for run in runs] == [
            ("stream", "completed", 50, app.lake.position()),
            ("stream", "completed", 1000, runs[0].snapshot_after),
        ]
        assert app.exports.tables.verify(NAME, by="tester").different == ()


def test_five_permissions_are_enough(installation: Installation, tmp_path: Path) -> None:
    """Everything else is denied, and nothing else is asked for."""
    before = len(installation.local.requests())
    with installation.app(**SMALL) as app:
        wanted = start(installation, app, tmp_path, account="streamer", allow=list(grants.STREAMING_EXPORT))
        send_all(app)
        app.events.load(str(tmp_path / "events.jsonl"))
    assert installation.uuids() == wanted
    asked = installation.local.requests()[before:]
    assert not [one for one in asked if "/jobs" in one["path"] or "/queries" in one["path"]]


@pytest.mark.parametrize("missing", ["bigquery.tables.create", "bigquery.tables.get", "bigquery.tables.updateData"])
def test_a_missing_permission_is_named(installation: Installation, tmp_path: Path, missing: str) -> None:
    """With the command that grants it; once it is there, the stream goes on."""
    allowed = [name for name in grants.STREAMING_EXPORT if name != missing]
    with installation.app(**SMALL) as app:
        wanted = start(installation, app, tmp_path, account="streamer", allow=allowed)
        with pytest.raises(AccessError) as denied:
            send_all(app)
        assert missing in denied.value.message
        assert "tidemillStreamingExport" in denied.value.hint or "roles/bigquery.dataEditor" in denied.value.hint
        view = app.exports.get(NAME)
        assert view.last_status == "in trouble"
        assert missing in str(view.trouble)
        installation.local.key("streamer", allow=list(grants.STREAMING_EXPORT))
        send_all(app)
        assert app.exports.get(NAME).trouble is None
    assert installation.uuids() == wanted


def test_only_the_events_that_are_wanted_are_sent(installation: Installation, tmp_path: Path) -> None:
    """A filter that is changed holds for what comes then."""
    with installation.app(**SMALL) as app:
        wanted = write_events(tmp_path / "a.jsonl", 70)
        app.events.load(str(tmp_path / "a.jsonl"))
        installation.connect(app)
        make_stream(app, exclude_events=("event 0", "event 1"))
        send_all(app)
        few = [uuid for uuid in wanted if int(uuid[-12:]) % 7 > 1]
        assert installation.uuids() == few
        app.exports.edit(NAME, {"exclude_events": ("event 2",)})
        more = write_events(tmp_path / "b.jsonl", 70, first=70)
        app.events.load(str(tmp_path / "b.jsonl"))
        send_all(app)
        assert installation.uuids() == sorted(few + [uuid for uuid in more if int(uuid[-12:]) % 7 != 2])
        assert app.exports.get(NAME).waiting_rows == 0


@pytest.mark.parametrize("model", ["amplitude_events", "merge_ids"])
def test_other_models_that_only_append_are_streamed(installation: Installation, tmp_path: Path, model: str) -> None:
    """As a run would have them."""
    sent: list[tuple[str, str, dict[str, Any]]] = [("seen", f"{one}{n}", {}) for one in "au" for n in range(60)]
    sent += [("$identify", f"u{n}", {"$anon_distinct_id": f"a{n}"}) for n in range(60)]
    with (tmp_path / "a.jsonl").open("w") as file:
        for number, (event, name, properties) in enumerate(sent):
            fields = {"uuid": f"{number:032x}", "timestamp": "2026-01-01T00:00:00Z", "properties": properties}
            file.write(json.dumps({"event": event, "distinct_id": name, **fields}) + "\n")
    with installation.app(**SMALL) as app:
        app.events.load(str(tmp_path / "a.jsonl"), team_id=1)
        installation.connect(app)
        make_stream(app, model=model, team_id=1, table="streamed")
        app.exports.create(CONNECTION, {"name": "runs", "model": model, "team_id": 1, "table": "by_runs"}, by="tester")
        send_all(app)
        app.exports.run("runs", by="tester")
        assert len(installation.rows("streamed")) >= 60
        assert app.exports.tables.verify(NAME, by="tester").different == ()
        assert _told(installation.rows("streamed")) == _told(installation.rows("by_runs"))


def _told(rows: list[dict[str, Any]]) -> list[str]:
    return sorted(json.dumps(row, default=str) for row in rows)


@pytest.mark.parametrize("json_type", [False, True])
def test_json_is_text_or_json(installation: Installation, tmp_path: Path, json_type: bool) -> None:
    """What the JSON type does not hold is made fit, as in runs."""
    with installation.app() as app:
        odd(tmp_path / "a.jsonl", 1, properties={"large": 123456789012345678901, "a": [1, None]})
        app.events.load(str(tmp_path / "a.jsonl"))
        installation.connect(app)
        make_stream(app, json_type=json_type)
        send_all(app)
        (row,) = installation.rows("events")
        found = row["properties"] if json_type else json.loads(row["properties"])
        assert found["a"] == [1, None]
        assert found["large"] == pytest.approx(123456789012345678901)
        client = installation.client()
        table = client.get_table(installation.dataset, "events")
        client.close()
        assert table
        assert {field.type for field in table.fields if field.name == "properties"} == {
            "JSON" if json_type else "STRING"
        }
        assert app.exports.runs.find(NAME, limit=1)[0].rows_repaired == int(json_type)


def test_rows_that_bigquery_refuses_are_set_aside(installation: Installation, tmp_path: Path) -> None:
    """With its reason; all others are in, and a retry by a run brings in what a load job takes."""
    with installation.app(**SMALL) as app:
        wanted = start(installation, app, tmp_path, 300)
        bad = [
            odd(tmp_path / "old.jsonl", 1, timestamp="2001-01-01T00:00:00Z"),
            odd(tmp_path / "new.jsonl", 2, timestamp="2031-01-01T00:00:00Z"),
        ]
        for name in ("old.jsonl", "new.jsonl"):
            app.events.load(str(tmp_path / name))
        wanted += write_events(tmp_path / "more.jsonl", 300, first=300)
        app.events.load(str(tmp_path / "more.jsonl"))
        send_all(app)
        assert installation.uuids() == sorted(wanted)
        rejects = app.exports.set_aside.find(NAME)
        assert sorted(one.uuid for one in rejects) == sorted(bad)
        assert {one.code for one in rejects} == {"row_refused"}
        assert "outside the allowed bounds" in rejects[0].message
        run = app.exports.runs.find(NAME, limit=1)[0]
        assert (run.rows_done, run.rows_rejected) == (600, 2)
        assert app.exports.tables.verify(NAME, by="tester").different == ()
        app.exports.set_aside.retry(NAME, by="tester")
        assert installation.uuids() == sorted(wanted + bad)
        assert app.exports.set_aside.find(NAME) == []
        send_all(app)
        assert installation.uuids() == sorted(wanted + bad)


def test_a_row_that_is_too_large_is_set_aside(installation: Installation, tmp_path: Path) -> None:
    """A request may have 20 MB."""
    with installation.app() as app:
        large = odd(tmp_path / "large.jsonl", 1, properties={"text": "x" * 10_000_000})
        small = odd(tmp_path / "small.jsonl", 2)
        for name in ("large.jsonl", "small.jsonl"):
            app.events.load(str(tmp_path / name))
        installation.connect(app)
        make_stream(app)
        send_all(app)
        assert installation.uuids() == [small]
        assert [(one.uuid, one.code) for one in app.exports.set_aside.find(NAME)] == [(large, "row_too_large")]


def test_into_a_table_that_holds_rows_only_those_that_it_lacks_are_sent(
    installation: Installation, tmp_path: Path
) -> None:
    """An export that was deleted and made anew does not send its rows twice."""
    with installation.app(**SMALL) as app:
        wanted = start(installation, app, tmp_path)
        send_all(app)
        app.exports.delete(NAME)
        make_stream(app)
        wanted += write_events(tmp_path / "b.jsonl", 50, first=1000)
        app.events.load(str(tmp_path / "b.jsonl"))
        send_all(app)
        assert installation.uuids() == sorted(wanted)
        assert app.exports.runs.find(NAME, limit=1)[0].mode == "merge"
        wanted += write_events(tmp_path / "c.jsonl", 50, first=1050)
        app.events.load(str(tmp_path / "c.jsonl"))
        send_all(app)
        assert installation.uuids() == sorted(wanted)


def test_an_empty_table_that_was_made_by_hand_is_used(installation: Installation, tmp_path: Path) -> None:
    """Its columns are filled, with no more permissions; one that it gets later is filled from then on."""
    client = installation.client()
    fields = [bigquery.SchemaField(name, "STRING") for name in ("uuid", "event")]
    name = f"{DEFAULT_PROJECT}.{installation.dataset}.events"
    client.google().create_table(bigquery.Table(name, fields))
    with installation.app(**SMALL) as app:
        start(installation, app, tmp_path, 10, account="streamer", allow=list(grants.STREAMING_EXPORT))
        send_all(app)
        assert {tuple(row) for row in installation.rows("events")} == {("uuid", "event")}
        found = client.google().get_table(name)
        found.schema = [*fields, bigquery.SchemaField("distinct_id", "STRING")]
        client.google().update_table(found, ["schema"])
        write_events(tmp_path / "b.jsonl", 5, first=10)
        app.events.load(str(tmp_path / "b.jsonl"))
        send_all(app)
        rows = installation.rows("events")
        assert len(rows) == 15
        assert sum(row["distinct_id"] is not None for row in rows) == 5
    client.close()


def test_columns_that_come_and_go_while_it_streams(installation: Installation, tmp_path: Path) -> None:
    """Are filled from then on, or left out, without a gap."""
    client = installation.client()
    fields = [bigquery.SchemaField(name, "STRING") for name in ("uuid", "event")]
    name = f"{DEFAULT_PROJECT}.{installation.dataset}.events"
    client.google().create_table(bigquery.Table(name, fields))
    with installation.app(**SMALL) as app, installation.app(**SMALL) as other:
        wanted = start(installation, app, tmp_path, 100)

        def more(ended: list[BaseException]) -> list[dict[str, Any]]:
            count = len(wanted)
            wanted.extend(write_events(tmp_path / f"{count}.jsonl", 50, first=count))
            other.events.load(str(tmp_path / f"{count}.jsonl"))
            caught_up(other, ended)
            return installation.rows("events")

        with streaming(app) as ended:
            assert {tuple(row) for row in more(ended)} == {("uuid", "event")}
            found = client.google().get_table(name)
            found.schema = [*fields, bigquery.SchemaField("distinct_id", "STRING")]
            client.google().update_table(found, ["schema"])
            eventually(lambda: any(row["distinct_id"] for row in more(ended)), "the new column is filled", ended)
            client.google().query_and_wait(f"ALTER TABLE `{name}` DROP COLUMN event")
            assert {tuple(row) for row in more(ended)} == {("uuid", "distinct_id")}
        assert not ended
        assert installation.uuids() == sorted(wanted)
    client.close()


def test_a_table_that_does_not_fit_or_is_gone_stops_the_stream(installation: Installation, tmp_path: Path) -> None:
    """With what is wrong; nothing is lost."""
    client = installation.client()
    name = f"{DEFAULT_PROJECT}.{installation.dataset}.events"
    client.google().create_table(bigquery.Table(name, [bigquery.SchemaField("uuid", "INT64")]))
    with installation.app(**SMALL) as app:
        wanted = start(installation, app, tmp_path, 100)
        with pytest.raises(ConfigError, match="uuid is INT64"):
            send_all(app)
        client.delete_table(installation.dataset, "events")
        send_all(app)
        assert installation.uuids() == wanted
        client.delete_table(installation.dataset, "events")
        write_events(tmp_path / "b.jsonl", 5, first=100)
        app.events.load(str(tmp_path / "b.jsonl"))
        with pytest.raises(ConfigError, match="is gone"):
            send_all(app)
        assert app.exports.get(NAME).waiting_rows == 5
    client.close()


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"model": "persons"}, "change"),
        ({"model": "sessions"}, "change"),
        ({"sql": "SELECT uuid FROM events WHERE inserted_at >= {data_interval_start}", "table": "t"}, "order"),
        ({"run_log": True}, "runs"),
        ({"delivery": "storage-write"}, "runs"),
        ({"delivery": "load"}, "--delivery would do nothing"),
        ({"interval": "day"}, "--interval would do nothing"),
        ({"verify_days": "all"}, "runs"),
        ({"buffer_bytes": "10MB"}, "1,000,000 to 8,000,000"),
        ({"buffer_bytes": "1000"}, "1,000,000"),
        ({"buffer_seconds": 700}, "600"),
    ],
)
def test_what_cannot_be_streamed_says_why(installation: Installation, fields: dict[str, Any], why: str) -> None:
    """When it is made."""
    with installation.app() as app:
        installation.connect(app)
        with pytest.raises(ConfigError, match=why):
            make_stream(app, **fields)


def test_runs_and_streams_are_not_mixed_up(installation: Installation, tmp_path: Path) -> None:
    """Each has its own command, and says so."""
    with installation.app(**SMALL) as app:
        start(installation, app, tmp_path, 10)
        app.exports.create(CONNECTION, {"name": "runs", "table": "other"}, by="tester")
        with pytest.raises(ConfigError, match="is a stream"):
            app.exports.run(NAME, by="tester")
        with pytest.raises(ConfigError) as by_runs:
            make_stream(app, name="odd", mode="batch", buffer_seconds=3)
        assert by_runs.value.code == "buffer"
        with pytest.raises(ConfigError, match="exported by runs"):
            send_all(app, name="runs")
        send_all(app)
        run = app.exports.runs.find(NAME, limit=1)[0]
        with pytest.raises(ConflictError):
            app.exports.runs.retry(str(run.id), by="tester")
        again = app.exports.runs.again(str(run.id), by="tester")
        assert again.rows_done == 0
        with pytest.raises(TidemillError):
            app.exports.runs.cancel(str(run.id))
