"""The queue: each task is had by one worker, in order, within limits, and no export waits for all of another one."""

from __future__ import annotations

import concurrent.futures
import datetime as dt
from typing import Any

import pytest
import sqlalchemy as sa
from tests.integration.store import test_runs

from tidemill.store.connections import Connections
from tidemill.store.database import Database
from tidemill.store.exports import Exports
from tidemill.store.records import Export, Task
from tidemill.store.runs import Runs
from tidemill.store.schedules import Ready, Schedules
from tidemill.store.tasks import Tasks

BEGIN = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
JOINS = {"schedule": {"missed": "join"}}


@pytest.fixture
def tasks(database: Database) -> Tasks:
    return Tasks(database)


def export(
    database: Database, name: str, intervals: int, connection: str = "c", spec: dict[str, Any] | None = None
) -> Export:
    """An export of which so many intervals are in the queue."""
    known = {one.name: one for one in Connections(database).find()}
    owner = known.get(connection) or Connections(database).add(
        name=connection, project="p", dataset="d", adc=True, connected_by="me"
    )
    fields = {"name": name, "model": "events", "project": "p", "dataset": "d", "table_id": name}
    made = Exports(database).add(**fields, connection_id=owner.id, spec=spec or {}, created_by="me")
    schedules = Schedules(database)
    schedules.settle(made.id, BEGIN, BEGIN + HOUR)
    standing = schedules.get(made.id)
    assert standing is not None
    spans = [(BEGIN + n * HOUR, BEGIN + (n + 1) * HOUR, BEGIN) for n in range(intervals)]
    assert schedules.queue(standing, spans, BEGIN + (intervals + 1) * HOUR)
    return made


def more(database: Database, made: Export, intervals: int) -> None:
    """So many more of its intervals are in the queue."""
    schedules = Schedules(database)
    standing = schedules.get(made.id)
    assert standing is not None
    start = standing.next_start
    spans = [(start + n * HOUR, start + (n + 1) * HOUR, BEGIN) for n in range(intervals)]
    assert schedules.queue(standing, spans, start + (intervals + 1) * HOUR)


def hours(taken: list[Task]) -> list[int]:
    """Which intervals they are."""
    return [round((task.interval_start - BEGIN) / HOUR) for task in taken]


def test_schedules_that_somebody_is_at_hold_up_no_others(database: Database) -> None:
    made = [export(database, f"e{number}", 1) for number in range(50)]
    schedules = Schedules(database)
    now = BEGIN + 10 * HOUR
    held = made[7].id
    with database.begin() as other:
        other.execute(sa.text("SELECT 1 FROM tidemill.schedules WHERE export_id = :id FOR UPDATE"), {"id": held})
        found = schedules.due(now, 1_000)
        assert {one.id for _, one, _ in found} == {one.id for one in made}
        assert {queued for _, _, queued in found} == {1}
        ready = [
            Ready(standing, [(BEGIN + HOUR, BEGIN + 2 * HOUR, BEGIN)], BEGIN + 20 * HOUR) for standing, _, _ in found
        ]
        assert schedules.queue_all(ready) == {one.id for one in made} - {held}
    assert schedules.queue_all(ready) == {held}, "the others have gone on since"
    assert schedules.due(now, 1_000) == []
    assert {Tasks(database).count(one.id) for one in made} == {2}


def test_of_an_export_intervals_go_one_at_a_time_and_in_order(database: Database, tasks: Tasks) -> None:
    export(database, "one", 4)
    for number in range(4):
        (task,) = tasks.take("me", 10, 10)
        assert hours([task]) == [number]
        assert tasks.take("another", 10, 10) == []
        tasks.done(task)
    assert not tasks.any_due()


def test_what_waits_is_joined_if_it_is_said_so(database: Database, tasks: Tasks) -> None:
    made, other = export(database, "joins", 4, spec=JOINS), export(database, "does not", 4)
    taken = {task.export_id: task for task in tasks.take("me", 10, 10)}
    assert (taken[made.id].interval_start, taken[made.id].interval_end) == (BEGIN, BEGIN + 4 * HOUR)
    assert taken[other.id].interval_end == BEGIN + HOUR
    assert tasks.of_export(made.id) == [taken[made.id]], "it has that span for whoever takes it over, too"
    assert tasks.count(other.id) == 4
    assert Schedules(database).missing(made.id) == []
    tasks.done(taken[made.id])
    assert tasks.count(made.id) == 0


def test_an_interval_that_has_a_run_is_not_joined_but_those_behind_it_are(database: Database, tasks: Tasks) -> None:
    """What a run covers was frozen when it was planned."""
    made = export(database, "joins", 4, spec=JOINS)
    (begun,) = tasks.take("me", 1, 1)
    assert begun.interval_end == BEGIN + 4 * HOUR
    run = test_runs.planned(Runs(database), made.id, 0, 0, chunks=0)
    with database.begin() as connection:
        fields = {"id": run.id, "start": BEGIN, "end": BEGIN + 4 * HOUR}
        text = "UPDATE tidemill.runs SET scheduled = true, interval_start = :start, interval_end = :end WHERE id = :id"
        connection.execute(sa.text(text), fields)
    more(database, made, 3)
    tasks.again(begun, BEGIN, None, 1)
    (again,) = tasks.take("me", 10, 10)
    assert (again.id, again.interval_end) == (begun.id, BEGIN + 4 * HOUR)
    assert tasks.count(made.id) == 4
    tasks.done(again)
    (behind,) = tasks.take("me", 10, 10)
    assert (behind.interval_start, behind.interval_end) == (BEGIN + 4 * HOUR, BEGIN + 7 * HOUR)


def test_only_what_is_due_is_joined(database: Database, tasks: Tasks) -> None:
    made = export(database, "joins", 5, spec=JOINS)
    later = "UPDATE tidemill.tasks SET due_at = now() + interval '1 hour' WHERE interval_end = :end"
    with database.begin() as connection:
        connection.execute(sa.text(later), {"end": BEGIN + 3 * HOUR})
    (first,) = tasks.take("me", 10, 10)
    assert first.interval_end == BEGIN + 2 * HOUR
    assert hours(tasks.of_export(made.id)) == [0, 2, 3, 4], "none is joined over one that waits"


def test_what_comes_into_the_queue_while_it_is_joined_is_in_it_once(database: Database, tasks: Tasks) -> None:
    made = export(database, "joins", 3, spec=JOINS)
    before = Schedules(database).get(made.id)
    assert before is not None
    (first,) = tasks.take("me", 10, 10)
    more(database, made, 2)
    assert not Schedules(database).queue(before, [(BEGIN + HOUR, BEGIN + 2 * HOUR, BEGIN)], BEGIN + 3 * HOUR)
    assert [(task.interval_start, task.interval_end) for task in tasks.of_export(made.id)] == [
        (BEGIN, BEGIN + 3 * HOUR),
        (BEGIN + 3 * HOUR, BEGIN + 4 * HOUR),
        (BEGIN + 4 * HOUR, BEGIN + 5 * HOUR),
    ]
    assert tasks.abandon("me") == tasks.of_export(made.id)[:1]
    (taken,) = tasks.take("another", 10, 10)
    assert (taken.id, taken.interval_end) == (first.id, BEGIN + 5 * HOUR), "who had it never began its run"


def test_one_that_waits_to_be_tried_again_keeps_those_behind_it_waiting(database: Database, tasks: Tasks) -> None:
    made = export(database, "one", 2)
    (task,) = tasks.take("me", 10, 10)
    tasks.again(task, dt.datetime.now(dt.UTC) + HOUR, {"code": "x", "message": "X.", "hint": ""}, task.tries)
    assert tasks.take("me", 10, 10) == []
    tasks.hasten(made.id)
    (task,) = tasks.take("me", 10, 10)
    assert (hours([task]), task.tries) == ([0], 2)


def test_of_a_connection_no_more_run_at_once_than_is_allowed(database: Database, tasks: Tasks) -> None:
    for number in range(5):
        export(database, f"a{number}", 1, "a")
        export(database, f"b{number}", 1, "b")
    taken = tasks.take("me", 4, 3)
    taken += tasks.take("another", 100, 3)
    assert len(taken) == 6
    assert tasks.take("me", 100, 3) == []
    tasks.done(taken[0])
    assert len(tasks.take("me", 100, 3)) == 1


def test_an_export_with_many_intervals_lets_others_go_between(database: Database, tasks: Tasks) -> None:
    many = export(database, "many", 50)
    others = [export(database, f"other{number}", 2) for number in range(3)]
    order = []
    while found := tasks.take("me", 1, 10):
        order.append(found[0].export_id)
        tasks.done(found[0])
    assert len(order) == 56
    assert order[:8].count(many.id) == 2
    assert all(order[:8].count(other.id) == 2 for other in others)


def test_who_was_late_is_not_late_again(database: Database, tasks: Tasks) -> None:
    # Of each: how many minutes ago it was due, and its export was served.
    waiting = {"was late": (5, 10), "was not": (1, 20), "has a backlog": (180, 0.5)}
    made = {name: export(database, name, 1) for name in waiting}
    ago = "now() - make_interval(secs => :seconds) WHERE export_id = :id"
    with database.begin() as connection:
        for name, (due, served) in waiting.items():
            for change, minutes in (("tasks SET due_at", due), ("schedules SET served_at", served)):
                which = {"id": made[name].id, "seconds": minutes * 60}
                connection.execute(sa.text(f"UPDATE tidemill.{change} = {ago}"), which)
    order = [tasks.take("me", 1, 10)[0].export_id for _ in waiting]
    assert order == [export.id for export in made.values()]


def test_who_takes_at_once_takes_each_once(database: Database, tasks: Tasks) -> None:
    for number in range(30):
        export(database, f"e{number}", 3)

    def take(worker: int) -> list[Task]:
        mine: list[Task] = []
        while found := tasks.take(f"worker {worker}", 2, 1_000):
            mine += found
            for task in found:
                tasks.done(task)
        return mine

    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        taken = [task for found in threads.map(take, range(4)) for task in found]
    taken += take(0)  # what was behind one that another worker had just then
    assert len(taken) == 90
    assert len({task.id for task in taken}) == 90


def test_what_is_had_by_another_worker_now_is_not_ended_by_who_had_it_before(database: Database, tasks: Tasks) -> None:
    made = export(database, "one", 1)
    (before,) = tasks.take("asleep", 10, 10)
    assert tasks.workers() == ["asleep"]
    assert [task.id for task in tasks.abandon("asleep")] == [before.id]
    (after,) = tasks.take("awake", 10, 10)
    tasks.done(before)
    tasks.again(before, BEGIN, None, 0)
    assert [task.worker for task in tasks.of_export(made.id)] == ["awake"]
    tasks.done(after)
    assert tasks.count(made.id) == 0


def test_what_is_paused_is_not_taken(database: Database, tasks: Tasks) -> None:
    made = export(database, "one", 1)
    assert Schedules(database).pause(made.id, "me", None)
    assert not Schedules(database).pause(made.id, "me", None)
    assert tasks.take("me", 10, 10) == []


def test_two_schedulers_put_an_interval_into_the_queue_once(database: Database, tasks: Tasks) -> None:
    made = export(database, "one", 1)
    schedules = Schedules(database)
    standing = schedules.get(made.id)
    assert standing is not None
    span = (standing.next_start, standing.next_start + HOUR, BEGIN)
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        first = list(threads.map(lambda _: schedules.queue(standing, [span], span[1] + HOUR), range(8)))
    assert first.count(True) == 1
    assert tasks.count(made.id) == 2
