"""Runs that were over long ago are forgotten, but for those that something needs."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from typing import Any

import pytest
import sqlalchemy as sa
from tests.integration.store import test_runs

from tidemill.store.backfills import Backfills
from tidemill.store.connections import Connections
from tidemill.store.database import Database
from tidemill.store.exports import Exports
from tidemill.store.loads import Rejects
from tidemill.store.old_runs import OldRuns
from tidemill.store.records import Export, Run
from tidemill.store.runs import Runs
from tidemill.store.schedules import Schedules

NOW = dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


@dataclasses.dataclass
class History:
    """The runs of an export, one a day."""

    database: Database
    export: Export

    @property
    def runs(self) -> Runs:
        return Runs(self.database)

    @property
    def old(self) -> OldRuns:
        return OldRuns(self.database)

    def add(self, number: int, *, rows: int = 0, over: bool = True) -> Run:
        run = test_runs.planned(self.runs, self.export.id, number - 1, number, chunks=1)
        if over:
            test_runs.finish(self.runs, run)
            self.note("runs", run.id, finished_at=NOW + number * DAY)
            with self.database.begin() as connection:
                loaded = sa.text("UPDATE tidemill.chunks SET rows_loaded = :rows WHERE run_id = :id")
                connection.execute(loaded, {"rows": rows, "id": run.id})
        return run

    def note(self, table: str, row: uuid.UUID, **fields: object) -> None:
        """Say so of a row."""
        changed = ", ".join(f"{name} = :{name}" for name in fields)
        with self.database.begin() as connection:
            connection.execute(sa.text(f"UPDATE tidemill.{table} SET {changed} WHERE id = :id"), {"id": row, **fields})

    def left(self) -> list[int]:
        """Numbers of the runs that are there, oldest first."""
        return [run.number for run in self.runs.newest(self.export.id, limit=100)][::-1]


@pytest.fixture
def history(database: Database) -> History:
    owner = Connections(database).add(name="c", project="p", dataset="d", adc=True, connected_by="me")
    fields = {"name": "e", "model": "events", "project": "p", "dataset": "d", "table_id": "t"}
    export = Exports(database).add(**fields, connection_id=owner.id, spec={}, created_by="me")
    return History(database, export)


def test_only_runs_older_than_that_go_and_never_the_newest(history: History) -> None:
    for number in range(1, 6):
        history.add(number)
    assert history.old.prune(NOW) == 0
    assert history.old.prune(NOW + 3 * DAY) == 2
    assert history.left() == [3, 4, 5]
    assert history.old.prune(NOW + 1000 * DAY) == 2
    assert history.left() == [5]
    assert history.add(6).number == 6, "numbers go on"


def test_an_export_knows_still_that_it_brought_rows(history: History) -> None:
    for number in range(1, 7):
        history.add(number, rows=10 if number in {2, 4} else 0)
    history.old.prune(NOW + 1000 * DAY)
    assert history.left() == [2, 6]
    assert history.runs.brought_rows(history.export.id)


def test_an_export_knows_still_that_its_table_was_there_before_it(history: History) -> None:
    for number in range(1, 4):
        run = history.add(number)
        history.note("runs", run.id, mode="merge" if number == 1 else "append")
    history.old.prune(NOW + 1000 * DAY)
    assert history.left() == [1, 3]
    assert history.runs.merged_first(history.export.id)


def test_what_is_not_completed_stays_and_the_run_before_it(history: History) -> None:
    for number in (1, 2, 3):
        history.add(number, over=number < 3)
    history.old.prune(NOW + 1000 * DAY)
    assert history.left() == [2, 3]


def test_a_run_stays_until_what_it_set_aside_is_settled_and_takes_its_lines_along(history: History) -> None:
    first, _ = history.add(1), history.add(2)
    named = {"source": str(first.id), "part": "1:a", "kind": "run", "place": "p", "code": "c", "message": "m"}
    Rejects(history.database).add([{**named, "raw": b"", "whole": True}])
    line = "INSERT INTO tidemill.run_lines (run_id, at, level, step, message, fields, process) "
    with history.database.begin() as connection:
        connection.execute(sa.text(f"{line} VALUES (:id, now(), 20, 's', 'm', '{{}}', 'p')"), {"id": first.id})
    assert history.old.prune(NOW + 1000 * DAY) == 0
    Rejects(history.database).resolve([reject.id for reject in Rejects(history.database).find(kind="run", limit=10)])
    assert history.old.prune(NOW + 1000 * DAY) == 1
    with history.database.begin() as connection:
        for table in ("rejects", "run_lines"):
            assert connection.scalar(sa.text(f"SELECT count(*) FROM tidemill.{table}")) == 0


def test_intervals_of_a_schedule_are_not_missing_because_their_runs_are_forgotten(history: History) -> None:
    schedules = Schedules(history.database)
    schedules.settle(history.export.id, NOW, NOW + DAY)
    for number in range(1, 5):
        run = history.add(number)
        start = NOW + (number - 1) * DAY
        history.note("runs", run.id, scheduled=True, interval_start=start, interval_end=start + DAY)
    schedules.change(history.export.id, next_start=NOW + 4 * DAY, next_end=NOW + 5 * DAY)
    assert schedules.missing(history.export.id) == []
    assert history.old.prune(NOW + 3 * DAY) == 2
    assert history.left() == [3, 4]
    assert schedules.missing(history.export.id) == []


def test_a_backfill_goes_with_all_its_runs_when_it_was_over_long_ago(history: History) -> None:
    fields: dict[str, Any] = {"every": "day", "upto": 2, "intervals": [{}, {}], "created_by": "me", "worker": "w"}
    history.add(1, rows=10)
    backfill = Backfills(history.database).add(history.export.id, time_from=None, time_to=None, **fields)
    for number in range(2):
        run = history.add(2 + number)
        history.note("runs", run.id, backfill_id=backfill.id, backfill_interval=number)
    assert history.old.prune(NOW + 1000 * DAY) == 0, "it is not over"
    Backfills(history.database).mark(backfill.id, "completed")
    history.note("backfills", backfill.id, finished_at=NOW + 3 * DAY)
    assert history.old.prune(NOW + 3 * DAY) == 0, "it was over just then"
    assert history.old.prune(NOW + 1000 * DAY) == 0, "the newest run is of it"
    history.add(4)
    assert history.old.prune(NOW + 1000 * DAY) == 3
    assert history.left() == [1, 4]
    assert Backfills(history.database).newest(history.export.id, limit=5) == []


def test_in_pieces_by_several_at_once(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1, 5):
        history.add(number)
    with history.database.begin() as other:  # somebody deletes the export, or plans a run of it: nobody waits for them
        other.execute(sa.text("SELECT 1 FROM tidemill.exports FOR UPDATE"))
        assert history.old.prune(NOW + 1000 * DAY) == 0
    monkeypatch.setattr("tidemill.store.old_runs._OLD_RUNS", one_at_once())
    assert history.old.prune(NOW + 1000 * DAY, pieces=1) == 1
    assert history.old.prune(NOW + 1000 * DAY) == 2
    assert history.left() == [4]


def one_at_once() -> str:
    from tidemill.store import old_runs

    return old_runs._OLD_RUNS.replace(f"LIMIT {old_runs._AT_ONCE}", "LIMIT 1")
