"""Commits of write streams: what is written down of them, so that whoever goes on knows what may have happened.

It lies in the run's `layout`: `committing` and `committed` name the streams by a hash of their names. All chunks of a
run are committed together, so the same names stand for the same commit.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from tidemill.store.attempts import own, taken_over
from tidemill.store.database import Database
from tidemill.store.records import Run
from tidemill.store.tables import chunks, runs

#: Of a chunk that is to be written and loaded anew.
FRESH = {"status": "planned", "rows_written": 0, "rows_loaded": 0, "rows_rejected": 0, "rows_repaired": 0}
FRESH |= {"bytes": 0, "bounds": None, "job_id": None}


def is_begun(run: Run, streams: Sequence[str]) -> bool:
    """Whether BigQuery was asked to commit just these streams, or was about to be."""
    return bool((run.layout or {}).get("committing") == _hash(streams))


def is_done(run: Run, streams: Sequence[str]) -> bool:
    """Whether just these streams are committed."""
    return bool((run.layout or {}).get("committed") == _hash(streams))


class Commits:
    """What runs have committed. `streams`: those of all chunks, in their order."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, run_id: uuid.UUID, streams: Sequence[str], *, attempt: int) -> bool:
        """BigQuery is about to be asked. Whether that is written down for the first time.

        Raises
        ------
        ConflictError
            If another attempt took the run over, or another process of this one has begun the chunks anew.
        """
        with self._database.begin() as connection:
            own(connection, run_id, attempt)
            _assert_still(connection, run_id, streams)
            known = sa.func.coalesce(runs.c.layout["committing"].astext, "") == _hash(streams)
            change = sa.update(runs).where(runs.c.id == run_id, ~known)
            return connection.execute(change.values(layout=with_layout(committing=_hash(streams)))).rowcount == 1

    def done(self, run_id: uuid.UUID, streams: Sequence[str], *, attempt: int) -> None:
        """They are committed. ConflictError if another attempt took the run over."""
        with self._database.begin() as connection:
            own(connection, run_id, attempt)
            change = sa.update(runs).where(runs.c.id == run_id)
            connection.execute(change.values(layout=with_layout(committed=_hash(streams))))

    def forget(
        self,
        run_id: uuid.UUID,
        streams: Sequence[str],
        *,
        attempt: int,
        begun: bool = True,
        layout: dict[str, Any] | None = None,
        **fields: Any,
    ) -> bool:
        """All chunks are to be written anew: nothing of these streams will ever be seen, or it does not matter.

        `layout` and `fields` of the run change with it. Without `begun`, nothing is done, and that is told, if a commit
        of them was begun meanwhile.

        Raises
        ------
        ConflictError
            If another attempt took the run over, or another process of this one has done so, or has committed them.
        """
        fields = {**fields, "layout": with_layout(committing=None, **(layout or {}))}
        with self._database.begin() as connection:
            own(connection, run_id, attempt)
            _assert_still(connection, run_id, streams)
            run = Run(**connection.execute(sa.select(runs).where(runs.c.id == run_id)).one()._mapping)
            if run.status == "completed" or is_done(run, streams):
                raise taken_over()
            if not begun and is_begun(run, streams):
                return False
            connection.execute(sa.update(runs).where(runs.c.id == run_id).values(**fields))
            connection.execute(sa.update(chunks).where(chunks.c.run_id == run_id).values(**FRESH))
        return True


def with_layout(**fields: Any) -> sa.ColumnElement[Any]:
    """The layout of a run with these fields; the others stay as they are."""
    known = sa.func.coalesce(runs.c.layout, sa.cast({}, pg.JSONB))
    return known.op("||")(sa.cast(fields, pg.JSONB))


def _assert_still(connection: sa.Connection, run_id: uuid.UUID, streams: Sequence[str]) -> None:
    """That the chunks have these streams."""
    found = connection.execute(
        sa.select(chunks.c.job_id)
        .where(chunks.c.run_id == run_id, chunks.c.job_id.is_not(None))
        .order_by(chunks.c.number)
    )
    if [name for (name,) in found] != list(streams):
        raise taken_over()


def _hash(streams: Sequence[str]) -> str:
    return hashlib.blake2b("\n".join(streams).encode(), digest_size=16).hexdigest()
