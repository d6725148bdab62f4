"""Who may record what became of a run: its newest attempt, and no other."""

from __future__ import annotations

import uuid

import sqlalchemy as sa

from tidemill.errors import ConflictError
from tidemill.store.tables import runs


def own(connection: sa.Connection, run_id: uuid.UUID, attempt: int) -> None:
    """Hold the run's row, if this attempt is still the one that moves it. ConflictError if not."""
    found = connection.scalar(sa.select(runs.c.attempt).where(runs.c.id == run_id).with_for_update())
    if found != attempt:
        raise taken_over()


def taken_over() -> ConflictError:
    """Of an attempt that is not the newest any more."""
    return ConflictError(
        "run_taken_over",
        "Another process took the run over, or its export was deleted.",
        hint="Nothing is lost: tidemill export runs shows how it stands.",
    )
