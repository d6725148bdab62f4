"""What nobody does that should be done is found: runs not begun, intervals without a run, streams that stand still."""

from __future__ import annotations

import datetime as dt
import threading
from pathlib import Path

import pytest
from tests.installation import Installation
from tests.notices import kinds, made_channel, made_export, told
from tests.schedules import due, record, work
from tests.streams import NAME, make_stream

from tidemill.exports import alarms, lookout
from tidemill.exports.lookout import LATE, Lookout
from tidemill.store import locks
from tidemill.store.database import Database
from tidemill.store.records import Export, Standing
from tidemill.store.records_notify import RECOVERED, Channel
from tidemill.store.schedules import Schedules
from tidemill.store.streams import Streams, moving
from tidemill.store.tasks import Tasks

HOUR, MINUTE = dt.timedelta(hours=1), dt.timedelta(minutes=1)


@pytest.fixture
def looking(database: Database) -> Lookout:
    return Lookout.of(database)


@pytest.fixture
def channel(database: Database) -> Channel:
    return made_channel(database)


def scheduled(database: Database, next_end: dt.timedelta, name: str = "e") -> Export:
    """An export by hours, whose next interval ends so long from now."""
    export, schedules = made_export(database, name), Schedules(database)
    end = schedules.now() + next_end
    schedules.settle(export.id, end - HOUR, end)
    schedules.change(export.id, expected_from=end - 2 * HOUR, next_start=end - HOUR)
    fill(database, export, end - 2 * HOUR, end - HOUR)
    return export


def fill(database: Database, export: Export, start: dt.datetime, end: dt.datetime) -> None:
    """A run of the schedule was made of an interval."""
    run = "INSERT INTO tidemill.runs (id, export_id, number, status, mode, spec, snapshot_after, snapshot_upto, "
    run += "rows_planned, created_by, scheduled, interval_start, interval_end) SELECT gen_random_uuid(), %s, "
    run += "(SELECT count(*) FROM tidemill.runs), 'completed', 'append', '{}', 0, 0, 0, 'schedule', true, %s, %s"
    with database.begin() as connection:
        connection.exec_driver_sql(run, (export.id, start, end))


def served(database: Database, export: Export) -> None:
    """A server has run here."""
    Schedules(database).change(export.id, served_at=dt.datetime.now(dt.UTC))


def standing(database: Database, export: Export) -> Standing:
    found = Schedules(database).get(export.id)
    assert found is not None
    return found


def enqueue(database: Database, export: Export) -> None:
    """Its interval is put into the queue."""
    found = standing(database, export)
    assert found.next_end is not None
    span = (found.next_start, found.next_end, found.next_end)
    assert Schedules(database).queue(found, [span], found.next_end + HOUR)


def test_a_schedule_that_nobody_looks_at_is_overdue_until_somebody_does(
    database: Database, looking: Lookout, channel: Channel
) -> None:
    late, soon = scheduled(database, -LATE - MINUTE, "late"), scheduled(database, MINUTE - LATE, "soon")
    looking.look()
    assert told(database, channel) == []  # no server has ever run here
    served(database, soon)
    looking.look()
    looking.look()
    (message,) = told(database, channel)
    assert (message.kind, message.facts["export"]) == ("overdue", "late")
    assert "tidemill doctor" in message.facts["commands"]
    enqueue(database, late)  # it has waited since then
    looking.look()
    assert kinds(database, channel) == ["overdue", RECOVERED]


def test_a_task_that_nobody_takes_is_overdue_and_one_behind_another_is_not(
    database: Database, looking: Lookout, channel: Channel
) -> None:
    export = scheduled(database, -2 * HOUR)
    served(database, export)
    for _ in range(2):
        enqueue(database, export)
    looking.look()
    assert told(database, channel) == []
    with database.begin() as connection:
        connection.exec_driver_sql("UPDATE tidemill.tasks SET created_at = created_at - %s", (HOUR,))
    looking.look()
    assert kinds(database, channel) == ["overdue"]
    (task,) = Tasks(database).take("me", 1, 1)
    looking.look()
    assert kinds(database, channel) == ["overdue", RECOVERED]
    Tasks(database).again(task, Schedules(database).now() + HOUR, None, 0)
    looking.look()
    assert len(told(database, channel)) == 2


def test_what_is_paused_is_not_overdue_and_that_is_no_recovery(
    database: Database, looking: Lookout, channel: Channel
) -> None:
    export = scheduled(database, -HOUR)
    served(database, export)
    looking.look()
    Schedules(database).pause(export.id, "me", None)
    looking.look()
    assert kinds(database, channel) == ["overdue"]
    Schedules(database).change(export.id, paused_at=None)
    looking.look()
    assert kinds(database, channel) == ["overdue"]  # it was told within the day


def test_an_interval_without_a_run_is_told_once_and_has_no_end(
    database: Database, looking: Lookout, channel: Channel
) -> None:
    whole, gap = scheduled(database, HOUR, "whole"), scheduled(database, HOUR, "gap")
    looking.look()
    assert told(database, channel) == []
    for export in (whole, gap):
        found = standing(database, export)
        assert found.next_end is not None
        skipped = found.next_start + HOUR
        Schedules(database).change(export.id, next_start=skipped, next_end=found.next_end + HOUR)
        if export is whole:
            fill(database, export, found.next_start, skipped)
    looking.look(gaps=False)
    assert told(database, channel) == []
    looking.look()
    looking.look()
    (message,) = told(database, channel)
    assert (message.kind, message.facts["export"]) == ("missing", "gap")
    begin = standing(database, gap).next_start - HOUR
    assert f"{begin:%Y-%m-%d %H:%M} UTC to" in message.facts["message"]
    fill(database, gap, begin, begin + HOUR)
    looking.look()
    assert kinds(database, channel) == ["missing"]


def test_a_gap_before_a_run_of_lately_is_found(database: Database, looking: Lookout, channel: Channel) -> None:
    export = scheduled(database, HOUR)
    found = standing(database, export)
    Schedules(database).change(export.id, next_start=found.next_start + HOUR)
    fill(database, export, found.next_start + HOUR / 2, found.next_start + HOUR)
    looking.look()
    (message,) = told(database, channel)
    assert message.kind == "missing"


def streamed(database: Database, trouble: dict[str, str] | None, by: str = "tidemill serve") -> Export:
    """A stream that has begun."""
    export = made_export(database, "live")
    Streams(database).claim(export.id)
    Streams(database).tell(export.id, trouble)
    fill(database, export, dt.datetime(2026, 1, 1, tzinfo=dt.UTC), dt.datetime(2026, 1, 2, tzinfo=dt.UTC))
    with database.begin() as connection:
        connection.exec_driver_sql('UPDATE tidemill.exports SET spec = \'{"mode": "stream"}\'')
        connection.exec_driver_sql(
            "UPDATE tidemill.runs SET mode = 'stream', scheduled = false, created_by = %s", (by,)
        )
    return export


TROUBLE = {
    "code": "permission_missing",
    "message": "The permission bigquery.tables.get is missing.",
    "hint": "Grant it.",
}


def test_a_stream_that_stands_still_for_a_while_is_told_and_when_it_goes_on(
    database: Database, looking: Lookout, channel: Channel
) -> None:
    export, now = streamed(database, TROUBLE, "me"), dt.datetime.now(dt.UTC)
    looking.look(now=now)
    assert told(database, channel) == []
    looking.look(now=now + alarms.STANDS_STILL)
    (message,) = told(database, channel)
    assert (message.kind, message.facts["permission"]) == ("stream", "bigquery.tables.get")
    Streams(database).tell(export.id, None)  # it is tried again, and has no trouble at first
    looking.look(now=now + alarms.STANDS_STILL + MINUTE)
    assert len(told(database, channel)) == 1
    looking.look(now=now + 2 * alarms.STANDS_STILL)
    assert kinds(database, channel) == ["stream", RECOVERED]


def test_a_stream_that_a_server_has_moved_and_nobody_does_is_told(
    database: Database, looking: Lookout, channel: Channel
) -> None:
    export, now = streamed(database, None), dt.datetime.now(dt.UTC)
    with locks.hold(database.postgres, moving(export.id)):
        looking.look(now=now - HOUR)
    looking.look(now=now)
    looking.look(now=now + alarms.STANDS_STILL)
    (message,) = told(database, channel)
    assert message.facts["code"] == "stream_not_moved"


def test_a_stream_that_somebody_moves_by_hand_now_and_then_is_not(
    database: Database, looking: Lookout, channel: Channel
) -> None:
    streamed(database, None, "me")
    now = dt.datetime.now(dt.UTC)
    for hours in range(3):
        looking.look(now=now + hours * HOUR)
    assert told(database, channel) == []


def test_many_that_look_at_once_tell_it_once(database: Database, channel: Channel) -> None:
    export = scheduled(database, -HOUR)
    served(database, export)
    threads = [threading.Thread(target=Lookout.of(database).look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert kinds(database, channel) == ["overdue"]


def test_it_looks_each_minute_and_not_when_a_server_begins(
    database: Database, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    served(database, scheduled(database, -HOUR))
    looking = Lookout.of(database)
    looking.look_now_and_then()
    assert told(database, channel) == []
    monkeypatch.setattr(lookout, "_LOOKS_EVERY_SECONDS", 0.0)
    looking.look_now_and_then()
    assert kinds(database, channel) == ["overdue"]


def test_real_exports_are_well(installation: Installation, tmp_path: Path) -> None:
    """Of what runs and streams as it should nothing is told."""
    with due(installation, tmp_path) as (app, _):
        make_stream(app)
        channel = made_channel(app.database)
        work(app)
        app.lookout.look()
        assert record(app, NAME).spec["mode"] == "stream"
        assert told(app.database, channel) == []
