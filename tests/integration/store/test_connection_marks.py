"""A connection that is being deleted: nothing is begun on it, and who was about to begin is seen."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from tests.streams import eventually

from tidemill.errors import ConflictError
from tidemill.store import tables
from tidemill.store.backfills import Backfills
from tidemill.store.connections import Connections, assert_kept, of_export
from tidemill.store.database import Database
from tidemill.store.exports import Exports
from tidemill.store.records import Connection, Export
from tidemill.store.runs import Runs
from tidemill.store.streams import StreamHeldError, Streams

RUN: dict[str, Any] = {
    "mode": "append",
    "spec": {},
    "snapshot_after": 0,
    "snapshot_upto": 5,
    "rows_planned": 0,
    "created_by": "me",
}
WAITS = sa.text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%deleting_at%'")


@pytest.fixture
def connection(database: Database) -> Connection:
    return Connections(database).add(name="a", project="p", dataset="d", adc=True, connected_by="me")


@pytest.fixture
def export(database: Database, connection: Connection) -> Export:
    fields = {"model": "events", "project": "p", "dataset": "d", "table_id": "t", "spec": {}, "created_by": "me"}
    return Exports(database).add(name="e", connection_id=connection.id, **fields)


def test_nothing_is_begun_on_one_that_is_marked(database: Database, connection: Connection, export: Export) -> None:
    runs, backfills, streams = Runs(database), Backfills(database), Streams(database)
    failed = runs.plan(export.id, RUN, [])
    runs.fail(failed.id, ConflictError("x", "y"), cancelled=True, attempt=1)
    stream = streams.claim(export.id)
    fields: dict[str, Any] = {
        "time_from": None,
        "time_to": None,
        "every": "day",
        "upto": 1,
        "intervals": [],
        "created_by": "me",
    }
    backfill = backfills.add(export.id, **fields)
    backfills.mark(backfill.id, "paused")
    paused = backfills.by_id(backfill.id)
    Connections(database).mark(connection.id, "ana")
    begins: list[Callable[[], object]] = [
        lambda: runs.plan(export.id, RUN, []),
        lambda: runs.resume(failed.id, "w", expected_attempt=1),
        lambda: backfills.take(paused, "w"),
        lambda: backfills.add(export.id, **fields),
        lambda: Connections(database).usable("A"),
    ]
    for begin in begins:
        with pytest.raises(ConflictError, match="The connection a is being deleted") as refused:
            begin()
        assert refused.value.code == "connection_deleting"
    assert streams.held(export.id)
    with pytest.raises(StreamHeldError):
        streams.begin_run(stream, spec={}, interval_start=None, created_by="me", attempt=1)


def test_the_mark_is_that_of_who_was_first(database: Database, connection: Connection) -> None:
    first = Connections(database).mark(connection.id, "ana")
    assert Connections(database).mark(connection.id, "bob") == first
    assert (first.deleting_by, first.deleting_at is None) == ("ana", False)
    Connections(database).delete(connection.id)


def waits(database: Database) -> bool:
    """Whether somebody waits to mark one."""
    with database.begin() as session:
        return bool(session.scalar(WAITS))


def test_who_is_about_to_begin_is_waited_for(database: Database, connection: Connection, export: Export) -> None:
    """So who looks after the mark what is at work sees it."""
    seen: list[uuid.UUID] = []

    def mark() -> None:
        Connections(database).mark(connection.id, "ana")
        seen.extend(run.id for run in Runs(database).running(export.id))

    marking = threading.Thread(target=mark)
    with database.begin() as session:
        assert_kept(session, of_export(export.id))
        marking.start()
        eventually(lambda: waits(database), "it waits")
        values = {**RUN, "id": uuid.uuid4(), "export_id": export.id, "number": 1, "status": "running"}
        session.execute(sa.insert(tables.runs).values(**values))
    marking.join()
    assert seen == [values["id"]]
