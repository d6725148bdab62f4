"""Deleting a person on request: nothing of it is left, and nothing of anybody else is lost."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.installation import CONNECTION, Installation

from tidemill.app import App
from tidemill.errors import NotFoundError, TidemillError
from tidemill.exports import erasure
from tidemill.exports.erasure import Deleted
from tidemill.store.postgres import open_postgres

MODELS = ("events", "persons", "sessions", "amplitude_events")


def load(app: App, folder: Path, *lines: dict[str, Any], kind: str = "posthog") -> None:
    """Events, each with an id of its own."""
    file = folder / f"{os.urandom(6).hex()}.jsonl"
    plain: dict[str, Any] = {"uuid": "", "event": "hit", "timestamp": "2026-01-02T03:04:05Z", "properties": {}}
    if kind == "amplitude":
        plain = {"event_type": "hit", "time": 1767322000000, "insert_id": ""}
    unique = [{**plain, **{name: os.urandom(8).hex() for name in plain if plain[name] == ""}, **line} for line in lines]
    file.write_text("\n".join(map(json.dumps, [{n: v for n, v in line.items() if v != ""} for line in unique])))
    assert app.events.load(str(file), kind).rejects == 0


def prepared(installation: Installation, app: App, *models: str) -> None:
    """An export of each model."""
    installation.connect(app)
    for model in models or MODELS:
        app.exports.create(CONNECTION, {"name": model, "model": model, "table": model, "team_id": 1}, by="t")


def erase(app: App, name: str, *, events: bool = True) -> dict[str, Deleted]:
    told: list[Deleted] = []
    app.exports.erase_person(1, name, events=events, by="t", told=told.append)
    return {deleted.place.rpartition(".")[2]: deleted for deleted in told}


def run(app: App, *models: str) -> None:
    for model in models or MODELS:
        app.exports.run(model, by="t")


def as_the_store_says(app: App, *models: str) -> None:
    for model in models or MODELS:
        assert app.exports.tables.verify(model, by="t").different == (), model


def kept(installation: Installation, query: str) -> Any:
    with psycopg.connect(open_postgres(installation.settings()).dsn) as session:
        return session.execute(query).fetchone()


def test_the_events_of_a_person_are_deleted_too_everywhere(installation: Installation, tmp_path: Path) -> None:
    models = ("events", "persons", "sessions", "amplitude_events")
    with installation.app(commit_rows=3) as app:
        installation.connect(app)
        for model in models:
            app.exports.create(CONNECTION, {"name": model, "model": model, "table": model, "team_id": 1}, by="t")
        for team in (1, 2):
            for turn in range(4):
                hits = [
                    {
                        "distinct_id": name,
                        "properties": {"$session_id": f"0190a000-0000-7000-8000-00000000{team}{n}0{turn}"},
                    }
                    for n, name in enumerate(("ana", "anon", "ben"))
                ]
                load(app, tmp_path, *({**hit, "team_id": team} for hit in hits))
        load(app, tmp_path, {"event": "$identify", "distinct_id": "ana", "properties": {"$anon_distinct_id": "anon"}})
        for model in models:
            app.exports.run(model, by="t")
        load(app, tmp_path, {"distinct_id": "ana", "properties": {"late": True}})  # not exported yet
    done = installation.run("persons", "delete", "ana", "--with-events", "--yes")
    assert done.returncode == 0, done.stderr
    assert "10 events of the person deleted here" in done.stderr
    with installation.app() as app:
        for model in models:
            found = installation.rows(model)
            assert found
            assert {row.get("distinct_id", row.get("user_id")) for row in found} == {"ben"}
            app.exports.run(model, by="t")
            assert app.exports.tables.verify(model, by="t").different == ()
            app.exports.backfills.begin(
                model,
                app.exports.backfills.estimate(model, "earliest", None, "week"),
                by="t",
                parallel=1,
                progress=lambda _: None,
            )
            assert len(installation.rows(model)) == len(found)
        app.events.compact()
        assert app.exports.tables.check("events").rows == 4
        with app.lake.cursor() as cursor:
            left = cursor.execute("SELECT team_id, count(*) FROM lake.events GROUP BY 1 ORDER BY 1").fetchall()
        assert left == [(1, 4), (2, 12)]


def test_of_a_shared_device_only_what_the_person_sent_is_deleted(installation: Installation, tmp_path: Path) -> None:
    with installation.app() as app:
        installation.connect(app)
        for model in ("persons", "amplitude_events"):
            app.exports.create(CONNECTION, {"name": model, "model": model, "table": model, "team_id": 1}, by="t")
        device = {"$device_id": "dev1"}
        load(app, tmp_path, {"distinct_id": "dev1", "properties": {**device, "$is_identified": False}})
        merged = {"event": "$identify", "distinct_id": "ann", "properties": {**device, "$anon_distinct_id": "dev1"}}
        load(app, tmp_path, merged, {"distinct_id": "ben", "properties": device})
        for model in ("persons", "amplitude_events"):
            app.exports.run(model, by="t")
        assert len(installation.rows("amplitude_events")) == 3
        app.exports.erase_person(1, "ann", events=True, by="t", told=lambda _: None)
        assert {row["distinct_id"] for row in installation.rows("persons")} == {"ben"}
    with installation.app() as app:
        load(app, tmp_path, {"distinct_id": "cee", "properties": {"$device_id": "dev1", "$is_identified": False}})
        app.exports.run("amplitude_events", by="t")
        app.exports.run("persons", by="t")
        app.exports.erase_person(1, "cee", events=True, by="t", told=lambda _: None)
        assert sorted(row["user_id"] or "" for row in installation.rows("amplitude_events")) == ["ben"]
        assert app.exports.tables.verify("persons", by="t").different == ()


def test_what_a_device_sent_is_of_whom_it_was_last_seen_with(installation: Installation, tmp_path: Path) -> None:
    """Amplitude's rule: also of what came from the device alone, which several people used in turn."""
    device = {"device_id": "phone"}
    with installation.app(commit_rows=2) as app:
        prepared(installation, app)
        names = ("before", "ben", "of ben", "cat", "of cat")
        users = (None, "ben", None, "cat", None)
        lines = [
            {**device, "insert_id": name} | ({"user_id": user} if user else {})
            for name, user in zip(names, users, strict=True)
        ]
        load(app, tmp_path, *lines, {"user_id": "dan", "device_id": "other", "insert_id": "dan"}, kind="amplitude")
        run(app, "events", "persons", "amplitude_events")
        found = erase(app, "ben")
        assert {found[place].rows for place in ("events", "amplitude_events")} == {3}

        def left() -> list[list[str]]:
            tables = [installation.rows(name) for name in ("events", "amplitude_events")]
            with app.lake.cursor() as cursor:
                here = [row[0] for row in cursor.execute("SELECT uuid FROM lake.events").fetchall()]
            return [sorted(here), *(sorted(row["uuid"] for row in rows) for rows in tables)]

        first = left()
        assert first == [first[0]] * 3
        assert len(first[0]) == 3
        assert {row["insert_id"] for row in installation.rows("amplitude_events")} == {"cat", "of cat", "dan"}
        as_the_store_says(app, "events", "persons", "amplitude_events")
        load(app, tmp_path, {**device, "insert_id": "later"}, kind="amplitude")  # still of cat
        run(app, "events", "amplitude_events")
        assert erase(app, "cat")["amplitude_events"].rows == 3
        assert {row["insert_id"] for row in installation.rows("amplitude_events")} == {"dan"}
        as_the_store_says(app, "events", "persons", "amplitude_events")
        assert kept(installation, "SELECT count(*) FROM tidemill.device_users WHERE user_id IN ('ben', 'cat')") == (0,)
        assert kept(installation, "SELECT count(*) FROM tidemill.erasures") == (0,)


def test_nothing_of_the_person_is_kept(installation: Installation, tmp_path: Path) -> None:
    """Neither in the metadata database nor in the store's catalog; and others are found as before."""
    with installation.app(commit_rows=3) as app:
        prepared(installation, app)
        visit = {"$session_id": "0190a000-0000-7000-8000-000000000001"}
        within = {**visit, "secret": "zzz-ana", "$set": {"mail": "zzz-ana"}}
        load(app, tmp_path, *({"distinct_id": name, "properties": within} for name in ("zzz-ana", "zzz-ana2")))
        load(app, tmp_path, {"distinct_id": "ben", "properties": visit})
        many = installation.settings(commit_rows=100)  # too many for the catalog
        with App(many) as other:
            load(other, tmp_path, *({"distinct_id": "zzz-ana", "properties": within} for _ in range(40)))
        joined = {"event": "$identify", "distinct_id": "zzz-ana", "properties": {"$anon_distinct_id": "zzz-ana2"}}
        load(app, tmp_path, joined, {"distinct_id": "ben", "properties": {"a": 1}})
        run(app)
        erase(app, "zzz-ana")
        with psycopg.connect(app.postgres.dsn) as session:
            tables = session.execute(
                "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables "
                "WHERE schemaname IN ('tidemill', 'tidemill_events')"
            ).fetchall()
            for (name,) in tables:
                for text in ("zzz-ana", b"zzz-ana".hex()):  # bytes are shown as such
                    found = session.execute(f"SELECT t::text FROM {name} t WHERE t::text LIKE '%{text}%'").fetchall()
                    assert found == [], name
        app.events.compact()  # what the catalog held of small commits is in files then
        load(app, tmp_path, {"distinct_id": "ben", "properties": {"a": 2}}, {"distinct_id": "zzz-ana"})
        load(
            app, tmp_path, {"distinct_id": "eve"}, *({"distinct_id": "eve", "properties": {"n": n}} for n in range(20))
        )
        erase(app, "eve")
        run(app)
        assert [row["distinct_id"] for row in installation.rows("events")].count("ben") == 3
        assert len(app.events.show(distinct_id="ben", limit=10)) == 3
        assert {row["distinct_id"] for row in installation.rows("persons")} == {"ben", "zzz-ana"}  # somebody new
        as_the_store_says(app)


def test_a_merge_that_is_at_work_still_brings_nobody_back(installation: Installation, tmp_path: Path) -> None:
    """That of a backfill whose run has failed, because BigQuery could not be asked, and that was cancelled then."""
    with installation.app() as app:
        prepared(installation, app, "events", "persons")
        load(app, tmp_path, {"distinct_id": "ana"}, {"distinct_id": "ben"})
        run(app, "events", "persons")
        client = installation.client()
        client.query(f"DELETE FROM `{installation.dataset}.events` WHERE TRUE", job_id=f"test_{os.urandom(6).hex()}")
        client.close()
        installation.local.set_faults([{"path": "/jobs$", "method": "POST", "fault": "slow_job", "seconds": 600}])
        process = installation.start("export", "backfill", "start", "events", "--from", "earliest")
        while (job := installation.merging()) is None:
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        process.kill()
        process.communicate()
        with psycopg.connect(app.postgres.dsn, autocommit=True) as session:
            session.execute("UPDATE tidemill.runs SET status = 'failed' WHERE status = 'running'")
        app.exports.backfills.stop("events", cancel=True)
        seen = len(installation.local.requests())
        thread = threading.Thread(target=lambda: erase(app, "ana"))
        thread.start()
        while not any(job in request["path"] for request in installation.local.requests()[seen:]):
            assert thread.is_alive(), "it did not wait for the job"
            time.sleep(0.05)
        installation.local.set_faults([])
        thread.join()
        assert {row["distinct_id"] for row in installation.rows("events")} == {"ben"}


def test_what_comes_while_it_is_deleted_stays(installation: Installation, tmp_path: Path) -> None:
    """Another process loads events of the same id, and of a shared session, and exports them all."""
    with installation.app() as app:
        prepared(installation, app)
        visit = {"$session_id": "0190a000-0000-7000-8000-000000000001"}
        shared = {"event": "$pageview", "properties": {**visit, "$set": {"secret": "s"}}}
        load(app, tmp_path, *({**shared, "distinct_id": name} for name in ("ana", "ben")))
        run(app)

        def meanwhile(deleted: Deleted) -> None:
            if deleted.place == "events":
                late = {**shared, "timestamp": "9999-12-31T23:59:59.999999Z"}  # the last moment that there is
                load(app, tmp_path, {**shared, "distinct_id": "ana"}, {**late, "distinct_id": "ben"})
                run(app)

        app.exports.erase_person(1, "ana", events=True, by="t", told=meanwhile)
        run(app)
        as_the_store_says(app)
        assert sorted(row["distinct_id"] for row in installation.rows("events")) == ["ana", "ben", "ben"]
        assert {row["distinct_id"] for row in installation.rows("persons")} == {"ana", "ben"}
        assert [row["pageview_count"] for row in installation.rows("sessions")] == [3]


@pytest.mark.parametrize("sessions", [1, 12])
def test_a_session_in_which_others_have_a_part_stays_theirs(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sessions: int
) -> None:
    monkeypatch.setattr(erasure, "_MOST_PIECES", 5)  # more sessions are sent again by more runs
    with installation.app(commit_rows=20) as app:
        prepared(installation, app, "sessions", "persons")
        lines = []
        for hour in range(sessions):
            within = {"$session_id": f"0190a000-0000-7000-8000-{hour:012d}", "$current_url": "https://a.example/x"}
            page = {"event": "$pageview", "properties": within}
            for n, name in enumerate(("ana", "ben", "ana")):
                lines.append({**page, "distinct_id": name, "timestamp": f"2026-01-0{1 + hour % 9}T00:0{n}:00Z"})
        load(app, tmp_path, *lines)
        own = {"$session_id": "0190a000-0000-7000-9000-000000000000"}
        load(app, tmp_path, {"distinct_id": "ana", "properties": own})
        run(app, "sessions", "persons")
        assert {row["pageview_count"] for row in installation.rows("sessions")} == {3, 0}
        load(app, tmp_path, {"distinct_id": "eve", "properties": own})  # comes with the next run
        erase(app, "ana")
        rows = installation.rows("sessions")
        assert [(row["pageview_count"], row["distinct_id"]) for row in rows] == [(1, "ben")] * sessions
        run(app, "sessions", "persons")
        assert len(installation.rows("sessions")) == sessions + 1
        as_the_store_says(app, "sessions", "persons")


def test_what_could_not_be_deleted_is_deleted_by_the_next_try_whatever_came_between(
    installation: Installation, tmp_path: Path
) -> None:
    with installation.app(max_row_bytes=1500) as app:
        prepared(installation, app)
        within = {"$session_id": "0190a000-0000-7000-8000-000000000001"}
        load(app, tmp_path, *({"distinct_id": name, "properties": within} for name in ("ana", "anon", "ben")))
        load(app, tmp_path, {"event": "$identify", "distinct_id": "ana", "properties": {"$anon_distinct_id": "anon"}})
        load(app, tmp_path, {"distinct_id": "ana", "properties": {"secret": "s" * 2000}})  # set aside
        run(app)
        assert kept(installation, "SELECT count(*) FROM tidemill.rejects") >= (1,)
        installation.local.set_faults(
            [{"path": "/jobs", "method": "POST", "fault": "job_error", "reason": "invalidQuery", "times": 99}]
        )
        with pytest.raises(TidemillError):
            erase(app, "ana")
        installation.local.set_faults([])
        assert kept(installation, "SELECT count(*) FROM tidemill.rejects") == (0,)
        load(app, tmp_path, {"distinct_id": "ana", "properties": {"again": 1}})  # somebody new
        run(app)
        assert {row["distinct_id"] for row in installation.rows("events")} == {"ana", "anon", "ben"}
        erase(app, "anon", events=False)  # by any of the ids; what was asked for before is done
        for model in ("events", "persons", "sessions"):
            assert {row["distinct_id"] for row in installation.rows(model)} <= {"ben", "ana"}, model
        assert len(installation.rows("amplitude_events")) == len(installation.rows("events"))
        erase(app, "ana")
        for model in ("events", "persons", "sessions"):
            assert {row["distinct_id"] for row in installation.rows(model)} == {"ben"}, model
        as_the_store_says(app)
        assert kept(installation, "SELECT count(*) FROM tidemill.erasures") == (0,)


def test_an_id_without_a_person_has_events_all_the_same(installation: Installation, tmp_path: Path) -> None:
    with installation.app() as app:
        prepared(installation, app, "events", "persons")
        nobody = {"$process_person_profile": False}
        load(app, tmp_path, {"distinct_id": "guest", "properties": nobody}, {"distinct_id": "ben"})
        run(app, "events", "persons")
        with pytest.raises(NotFoundError):
            erase(app, "guest", events=False)
        assert erase(app, "guest")["events"].rows == 1
        assert {row["distinct_id"] for row in installation.rows("events")} == {"ben"}
        assert kept(installation, "SELECT count(*) FROM tidemill.distinct_ids WHERE distinct_id = 'guest'") == (0,)
        for events in (True, False):
            with pytest.raises(NotFoundError):
                erase(app, "never", events=events)
        assert kept(installation, "SELECT count(*) FROM tidemill.erasures") == (0,)


def test_it_says_what_it_will_do_and_what_is_left(installation: Installation, tmp_path: Path) -> None:
    with installation.app() as app:
        prepared(installation, app, "events", "persons")
        query = {"name": "own", "sql": "SELECT uuid, distinct_id FROM events", "key": ["uuid"], "table": "own"}
        app.exports.create(CONNECTION, query, by="t")
        load(app, tmp_path, {"event": "$identify", "distinct_id": "ana", "properties": {"$anon_distinct_id": "anon"}})
        run(app, "events", "persons", "own")
    asked = installation.run("persons", "delete", "ana", "--with-events")
    assert asked.returncode != 0
    assert "the ids ana, anon, all its events, and the rows of both in all tables?" in asked.stdout + asked.stderr
    done = installation.run("persons", "delete", "ana", "--in-tables", "--yes")
    assert done.returncode == 0, done.stderr
    assert "Its events stay" in done.stderr
    done = installation.run("persons", "delete", "ana", "--with-events", "--yes")
    assert done.returncode == 0, done.stderr
    assert f"{installation.dataset}.own holds rows of a query of your own (own), which are not looked at" in done.stderr
    assert installation.rows("events") == []


def test_an_id_that_has_become_somebody_elses_is_left_alone(installation: Installation, tmp_path: Path) -> None:
    """Where a request is repeated, and the id was joined to another person meanwhile."""
    with installation.app() as app:
        prepared(installation, app, "events", "persons")
        load(app, tmp_path, {"event": "$identify", "distinct_id": "ana", "properties": {"$anon_distinct_id": "anon"}})
        load(app, tmp_path, {"distinct_id": "cat"})
        run(app, "events", "persons")
        refused = {"path": "/jobs", "method": "POST", "fault": "job_error", "reason": "invalidQuery", "times": 99}
        installation.local.set_faults([refused])
        with pytest.raises(TidemillError):
            erase(app, "ana")
        installation.local.set_faults([])
        load(app, tmp_path, {"event": "$identify", "distinct_id": "cat", "properties": {"$anon_distinct_id": "anon"}})
        load(app, tmp_path, {"distinct_id": "anon"})
        run(app, "events", "persons")
        erase(app, "ana")
        assert sorted(row["distinct_id"] for row in installation.rows("events")) == ["anon", "cat", "cat"]
        assert {row["distinct_id"] for row in installation.rows("persons")} == {"anon", "cat"}
        as_the_store_says(app, "events", "persons")


def test_a_device_is_known_until_the_events_are_deleted(installation: Installation, tmp_path: Path) -> None:
    with installation.app() as app:
        prepared(installation, app, "events", "persons", "amplitude_events")
        device = {"device_id": "phone"}
        lines = [{**device, "user_id": "cat"}, {**device, "user_id": "ben"}, device]
        load(app, tmp_path, *({**line, "insert_id": str(n)} for n, line in enumerate(lines)), kind="amplitude")
        run(app, "events", "persons", "amplitude_events")
        erase(app, "ben", events=False)
        erase(app, "ben")
        assert [row["insert_id"] for row in installation.rows("amplitude_events")] == ["0"]
        as_the_store_says(app, "events", "persons", "amplitude_events")


def test_a_deletion_that_is_repeated_waits_for_what_a_dead_process_began(
    installation: Installation, tmp_path: Path
) -> None:
    """Or it would take away a session that has been sent again since."""
    with installation.app() as app:
        prepared(installation, app, "sessions")
        visit = {"event": "$pageview", "properties": {"$session_id": "0190a000-0000-7000-8000-000000000001"}}
        load(app, tmp_path, *({**visit, "distinct_id": name} for name in ("ana", "ben")))
        run(app, "sessions")
        installation.local.set_faults([{"path": "/jobs$", "method": "POST", "fault": "slow_job", "seconds": 600}])
        process = installation.start("persons", "delete", "ana", "--with-events", "--yes")
        client = installation.client()

        def deleting() -> list[str]:
            jobs = client.google().list_jobs(max_results=50, state_filter="running")
            return [job.job_id for job in jobs if installation.dataset in job.query]

        while not (begun := deleting()):
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        process.kill()
        process.communicate()
        client.close()
        seen = len(installation.local.requests())
        thread = threading.Thread(target=lambda: erase(app, "ana"))
        thread.start()
        while not any(begun[0] in request["path"] for request in installation.local.requests()[seen:]):
            assert thread.is_alive(), "it did not wait for the job"
            time.sleep(0.05)
        installation.local.set_faults([])
        thread.join()
        assert [(row["pageview_count"], row["distinct_id"]) for row in installation.rows("sessions")] == [(1, "ben")]
        as_the_store_says(app, "sessions")
