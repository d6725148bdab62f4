"""Verifying a table: every row that is lost, doubled or strange is found on its day, and what is lost comes back."""

from __future__ import annotations

import datetime as dt
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.installation import CONNECTION, Installation

from tidemill.app import App
from tidemill.errors import Cancelled, ConfigError, ConflictError
from tidemill.events.duck import literal
from tidemill.events.sums import Sum, sums
from tidemill.exports.verify import Verified
from tidemill.settings import Settings

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
TIME = {"timestamp": "2026-01-01T00:00:00Z"}
DAYS = 5
EVENTS = 100


def events(count: int, *, start: dt.datetime = START, seed: int = 3) -> list[dict[str, Any]]:
    """Events of some days, one of them before 1970 and one with a strange id."""
    chance = random.Random(seed)
    rows: list[dict[str, Any]] = [
        {
            "uuid": f"{chance.getrandbits(64):016x}",
            "event": chance.choice(["seen", "bought"]),
            "distinct_id": chance.choice("abc"),
            "timestamp": (start + dt.timedelta(days=n % DAYS, seconds=chance.randrange(86400))).isoformat(),
            "team_id": 1 + n % 2,
            "properties": {"$session_id": f"0190a000-0000-7000-8000-{chance.randrange(20):012x}"},
        }
        for n in range(count)
    ]
    rows[0]["timestamp"] = "1960-02-29T23:59:59.999999Z"
    rows[1]["uuid"] = f"ü:'\\\"雪 😀{seed}"
    return rows


def load(app: App, folder: Path, rows: list[dict[str, Any]]) -> None:
    file = folder / f"{os.urandom(6).hex()}.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    assert app.events.load(str(file), "posthog").rows == len(rows)


def change(installation: Installation, statement: str) -> None:
    """Somebody else changes the table."""
    client = installation.client()
    client.query(statement.replace("EVENTS", f"`{installation.dataset}.events`"), job_id=f"test_{os.urandom(6).hex()}")
    client.close()


def repair(app: App, name: str, found: Verified) -> None:
    estimate = app.exports.tables.repair(name, found)
    assert estimate
    view = app.exports.backfills.begin(name, estimate, by="t", parallel=2, progress=lambda _: None)
    assert view.status == "completed"


@pytest.fixture
def prepared(installation: Installation, tmp_path: Path) -> Installation:
    """An export that has exported some days of events, in several runs."""
    rows = events(EVENTS)
    with installation.app(commit_rows=20) as app:
        installation.connect(app)
        app.exports.create(CONNECTION, {"name": "daily", "table": "events"}, by="t")
        load(app, tmp_path, rows[:60])
        app.exports.run("daily", by="t")
        load(app, tmp_path, rows[60:])
        app.exports.run("daily", by="t")
    return installation


def test_a_table_that_is_right_is_found_so_and_what_waits_does_not_count(
    prepared: Installation, tmp_path: Path
) -> None:
    with prepared.app() as app:
        load(app, tmp_path, events(10, seed=8))
        found = app.exports.tables.verify("daily", by="t")
        assert (found.expected, found.rows, found.different) == (EVENTS, EVENTS, ())
        assert found.days == DAYS + 1


def test_each_difference_is_on_its_day_and_what_is_missing_comes_back(prepared: Installation) -> None:
    days = [START.date() + dt.timedelta(days=n) for n in range(DAYS)]
    lost = f"DATE(timestamp) = DATE '{days[1]}' AND event = 'seen'"
    change(prepared, f"DELETE FROM EVENTS WHERE {lost}")
    change(prepared, f"INSERT INTO EVENTS SELECT * FROM EVENTS WHERE DATE(timestamp) = DATE '{days[2]}'")
    change(prepared, f"UPDATE EVENTS SET uuid = CONCAT(uuid, 'x') WHERE DATE(timestamp) = DATE '{days[3]}'")
    change(prepared, f"INSERT INTO EVENTS (team_id, timestamp, event) VALUES (1, TIMESTAMP '{days[4]}', 'mine')")
    with prepared.app() as app:
        found = app.exports.tables.verify("daily", by="t")
        by_day = {day.day: day for day in found.different}
        assert sorted(map(str, by_day)) == [str(day) for day in days[1:]]
        assert by_day[days[1]].missing > 0 == by_day[days[1]].duplicated
        assert by_day[days[2]].duplicated == by_day[days[2]].expected
        assert by_day[days[2]].same
        assert not by_day[days[3]].same
        assert (by_day[days[3]].missing, by_day[days[3]].foreign) == (1, 1)  # each at least
        assert by_day[days[4]].foreign == 1
        repair(app, "daily", found)
        assert len(set(prepared.uuids())) == EVENTS + by_day[days[3]].expected + 1
        left = {day.day: day for day in app.exports.tables.verify("daily", by="t").different}
        assert list(left) == days[2:]
        assert all(day.missing == 0 for day in left.values())
        assert left[days[3]].foreign == by_day[days[3]].expected
        change(prepared, "DELETE FROM EVENTS WHERE uuid LIKE '%x' OR event = 'mine'")
        assert [day.day for day in app.exports.tables.verify("daily", by="t").different] == [days[2]]
        assert app.exports.tables.repair("daily", app.exports.tables.verify("daily", by="t")) is None


def test_only_the_last_days_and_only_the_days_that_differ(prepared: Installation, tmp_path: Path) -> None:
    today = dt.datetime.now(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    rows = events(30, start=today - dt.timedelta(days=DAYS - 1), seed=5)[2:]
    with prepared.app() as app:
        load(app, tmp_path, rows)
        app.exports.run("daily", by="t")
        change(prepared, "DELETE FROM EVENTS WHERE team_id = 1")
        found = app.exports.tables.verify("daily", by="t", days=3)
        assert found.since == today.date() - dt.timedelta(days=2)
        assert found.expected == sum(row["timestamp"] >= found.since.isoformat() for row in rows)
        assert len(found.different) == 3
        estimate = app.exports.tables.repair("daily", found)
        assert estimate
        assert len(estimate.intervals) == 3
        repair(app, "daily", found)
        assert app.exports.tables.verify("daily", by="t", days=3).different == ()
        assert len(app.exports.tables.verify("daily", by="t").different) == DAYS + 2 + 1


def test_what_has_expired_is_not_missed(prepared: Installation, tmp_path: Path) -> None:
    today = dt.datetime.now(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    recent = events(30, start=today - dt.timedelta(days=DAYS - 1), seed=5)[2:]
    with prepared.app() as app:
        load(app, tmp_path, recent)
        app.exports.create(CONNECTION, {"name": "short", "table": "short", "partition_expiration_days": 30}, by="t")
        app.exports.run("short", by="t")
        client = prepared.client()
        table = client.get_table(prepared.dataset, "short")
        assert table
        assert table.partition_expires == dt.timedelta(days=30)
        client.close()
        # What BigQuery does by itself, in its time.
        change(prepared, f"DELETE FROM `{prepared.dataset}.short` WHERE timestamp < TIMESTAMP '2026-01-10'")
        found = app.exports.tables.verify("short", by="t")
        assert (found.different, found.expected) == ((), len(recent))
        assert "expire" in found.notes[0]
        assert app.exports.tables.verify("short", by="t", days=2).notes == ()
        for fields in ({"partition_by": "none"}, {"model": "persons"}):
            with pytest.raises(ConfigError, match="not partitioned"):
                wrong = {"name": "w", "table": "w", "partition_expiration_days": 30}
                app.exports.create(CONNECTION, {**wrong, **fields}, by="t")


def test_a_table_vanishes_when_it_was_made_to(prepared: Installation, tmp_path: Path) -> None:
    with prepared.app() as app:
        fields = {"name": "brief", "model": "persons", "table": "brief", "table_expiration_days": 3}
        app.exports.create(CONNECTION, fields, by="t")
        began = dt.datetime.now(dt.UTC)
        app.exports.run("brief", by="t")
        client = prepared.client()
        table = client.get_table(prepared.dataset, "brief")
        assert table
        assert table.expires
        assert began < table.expires - dt.timedelta(days=3) < dt.datetime.now(dt.UTC)
        client.delete_table(prepared.dataset, "brief")  # what BigQuery does by itself, in its time
        client.close()
        load(app, tmp_path, [{**events(3, seed=4)[2], "distinct_id": "somebody new"}])
        with pytest.raises(ConfigError, match="made to vanish after 3 days"):
            app.exports.run("brief", by="t")


def test_once_a_day_what_is_missing_is_found_and_brought_in(prepared: Installation) -> None:
    def run_verified(*arguments: str) -> tuple[int, str, bool]:
        done = prepared.run("export", "run", "daily", *arguments)
        return done.returncode, done.stdout, "once a day" in done.stderr

    with prepared.app() as app:
        assert app.exports.tables.verify_daily("daily", by="t") is None  # nobody asked
        app.exports.edit("daily", {"verify_days": "all"})
    change(prepared, "DELETE FROM EVENTS WHERE event = 'bought'")
    assert run_verified()[::2] == (0, True)
    with prepared.app() as app:
        found = app.exports.get("daily")
        assert found.last_verified == f"{EVENTS:,} rows, each there once, none missing"
    change(prepared, "DELETE FROM EVENTS WHERE event = 'bought'")
    assert run_verified()[::2] == (0, False)  # there was one today
    with prepared.app() as app, psycopg.connect(app.postgres.dsn, autocommit=True) as session:
        session.execute("UPDATE tidemill.verifications SET created_at = now() - interval '1 day'")
    change(prepared, "INSERT INTO EVENTS SELECT * FROM EVENTS WHERE event = 'seen'")
    code, said, _ = run_verified("--json")
    assert (code, json.loads(said)) == (1, [])  # what is there twice stays so
    with prepared.app() as app:
        found = app.exports.get("daily")
        assert "there twice" in (found.last_verified or "")
        assert "missing" not in (found.last_verified or "")


def test_a_daily_verification_that_is_stopped_is_made_by_the_next_run(prepared: Installation) -> None:
    with prepared.app() as app:
        app.exports.edit("daily", {"verify_days": "all"})
        change(prepared, "DELETE FROM EVENTS WHERE TRUE")
        with pytest.raises(Cancelled):
            app.exports.tables.verify_daily("daily", by="t", progress=lambda _: app.exports.runs.interrupt())
        assert app.exports.get("daily").last_verified is None
        app.exports.backfills.resume("daily", by="t", parallel=2, progress=lambda _: None)
        found = app.exports.tables.verify_daily("daily", by="t")
        assert found
        assert (found.different, found.rows) == ((), EVENTS)


def test_one_missing_and_one_strange_row_are_told_as_such(prepared: Installation) -> None:
    with prepared.app() as app:
        change(prepared, "UPDATE EVENTS SET uuid = 'strange' WHERE uuid = (SELECT MIN(uuid) FROM EVENTS)")
        (day,) = app.exports.tables.verify("daily", by="t").different
        assert (day.missing, day.foreign, day.same) == (1, 1, False)
        said = prepared.run("export", "verify", "daily", "--repair")
        assert said.returncode == 1
        assert "--repair" not in said.stderr  # that was done
        (day,) = app.exports.tables.verify("daily", by="t").different
        assert (day.rows - day.expected, day.foreign) == (1, 1)


def test_while_a_run_of_a_backfill_is_unfinished_its_commands_are_named(prepared: Installation) -> None:
    load_jobs = {"method": "POST", "path": "/upload/bigquery/v2/projects/[^/]+/jobs", "times": 99}
    with prepared.app() as app:
        estimate = app.exports.backfills.estimate("daily", "earliest", None, "week")
        prepared.local.set_faults([{**load_jobs, "fault": "job_error", "reason": "invalid", "message": "No."}])
        view = app.exports.backfills.begin("daily", estimate, by="t", parallel=1, progress=lambda _: None)
        prepared.local.set_faults([])
        assert view.status == "failed"
        with psycopg.connect(app.postgres.dsn, autocommit=True) as session:  # as when its process was killed
            session.execute("UPDATE tidemill.runs SET status = 'running' WHERE status = 'failed'")
        with pytest.raises(ConflictError) as caught:
            app.exports.tables.verify("daily", by="t")
        assert "backfill resume daily" in caught.value.hint


def test_what_cannot_be_verified_every_day_is_refused(prepared: Installation) -> None:
    with prepared.app() as app:
        for fields, message in (
            ({"model": "persons", "verify_days": "7"}, "have no day"),
            ({"verify_days": "seven"}, "no number of days"),
            ({"sql": "SELECT uuid FROM events", "key": ["uuid"], "verify_days": "all"}, "cannot be verified"),
        ):
            with pytest.raises(ConfigError, match=message):
                app.exports.create(CONNECTION, {"name": "x", "table": "x", **fields}, by="t")
        made, _ = app.exports.create(
            CONNECTION, {"name": "p", "model": "persons", "table": "p", "verify_days": "all"}, by="t"
        )
        assert made.verify_daily == "all days"
        assert app.exports.tables.verify_daily("p", by="t") is None  # nothing was exported yet
        assert app.exports.edit("p", {"verify_days": "none"}).verify_daily == "no"


def test_filters_rejects_and_other_models(prepared: Installation, tmp_path: Path) -> None:
    with prepared.app(max_row_bytes=1000) as app:
        fields = {"include_events": ("bought",), "team_id": 2}
        app.exports.create(CONNECTION, {"name": "few", "table": "few", **fields}, by="t")
        large = {**events(2, seed=9)[1], "event": "bought", "team_id": 2, "properties": {"text": "x" * 3000}}
        load(app, tmp_path, [large])
        app.exports.run("few", by="t")
        assert app.exports.tables.verify("few", by="t").different == ()
        assert app.exports.set_aside.find("few")
        app.exports.edit("few", {"include_events": ("seen", "bought")})
        found = app.exports.tables.verify("few", by="t")
        assert "filters" in found.notes[0]
        repair(app, "few", found)
        assert app.exports.tables.verify("few", by="t").different == ()
    with prepared.app() as app:
        for model in ("sessions", "persons"):
            app.exports.create(CONNECTION, {"name": model, "model": model, "table": model}, by="t")
            app.exports.run(model, by="t")
            assert app.exports.tables.verify(model, by="t").different == ()
            version = "session_version" if model == "sessions" else "person_version"
            name = f"`{prepared.dataset}.{model}`"
            change(prepared, f"UPDATE {name} SET {version} = {version} - 1 WHERE team_id = 1")
            change(prepared, f"DELETE FROM {name} WHERE team_id = 2")
            found = app.exports.tables.verify(model, by="t")
            assert not any(day.same for day in found.different)
            assert (model == "persons") == (found.different[0].day is None)
            repair(app, model, found)
            assert app.exports.tables.verify(model, by="t").different == ()
        with pytest.raises(ConfigError, match="no day"):
            app.exports.tables.verify("persons", by="t", days=2)


def test_sessions_by_the_day_on_which_they_began(prepared: Installation, tmp_path: Path) -> None:
    """Only the days that differ are repaired; a row that is older than it should be may say another day."""
    today = dt.datetime.now(dt.UTC).replace(hour=1, minute=0, second=0, microsecond=0)
    with prepared.app() as app:
        rows = []
        for number in range(12):
            began = today - dt.timedelta(days=11 - number)
            visit = {"$session_id": f"0190b000-0000-7000-8000-{number:012d}"}
            hit = {"event": "$pageview", "distinct_id": "ana", "team_id": 1, "properties": visit}
            for hours in (0, 40):  # the last event is on another day
                moment = (began + dt.timedelta(hours=hours)).isoformat()
                rows.append({**hit, "uuid": f"{number}-{hours}", "timestamp": moment})
        load(app, tmp_path, rows)
        fields = {"name": "visits", "model": "sessions", "table": "visits", "include_events": ()}
        app.exports.create(CONNECTION, fields, by="t")
        app.exports.run("visits", by="t")
        assert app.exports.tables.verify("visits", by="t").different == ()
        assert app.exports.tables.verify("visits", by="t", days=3).different == ()
        table = f"`{prepared.dataset}.visits`"
        one = "session_id LIKE '0190b%000000000004'"
        older = "start_timestamp = TIMESTAMP_ADD(start_timestamp, INTERVAL 3 DAY), session_version = 0"
        change(prepared, f"UPDATE {table} SET {older} WHERE {one}")
        change(prepared, f"DELETE FROM {table} WHERE session_id LIKE '0190b%000000000010'")
        day = [(today - dt.timedelta(days=11 - number)).date() for number in range(12)]
        found = app.exports.tables.verify("visits", by="t")
        assert [each.day for each in found.different] == [day[4], day[7], day[10]]
        assert [each.day for each in app.exports.tables.verify("visits", by="t", days=3).different] == [day[10]]
        repair(app, "visits", found)
        assert app.exports.tables.verify("visits", by="t").different == ()
        assert app.exports.edit("visits", {"verify_days": "7"}).verify_daily == "the last 7 days"


def test_when_it_cannot_be_verified_it_is_said(prepared: Installation, tmp_path: Path) -> None:
    with prepared.app() as app:
        app.exports.create(CONNECTION, {"name": "new", "table": "new"}, by="t")
        with pytest.raises(ConfigError, match="nothing yet"):
            app.exports.tables.verify("new", by="t")
        load(app, tmp_path, events(10, seed=8))
        job = {"method": "POST", "path": "/upload/bigquery/v2/projects/[^/]+/jobs", "fault": "job_error"}
        prepared.local.set_faults([{**job, "reason": "invalid", "message": "No."}])
        with pytest.raises(ConfigError):
            app.exports.run("daily", by="t")
        prepared.local.set_faults([])
        with pytest.raises(ConflictError, match="not finished"):
            app.exports.tables.verify("daily", by="t")
        app.exports.run("daily", by="t")
        change(prepared, "ALTER TABLE EVENTS DROP COLUMN timestamp")
        with pytest.raises(ConfigError, match="timestamp"):
            app.exports.tables.verify("daily", by="t")
        change(prepared, "DROP TABLE EVENTS")
        with pytest.raises(ConfigError) as caught:
            app.exports.tables.verify("daily", by="t")
        assert caught.value.code == "table_gone"


def test_the_command(prepared: Installation) -> None:
    right = prepared.run("export", "verify", "daily")
    assert (right.returncode, "none missing" in right.stderr) == (0, True)
    change(prepared, "DELETE FROM EVENTS WHERE event = 'seen'")
    wrong = prepared.run("export", "verify", "daily")
    assert (wrong.returncode, "2026-01-03" in wrong.stdout) == (1, True)
    assert "export verify daily --repair" in wrong.stderr
    repaired = prepared.run("export", "verify", "daily", "--repair", "--json")
    assert (repaired.returncode, json.loads(repaired.stdout)["different"]) == (0, [])
    change(prepared, "INSERT INTO EVENTS SELECT * FROM EVENTS WHERE event = 'seen'")
    doubled = prepared.run("export", "verify", "daily", "--days", "20000", "--repair")
    assert (doubled.returncode, "not removed" in doubled.stderr) == (1, True)


ROWS = st.lists(
    st.tuples(st.integers(1, 4), st.integers(1, 2), st.text(st.characters(codec="utf-8", exclude_characters="\0"))),
    unique_by=lambda row: row[1:],
    max_size=8,
)
Rows = list[tuple[int, int, str]]


@pytest.fixture(scope="module")
def one_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """An installation that is only asked."""
    with App(Settings(home=tmp_path_factory.mktemp("home"))) as app:
        yield app


@given(first=ROWS, second=ROWS)
def test_sums_are_the_same_for_the_same_rows_only(one_app: App, first: Rows, second: Rows) -> None:
    def of(rows: Rows, without: Rows = []) -> list[Sum]:  # noqa: B006 - is not changed
        values = [f"(TIMESTAMPTZ '2026-01-0{day} 23:00:00+00', {team}, {literal(name)})" for day, team, name in rows]
        table = f"(VALUES {', '.join(values or ['(now(), 0, NULL)'])}) AS t(timestamp, team_id, uuid)"
        query = f"SELECT *, team_id AS row_team, uuid AS row_id FROM {table} WHERE team_id > 0"
        gone = {(team, name) for _, team, name in without}
        return sums(one_app.lake, query, ("team_id", "uuid"), "timestamp", gone)

    assert of(first) == of(first[::-1])
    assert (of(first) == of(second)) == (set(first) == set(second))
    assert of(first, first[:3]) == of(first[3:])
    assert sum(day.rows for day in of(first)) == len(first)


def test_where_there_are_no_rows_yet_it_says_so_and_goes_round_in_no_circle(
    installation: Installation, tmp_path: Path
) -> None:
    merged = {"event": "$identify", "timestamp": "2026-01-01T00:00:00Z", "properties": {"$anon_distinct_id": "b"}}
    with installation.app() as app:
        installation.connect(app)
        app.exports.create(CONNECTION, {"name": "merges", "model": "merge_ids", "team_id": 1}, by="t")
        load(app, tmp_path, [{"event": "seen", "distinct_id": each, "uuid": each, **TIME} for each in "ab"])
    assert "nothing new" in installation.run("export", "run", "merges").stderr
    verified = installation.run("export", "verify", "merges")
    assert (verified.returncode, "no rows for merges yet" in verified.stderr) == (0, True)
    assert json.loads(installation.run("export", "verify", "merges", "--json").stdout)["rows"] == 0
    filled = installation.run("export", "backfill", "merges", "--from", "earliest")
    assert (filled.returncode, "no rows for merges yet" in filled.stderr) == (2, True)
    with installation.app() as app:  # it is not known yet, and waits
        load(app, tmp_path, [{"distinct_id": "a", "uuid": "c", **merged}])
    for words in (("verify", "merges"), ("backfill", "merges", "--from", "earliest")):
        done = installation.run("export", *words)
        assert (done.returncode, "tidemill export run merges" in done.stderr) == (2, True)
    assert installation.run("export", "run", "merges").returncode == 0
    assert installation.run("export", "verify", "merges").returncode == 0
