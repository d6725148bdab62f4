"""Sums over runs: each end of a run counts once, in its transaction; history is counted by the migration."""

from __future__ import annotations

import sqlalchemy as sa
from tests.integration.store.test_runs import export, planned, runs  # noqa: F401 - fixtures

from tidemill.errors import UnavailableError
from tidemill.store.database import HEAD, Database
from tidemill.store.figures import FiguresBook
from tidemill.store.records import Export, Run
from tidemill.store.records import Totals as Record
from tidemill.store.runs import Runs
from tidemill.store.totals import Totals
from tidemill.store.verifications import Verifications

BROKEN = UnavailableError("google_down", "Google is down.", hint="Wait.")


def loaded(runs: Runs, run: Run) -> None:  # noqa: F811
    """Of each of its chunks 100 rows, 1,000 bytes, 2 set aside."""
    for chunk in runs.chunks(run.id):
        rows = {"rows_loaded": 100, "rows_rejected": 2, "rows_repaired": 1, "bytes": 1_000}
        runs.note_chunk(run.id, chunk.number, attempt=run.attempt, status="loaded", **rows)


def counted(database: Database, export_id: object) -> Record:
    with database.begin() as connection:
        found = connection.execute(
            sa.text("SELECT * FROM tidemill.run_totals WHERE export_id = :id"), {"id": export_id}
        )
        return Record(**found.one()._mapping)


def test_each_end_of_a_run_counts_once_and_rows_when_it_is_completed(
    database: Database,
    runs: Runs,  # noqa: F811
    export: Export,  # noqa: F811
) -> None:
    totals = Totals(database)
    assert totals.get(export.id) == Record(export.id)
    run = planned(runs, export.id, 0, 5)
    assert totals.get(export.id).completed == 0
    runs.fail(run.id, BROKEN, cancelled=False, attempt=1)
    runs.fail(run.id, BROKEN, cancelled=False, attempt=1)  # a step may run twice
    failed = totals.get(export.id)
    assert (failed.completed, failed.failed, failed.cancelled, failed.rows) == (0, 1, 0, 0)
    assert failed.last_status == "failed"
    again = runs.resume(run.id, "other", expected_attempt=1)
    runs.fail(run.id, BROKEN, cancelled=True, attempt=2)
    again = runs.resume(run.id, "other", expected_attempt=2)
    loaded(runs, again)
    runs.note(run.id, attempt=3, bytes_billed=7_000)
    runs.complete(run.id, attempt=3)
    runs.complete(run.id, attempt=3)
    found = totals.get(export.id)
    assert (found.completed, found.failed, found.cancelled) == (1, 1, 1)
    assert (found.rows, found.bytes, found.written_bytes, found.rejected, found.repaired) == (200, 2_000, 0, 4, 2)
    assert found.billed_bytes == 7_000
    assert (found.last_status, found.last_rows) == ("completed", 200)
    assert found.last_finished_at == found.last_completed_at == runs.by_id(run.id).finished_at
    assert found.seconds == found.last_seconds
    assert found.seconds > 0
    Verifications(database).add(
        export.id, daily=False, expected=1, rows=1, missing=0, duplicated=0, unexpected=0, days_different=0,
        bytes_billed=50, created_by="me",
    )  # fmt: skip
    assert totals.get(export.id).billed_bytes == 7_050
    _history_is_counted_the_same(database, totals.get(export.id))


def _history_is_counted_the_same(database: Database, before: Record) -> None:
    with database.begin() as connection:
        connection.execute(sa.text("DROP TABLE tidemill.run_lines, tidemill.run_totals, tidemill.backlogs"))
        connection.execute(sa.text("UPDATE tidemill.alembic_version SET version_num = '0016'"))
    database._upgrade("0017")
    with database.begin() as connection:
        connection.execute(sa.text(f"UPDATE tidemill.alembic_version SET version_num = '{HEAD}'"))
    after = counted(database, before.export_id)
    assert (after.completed, after.failed) == (1, 0)  # what is known of it: how it ended
    for name in ("rows", "bytes", "rejected", "repaired", "billed_bytes", "last_status", "last_rows", "covered_until"):
        assert getattr(after, name) == getattr(before, name), name
    assert abs(after.seconds - before.seconds) < 0.001


def test_rows_of_a_merge_are_those_that_it_changed_and_bytes_by_write_streams_are_told_apart(
    database: Database,
    runs: Runs,  # noqa: F811
    export: Export,  # noqa: F811
) -> None:
    run = planned(runs, export.id, 0, 5)
    runs.note(run.id, attempt=1, rows_merged=30, spec={"delivery": "storage-write"})
    loaded(runs, run)
    runs.complete(run.id, attempt=1)
    found = Totals(database).get(export.id)
    assert (found.rows, found.bytes, found.written_bytes) == (30, 2_000, 2_000)


def test_figures_of_all_exports_are_read_at_once(
    database: Database,
    runs: Runs,  # noqa: F811
    export: Export,  # noqa: F811
) -> None:
    book = FiguresBook(database)
    planned(runs, export.id, 0, 5)
    (one,) = book.read().exports
    assert (one.name, one.connection, one.model, one.mode) == ("e", "c", "events", "batch")
    assert (one.running, one.completed, one.queued, one.troubled, one.due_since) == (1, 0, 0, False, None)
    assert book.read().backlog is None
    assert not book.measured_lately(60)
    book.measured(9, {0: (5, 1.5), 3: (2, 7.0)})
    book.measured(10, {0: (6, 1.5)})
    found = book.read().backlog
    assert found is not None
    assert (found.newest, dict(found.behind)) == (10, {0: (6, 1.5)})
    assert book.measured_lately(60)
    assert book.positions(()) == [0]
    assert book.positions(("events",)) == []
