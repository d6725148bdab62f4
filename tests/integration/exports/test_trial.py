"""The test upload: an export's own rows go into a scratch table and come back, and nothing stays or changes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.installation import CONNECTION, Installation, write_events

from tidemill.app import App
from tidemill.bigquery import grants
from tidemill.bigquery.access_steps import Step
from tidemill.bigquery.tables import Layout
from tidemill.errors import ConfigError
from tidemill.exports.trial import rows
from tidemill.exports.trial.views import Uploaded
from tidemill.models.model import Column
from tidemill.models.types import Type
from tidemill.store.postgres import open_postgres

FIELDS = {"name": "daily", "table": "events"}


def tried(app: App, **fields: Any) -> tuple[dict[str, Step], Uploaded | None]:
    """The steps of a test of a new export, by name; and what was sent."""
    told: list[Uploaded] = []
    steps = list(app.exports.trials.draft(CONNECTION, {**FIELDS, **fields}, told=told.append))
    return {step.name: step for step in steps}, told[0] if told else None


def wrong(steps: dict[str, Step]) -> dict[str, tuple[str, str]]:
    return {name: (one.status, one.message) for name, one in steps.items() if one.status in {"failed", "warning"}}


def left(installation: Installation) -> list[str]:
    """Tables in the dataset."""
    client = installation.client()
    try:
        return client.list_tables(installation.dataset)
    finally:
        client.close()


def kept(installation: Installation) -> list[tuple[Any, ...]]:
    """All that is kept of exports, runs and people: how many rows of each there are, and where each is."""
    with psycopg.connect(open_postgres(installation.settings()).dsn, autocommit=True) as session:
        return session.execute(
            "SELECT (SELECT count(*) FROM tidemill.runs), (SELECT count(*) FROM tidemill.chunks), "
            "(SELECT count(*) FROM tidemill.rejects), (SELECT json_agg(e ORDER BY e.name) FROM tidemill.exports e), "
            "(SELECT json_agg(i) FROM tidemill.identity i), (SELECT count(*) FROM tidemill.modifications)"
        ).fetchall()


def test_the_newest_rows_go_there_and_back_and_nothing_stays(installation: Installation, tmp_path: Path) -> None:
    with installation.app(commit_rows=50) as app:
        installation.connect(app)
        steps, sent = tried(app)
        assert wrong(steps) == {}
        assert sent is not None
        assert (sent.rows, sent.returned, sent.first) == (0, 0, ())
        assert "none yet" in steps["rows"].message
        assert left(installation) == []
        write_events(tmp_path / "events.jsonl", 350)
        app.events.load(str(tmp_path / "events.jsonl"))
        before = kept(installation)
        dead = installation.home / "exports" / "test-dead"
        dead.mkdir()
        os.utime(dead, (0, 0))
        for fields in ({}, {"json_type": True}, {"mode": "stream"}):
            steps, sent = tried(app, **fields)
            assert wrong(steps) == {}, fields
            assert sent is not None
            assert (sent.rows, sent.returned, sent.different, sent.set_aside) == (100, 100, 0, 0)
            assert not sent.is_there
            assert "tidemill_test_events_" in sent.scratch
            uuids = {row[sent.columns.index("uuid")] for row in sent.first}
            assert all(str(uuid) >= f"00000000-0000-7000-8000-{250:012d}" for uuid in uuids), "they are the newest"
            assert len(sent.first) == 5
        steps, sent = tried(app, include_events=("event 3",), exclude_events=())
        assert sent is not None
        assert {row[sent.columns.index("event")] for row in sent.first} == {"event 3"}
        assert (sent.rows, sent.returned) == (50, 50), "the filter is that of the export"
        for model, said in (("sessions", "row"), ("persons", "by the first run")):
            steps, sent = tried(app, model=model)
            assert wrong(steps) == {}, model
            assert said in steps["rows"].message, model
        assert left(installation) == []
        assert kept(installation) == before
        assert list((installation.home / "exports").iterdir()) == [], "nor is anything left here"


def test_a_query_is_asked_and_what_would_be_set_aside_is_told(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bounded = "WHERE inserted_at >= {data_interval_start} AND inserted_at < {data_interval_end}"
    with installation.app(commit_rows=50, max_row_bytes=2_000) as app:
        installation.connect(app)
        write_events(tmp_path / "events.jsonl", 120)
        app.events.load(str(tmp_path / "events.jsonl"))
        query = "SELECT distinct_id, count(*) AS number, max(timestamp) AS last FROM events GROUP BY ALL"
        steps, sent = tried(app, sql=query, key=("distinct_id",))
        assert wrong(steps) == {}
        assert sent is not None
        assert (sent.rows, sent.returned, sent.columns) == (100, 100, ("distinct_id", "number", "last"))
        steps, sent = tried(app, sql=f"SELECT uuid, [1, 2] AS list FROM events {bounded} AND event = 'event 1'")
        assert wrong(steps) == {}
        assert sent is not None
        assert sent.rows == sum(number % 7 == 1 for number in range(120)), "more events are looked at than rows wanted"
        steps, sent = tried(app, sql=f"SELECT uuid, event::BIGINT AS number FROM events {bounded}")
        assert list(wrong(steps)) == ["rows"]
        assert "TRY_CAST" in steps["rows"].hint
        assert steps["tables.create"].status == "passed", "permissions are looked at nevertheless"
        write_events(tmp_path / "large.jsonl", 1, first=500, size=5_000)
        app.events.load(str(tmp_path / "large.jsonl"))
        steps, sent = tried(app)
        assert wrong(steps)["rows"][0] == "warning"
        assert sent is not None
        assert (sent.rows, sent.returned, sent.set_aside) == (99, 99, 1)
        assert sent.reasons[0].code == "row_too_large"
        assert left(installation) == []
        with pytest.raises(ConfigError):
            tried(app, name="show")
        monkeypatch.setattr(rows, "WITHIN_SECONDS", 0.1)
        slow = "SELECT event, count(*) AS number FROM events, range(1000000000000) GROUP BY event"
        steps, sent = tried(app, sql=slow, key=("event",))
        assert wrong(steps) == {"rows": ("warning", steps["rows"].message)}
        assert "0.1 seconds" in steps["rows"].message
        assert sent is not None
        assert (sent.rows, sent.returned) == (0, 0), "the table is tried nevertheless"


def test_a_table_that_is_there_is_looked_at(installation: Installation, tmp_path: Path) -> None:
    client = installation.client()
    columns = (
        Column("uuid", Type.STRING, ""),
        Column("team_id", Type.INT64, ""),
        Column("event", Type.STRING, ""),
    )
    client.create_table(installation.dataset, "events", Layout(columns))
    client.create_table(installation.dataset, "other", Layout((Column("uuid", Type.INT64, ""),)))
    client.close()
    with installation.app() as app:
        installation.connect(app)
        write_events(tmp_path / "events.jsonl", 5)
        app.events.load(str(tmp_path / "events.jsonl"))
        steps, sent = tried(app)
        assert list(wrong(steps)) == ["target"]
        assert "distinct_id" in steps["target"].message
        assert sent is not None
        assert sent.is_there
        assert sent.columns == ("uuid", "event", "team_id")
        assert sent.returned == 5
        steps, sent = tried(app, table="other")
        assert wrong(steps)["target"] == ("failed", steps["target"].message)
        assert "uuid is INT64" in steps["target"].message
        made, _ = app.exports.create(CONNECTION, FIELDS, by="tester")
        assert app.exports.run(made.name, by="tester")
        before = kept(installation)
        told: list[Uploaded] = []
        found = {step.name: step for step in app.exports.trials.saved(made.name, told=told.append)}
        assert list(wrong(found)) == ["target"], "the column that it lacks is still said"
        assert told[0].returned == 5
        assert kept(installation) == before
        assert sorted(left(installation)) == ["events", "other"]


@pytest.mark.parametrize("permission", ["bigquery.tables.updateData", "bigquery.tables.getData"])
def test_what_is_missing_is_named_with_its_command(installation: Installation, permission: str) -> None:
    with installation.app() as app:
        installation.connect(app, account="poor", deny=[permission])
        steps, _ = tried(app)
        short = permission.removeprefix("bigquery.")
        assert [name for name, step in steps.items() if step.status == "failed"] == [short]
        assert permission in steps[short].message
        assert "GRANT" in steps[short].hint
        assert left(installation) == []


def test_a_stream_needs_five_permissions_and_no_more(installation: Installation, tmp_path: Path) -> None:
    with installation.app() as app:
        key = json.dumps(installation.local.key("streamer", allow=list(grants.STREAMING_EXPORT)))
        app.connections.add(
            app.connections.draft(name=CONNECTION, dataset=installation.dataset, key=key), by="tester"
        )  # fmt: skip
        write_events(tmp_path / "events.jsonl", 5)
        app.events.load(str(tmp_path / "events.jsonl"))
        steps, sent = tried(app, mode="stream")
        assert wrong(steps) == {}
        assert steps["tables.getData"].status == "skipped"
        assert "jobs.create" not in steps
        assert sent is not None
        assert (sent.rows, sent.returned) == (5, None)
        (table,) = left(installation)
        client = installation.client()
        found = client.get_table(installation.dataset, table)
        client.close()
        assert found is not None
        assert found.expires is not None, "it may not delete it: it expires"
