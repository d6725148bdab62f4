"""Runs that somebody wants: of the same one waits, each is had by one worker, within the limits of all queues."""

from __future__ import annotations

import concurrent.futures
import datetime as dt
import uuid

import pytest
from tests.integration.store import test_tasks

from tidemill.errors import ConflictError, NotFoundError
from tidemill.store.connections import Connections
from tidemill.store.database import Database
from tidemill.store.export_triggers import ExportTriggers
from tidemill.store.exports import Exports
from tidemill.store.records import Export
from tidemill.store.tasks import Tasks


@pytest.fixture
def triggers(database: Database) -> ExportTriggers:
    return ExportTriggers(database)


def export(database: Database, name: str, intervals: int = 0) -> Export:
    return test_tasks.export(database, name, intervals)


def test_of_the_same_one_waits(database: Database, triggers: ExportTriggers) -> None:
    made = export(database, "a")
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(triggers.add, made.id, "run", f"u{n}") for n in range(6)]
        found = [one.result() for one in asked]
    assert sorted(already for _, already in found) == [False, *[True] * 5]
    assert len({trigger.id for trigger, _ in found}) == 1
    _, other = triggers.add(made.id, "rejects", "me", code="too_large")
    assert not other
    assert triggers.add(made.id, "rejects", "me", code="too_large")[1]
    (taken,) = triggers.take("w", 10, 10)
    assert not triggers.add(made.id, "run", "me")[1], "the one at work may have looked too early"
    assert triggers.take("w", 10, 10) == [], "one of an export at a time"
    triggers.done(taken, [uuid.uuid4()])
    assert triggers.by_id(taken.id).finished_at is not None
    assert len(triggers.by_id(taken.id).runs) == 1


def test_what_a_dead_worker_had_is_taken_over(database: Database, triggers: ExportTriggers) -> None:
    made = export(database, "a")
    triggers.add(made.id, "run", "me")
    (taken,) = triggers.take("dead", 1, 10)
    triggers.add(made.id, "run", "me")
    assert triggers.workers() == ["dead"]
    assert [one.id for one in triggers.abandon("dead")] == [taken.id]
    (again,) = triggers.take("w", 10, 10)
    assert (again.id, again.tries) == (taken.id, 2)
    triggers.done(taken, [], {"code": "x", "message": "", "hint": ""})
    assert triggers.by_id(taken.id).finished_at is None, "it is another worker's"
    later = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    triggers.again(again, later, 1, None)
    assert triggers.take("w", 10, 10) == [], "those behind it wait for their turn"
    assert triggers.any()
    assert not triggers.workers()


def test_limits_of_a_connection_are_for_all_queues(database: Database, triggers: ExportTriggers) -> None:
    made = [export(database, f"e{number}", intervals=1) for number in range(4)]
    for one in made:
        triggers.add(one.id, "run", "me")
    tasks = Tasks(database)
    assert len(tasks.take("w", 10, 1)) == 1
    assert triggers.take("w", 10, 1) == []
    taken = triggers.take("w", 10, 3)
    assert len(taken) == 2
    assert tasks.take("w", 10, 3) == []


def test_nothing_is_wanted_of_what_goes(database: Database, triggers: ExportTriggers) -> None:
    made = export(database, "a")
    waits, _ = triggers.add(made.id, "run", "me")
    Connections(database).mark(made.connection_id, "me")
    with pytest.raises(ConflictError) as error:
        triggers.add(made.id, "rejects", "me")
    assert error.value.code == "connection_deleting"
    Exports(database).delete(made.id)
    for gone in (lambda: triggers.add(made.id, "run", "me"), lambda: triggers.by_id(waits.id)):
        with pytest.raises(NotFoundError):
            gone()
    assert not triggers.any()
