"""An export, from events in the store to rows in BigQuery."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import pytest
from tests.installation import CONNECTION, Installation, write_events

from tidemill.app import App
from tidemill.bigquery.tables import Layout
from tidemill.errors import ConfigError, ConflictError, TidemillError
from tidemill.models.model import Column
from tidemill.models.types import Type

SMALL = {"commit_rows": 500, "chunk_bytes": 40_000}


def prepared(installation: Installation, app: App, tmp_path: Path, count: int = 2_000, **fields: object) -> list[str]:
    """Events loaded, a connection and an export `daily` made."""
    uuids = write_events(tmp_path / "events.jsonl", count)
    app.events.load(str(tmp_path / "events.jsonl"))
    installation.connect(app)
    app.exports.create(CONNECTION, {"name": "daily", "table": "events", **fields}, by="tester")
    return uuids


def test_every_event_arrives_once_in_several_chunks(installation: Installation, tmp_path: Path) -> None:
    with installation.app(**SMALL) as app:
        uuids = prepared(installation, app, tmp_path)
        (run,) = app.exports.run("daily", by="tester")
        assert run.status == "completed"
        assert len(run.chunks) > 1
        assert run.rows_done == len(uuids)
        assert installation.uuids() == uuids
        assert app.exports.run("daily", by="tester") == []


def test_a_later_run_sends_only_what_is_new(installation: Installation, tmp_path: Path) -> None:
    with installation.app(**SMALL) as app:
        uuids = prepared(installation, app, tmp_path, 700)
        app.exports.run("daily", by="tester")
        uuids += write_events(tmp_path / "more.jsonl", 300, first=10_000)
        app.events.load(str(tmp_path / "more.jsonl"))
        (run,) = app.exports.run("daily", by="tester")
        assert run.rows_done == 300
        assert installation.uuids() == sorted(uuids)


def test_the_table_has_the_documented_columns_and_layout(installation: Installation, tmp_path: Path) -> None:
    with installation.app() as app:
        prepared(installation, app, tmp_path, 10)
        app.exports.run("daily", by="tester")
    client = installation.client()
    table = client.get_table(installation.dataset, "events")
    google = client.google().get_table(f"{client.project}.{installation.dataset}.events")
    assert table is not None
    assert [(field.name, field.type) for field in table.fields] == [
        ("uuid", "STRING"),
        ("event", "STRING"),
        ("properties", "STRING"),
        ("elements", "STRING"),
        ("set", "STRING"),
        ("set_once", "STRING"),
        ("distinct_id", "STRING"),
        ("team_id", "INT64"),
        ("ip", "STRING"),
        ("site_url", "STRING"),
        ("timestamp", "TIMESTAMP"),
        ("bq_ingested_timestamp", "TIMESTAMP"),
    ]
    assert table.partition == ("timestamp", "DAY")
    assert table.cluster_by == ("event",)
    assert all(field.description for field in google.schema)
    jobs = [job for job in client.google().list_jobs() if job.job_type == "load" and job.labels.get("tidemill_export")]
    assert {job.labels["tidemill_export"] for job in jobs} >= {"daily"}
    client.close()


def test_filters_leave_out_and_nothing_else(installation: Installation, tmp_path: Path) -> None:
    with installation.app(**SMALL) as app:
        prepared(installation, app, tmp_path, 700, include_events=("event 1", "event 2"))
        (run,) = app.exports.run("daily", by="tester")
        assert run.rows_done == 200
        assert len(installation.uuids()) == 200


def test_what_waits_is_counted_as_the_filters_say(installation: Installation, tmp_path: Path) -> None:
    with installation.app(**SMALL) as app:
        prepared(installation, app, tmp_path, 700, include_events=("event 1", "it's"))
        assert app.exports.get("daily").waiting_rows == 100
        app.exports.edit("daily", {"include_events": (), "exclude_events": ("event 1", "event 2")})
        assert app.exports.get("daily").waiting_rows == 500
        app.exports.create(CONNECTION, {"name": "two", "table": "two", "team_id": 2}, by="tester")
        assert {view.name: view.waiting_rows for view in app.exports.find()} == {"daily": 500, "two": 0}
        app.exports.run("daily", by="tester")
        assert app.exports.get("daily").waiting_rows == 0
        checked = app.exports.tables.check("daily")
        assert (checked.expected, checked.missing, checked.duplicated) == (500, 0, 0)


def test_a_view_is_refused_before_anything_is_loaded(installation: Installation, tmp_path: Path) -> None:
    client = installation.client()
    client.query(
        f"CREATE VIEW `{client.project}.{installation.dataset}.events` AS SELECT 'u' AS uuid, 1 AS team_id",
        job_id=f"view_{installation.dataset}",
    )
    client.close()
    with installation.app() as app:
        prepared(installation, app, tmp_path, 5)
        with pytest.raises(ConfigError) as caught:
            app.exports.run("daily", by="tester")
        assert caught.value.code == "table_kind"
        assert "is a view" in caught.value.message


def test_a_run_of_an_export_that_was_renamed_meanwhile_finds_its_own_jobs(
    installation: Installation, tmp_path: Path
) -> None:
    with installation.app(**SMALL) as app:
        uuids = prepared(installation, app, tmp_path)
        fault = {"path": "/upload/bigquery/", "method": "PUT", "nth": 3, "fault": "job_error", "reason": "invalid"}
        installation.local.set_faults([fault])
        with pytest.raises(TidemillError):
            app.exports.run("daily", by="tester")
        installation.local.set_faults([])
        app.exports.edit("daily", {"name": "nightly"})
        (run,) = app.exports.run("nightly", by="tester")
        assert (run.attempt, run.status) == (2, "completed")
        assert installation.uuids() == uuids


def test_a_limit_of_bytes_goes_along_with_each_statement(installation: Installation, tmp_path: Path) -> None:
    with installation.app() as app:
        prepared(installation, app, tmp_path, 5, max_bytes_billed="20GB")
        app.exports.run("daily", by="tester")
        app.exports.delete("daily")
        fields = {"name": "anew", "table": "events", "max_bytes_billed": "20 MB"}
        app.exports.create(CONNECTION, fields, by="tester")
        assert app.exports.edit("anew", {"max_bytes_billed": "1.5 TB"}).max_bytes_billed == 1_500_000_000_000
        app.exports.run("anew", by="tester")
        app.exports.tables.check("anew")
        app.exports.tables.example("anew")
    asked = [request["body"] for request in installation.local.requests() if request["path"].endswith("/jobs")]
    bodies = [body for body in asked if isinstance(body, dict) and installation.dataset in json.dumps(body)]
    limits = [
        body["configuration"]["query"]["maximumBytesBilled"] for body in bodies if "query" in body["configuration"]
    ]
    assert limits == ["1500000000000"] * 3  # the MERGE, the check and the example


def test_json_columns_hold_json_and_odd_rows_are_repaired_or_set_aside(
    installation: Installation, tmp_path: Path
) -> None:
    odd = tmp_path / "odd.jsonl"
    texts = {
        "plain": '{"a": 1}',
        "wide": '{"a": 12345678901234567890123}',
        "huge": '{"a": 1e400}',
        "half": '{"a": "x\\ud83d"}',
        "nul": '{"a": "\\u0000"}',
        "lines": '{"a":\n 1}'.replace("\n", " "),
    }
    odd.write_text(
        "\n".join(
            f'{{"uuid": "{name}", "event": "e", "distinct_id": "d", "timestamp": "2026-01-01T00:00:00Z", '
            f'"properties": {text}}}'
            for name, text in texts.items()
        )
    )
    with installation.app() as app:
        app.events.load(str(odd))
        installation.connect(app)
        app.exports.create(CONNECTION, {"name": "daily", "table": "events", "json_type": True}, by="tester")
        (run,) = app.exports.run("daily", by="tester")
        assert (run.rows_done, run.rows_rejected) == (6, 0)
        assert run.rows_repaired == 3  # wide, huge, nul; the half pair was repaired when it was read
    client = installation.client()
    rows = client.google().list_rows(f"{client.project}.{installation.dataset}.events")
    found = {row["uuid"]: row["properties"] for row in rows}
    values = {name: (value if isinstance(value, dict) else json.loads(value))["a"] for name, value in found.items()}
    assert values["plain"] == 1
    assert float(values["wide"]) == 12345678901234567890123.0
    assert values["huge"] == "1e400"
    assert values["half"] == "x\ufffd"
    assert values["nul"] == "\ufffd"
    client.close()


def test_a_row_over_the_limit_is_set_aside_with_its_reason(installation: Installation, tmp_path: Path) -> None:
    with installation.app(max_row_bytes=1_000) as app:
        uuids = prepared(installation, app, tmp_path, 20)
        write_events(tmp_path / "big.jsonl", 1, first=500, size=2_000)
        app.events.load(str(tmp_path / "big.jsonl"))
        (run,) = app.exports.run("daily", by="tester")
        assert (run.rows_done, run.rows_rejected) == (20, 1)
        (reject,) = app.exports.runs.get(run.short_id).rejects
        assert reject[1] == "row_too_large"
        assert installation.uuids() == uuids


def columns(**types: Type) -> tuple[Column, ...]:
    return tuple(Column(name, kind, "") for name, kind in types.items())


def test_columns_that_the_table_lacks_are_left_out_and_filled_once_they_are_there(
    installation: Installation, tmp_path: Path
) -> None:
    client = installation.client()
    own = columns(uuid=Type.STRING, team_id=Type.INT64, event=Type.STRING, mine=Type.FLOAT64)
    client.create_table(installation.dataset, "events", Layout(own))
    with installation.app() as app:
        prepared(installation, app, tmp_path, 5)
        (run,) = app.exports.run("daily", by="tester")
        assert "distinct_id" in run.notes[0]
        google = client.google()
        table = google.get_table(f"{client.project}.{installation.dataset}.events")
        from google.cloud import bigquery

        table.schema = [*table.schema, bigquery.SchemaField("distinct_id", "STRING")]
        google.update_table(table, ["schema"])
        write_events(tmp_path / "more.jsonl", 5, first=100)
        app.events.load(str(tmp_path / "more.jsonl"))
        app.exports.run("daily", by="tester")
    rows = list(client.google().list_rows(f"{client.project}.{installation.dataset}.events"))
    assert len(rows) == 10
    assert sum(row["distinct_id"] is not None for row in rows) == 5
    assert all(row["mine"] is None for row in rows)
    client.close()


def test_a_type_that_does_not_fit_is_an_error_before_anything_is_loaded(
    installation: Installation, tmp_path: Path
) -> None:
    client = installation.client()
    client.create_table(installation.dataset, "events", Layout(columns(uuid=Type.STRING, team_id=Type.STRING)))
    with installation.app() as app:
        prepared(installation, app, tmp_path, 5)
        with pytest.raises(ConfigError, match="team_id is STRING"):
            app.exports.run("daily", by="tester")
        assert app.exports.runs.find("daily", limit=1)[0].status == "failed"
    assert installation.uuids() == []
    client.close()


def test_a_new_export_into_a_filled_table_adds_only_what_is_not_there(
    installation: Installation, tmp_path: Path
) -> None:
    with installation.app(**SMALL) as app:
        uuids = prepared(installation, app, tmp_path, 900)
        app.exports.run("daily", by="tester")
        app.exports.delete("daily")
        uuids += write_events(tmp_path / "more.jsonl", 100, first=10_000)
        app.events.load(str(tmp_path / "more.jsonl"))
        app.exports.create(CONNECTION, {"name": "anew", "table": "events"}, by="tester")
        (run,) = app.exports.run("anew", by="tester")
        assert (run.mode, run.rows_done) == ("merge", 100)
        assert installation.uuids() == sorted(uuids)
    client = installation.client()
    assert client.list_tables(installation.dataset) == ["events"]
    client.close()


def test_rows_that_another_installation_sent_are_not_added_again_whatever_their_time(
    installation: Installation, tmp_path: Path
) -> None:
    """Events without a time get that of their load: in two installations, two times."""
    lines = [{"uuid": f"u-{n}", "event": "hit", "distinct_id": "a", "properties": {}} for n in range(3)]
    file = tmp_path / "untimed.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    client = installation.client()
    for home in ("one", "two"):
        other = dataclasses.replace(installation, home=tmp_path / home)
        with other.app(**SMALL) as app:
            other.connect(app)
            assert app.events.load(str(file), "posthog").rows == 3
            app.exports.create(CONNECTION, {"name": "daily", "table": "events"}, by="tester")
            app.exports.run("daily", by="tester")
            assert (app.exports.tables.check("daily").missing, app.exports.tables.check("daily").duplicated) == (0, 0)
        client.query(
            f"UPDATE `{installation.dataset}.events` SET timestamp = '2020-01-01' WHERE TRUE",
            job_id=f"{home}_{os.urandom(6).hex()}",
        )
    client.close()
    assert installation.uuids() == ["u-0", "u-1", "u-2"]


def test_the_check_finds_what_is_missing_and_what_is_foreign_also_when_the_numbers_agree(
    installation: Installation, tmp_path: Path
) -> None:
    with installation.app(**SMALL) as app:
        prepared(installation, app, tmp_path, 50)
        app.exports.run("daily", by="tester")
        client = installation.client()
        uuid = installation.uuids()[0]
        client.query(
            f"UPDATE `{installation.dataset}.events` SET uuid = 'foreign' WHERE uuid = '{uuid}'",
            job_id=f"test_{os.urandom(6).hex()}",
        )
        client.close()
        checked = app.exports.tables.check("daily")
    assert (checked.rows, checked.missing, checked.duplicated, checked.foreign) == (50, 1, 0, 1)


def test_a_table_that_is_gone_with_its_rows_is_not_made_anew_in_silence(
    installation: Installation, tmp_path: Path
) -> None:
    with installation.app(**SMALL) as app:
        uuids = prepared(installation, app, tmp_path, 50)
        app.exports.run("daily", by="tester")
        client = installation.client()
        client.delete_table(installation.dataset, "events")
        uuids += write_events(tmp_path / "more.jsonl", 5, first=1000)
        app.events.load(str(tmp_path / "more.jsonl"))
        whole = app.exports.backfills.estimate("daily", "earliest", None, "week")
        first = app.exports.runs.find("daily", limit=1)[0].short_id
        for refused in (  # seen before anything begins: nothing is left that would have to be finished
            lambda: app.exports.tables.verify("daily", by="tester"),
            lambda: app.exports.backfills.begin("daily", whole, by="tester", parallel=1, progress=lambda _: None),
            lambda: app.exports.runs.again(first, by="tester"),
        ):
            with pytest.raises(ConfigError) as caught:
                refused()
            assert caught.value.code == "table_gone"
        assert app.exports.backfills.find("daily", limit=1) == []
        assert len(app.exports.runs.find("daily", limit=9)) == 1
        with pytest.raises(ConfigError) as caught:
            app.exports.run("daily", by="tester")
        assert caught.value.code == "table_gone"
        assert client.list_tables(installation.dataset) == []
        client.close()
        app.exports.erase_person(1, "user-1", events=False, by="tester", told=lambda _: None)  # there is nothing to do
        app.exports.delete("daily")
        app.exports.create(CONNECTION, {"name": "daily", "table": "events"}, by="tester")
        app.exports.run("daily", by="tester")
    assert installation.uuids() == sorted(uuids)


def test_two_exports_cannot_write_into_one_table(installation: Installation, tmp_path: Path) -> None:
    with installation.app() as app:
        prepared(installation, app, tmp_path, 1)
        with pytest.raises(ConflictError, match="twice"):
            app.exports.create(CONNECTION, {"name": "other", "table": "events"}, by="tester")


def test_a_missing_permission_is_named_with_the_command_that_grants_it(
    installation: Installation, tmp_path: Path
) -> None:
    with installation.app() as app:
        uuids = write_events(tmp_path / "events.jsonl", 10)
        app.events.load(str(tmp_path / "events.jsonl"))
        installation.connect(app, account="limited", deny=["bigquery.jobs.create"])
        app.exports.create(CONNECTION, {"name": "daily", "table": "events"}, by="tester")
        with pytest.raises(TidemillError) as caught:
            app.exports.run("daily", by="tester")
        assert "bigquery.jobs.create" in caught.value.message
        assert "streaming export" in caught.value.message
        assert "add-iam-policy-binding" in caught.value.hint
        assert "limited@" in caught.value.hint
        installation.local.key("limited")
        (run,) = app.exports.run("daily", by="tester")
        assert run.attempt == 2
        assert installation.uuids() == uuids
