"""Exactly once, however often it is killed: `kill -9` of who streams, of who loads, and of the databases."""

from __future__ import annotations

import collections
import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from tests.capture_server import LIMIT_SECONDS, until
from tests.installation import Installation, copy_home, write_events
from tests.stream_kills import (
    APPEND,
    SMALL,
    Watch,
    database,
    end_sessions,
    exact,
    holder,
    kill_bigquery,
    kill_postgres,
    kill_when,
    load,
    make,
    send_all,
    start,
    stream,
)
from tests.streams import NAME

from tidemill.bigquery.local.service import LocalBigQuery

#: Of a file: so many commits, each of them a request.
EVENTS, COMMITS = 600, 12


@pytest.fixture
def installation(fresh_installation: Installation, made_home: Path) -> Installation:
    """A home that was made before, with a stream that has not begun."""
    copy_home(made_home, fresh_installation.home)
    make(fresh_installation)
    return fresh_installation


@pytest.fixture
def with_own_bigquery(made_home: Path, tmp_path: Path) -> Iterator[Installation]:
    """The same, with an embedded BigQuery that may be killed."""
    local = LocalBigQuery(tmp_path / "bigquery")
    local.start()
    local.create_dataset("d", "EU")
    home = tmp_path / "home"
    copy_home(made_home, home)
    made = Installation(home, local, "d", {**os.environ, "TIDEMILL_HOME": str(home), "COLUMNS": "200"})
    make(made)
    yield made
    local.stop()


@pytest.fixture
def watch(installation: Installation) -> Iterator[Watch]:
    """Sees how far the stream is."""
    made = Watch(installation)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def nobody_is_left() -> Iterator[None]:
    """Of the processes that stream, also if the test fails."""
    yield
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if NAME in child.cmdline():
                child.kill()


class Loading(threading.Thread):
    """Loads a file by a process that is killed after so many commits, and by another one after it."""

    def __init__(self, installation: Installation, file: Path, commits: int) -> None:
        super().__init__()
        self._installation, self._file, self._commits = installation, file, commits
        self.killed = self.done = False

    def run(self) -> None:
        """See the class."""
        with database(self._installation) as session:

            def newest() -> int:
                found = session.execute("SELECT max(snapshot_id) FROM tidemill_events.ducklake_snapshot").fetchone()
                return int(found[0]) if found else 0

            wanted = newest() + self._commits
            process = self._installation.start("events", "load", str(self._file), **SMALL)
            self.killed = kill_when(process, lambda: newest() >= wanted)
        load(self._installation, self._file)
        self.done = True


def in_flight(installation: Installation) -> bool:
    """Whether somebody left something in flight."""
    with installation.app() as app:
        return bool(stream(app).in_flight)


def rounds(installation: Installation, watch: Watch, tmp_path: Path, kills: int, seed: int) -> None:
    """Load and stream, file after file, until enough of both were killed, and of the streams with rows in flight."""
    draw = random.Random(seed)
    killed: collections.Counter[str] = collections.Counter()
    wanted: list[str] = []
    for turn in range(3 * kills):
        file = tmp_path / f"{turn}.jsonl"
        wanted += write_events(file, EVENTS, first=turn * EVENTS)
        loading = Loading(installation, file, draw.randint(1, COMMITS - 4))
        loading.start()
        for _ in range(3):
            process = start(installation, *draw.choice([(), ("--once",)]))
            killed["streams"] += kill_when(process, so_far(watch, draw.randint(0, COMMITS // 3), len(wanted)))
            until(lambda: holder(installation) is None, "it has lost the stream")
            killed["in flight"] += in_flight(installation)
        loading.join()
        assert loading.done
        killed["loads"] += loading.killed
        send_all(installation)
        exact(installation, wanted)
        if killed["streams"] >= kills and killed["loads"] >= kills // 3 and killed["in flight"] >= kills // 3:
            return
    raise AssertionError(f"too few were killed in the middle: {killed}")


def so_far(watch: Watch, appends: int, rows: int) -> Callable[[], bool]:
    """Whether so many appends were made from now on; or all is there, and no more will be."""
    reached = watch.more(appends)
    return lambda: reached() or watch.rows() >= rows


def test_killed_again_and_again_every_event_is_there_once(
    installation: Installation, watch: Watch, tmp_path: Path
) -> None:
    rounds(installation, watch, tmp_path, kills=4, seed=20_260_301)


@pytest.mark.torture
def test_killed_a_hundred_times_every_event_is_there_once(
    installation: Installation, watch: Watch, tmp_path: Path
) -> None:
    rounds(installation, watch, tmp_path, kills=100, seed=time.time_ns())


def power_cuts(installation: Installation, watch: Watch, tmp_path: Path, cuts: int, seed: int) -> None:
    """The machine loses its power while it loads and streams: all of it is gone at once."""
    draw = random.Random(seed)
    wanted: list[str] = []
    for turn in range(cuts):
        file = tmp_path / f"{turn}.jsonl"
        wanted += write_events(file, EVENTS, first=turn * EVENTS)
        at_work = [installation.start("events", "load", str(file), **SMALL), start(installation)]
        until(watch.more(draw.randint(1, COMMITS // 2)), "so much was sent")
        for process in at_work:
            process.kill()
        kill_postgres(installation.home)
        for process in at_work:
            process.communicate()
        load(installation, file)
        send_all(installation)
        exact(installation, wanted)


def test_a_power_cut(installation: Installation, watch: Watch, tmp_path: Path) -> None:
    power_cuts(installation, watch, tmp_path, 2, seed=20_260_302)


@pytest.mark.torture
def test_power_cuts(installation: Installation, watch: Watch, tmp_path: Path) -> None:
    power_cuts(installation, watch, tmp_path, 30, seed=time.time_ns())


def bigquery_kills(installation: Installation, tmp_path: Path, kills: int, seed: int) -> None:
    """BigQuery is killed under a stream, which waits until it is back; every third time they die together."""
    draw = random.Random(seed)
    wanted: list[str] = []
    with contextlib.closing(Watch(installation)) as watch:
        process = start(installation)
        for turn in range(kills):
            file = tmp_path / f"{turn}.jsonl"
            wanted += write_events(file, EVENTS, first=turn * EVENTS)
            reached = watch.more(draw.randint(1, COMMITS // 2))
            loading = installation.start("events", "load", str(file), **SMALL)
            until(reached, "so much was sent")
            kill_bigquery(installation.local)
            if turn % 3 == 1:
                kill_when(process, lambda: True)
                until(lambda: holder(installation) is None, "it has lost the stream")
                process = start(installation)
            assert process.poll() is None, process.communicate()
            installation.local.start()
            loading.communicate(timeout=LIMIT_SECONDS)
            assert loading.returncode == 0
            until(lambda: watch.rows() >= len(wanted), "all is sent")  # noqa: B023 - it is asked right here
        process.terminate()
        _, said = process.communicate(timeout=LIMIT_SECONDS)
        assert process.returncode == 0, said
    exact(installation, wanted)


def test_bigquery_is_killed(with_own_bigquery: Installation, tmp_path: Path) -> None:
    bigquery_kills(with_own_bigquery, tmp_path, 2, seed=20_260_303)


@pytest.mark.torture
def test_bigquery_is_killed_many_times(with_own_bigquery: Installation, tmp_path: Path) -> None:
    bigquery_kills(with_own_bigquery, tmp_path, 40, seed=time.time_ns())


def slow(seconds: float, **more: int) -> list[dict[str, object]]:
    """Rows are taken at once, and answers come late."""
    return [{"path": APPEND, "method": "GRPC", "fault": "delay_response", "seconds": seconds, **more}]


def test_who_is_asked_to_stop_waits_for_what_is_on_its_way(
    installation: Installation, watch: Watch, tmp_path: Path
) -> None:
    """And ends well, with nothing in flight."""
    wanted = write_events(tmp_path / "events.jsonl", EVENTS)
    load(installation, tmp_path / "events.jsonl")
    installation.local.set_faults(slow(0.05, times=10_000))
    reached = watch.more(3)
    process = start(installation)
    until(reached, "it sends")
    process.terminate()
    _, said = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == 0, said
    assert "Waiting for what is on its way" in said
    installation.local.set_faults([])
    with installation.app() as app:
        runs = app.exports.runs.find(NAME, limit=9)
        assert [run.status for run in runs] == ["completed"]
        assert stream(app).in_flight == []
        assert app.exports.tables.verify(NAME, by="tester").different == ()
    sent = installation.uuids()
    assert len(sent) == len(set(sent)) == runs[0].rows_done
    send_all(installation)
    exact(installation, wanted)


def test_who_is_asked_twice_leaves_at_once(installation: Installation, watch: Watch, tmp_path: Path) -> None:
    """An answer that does not come is not waited for; who goes on finds out what became of it."""
    wanted = write_events(tmp_path / "events.jsonl", EVENTS)
    load(installation, tmp_path / "events.jsonl")
    installation.local.set_faults(slow(3600, nth=3))
    reached = watch.more(2)  # the third one is not in the log before it is answered
    process = start(installation)
    until(lambda: reached() and len(installation.uuids()) >= 3 * 50, "the third request is in the table")
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    assert "Waiting for what is on its way" in "".join(process.stderr.readline() for _ in range(2))
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    installation.local.set_faults([])
    send_all(installation)
    exact(installation, wanted)


def test_a_second_process_is_told_that_there_is_one(installation: Installation, watch: Watch, tmp_path: Path) -> None:
    """And takes its place once it is killed."""
    wanted = write_events(tmp_path / "events.jsonl", EVENTS)
    load(installation, tmp_path / "events.jsonl")
    reached = watch.more(2)
    first = start(installation)
    until(reached, "it sends")
    second = installation.run("export", "stream", NAME, "--once", **SMALL)
    assert second.returncode == 5
    assert "Another process streams" in second.stderr
    assert first.poll() is None
    wanted += write_events(tmp_path / "more.jsonl", EVENTS, first=EVENTS)
    reached = watch.more(2)
    load(installation, tmp_path / "more.jsonl")
    kill_when(first, reached)
    send_all(installation)
    exact(installation, wanted)


def sleepers(installation: Installation, watch: Watch, tmp_path: Path, turns: int, seed: int) -> None:
    """A process is stopped, loses the stream to another one, and is woken when that is done, or while it goes on.

    It loses one session of PostgreSQL, or all.
    """
    draw = random.Random(seed)
    wanted: list[str] = []
    for turn in range(turns):
        file = tmp_path / f"{turn}.jsonl"
        wanted += write_events(file, EVENTS, first=2 * turn * EVENTS)
        load(installation, file)
        reached = watch.more(draw.randint(1, COMMITS // 2))
        first = start(installation)
        until(reached, "it sends")
        first.send_signal(signal.SIGSTOP)
        end_sessions(installation, every=turn % 4 in {1, 2})
        second = None
        if turn % 2:
            reached = so_far(watch, 1, len(wanted))
            second = start(installation)
            until(reached, "another one goes on")
        else:
            send_all(installation)
            exact(installation, wanted)
        wanted += write_events(file, EVENTS // 4, first=(2 * turn + 1) * EVENTS)
        load(installation, file)
        first.send_signal(signal.SIGCONT)
        if second is not None:
            until(lambda: watch.rows() >= len(wanted), "all is sent")  # noqa: B023 - it is asked right here
            second.terminate()
            _, said = second.communicate(timeout=LIMIT_SECONDS)
            assert second.returncode == 0, said
        first.terminate()
        first.communicate(timeout=LIMIT_SECONDS)
        send_all(installation)
        exact(installation, wanted)


def test_who_was_asleep_does_no_harm(installation: Installation, watch: Watch, tmp_path: Path) -> None:
    sleepers(installation, watch, tmp_path, 2, seed=20_260_304)


@pytest.mark.torture
def test_many_who_were_asleep_do_no_harm(installation: Installation, watch: Watch, tmp_path: Path) -> None:
    sleepers(installation, watch, tmp_path, 40, seed=time.time_ns())


def test_a_stream_goes_on_when_its_postgresql_was_killed(
    installation: Installation, watch: Watch, tmp_path: Path
) -> None:
    """By itself, and it has the stream for itself again."""
    wanted = write_events(tmp_path / "events.jsonl", EVENTS)
    load(installation, tmp_path / "events.jsonl")
    reached = watch.more(3)
    process = start(installation)
    until(reached, "it sends")
    kill_postgres(installation.home)
    wanted += write_events(tmp_path / "more.jsonl", EVENTS, first=EVENTS)
    load(installation, tmp_path / "more.jsonl")
    until(lambda: process.poll() is not None or watch.rows() >= len(wanted), "all is sent")
    assert process.poll() is None, process.communicate()
    assert holder(installation) is not None
    process.terminate()
    assert process.wait(LIMIT_SECONDS) == 0, process.communicate()
    process.communicate()
    exact(installation, wanted)
