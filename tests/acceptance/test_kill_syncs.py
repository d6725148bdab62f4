"""Kill -9 of syncs, wherever they are: a version of a row has one identity, and what the other side has acknowledged is
remembered."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.contract.api import Reply
from tests.installation import Installation
from tests.kill_syncs import ALLOWED, JOBS, Mortal, as_it_should_be, finish, made, one_identity_a_version, sync_run
from tests.served import Server
from tests.streams import eventually
from tests.syncs import NAME

from tidemill.errors import NotFoundError

TURNS = int(os.environ.get("TIDEMILL_SYNC_KILL_TURNS", "200"))
TABLES = {"path": "/datasets/[^/]+/tables$", "method": "GET", "times": 10_000}
LONG = {"seconds": 600}
AT_WORK = {**JOBS, "fault": "slow_job", **LONG}
#: What is wrong with BigQuery once the delivery has begun, in each turn: all that is asked of it then is the run's end.
TIDYING = {**TABLES, "fault": "delay_response", **LONG}
ENDS: list[list[dict[str, Any]]] = [
    [{**JOBS, "fault": "cut"}, AT_WORK, TIDYING],  # nothing is committed; the commit is at work
    [{**JOBS, "fault": "delay_response", **LONG}, TIDYING],  # something is committed, and nobody has heard of it
]


def fired(installation: Installation) -> Callable[[], bool]:
    """Whether what is to go wrong has gone wrong."""
    return lambda: any(fault["fired"] for fault in installation.local.faults())


def killed(installation: Installation, crm: Mortal, when: Callable[[], bool]) -> None:
    """The command is killed then; and what was wrong is well again."""
    try:
        assert sync_run(installation, killed=when) == -signal.SIGKILL
    finally:
        crm.let_go()
        installation.local.set_faults([])


def test_a_run_that_is_killed_at_each_of_its_steps(installation: Installation) -> None:
    with made(installation, 3_000) as (app, crm, people):
        installation.local.set_faults([AT_WORK])
        killed(installation, crm, fired(installation))
        for number, taken in ((2, False), (1, True)):
            crm.hold(number, taken=taken)
            killed(installation, crm, crm.reached.is_set)
        for turn, ends in enumerate(ENDS):
            for fault in ends:
                step = app.reverse_etl.syncs.show_run(NAME).step
                if step == "deliver":
                    crm.first = lambda fault=fault: installation.local.set_faults([fault])
                else:
                    installation.local.set_faults([fault])
                killed(installation, crm, fired(installation))
            finish(installation, app)
            assert len(app.reverse_etl.syncs.runs(NAME)) == 2 * turn + 2, "all that was killed was one run"
            as_it_should_be(installation, app, crm, people)
            people.change()


@pytest.mark.parametrize("access", ["full", "read-only"])
def test_a_run_that_is_killed_and_cancelled(installation: Installation, access: str) -> None:
    """What was on its way when it was killed may have got there: it comes again as the same, in the next run."""
    with made(installation, 600, access=access) as (app, crm, people):
        crm.hold(1, taken=True)
        killed(installation, crm, crm.reached.is_set)
        assert crm.people
        app.reverse_etl.syncs.cancel(NAME)
        assert sync_run(installation) == 6, "it is ended, and another one is done, of which some rows are refused"
        assert app.reverse_etl.syncs.show_run(NAME, 1).status == "cancelled"
        finish(installation, app)
        as_it_should_be(installation, app, crm, people)


@pytest.mark.parametrize(
    "harms", [("worker",), pytest.param(("all", "worker") * 5, marks=pytest.mark.torture)], ids=["once", "often"]
)
def test_a_worker_that_is_killed_in_a_scheduled_sync(
    installation: Installation, tmp_path: Path, harms: tuple[str, ...]
) -> None:
    server = Server(installation, tmp_path / "log")
    with made(installation, 1_200) as (app, crm, people):
        try:
            server.start(**ALLOWED)
            for harm in harms:
                crm.hold(1, taken=True)
                sync = app.reverse_etl.syncs.get(NAME)
                app._sync_books.syncs.settle(sync.id, next_at=app._sync_books.syncs.now())
                eventually(crm.reached.is_set, "rows are delivered")
                found = server.background()
                assert found is not None
                if harm == "worker":
                    found.kill()
                else:
                    server.kill()
                    server.start(**ALLOWED)
                crm.let_go()
                eventually(lambda: app.reverse_etl.syncs.show_run(NAME).status == "completed", "it is gone on with")
                one_identity_a_version(crm)
                people.change()
            assert [run.began_by for run in app.reverse_etl.syncs.runs(NAME)] == ["schedule"] * len(harms)
            assert server.stop() == 0, server.said
        finally:
            crm.let_go()
            server.kill()
        finish(installation, app)
        as_it_should_be(installation, app, crm, people)


def rounds(installation: Installation, turns: int, seed: int, number: int, access: str) -> int:
    """So many commands, killed wherever that may be, while the table changes and runs are cancelled. How many were."""
    draw, deaths = random.Random(seed), 0
    with made(installation, number, access=access) as (app, crm, people):
        for _ in range(turns):
            crm.faults = [draw.choice(TROUBLES)] * draw.choice([0, 0, 0, 1])
            deaths += sync_run(installation, killed=somewhere(installation, crm, draw)) == -signal.SIGKILL
            crm.let_go()
            installation.local.set_faults([])
            one_identity_a_version(crm)
            if draw.random() < 0.3:
                with contextlib.suppress(NotFoundError):  # it has come to its end
                    app.reverse_etl.syncs.cancel(NAME)
            if draw.random() < 0.3:
                people.change()
        crm.faults = []
        finish(installation, app)
        as_it_should_be(installation, app, crm, people)
    return deaths


#: It has taken the rows, and the answer is lost; it knows nobody; it can not now.
TROUBLES = (Reply(cut=True, after=True), Reply(401, {"error": "who are you?"}), Reply(503, {}))


def somewhere(installation: Installation, crm: Mortal, draw: random.Random) -> Callable[[], bool]:
    """When a command is to be killed: at one of its requests to either side, or any time."""
    match draw.choice(["bigquery", "bigquery", "delivery", "time"]):
        case "bigquery":
            fault = {"path": "/bigquery/v2/", "fault": draw.choice(["cut", "delay_response"]), **LONG}
            installation.local.set_faults([{**fault, "nth": draw.randint(1, 30)}])
            return fired(installation)
        case "delivery":
            crm.hold(draw.randint(1, 5), taken=draw.random() < 0.7)
            return crm.reached.is_set
        case _:
            until = time.monotonic() + draw.uniform(0, 4)
            return lambda: time.monotonic() > until


def test_commands_that_are_killed_anywhere(installation: Installation) -> None:
    rounds(installation, turns=3, seed=20_261_126, number=1_500, access="full")


@pytest.mark.torture
@pytest.mark.parametrize("access", ["full", "read-only"])
def test_commands_that_are_killed_anywhere_for_long(installation: Installation, access: str) -> None:
    assert rounds(installation, turns=TURNS, seed=time.time_ns(), number=30_000, access=access) > TURNS // 4
