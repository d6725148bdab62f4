"""`tidemill serve` runs exports when they are due, and whatever ends it in the middle, each interval is run once."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from tests.capture_server import free_port
from tests.installation import Installation, write_events
from tests.schedules import NAME, make, now, queue, queued
from tests.served import Server
from tests.stream_kills import kill_postgres
from tests.streams import eventually

from tidemill.app import App
from tidemill.store.postgres import open_postgres

LOADS = "/upload/bigquery/"
#: The load is done, and its answer does not come.
SLOW: list[dict[str, Any]] = [{"path": LOADS, "fault": "delay_response", "seconds": 600.0, "times": 1}]


@pytest.fixture
def serving(installation: Installation, tmp_path: Path) -> Iterator[tuple[App, Server, list[str]]]:
    """An export of a hundred events, of which an interval is due; the server is not begun."""
    with installation.app() as app:
        installation.connect(app)
        make(app)
        uuids = write_events(tmp_path / "events.jsonl", 100)
        app.events.load(str(tmp_path / "events.jsonl"))
        queue(app, [now()])
        server = Server(installation, tmp_path / "server.log")
        yield app, server, uuids
        server.kill()


def is_done(app: App) -> Callable[[], bool]:
    """Whether nothing is in the queue."""
    return lambda: not queued(app)


def at_work(installation: Installation, app: App) -> Callable[[], bool]:
    """Whether a run waits for the load that was made slow."""
    return lambda: (
        any(fault["fired"] for fault in installation.local.faults()) and bool(app.exports.runs.find(NAME, limit=1))
    )


def test_what_is_due_is_run_and_told_by_a_server_that_takes_no_events(
    installation: Installation, serving: tuple[App, Server, list[str]]
) -> None:
    app, server, uuids = serving
    server.start("--role", "api", "--role", "worker", "--port", "0")
    eventually(lambda: re.search(r"at http://127.0.0.1:(\d+)", server.said), "it says where it answers")
    port = (re.findall(r"at http://127.0.0.1:(\d+)", server.said) or [""])[0]
    http = httpx.Client(base_url=f"http://127.0.0.1:{port}", transport=httpx.HTTPTransport(retries=5))
    assert http.get("/health").status_code == 200
    eventually(lambda: http.get("/ready").status_code == 200, "it is ready")
    assert http.post("/batch", json={"batch": []}).status_code == 404
    eventually(is_done(app), "the interval is run")
    assert installation.uuids(NAME) == uuids
    eventually(lambda: f'tidemill_export_rows_total{{export="{NAME}"' in http.get("/metrics").text, "it tells of it")
    kill_postgres(installation.home)
    assert http.get("/health").status_code == 200
    http.close()
    assert server.stop() == 0, server.said
    assert [run.status for run in app.exports.runs.find(NAME, limit=10)] == ["completed"]


def test_a_worker_that_is_killed_in_a_run_has_another_one_finish_it(
    installation: Installation, serving: tuple[App, Server, list[str]]
) -> None:
    app, server, uuids = serving
    installation.local.set_faults(SLOW)
    server.start()
    eventually(at_work(installation, app), "the run is in the middle")
    found = server.background()
    assert found is not None
    found.kill()
    eventually(is_done(app), "the interval is run")
    assert installation.uuids(NAME) == uuids
    assert server.stop() == 0, server.said
    (run,) = app.exports.runs.find(NAME, limit=10)
    assert (run.status, run.attempt, run.error_code) == ("completed", 1, None)


def test_a_server_that_stops_in_a_run_loses_none_and_has_none_fail(
    installation: Installation, serving: tuple[App, Server, list[str]]
) -> None:
    app, server, uuids = serving
    installation.local.set_faults(SLOW)
    server.start(TIDEMILL_STOP_SECONDS="0.2")
    eventually(at_work(installation, app), "the run is in the middle")
    assert server.stop() == 0, server.said
    assert "left in the middle" in server.said
    (run,) = app.exports.runs.find(NAME, limit=10)
    assert run.status == "interrupted"
    server.start()
    eventually(is_done(app), "the interval is run")
    assert server.stop() == 0, server.said
    assert installation.uuids(NAME) == uuids
    (run,) = app.exports.runs.find(NAME, limit=10)
    assert (run.status, run.attempt, run.error_code) == ("completed", 1, None)


def test_a_server_that_stops_lets_its_run_end_first(
    installation: Installation, serving: tuple[App, Server, list[str]]
) -> None:
    app, server, uuids = serving
    installation.local.set_faults([{**SLOW[0], "seconds": 3.0}])
    server.start()
    eventually(at_work(installation, app), "the run is in the middle")
    assert server.stop() == 0, server.said
    assert installation.uuids(NAME) == uuids
    assert [run.status for run in app.exports.runs.find(NAME, limit=10)] == ["completed"]
    assert "left in the middle" not in server.said


def test_a_database_that_is_killed_is_begun_again_and_the_run_ends(
    installation: Installation, serving: tuple[App, Server, list[str]]
) -> None:
    app, server, uuids = serving
    installation.local.set_faults(SLOW)
    server.start()
    eventually(at_work(installation, app), "the run is in the middle")
    kill_postgres(installation.home)
    eventually(lambda: "another one takes its place" in server.said, "another worker has begun")
    with installation.app() as after:
        eventually(is_done(after), "the interval is run")
        assert [run.status for run in after.exports.runs.find(NAME, limit=10)] == ["completed"]
    assert installation.uuids(NAME) == uuids
    assert server.stop() == 0, server.said


def test_two_workers_share_the_work_and_do_each_interval_once(
    installation: Installation, serving: tuple[App, Server, list[str]], tmp_path: Path
) -> None:
    app, server, uuids = serving
    names = [f"more_{n}" for n in range(6)]
    for name in names:
        make(app, name)
        queue(app, [now()], name)
    other = Server(installation, tmp_path / "other.log")
    other.start("--role", "worker")
    try:
        server.start("--role", "worker")
        eventually(lambda: not any(queued(app, name) for name in [NAME, *names]), "all intervals are run")
        assert other.stop() == 0, other.said
        assert server.stop() == 0, server.said
    finally:
        other.kill()
    for name in [NAME, *names]:
        assert installation.uuids(name) == uuids
        assert len(app.exports.runs.find(name, limit=10)) == 1


def test_a_worker_that_is_frozen_is_replaced_and_does_no_harm_when_it_wakes(
    installation: Installation, serving: tuple[App, Server, list[str]], tmp_path: Path
) -> None:
    app, server, uuids = serving
    installation.local.set_faults(SLOW)
    server.start()
    eventually(at_work(installation, app), "the run is in the middle")
    found = server.background()
    assert found is not None
    found.suspend()
    with app.database.begin() as connection:
        silent = (
            "UPDATE tidemill_engine.workers SET seen_at = now() - interval '2 minutes', "
            "suspected_at = now() - interval '1 minute' WHERE pid = %s"
        )
        assert connection.exec_driver_sql(silent, (found.pid,)).rowcount == 1
    other = Server(installation, tmp_path / "other.log")
    other.start("--role", "worker")
    try:
        eventually(is_done(app), "another worker has run the interval")
        found.resume()
        eventually(lambda: "another one takes its place" in server.said, "who was frozen has ended")
        assert installation.uuids(NAME) == uuids
        assert server.stop() == 0, server.said
        assert other.stop() == 0, other.said
    finally:
        other.kill()
    (run,) = app.exports.runs.find(NAME, limit=10)
    assert (run.status, run.error_code) == ("completed", None)


def test_a_server_may_have_more_processes_that_move_runs(
    installation: Installation, serving: tuple[App, Server, list[str]]
) -> None:
    app, server, uuids = serving
    server.start(TIDEMILL_WORKER_PROCESSES="3")
    eventually(lambda: len(server.backgrounds()) == 3, "there are three")
    killed = {process.pid for process in server.backgrounds()}
    for process in server.backgrounds():
        process.kill()

    def replaced() -> bool:
        found = {process.pid for process in server.backgrounds()}
        return len(found) == 3 and not found & killed

    eventually(replaced, "others take their places")
    eventually(is_done(app), "the run is over")
    assert installation.uuids(NAME) == uuids
    assert server.stop() == 0, server.said


def test_a_server_that_begins_before_its_database_waits_for_it(
    installation: Installation, serving: tuple[App, Server, list[str]]
) -> None:
    app, server, _ = serving
    keywords = psycopg.conninfo.conninfo_to_dict(open_postgres(installation.settings()).dsn)
    port = free_port()
    url = f"postgresql://postgres@127.0.0.1:{port}/{keywords['dbname']}?sslmode=disable"
    server.start(TIDEMILL_DATABASE_URL=url)
    eventually(lambda: "does not answer. It is waited for." in server.said, "it waits")
    way = ["-m", "tests.way", f"tcp:{port}", f"unix:{keywords['host']}/.s.PGSQL.{keywords['port']}"]
    there = subprocess.Popen([sys.executable, *way], stdout=subprocess.DEVNULL)
    try:
        eventually(is_done(app), "what is due has been looked at")
        assert server.stop() == 0
    finally:
        there.kill()
        there.wait()


def test_a_server_whose_password_is_wrong_does_not_wait(
    installation: Installation, serving: tuple[App, Server, list[str]]
) -> None:
    _, server, _ = serving
    keywords = psycopg.conninfo.conninfo_to_dict(open_postgres(installation.settings()).dsn)
    where = f"host={keywords['host']}&port={keywords['port']}"
    server.start(TIDEMILL_DATABASE_URL=f"postgresql:///nobody?user=postgres&{where}")
    assert server.process is not None
    assert server.process.wait(30) == 2
    assert 'database "nobody" does not exist' in server.said


def test_a_server_that_is_stopped_while_it_waits_for_its_database_ends_well(
    serving: tuple[App, Server, list[str]],
) -> None:
    _, server, _ = serving
    server.start(TIDEMILL_DATABASE_URL=f"postgresql://postgres@127.0.0.1:{free_port()}/none?sslmode=disable")
    eventually(lambda: "It is waited for." in server.said, "it waits")
    assert server.stop() == 0
