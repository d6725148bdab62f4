"""A sync runs by itself when it is due, is tried again when that helps, and is paused when it does not."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from tests.contract.api import Reply
from tests.installation import Installation
from tests.syncs import NAME, Crm, People, prepare

from tidemill.app import App


@pytest.fixture
def app(installation: Installation) -> Any:
    with installation.app(outbound_allow="127.0.0.1") as opened:
        yield opened


def due(app: App) -> None:
    """It is due now."""
    sync = app.reverse_etl.syncs.get(NAME)
    app._sync_books.syncs.settle(sync.id, next_at=app._sync_books.syncs.now())


def work(app: App) -> None:
    """A worker does what is due."""
    while app.worker.look():
        app.worker.drain()


def test_a_sync_runs_when_it_is_due(installation: Installation, app: App, people: People, crm: Crm) -> None:
    prepare(app, installation, people, crm, interval="day")
    now = dt.datetime.now(dt.UTC)
    next_at = app.reverse_etl.syncs.get(NAME).next_at
    assert next_at is not None
    assert now < next_at <= now + dt.timedelta(days=1)
    work(app)
    assert not crm.asked
    due(app)
    assert app.any_work()
    work(app)
    assert crm.people == people.expected()
    found = app.reverse_etl.syncs.get(NAME)
    assert found.last is not None
    assert (found.last.status, found.last.began_by) == ("completed", "schedule")
    assert found.next_at == next_at


def test_one_that_is_paused_does_not(installation: Installation, app: App, people: People, crm: Crm) -> None:
    prepare(app, installation, people, crm)
    due(app)
    app.reverse_etl.syncs.pause(NAME, "me")
    work(app)
    assert not crm.asked
    app.reverse_etl.syncs.unpause(NAME)
    work(app)
    assert crm.people == people.expected()


def test_one_that_fails_again_and_again_is_paused_with_its_reason(
    installation: Installation, app: App, people: People, crm: Crm
) -> None:
    prepare(app, installation, people, crm, pause_after="2")
    crm.faults = [Reply(403, {"error": "no"})] * 3
    for _ in range(2):
        due(app)
        work(app)
    found = app.reverse_etl.syncs.get(NAME)
    assert found.status == "paused"
    assert found.pause_reason is not None
    assert found.pause_reason["code"] == "destination_denied"
    app.reverse_etl.syncs.unpause(NAME)
    crm.faults = []
    due(app)
    work(app)
    assert crm.people == people.expected()
    assert app.reverse_etl.syncs.get(NAME).status == "ready"


def test_what_a_dead_worker_had_goes_on(installation: Installation, app: App, people: People, crm: Crm) -> None:
    prepare(app, installation, people, crm)
    due(app)
    books = app._sync_books
    (taken,) = books.syncs.take("gone", 5)
    run = app.reverse_etl.syncs.begin(taken, "schedule")
    app.engine.launch()
    app.worker._missed_at = 0.0
    work(app)
    work(app)
    assert crm.people == people.expected()
    assert [(one.number, one.status) for one in books.runs.find(taken.id)] == [(1, "completed")]
    assert books.runs.get(run.id).written == 20
