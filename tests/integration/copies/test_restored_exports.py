"""A restored installation is older than its tables in BigQuery: what they hold of the time that was lost is not known
to it, and comes again in part. Proven here: nothing comes twice, nothing is missing, and rows that change become what
the restored store says, for each model and each way rows go in.
"""

from __future__ import annotations

import dataclasses
import json
import os
import random
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.installation import CONNECTION, Installation
from tests.streams import make_stream, send_all

from tidemill.app import App, copies
from tidemill.errors import ConflictError
from tidemill.exports.service import ExportView
from tidemill.exports.steps import finish
from tidemill.store.postgres import open_postgres

MODELS = {"people": "persons", "sessions": "sessions", "amp": "amplitude_events", "merged": "merge_ids"}
KEYS = {
    "people": ("team_id", "distinct_id"),
    "sessions": ("team_id", "session_id"),
    "amp": ("uuid",),
    "merged": ("amplitude_id",),
    "daily": ("uuid",),
    "written": ("uuid",),
    "live": ("uuid",),
}
#: When rows were handed over, or came in: of rows that stay, it is the first time.
_WHEN = {"bq_ingested_timestamp", "bq_updated_timestamp"}
#: An event that came before is there since then; and a stream keeps elements of some events alone.
_NOT_COMPARED = {
    "amp": _WHEN | {"processed_time", "server_received_time", "server_upload_time"},
    "live": _WHEN | {"elements"},
}
SQL = (
    "SELECT distinct_id, count(*) AS hits FROM events "
    "WHERE inserted_at >= {data_interval_start} AND inserted_at < {data_interval_end} GROUP BY ALL"
)
SESSION = "0190a000-0000-7000-8000-{:012x}"


def events(chance: random.Random, first: int, count: int) -> list[dict[str, Any]]:
    """Some who identify themselves, in a few sessions."""
    found = []
    for number in range(first, first + count):
        user = f"u{chance.randrange(12)}"
        kind = chance.choice(["hit", "hit", "$pageview", "$identify", "$merge_dangerously"])
        more: dict[str, Any] = {"$session_id": SESSION.format(chance.randrange(6)), "$set": {"n": number}}
        if kind == "$identify":
            more["$anon_distinct_id"] = f"anon{chance.randrange(12)}"
        if kind == "$merge_dangerously":
            more["alias"] = f"u{chance.randrange(12)}"
        moment = f"2026-01-{1 + number % 20:02d}T00:00:{number % 60:02d}Z"
        uuid = f"00000000-0000-7000-8000-{number:012d}"
        found.append({"uuid": uuid, "event": kind, "distinct_id": user, "timestamp": moment, "properties": more})
    return found


def load(app: App, folder: Path, lines: list[dict[str, Any]]) -> None:
    file = folder / f"{os.urandom(6).hex()}.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    assert app.events.load(str(file), "posthog").rows == len(lines)


def make_exports(app: App) -> None:
    for name, model in MODELS.items():
        team = {"team_id": 1} if model in {"amplitude_events", "merge_ids"} else {}
        app.exports.create(CONNECTION, {"name": name, "model": model, "table": name, **team}, by="t")
    app.exports.create(CONNECTION, {"name": "daily", "table": "daily"}, by="t")
    app.exports.create(CONNECTION, {"name": "written", "table": "written", "delivery": "storage-write"}, by="t")
    make_stream(app, table="live")


def move_all(app: App, *names: str) -> None:
    for name in names or [*MODELS, "daily", "written"]:
        app.exports.run(name, by="t")
    send_all(app)


def rows(installation: Installation, table: str) -> dict[tuple[Any, ...], dict[str, Any]]:
    """By their keys; each is there once."""
    found = installation.rows(table)
    by_key = {tuple(row[name] for name in KEYS[table.removesuffix("_anew")]): row for row in found}
    assert len(by_key) == len(found), f"rows of {table} are there twice"
    return by_key


def assert_as_the_store_says(installation: Installation, app: App) -> None:
    """Each row that the store has, is in the table as it would be in a new one."""
    wanted = {}
    for name, model in [*MODELS.items(), ("daily", "events")]:
        anew = f"{name}_anew"
        team = {"team_id": 1} if model in {"amplitude_events", "merge_ids"} else {}
        app.exports.create(CONNECTION, {"name": anew, "model": model, "table": anew, **team}, by="t")
        app.exports.run(anew, by="t")
        wanted[name] = rows(installation, anew)
    for name in KEYS:
        held, want = rows(installation, name), wanted.get(name, wanted["daily"])
        assert want and want.keys() <= held.keys(), name
        for key, row in want.items():
            differ = {column for column in row if row[column] != held[key][column]} - _NOT_COMPARED.get(name, _WHEN)
            assert not differ, (name, key, {column: (row[column], held[key][column]) for column in differ})


def moved(installation: Installation, folder: Path, backup: Path) -> Installation:
    """Another home, restored from the backup."""
    other = dataclasses.replace(
        installation, home=folder / "restored", environment={**installation.environment, "TIDEMILL_HOME": "?"}
    )
    copies(other.settings()).restore(backup, by="t")
    return other


def view(app: App, name: str) -> ExportView:
    return app.exports.get(name)


def test_a_restored_installation_goes_on_without_loss_and_without_doubles(
    installation: Installation, tmp_path: Path
) -> None:
    chance = random.Random(5)
    first, waiting, lost, more = (events(chance, start, 40) for start in (0, 100, 200, 300))
    backup = tmp_path / "backup"
    with installation.app() as app:
        installation.connect(app)
        make_exports(app)
        load(app, tmp_path, first)
        move_all(app)
        load(app, tmp_path, waiting)
        made = copies(installation.settings()).backup(backup, with_key=True, by="t")
        assert (made.events, made.key.kind) == (80, "plain")
        load(app, tmp_path, lost)  # it is not in the backup, and in all tables
        app.identity.catch_up()
        move_all(app)
        before = {name: rows(installation, name).keys() for name in KEYS}

    restored = moved(installation, tmp_path, backup)
    with restored.app() as app:
        assert all(view(app, name).in_doubt_since for name in KEYS)
        load(app, tmp_path, [*more, *lost[:20]])  # some of it comes again, among others
        move_all(app)
        assert_as_the_store_says(restored, app)
        for name in KEYS:
            assert before[name] <= rows(restored, name).keys(), f"rows of {name} are gone"
        # Of those that change all was sent anew, by greater versions.
        assert [view(app, name).in_doubt_since for name in ("people", "sessions")] == [None, None]
        # The rest comes again: nothing is there that is not known, and rows are appended from then on.
        load(app, tmp_path, lost[20:])
        move_all(app, "daily")
        for name in ("daily", "live"):
            assert view(app, name).in_doubt_since
            assert not app.exports.tables.verify(name, by="t").different
            assert not view(app, name).in_doubt_since
        load(app, tmp_path, events(chance, 400, 20))
        move_all(app, "daily")
        assert [app.exports.runs.find(name, limit=1)[0].mode for name in ("daily", "live")] == ["append", "stream"]
        uuids = {event["uuid"] for part in (first, waiting, lost, more) for event in part}
        for name in ("daily", "live"):
            assert {key[0] for key in rows(restored, name)} >= uuids
            assert len(rows(restored, name)) == 180


def test_what_was_under_way_begins_anew_and_what_has_no_key_waits_for_a_word(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run fails when the backup is made, and is completed after it. Numbers go on where none was ever used: those of
    snapshots, of persons and of their versions stand in tables."""
    with installation.app() as app:
        installation.connect(app)
        app.exports.create(CONNECTION, {"name": "daily", "table": "daily"}, by="t")
        app.exports.create(CONNECTION, {"name": "counts", "table": "counts", "sql": SQL}, by="t")
        load(app, tmp_path, events(random.Random(1), 0, 20))
        app.exports.run("counts", by="t")

        def fail(*_: object) -> None:
            raise ConflictError("not_yet", "Not yet.")

        with monkeypatch.context() as patched:
            patched.setattr(finish, "complete", fail)
            with pytest.raises(ConflictError):
                app.exports.run("daily", by="t")
        copies(installation.settings()).backup(tmp_path / "backup.tar", with_key=True, by="t")
        reached, newest = app.identity.catch_up(), app.lake.newest()
        app.exports.run("daily", by="t")

    restored = moved(installation, tmp_path, tmp_path / "backup.tar")
    with restored.app() as app:
        assert app.exports.runs.find("daily", limit=9) == []
        (run,) = app.exports.run("daily", by="t")
        assert (run.mode, run.rows_done) == ("merge", 0)
        assert len(rows(restored, "daily")) == 20

        load(app, tmp_path, events(random.Random(3), 100, 20))
        with pytest.raises(ConflictError, match="no key") as told:
            app.exports.run("counts", by="t")
        assert "tidemill export settle counts" in told.value.hint
        app.exports.tables.settle("counts")
        (run,) = app.exports.run("counts", by="t")
        assert run.mode == "append"
        with pytest.raises(ConflictError, match="in doubt"):
            app.exports.tables.settle("counts")

        assert app.lake.newest() - newest > 1_000_000
        assert app.identity.catch_up().numbers - reached.numbers >= 1_000_000_000
        with psycopg.connect(open_postgres(restored.settings()).dsn) as session:
            lowest = session.execute("SELECT min(version), count(*) FROM tidemill.persons").fetchone()
        assert lowest is not None
        assert (lowest[0] >= 1_000_000_000, lowest[1] > 1) == (True, True)
