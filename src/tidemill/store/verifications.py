"""What verifications of exports have found."""

from __future__ import annotations

import uuid
from typing import Any

import sqlalchemy as sa

from tidemill.store import totals
from tidemill.store.database import Database
from tidemill.store.records import Verification
from tidemill.store.tables import verifications as table


class Verifications:
    """The repository of verifications."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, export_id: uuid.UUID, **fields: Any) -> None:
        """Keep a new one."""
        with self._database.begin() as connection:
            connection.execute(sa.insert(table).values(id=uuid.uuid4(), export_id=export_id, **fields))
            totals.bill(connection, export_id, fields["bytes_billed"])

    def last(self, export_id: uuid.UUID, *, daily: bool | None = None) -> Verification | None:
        """The newest one of an export; `daily`: of those that were made by the calendar, or by hand."""
        query = sa.select(table).where(table.c.export_id == export_id)
        if daily is not None:
            query = query.where(table.c.daily == daily)
        with self._database.begin() as connection:
            row = connection.execute(query.order_by(table.c.created_at.desc()).limit(1)).first()
        return Verification(**row._mapping) if row else None
