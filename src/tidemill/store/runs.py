"""Runs and their chunks: the truth about what happened. Every change of state is guarded."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.dialects import postgresql as pg

from tidemill.errors import ConfigError, ConflictError, NotFoundError, TidemillError
from tidemill.store import connections, totals
from tidemill.store.attempts import own
from tidemill.store.commits import FRESH, Commits, with_layout
from tidemill.store.database import Database
from tidemill.store.doubts import Doubts
from tidemill.store.records import Chunk, Export, Run
from tidemill.store.tables import backfills, chunks, exports, runs, streams

_DIGITS = frozenset("0123456789abcdef")


class Runs:
    """The repository of runs and chunks. `commits`: of their write streams; `doubts`: about tables."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.commits, self.doubts = Commits(database), Doubts(database)

    def plan(self, export_id: uuid.UUID, run: dict[str, Any], parts: Sequence[dict[str, Any]]) -> Run:
        """Save a new run with its chunks, in one transaction. It is running from now on.

        Raises
        ------
        NotFoundError
            If the export is gone.
        ConflictError
            If a run of the export is running, or failed and is to be finished first; or one exported the range
            meanwhile; or its connection is being deleted.
        """
        try:
            with self._database.begin() as connection:
                position = connection.scalar(
                    sa.select(exports.c.position).where(exports.c.id == export_id).with_for_update()
                )
                if position is None:
                    raise NotFoundError("export_unknown", "The export was deleted.", hint="tidemill export list")
                connections.assert_kept(connection, connections.of_export(export_id))
                if run.get("backfill_id") is None:
                    _assert_next(connection, export_id, run, position)
                else:
                    _assert_wanted(connection, run["backfill_id"])
                last = connection.scalar(sa.select(sa.func.max(runs.c.number)).where(runs.c.export_id == export_id))
                values = {"id": uuid.uuid4(), "export_id": export_id, "number": (last or 0) + 1, "status": "running"}
                row = connection.execute(
                    sa.insert(runs).values(**values, **run, started_at=sa.func.now()).returning(*runs.c)
                ).one()
                if parts:
                    connection.execute(sa.insert(chunks), [{"run_id": row.id, **part} for part in parts])
        except exc.IntegrityError:
            raise _busy() from None
        return Run(**row._mapping)

    def resume(self, run_id: uuid.UUID, worker: str, *, expected_attempt: int) -> Run:
        """A failed or cancelled run is running again; one whose worker died is taken over.

        Raises
        ------
        ConflictError
            If the run is completed, is at another attempt by now, or its range is exported already; or its backfill
            was cancelled, or its connection is being deleted.
        """
        change = (
            sa.update(runs)
            .where(
                runs.c.id == run_id,
                runs.c.status != "completed",
                runs.c.attempt == expected_attempt,
                runs.c.backfill_id.is_not(None)
                | (
                    runs.c.snapshot_after
                    == sa.select(exports.c.position).where(exports.c.id == runs.c.export_id).scalar_subquery()
                ),
            )
            .values(
                status="running",
                attempt=runs.c.attempt + 1,
                cancel_requested=False,
                worker=worker,
                error_code=None,
                error_message=None,
                error_hint=None,
                finished_at=None,
            )
        )
        try:
            with self._database.begin() as connection:
                owner = sa.select(runs.c.export_id).where(runs.c.id == run_id).scalar_subquery()
                connections.assert_kept(connection, connections.of_export(owner))
                backfill = connection.scalar(sa.select(runs.c.backfill_id).where(runs.c.id == run_id))
                if backfill is not None:
                    _assert_wanted(connection, backfill)
                row = connection.execute(change.returning(*runs.c)).first()
        except exc.IntegrityError:
            raise _busy() from None
        if row is None:
            raise ConflictError(
                "run_taken_over",
                "The run is completed, or another process took it over.",
                hint="tidemill export runs shows how it stands.",
            )
        return Run(**row._mapping)

    def get(self, run_id: str) -> Run:
        """The run with that id, or the only one whose id begins so.

        Raises
        ------
        NotFoundError
            If there is none.
        ConfigError
            If there are several.
        """
        plain = run_id.lower().replace("-", "")
        found: Sequence[sa.Row[Any]] = ()
        if 0 < len(plain) <= 32 and set(plain) <= _DIGITS:  # those between two ids: the index has them in that order
            first, last = uuid.UUID(plain.ljust(32, "0")), uuid.UUID(plain.ljust(32, "f"))
            with self._database.begin() as connection:
                found = connection.execute(sa.select(runs).where(runs.c.id.between(first, last)).limit(2)).all()
        if not found:
            raise NotFoundError("run_unknown", f"There is no run {run_id!r}.", hint="tidemill export runs lists them.")
        if len(found) > 1:
            raise ConfigError("run_ambiguous", f"Several runs begin with {run_id!r}.", hint="Give more of the id.")
        return Run(**found[0]._mapping)

    def by_id(self, run_id: uuid.UUID) -> Run:
        """The run with that id; NotFoundError if its export was deleted."""
        with self._database.begin() as connection:
            row = connection.execute(sa.select(runs).where(runs.c.id == run_id)).first()
        if row is None:
            raise NotFoundError("run_unknown", f"There is no run {run_id}.", hint="tidemill export runs lists them.")
        return Run(**row._mapping)

    def with_export(self, run_id: uuid.UUID) -> tuple[Run, Export]:
        """The run with that id and its export, as both stand now; NotFoundError if they were deleted."""
        with self._database.begin() as connection:
            row = connection.execute(sa.select(runs).where(runs.c.id == run_id)).first()
            export = row and connection.execute(sa.select(exports).where(exports.c.id == row.export_id)).first()
        if row is None or export is None:
            raise NotFoundError("run_unknown", f"There is no run {run_id}.", hint="tidemill export runs lists them.")
        return Run(**row._mapping), Export(**export._mapping)

    def last(self, export_id: uuid.UUID) -> Run | None:
        """The newest run of an export, of those that export what is new."""
        query = sa.select(runs).where(runs.c.export_id == export_id, runs.c.backfill_id.is_(None))
        with self._database.begin() as connection:
            row = connection.execute(query.order_by(runs.c.number.desc()).limit(1)).first()
        return Run(**row._mapping) if row else None

    def of_interval(self, export_id: uuid.UUID, end: dt.datetime) -> Run | None:
        """The run of the interval of an export's schedule that ended then."""
        query = sa.select(runs).where(runs.c.export_id == export_id, runs.c.interval_end == end, runs.c.scheduled)
        with self._database.begin() as connection:
            row = connection.execute(query).first()
        return Run(**row._mapping) if row else None

    def running(self, export_id: uuid.UUID) -> list[Run]:
        """The runs of an export that are running, or were when their process died; those of backfills, too."""
        return self._these(runs.c.export_id == export_id, runs.c.status == "running")

    def left(self, export_id: uuid.UUID) -> list[Run]:
        """The runs of an export of which a job may be at work in BigQuery, though they are over: see `merging`."""
        lately = sa.func.coalesce(runs.c.started_at, runs.c.created_at) > sa.func.now() - dt.timedelta(days=2)
        begun = (runs.c.status.in_(("failed", "cancelled")), runs.c.layout.is_not(None))
        return self._these(runs.c.export_id == export_id, *begun, lately)

    def merging(self, export_id: uuid.UUID) -> list[Run]:
        """The runs of an export whose MERGE may be at work in BigQuery, whatever became of the run.

        BigQuery ends a job after six hours, which it may have waited for a day to begin ("Quotas": Query jobs).
        """
        lately = runs.c.finished_at.is_(None) | (runs.c.finished_at > sa.func.now() - dt.timedelta(days=2))
        begun = (runs.c.merge_job.is_not(None), runs.c.rows_merged.is_(None))
        return self._these(runs.c.export_id == export_id, *begun, lately)

    def _these(self, *which: sa.ColumnElement[bool]) -> list[Run]:
        with self._database.begin() as connection:
            found = connection.execute(sa.select(runs).where(*which).order_by(runs.c.number))
            return [Run(**row._mapping) for row in found]

    def merge_is_over(self, run_id: uuid.UUID, job: str) -> None:
        """The job of a run's MERGE is not at work any more."""
        change = sa.update(runs).where(runs.c.id == run_id, runs.c.merge_job == job, runs.c.rows_merged.is_(None))
        with self._database.begin() as connection:
            connection.execute(change.values(merge_job=None))

    def of_backfill(self, backfill_id: uuid.UUID) -> dict[int, Run]:
        """The runs of a backfill, by the number of their interval."""
        with self._database.begin() as connection:
            found = connection.execute(sa.select(runs).where(runs.c.backfill_id == backfill_id))
            return {row.backfill_interval: Run(**row._mapping) for row in found}

    def newest(self, export_id: uuid.UUID | None = None, *, limit: int) -> list[Run]:
        """Runs, newest first, of one export or of all."""
        query = sa.select(runs).order_by(runs.c.created_at.desc(), runs.c.number.desc()).limit(limit)
        if export_id is not None:
            query = query.where(runs.c.export_id == export_id)
        with self._database.begin() as connection:
            return [Run(**row._mapping) for row in connection.execute(query)]

    def merged_first(self, export_id: uuid.UUID) -> bool:
        """Whether the export's table was there before its first run, so that rows of others may be in it."""
        first = (runs.c.mode == "merge") & (runs.c.snapshot_after < runs.c.snapshot_upto)
        first &= sa.func.coalesce(runs.c.layout["unconfirmed"].astext, "") == ""  # into a table of its own
        with self._database.begin() as connection:
            return bool(connection.scalar(sa.select(sa.exists().where(runs.c.export_id == export_id, first))))

    def brought_rows(self, export_id: uuid.UUID) -> bool:
        """Whether any run of an export has put rows into its table, and not only into a stage. Its position may have
        moved without."""
        straight = (runs.c.status == "completed") | runs.c.mode.in_(("append", "stream")) | (runs.c.rows_merged > 0)
        loaded = (chunks.c.run_id == runs.c.id) & (chunks.c.rows_loaded > 0)
        found = sa.exists().where(runs.c.export_id == export_id, loaded, straight)
        with self._database.begin() as connection:
            return bool(connection.scalar(sa.select(found)))

    def chunks(self, run_id: uuid.UUID) -> list[Chunk]:
        """The chunks of a run, in order."""
        with self._database.begin() as connection:
            found = connection.execute(sa.select(chunks).where(chunks.c.run_id == run_id).order_by(chunks.c.number))
            return [Chunk(**row._mapping) for row in found]

    def chunk(self, run_id: uuid.UUID, number: int) -> Chunk:
        """One chunk of a run."""
        with self._database.begin() as connection:
            return Chunk(**connection.execute(_chunk(run_id, number)).one()._mapping)

    def note_chunk(self, run_id: uuid.UUID, number: int, *, attempt: int, **fields: Any) -> Chunk:
        """Record what became of a chunk, and give it. A chunk that is loaded stays loaded, as it is.

        Raises
        ------
        ConflictError
            If another attempt took the run over.
        """
        change = sa.update(chunks).where(chunks.c.run_id == run_id, chunks.c.number == number)
        with self._database.begin() as connection:
            own(connection, run_id, attempt)
            changed = change.where(chunks.c.status != "loaded").values(**fields).returning(*chunks.c)
            row = connection.execute(changed).first() or connection.execute(_chunk(run_id, number)).one()
            return Chunk(**row._mapping)

    def reset_chunks(self, run_id: uuid.UUID, *, attempt: int) -> None:
        """All chunks are to be written and loaded anew."""
        with self._database.begin() as connection:
            own(connection, run_id, attempt)
            connection.execute(sa.update(chunks).where(chunks.c.run_id == run_id).values(**FRESH))

    def note(self, run_id: uuid.UUID, *, attempt: int, **fields: Any) -> None:
        """Record something of a run other than its state. Of its layout, the fields that are named.

        Raises
        ------
        ConflictError
            If another attempt took the run over.
        """
        if "layout" in fields:
            fields["layout"] = with_layout(**fields["layout"])
        with self._database.begin() as connection:
            own(connection, run_id, attempt)
            connection.execute(sa.update(runs).where(runs.c.id == run_id).values(**fields))

    def remark(self, run_id: uuid.UUID, text: str) -> None:
        """Add a remark for the user, once."""
        addition = sa.cast(sa.literal([text], pg.JSONB), pg.JSONB)
        change = sa.update(runs).where(runs.c.id == run_id, ~runs.c.notes.contains([text]))
        with self._database.begin() as connection:
            connection.execute(change.values(notes=runs.c.notes.op("||")(addition)))

    def request_cancel(self, run_id: uuid.UUID) -> None:
        """Ask the worker of a run to stop."""
        with self._database.begin() as connection:
            connection.execute(
                sa.update(runs).where(runs.c.id == run_id, runs.c.status == "running").values(cancel_requested=True)
            )

    def cancel_requested(self, run_id: uuid.UUID) -> bool:
        """Whether somebody asked for it."""
        with self._database.begin() as connection:
            return bool(connection.scalar(sa.select(runs.c.cancel_requested).where(runs.c.id == run_id)))

    def complete(self, run_id: uuid.UUID, *, attempt: int) -> None:
        """The run is completed and its export's position moves to its end: one transaction, all chunks loaded."""
        with self._database.begin() as connection:
            own(connection, run_id, attempt)
            missing = connection.scalar(
                sa.select(sa.func.count()).where(chunks.c.run_id == run_id, chunks.c.status != "loaded")
            )
            if missing:
                raise RuntimeError(f"run {run_id} has {missing} chunks that are not loaded")
            row = connection.execute(
                sa.update(runs)
                .where(runs.c.id == run_id, runs.c.status == "running")
                .values(status="completed", finished_at=sa.func.now())
                .returning(runs.c.export_id, runs.c.snapshot_upto)
            ).first()
            if row is None:
                return
            totals.count(connection, [run_id])
            connection.execute(sa.update(chunks).where(chunks.c.run_id == run_id).values(bounds=None))  # ids of people
            connection.execute(
                sa.update(exports)
                .where(exports.c.id == row.export_id, exports.c.position < row.snapshot_upto)
                .values(position=row.snapshot_upto)
            )

    def fail(self, run_id: uuid.UUID, error: TidemillError, *, cancelled: bool, attempt: int) -> None:
        """The run has failed, or was cancelled. What is loaded stays recorded as loaded."""
        values = {
            "status": "cancelled" if cancelled else "failed",
            "error_code": error.code,
            "error_message": error.message,
            "error_hint": error.hint,
            "finished_at": dt.datetime.now(dt.UTC),
        }
        with self._database.begin() as connection:
            own(connection, run_id, attempt)
            change = sa.update(runs).where(runs.c.id == run_id, runs.c.status == "running")
            if connection.execute(change.values(**values)).rowcount:
                totals.count(connection, [run_id])


def _chunk(run_id: uuid.UUID, number: int) -> sa.Select[Any]:
    return sa.select(chunks).where(chunks.c.run_id == run_id, chunks.c.number == number)


def _assert_next(connection: sa.Connection, export_id: uuid.UUID, run: dict[str, Any], position: int) -> None:
    """That no other run of what is new is unfinished, and that the run goes on where the last one ended."""
    which = (runs.c.status != "completed", runs.c.backfill_id.is_(None), runs.c.mode != "stream")
    unfinished = connection.execute(sa.select(runs).where(runs.c.export_id == export_id, *which)).first()
    if unfinished is not None and unfinished.status != "running":
        raise _unfinished(Run(**unfinished._mapping))
    streams_on = run["snapshot_after"] == run["snapshot_upto"] < position and _streams(connection, export_id)
    if unfinished is not None or (position != run["snapshot_after"] and not streams_on):
        raise _busy()


def _streams(connection: sa.Connection, export_id: uuid.UUID) -> bool:
    """Whether the export's position moves beside runs that send rows of earlier ones again."""
    return bool(connection.scalar(sa.select(sa.exists().where(streams.c.export_id == export_id))))


def _assert_wanted(connection: sa.Connection, backfill_id: uuid.UUID) -> None:
    """That a backfill was not cancelled. It cannot be, until the transaction ends."""
    status = connection.scalar(sa.select(backfills.c.status).where(backfills.c.id == backfill_id).with_for_update())
    if status == "cancelled":
        raise ConflictError(
            "backfill_cancelled",
            "The run is of a backfill that was cancelled.",
            hint="Begin another one: tidemill export backfill EXPORT --from … --to …",
        )


def _busy() -> ConflictError:
    return ConflictError(
        "run_running",
        "Another run of this export is running, or has just exported the same events.",
        hint="Wait for it, or cancel it: tidemill export runs, tidemill export run cancel ID",
    )


def _unfinished(run: Run) -> ConflictError:
    return ConflictError(
        "run_unfinished",
        f"Run {run.id.hex[:8]} of this export {'was cancelled' if run.status == 'cancelled' else 'failed'}. "
        "What it loaded must not be loaded twice.",
        hint=f"Finish it first: tidemill export run retry {run.id.hex[:8]}",
    )
