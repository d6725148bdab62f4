"""A sync is run by a worker because somebody wants it: once, however often and at whatever moment that is said."""

from __future__ import annotations

import concurrent.futures
from typing import Any

import pytest
from tests.api_client import work
from tests.contract.api import Reply
from tests.installation import Installation
from tests.syncs import NAME, Crm, People, prepare, run

from tidemill.app import App
from tidemill.errors import ConflictError, NotFoundError


def trigger(app: App, **options: Any) -> tuple[int, bool]:
    """Somebody wants it. Gives the number of the run, and whether that was there already."""
    found = app.sync_triggers.trigger(NAME, by="me", **options)
    return found.number, found.already


def numbers(app: App) -> list[int]:
    return [one.number for one in app.reverse_etl.syncs.runs(NAME)]


def status(app: App, number: int) -> str:
    return app.sync_triggers.state(NAME, number).status


def test_a_worker_does_it_and_once(installation: Installation, app: App, people: People, crm: Crm) -> None:
    prepare(app, installation, people, crm)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        found = [future.result() for future in [pool.submit(trigger, app) for _ in range(4)]]
    assert sorted(found) == [(1, False), (1, True), (1, True), (1, True)]
    assert status(app, 1) == "waiting"
    work(app)
    assert crm.people == people.expected()
    state = app.sync_triggers.wait(NAME, 1)
    assert state.run is not None
    assert (state.status, state.run.written, state.run.began_by) == ("completed", 20, "me")
    assert numbers(app) == [1]
    assert app.reverse_etl.syncs.get(NAME).next_at is None
    assert trigger(app) == (2, False)
    work(app)
    assert status(app, 2) == "skipped"
    assert trigger(app, force=True) == (3, False)
    work(app)
    assert status(app, 3) == "completed"


def test_the_schedule_stays(installation: Installation, app: App, people: People, crm: Crm) -> None:
    prepare(app, installation, people, crm, interval="day")
    next_at = app.reverse_etl.syncs.get(NAME).next_at
    trigger(app)
    work(app)
    assert crm.people == people.expected()
    assert app.reverse_etl.syncs.get(NAME).next_at == next_at


def test_another_schedule_does_not_make_it_forgotten(
    installation: Installation, app: App, people: People, crm: Crm
) -> None:
    prepare(app, installation, people, crm)
    trigger(app)
    app.reverse_etl.syncs.edit(NAME, {"interval": "week"})
    work(app)
    assert status(app, 1) == "completed"


def test_one_that_is_at_work_is_what_is_meant(installation: Installation, app: App, people: People, crm: Crm) -> None:
    prepare(app, installation, people, crm)
    trigger(app)
    books = app._sync_books
    (taken,) = books.syncs.take("other", 5)
    assert trigger(app) == (1, True)  # it has not begun yet
    app.reverse_etl.syncs.begin_due(taken)
    assert trigger(app) == (1, True)
    assert status(app, 1) == "running"


def test_what_is_wanted_as_a_run_is_over_is_another_one(
    installation: Installation, app: App, people: People, crm: Crm
) -> None:
    """The worker still has the sync, and its run is over: that one may have seen nothing of what is new."""
    prepare(app, installation, people, crm)
    trigger(app)
    books = app._sync_books
    (taken,) = books.syncs.take("other", 5)
    begun = app.reverse_etl.syncs.begin_due(taken)
    books.runs.finish(begun.id, "completed")
    assert trigger(app)[0] == 2
    books.syncs.done(taken, None, tries=0, failures=0)
    work(app)
    assert status(app, 2) == "completed"
    assert numbers(app) == [2, 1]


def test_one_by_hand_is_not_doubled_and_one_that_was_interrupted_is_gone_on_with(
    installation: Installation, app: App, people: People, crm: Crm
) -> None:
    prepare(app, installation, people, crm)
    books = app._sync_books
    sync = books.syncs.get(NAME)
    app.reverse_etl.syncs.begin(sync, "me")
    with app._locks.attempt(f"sync:{sync.id}") as held:
        assert held
        assert trigger(app) == (1, True)
        assert not books.syncs.any_due()
    assert trigger(app) == (1, True)
    work(app)
    assert status(app, 1) == "completed"
    assert numbers(app) == [1]


def test_one_that_is_paused_is_refused(installation: Installation, app: App, people: People, crm: Crm) -> None:
    prepare(app, installation, people, crm)
    trigger(app)
    app.reverse_etl.syncs.pause(NAME, "me")
    with pytest.raises(ConflictError) as caught:
        trigger(app)
    assert caught.value.code == "sync_paused"
    assert "unpause" in caught.value.hint
    state = app.sync_triggers.state(NAME, 1)
    assert state.error is not None
    assert (state.status, state.error["code"]) == ("waiting", "sync_paused")
    app.reverse_etl.syncs.unpause(NAME)
    work(app)
    assert status(app, 1) == "completed"


def test_why_it_could_not_begin_is_told(installation: Installation, app: App, people: People, crm: Crm) -> None:
    prepare(app, installation, people, crm)
    run(app)
    books = app._sync_books
    books.syncs.settle(books.syncs.get(NAME).id, columns=["other"])
    assert trigger(app) == (2, False)
    work(app)
    state = app.sync_triggers.state(NAME, 2)
    assert state.error is not None
    assert (state.status, state.run, state.error["code"]) == ("failed", None, "columns_changed")
    app.reverse_etl.syncs.reset(NAME, "adopt")
    assert trigger(app) == (2, False)
    assert status(app, 2) == "waiting"
    work(app)
    assert status(app, 2) == "completed"


def test_what_passes_by_itself_waits_and_who_asks_again_has_it_tried_at_once(
    installation: Installation, app: App, people: People, crm: Crm
) -> None:
    prepare(app, installation, people, crm)
    trigger(app)
    books = app._sync_books
    (taken,) = books.syncs.take("other", 5)
    later = books.syncs.now().replace(year=2100)
    books.syncs.done(taken, later)  # it is tried again later
    assert status(app, 1) == "waiting"
    work(app)
    assert status(app, 1) == "waiting"
    assert trigger(app) == (1, True)
    work(app)
    assert status(app, 1) == "completed"


def test_a_failed_run_is_told_as_failed(installation: Installation, app: App, people: People, crm: Crm) -> None:
    prepare(app, installation, people, crm)
    crm.faults = [Reply(403, {"error": "no"})] * 3
    trigger(app)
    work(app)
    state = app.sync_triggers.state(NAME, 1)
    assert state.error is not None
    assert (state.status, state.error["code"]) == ("failed", "destination_denied")


def test_a_run_that_nobody_wanted_is_not_there(installation: Installation, app: App, people: People, crm: Crm) -> None:
    prepare(app, installation, people, crm)
    with pytest.raises(NotFoundError):
        app.sync_triggers.state(NAME, 1)
    with pytest.raises(NotFoundError):
        app.sync_triggers.trigger("other", by="me")
