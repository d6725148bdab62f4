"""Calls of the API with an Idempotency-Key: what was asked for and answered, for a day. What it is, is encrypted."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from tidemill.store.database import Database
from tidemill.store.tables_api import calls as table

#: How long the same key means the same call; and after how long one that was not answered is given up, for whoever was
#: at it is gone.
_SAME, _GIVEN_UP = dt.timedelta(days=1), dt.timedelta(minutes=5)


@dataclasses.dataclass(frozen=True)
class Call:
    """A call. `told`: what was asked for and, if it `is_over`, answered; `is_new`: it was not made before."""

    told: bytes = dataclasses.field(repr=False)
    is_over: bool
    is_new: bool


class Calls:
    """The repository of calls."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, token_id: uuid.UUID, key_hash: bytes, told: bytes) -> Call:
        """Note a call; or give the one that was made before, or is made at this moment, with that token and key."""
        insert = pg.insert(table).values(token_id=token_id, key_hash=key_hash, told=told)
        old = (table.c.at < sa.func.now() - _SAME) | (~table.c.is_over & (table.c.at < sa.func.now() - _GIVEN_UP))
        values = {"told": told, "is_over": False, "at": sa.func.now()}
        taken = insert.on_conflict_do_update(index_elements=["token_id", "key_hash"], set_=values, where=old)
        with self._database.begin() as connection:
            if connection.execute(taken.returning(table.c.token_id)).first() is not None:
                return Call(told, is_over=False, is_new=True)
            row = connection.execute(sa.select(table).where(*_this(token_id, key_hash))).first()
        # It was forgotten at this moment: whoever made it knows that it failed, and this one is as late.
        return Call(row.told, row.is_over, is_new=False) if row else Call(told, is_over=False, is_new=False)

    def end(self, token_id: uuid.UUID, key_hash: bytes, told: bytes) -> None:
        """A call was answered."""
        change = sa.update(table).where(*_this(token_id, key_hash)).values(told=told, is_over=True)
        with self._database.begin() as connection:
            connection.execute(change)
            connection.execute(sa.delete(table).where(table.c.at < sa.func.now() - _SAME))  # of all tokens

    def forget(self, token_id: uuid.UUID, key_hash: bytes) -> None:
        """A call has brought nothing about: it may be made anew."""
        with self._database.begin() as connection:
            connection.execute(sa.delete(table).where(*_this(token_id, key_hash)))


def _this(token_id: uuid.UUID, key_hash: bytes) -> tuple[sa.ColumnElement[bool], ...]:
    return table.c.token_id == token_id, table.c.key_hash == key_hash
