"""Exports whose table may hold rows that this installation does not know: it was restored from a backup, and is older
than its tables. See docs/decisions/0020-backups.md.
"""

from __future__ import annotations

import datetime as dt
import uuid

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from tidemill.store.database import Database
from tidemill.store.tables_copies import doubts, restorations


class Doubts:
    """The repository of doubts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, export_id: uuid.UUID) -> dt.datetime | None:
        """When the backup was made by which an export came into doubt; None if it is in none."""
        query = sa.select(doubts.c.since).where(doubts.c.export_id == export_id)
        with self._database.begin() as connection:
            found: dt.datetime | None = connection.scalar(query)
        return found

    def spread(self, export_id: uuid.UUID) -> None:
        """An export finds rows of others in its table: if the installation was ever restored, they may be such as it
        had before, and come again."""
        last = sa.select(sa.literal(export_id), restorations.c.backed_up_at).order_by(restorations.c.id.desc()).limit(1)
        insert = pg.insert(doubts).from_select(["export_id", "since"], last).on_conflict_do_nothing()
        with self._database.begin() as connection:
            connection.execute(insert)

    def end(self, export_id: uuid.UUID) -> bool:
        """It is in no doubt any more. Whether it was."""
        with self._database.begin() as connection:
            return bool(connection.execute(sa.delete(doubts).where(doubts.c.export_id == export_id)).rowcount)
