"""Kill -9 of imports, wherever they are: each event is there once, and people are as their rows are."""

from __future__ import annotations

import contextlib
import functools
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.installation import Installation
from tests.kill_imports import (
    BAD,
    COMMITS,
    DELETES,
    FIRST,
    IMPORTS,
    JOURNALS,
    Gate,
    as_it_should_be,
    beside,
    finish,
    gate,
    import_run,
    made,
)
from tests.kill_syncs import JOBS
from tests.served import Server
from tests.streams import eventually

from tidemill.app import App
from tidemill.errors import NotFoundError

TURNS = int(os.environ.get("TIDEMILL_IMPORT_KILL_TURNS", "100"))
MILLION = int(os.environ.get("TIDEMILL_IMPORT_ROWS", "1000000"))
LONG = {"seconds": 600}
AT_WORK = {**JOBS, "fault": "slow_job", **LONG}
UNHEARD = {**JOBS, "fault": "delay_response", **LONG}
TIDYING = {"path": "/datasets/[^/]+/tables$", "method": "GET", "times": 10_000, "fault": "delay_response", **LONG}


def fired(installation: Installation) -> Callable[[], bool]:
    """Whether what is to go wrong has gone wrong."""
    return lambda: any(fault["fired"] for fault in installation.local.faults())


def killed_by(installation: Installation, name: str, faults: list[dict[str, Any]]) -> None:
    """Kill a run when that is wrong with BigQuery; then it is well again."""
    installation.local.set_faults(faults)
    try:
        assert import_run(installation, name, killed=fired(installation)) == -signal.SIGKILL
    finally:
        installation.local.set_faults([])


def killed_at(installation: Installation, opened: Gate, name: str, step: tuple[str, str]) -> None:
    """Kill a run when it is about to write that down."""
    with opened.held(*step) as reached:
        assert import_run(installation, name, killed=reached) == -signal.SIGKILL


EVENTS = [pytest.param(one, marks=pytest.mark.torture) for one in IMPORTS if one != "people"]


@pytest.mark.parametrize("name", ["people", *EVENTS])
def test_an_import_that_is_killed_at_each_of_its_steps(installation: Installation, name: str) -> None:
    with made(installation, 600) as (app, market), gate(installation) as opened:
        import_run(installation, name)
        market.change()
        killed_by(installation, name, [AT_WORK])  # it plans
        for step in (COMMITS, DELETES, JOURNALS) if name == "people" else (COMMITS, JOURNALS):
            killed_at(installation, opened, name, step)
        killed_by(installation, name, [{**JOBS, "fault": "cut"}, AT_WORK])  # it is about to remember
        killed_by(installation, name, [UNHEARD])  # it has, and does not know it
        killed_by(installation, name, [TIDYING])
        finish(installation, app, name)
        assert app.reverse_etl.syncs.show_run(name, 2).status == "completed", "all that was killed was one run"
        as_it_should_be(app, opened, market, (name,))


@pytest.mark.parametrize("name", ["people", *EVENTS])
def test_an_import_that_is_killed_and_cancelled(installation: Installation, name: str) -> None:
    """What it has committed by then is there, and is not there twice when it comes again, nor as it was once."""
    with made(installation, 400) as (app, market), gate(installation) as opened:
        killed_at(installation, opened, name, JOURNALS)
        app.reverse_etl.syncs.cancel(name)
        market.change()
        finish(installation, app, name)
        assert app.reverse_etl.syncs.show_run(name, 1).status == "cancelled"
        as_it_should_be(app, opened, market, (name,))


@pytest.mark.parametrize("harms", [1, pytest.param(10, marks=pytest.mark.torture)], ids=["once", "often"])
def test_imports_of_several_processes_at_once(installation: Installation, tmp_path: Path, harms: int) -> None:
    """Commands of the same import take turns, others go on beside it, and a worker that is killed is followed."""
    server = Server(installation, tmp_path / "log")
    with made(installation, 400) as (app, market), gate(installation) as opened:
        try:
            server.start()
            for harm in range(harms):
                with opened.held(*JOURNALS) as reached:
                    _due(app, "mirror")
                    eventually(reached, "the worker has committed events")
                    assert import_run(installation, "mirror") == 5, "another process is at work on it"
                    found = server.background()
                    assert found is not None
                    if harm % 2:
                        server.kill()
                    else:
                        found.kill()
                if harm % 2:
                    server.start()
                with beside(lambda: import_run(installation, "people")):
                    import_run(installation, "once")
                eventually(lambda: app.reverse_etl.syncs.show_run("mirror").status == "completed", "it is gone on with")
                market.change()
            assert server.stop() == 0, server.said
        finally:
            server.kill()
        for name in IMPORTS:
            finish(installation, app, name)
        as_it_should_be(app, opened, market)


def _due(app: App, name: str) -> None:
    books = app.reverse_etl.syncs.parts.books
    books.syncs.settle(app.imports.get(name).id, next_at=books.syncs.now())


def rounds(installation: Installation, turns: int, seed: int, number: int) -> int:
    """So many commands, killed wherever that may be, or two at once, while the table changes and runs are cancelled.
    How many were killed."""
    draw, deaths = random.Random(seed), list[int]()

    def one(name: str, when: Callable[[], bool] | None) -> None:
        deaths.append(import_run(installation, name, killed=when) == -signal.SIGKILL)

    with made(installation, number) as (app, market), gate(installation) as opened:
        for _ in range(turns):
            name = draw.choice(list(IMPORTS))
            with somewhere(installation, opened, draw) as when, contextlib.ExitStack() as others:
                if draw.random() < 0.3:
                    others.enter_context(beside(functools.partial(one, name, sometime(draw))))
                one(name, when)
            if draw.random() < 0.3:
                with contextlib.suppress(NotFoundError):  # it has come to its end
                    app.reverse_etl.syncs.cancel(name)
            if draw.random() < 0.3:
                market.change()
        for name in IMPORTS:
            finish(installation, app, name)
        as_it_should_be(app, opened, market)
    return sum(deaths)


def sometime(draw: random.Random) -> Callable[[], bool]:
    """When some seconds are over."""
    until = time.monotonic() + draw.uniform(0, 4)
    return lambda: time.monotonic() > until


@contextlib.contextmanager
def somewhere(installation: Installation, opened: Gate, draw: random.Random) -> Iterator[Callable[[], bool]]:
    """When a command is to be killed: at one of its requests to BigQuery, when it writes something down, or any time.
    What does not come is not waited for."""
    late = sometime(draw)
    match draw.choice(["bigquery", "step", "time"]):
        case "bigquery":
            fault = {"path": "/bigquery/v2/", "fault": draw.choice(["cut", "delay_response"]), **LONG}
            installation.local.set_faults([{**fault, "nth": draw.randint(1, 30)}])
            try:
                yield fired(installation)
            finally:
                installation.local.set_faults([])
        case "step":
            with opened.held(*draw.choice([COMMITS, JOURNALS, DELETES])) as reached:
                yield reached
        case _:
            yield late


def test_imports_that_are_killed_anywhere(installation: Installation) -> None:
    rounds(installation, turns=3, seed=20_261_127, number=500)


@pytest.mark.torture
def test_imports_that_are_killed_anywhere_for_long(installation: Installation) -> None:
    assert rounds(installation, turns=TURNS, seed=time.time_ns(), number=45_000) > TURNS // 4


@pytest.mark.torture
def test_a_million_rows(installation: Installation) -> None:
    """Killed at many of its pieces, gone on with, run again, and by two processes at once."""
    rows = MILLION
    draw = random.Random(time.time_ns())
    with made(installation, rows) as (app, _), gate(installation) as opened:
        for _ in range(8):
            with beside(lambda: import_run(installation, "once")) if draw.random() < 0.3 else contextlib.nullcontext():
                import_run(installation, "once", killed=_later(opened, draw.randint(1, 12)))
        finish(installation, app, "once")
        runs = app.reverse_etl.syncs.runs("once", 100)
        assert [run.status for run in runs].count("completed") == len(runs)
        app.reverse_etl.syncs.reset("once", "resend")
        import_run(installation, "once", "--force", killed=_later(opened, 20))
        finish(installation, app, "once")
        good = [n for n in range(rows) if n % BAD != 1]
        with app.lake.cursor() as cursor:
            asked = (
                "SELECT count(*), count(DISTINCT uuid), count(DISTINCT number), sum(number), "
                "count(*) FILTER (distinct_id = 'b' || number % 50 AND epoch(timestamp) = ? + number) "
                "FROM (SELECT *, (properties->>'number')::BIGINT AS number FROM lake.events)"
            )
            [found] = cursor.execute(asked, [int(FIRST.timestamp())]).fetchall()
        assert found == (len(good), len(good), len(good), sum(good), len(good))


def _later(opened: Gate, pieces: int) -> Callable[[], bool]:
    """When so many commits more are written down."""
    asked = "SELECT count(*) FROM tidemill_events.ducklake_snapshot"
    begun = int(opened.ask(asked)[0][0])
    return lambda: int(opened.ask(asked)[0][0]) >= begun + pieces
