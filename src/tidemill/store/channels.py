"""Channels by which people are told."""

from __future__ import annotations

import uuid

import sqlalchemy as sa

from tidemill.errors import ConflictError
from tidemill.paging import Page, Wanted
from tidemill.store import keyset
from tidemill.store.keyset import Sorts, has, holds, moment, named
from tidemill.store.named import Named
from tidemill.store.records_notify import Channel
from tidemill.store.tables_notify import channels as table

_SORTS = Sorts(
    {
        "name": named(table.c.name),
        "kind": (table.c.kind, str),
        "last_sent_at": moment(table.c.sent_at),
        "made_at": moment(table.c.made_at),
    },
    (table.c.id, uuid.UUID),
)
CHANNEL_SORTS = tuple(_SORTS.words)


class Channels(Named[Channel]):
    """The repository of channels. One is deleted with its secret and its messages."""

    table, record, what, command = table, Channel, "channel", "notify"
    gone = "removed"

    def any(self) -> bool:
        """Whether there is one."""
        with self._database.begin() as connection:
            return bool(connection.scalar(sa.select(sa.exists(sa.select(table.c.id)))))

    def page(self, search: str | None, kind: str | None, failing: bool | None, wanted: Wanted) -> Page[Channel]:
        """Channels by pages, by one of CHANNEL_SORTS. `search`: in the name; `failing`: the last try failed."""
        query = sa.select(table)
        if search:
            query = query.where(has(search, table.c.name))
        if kind is not None:
            query = query.where(table.c.kind == kind)
        if failing is not None:
            query = query.where(holds(table.c.error) if failing else ~holds(table.c.error))
        which = f"channels {search!r} {kind!r} {failing!r}"
        return keyset.listed(self._database, query, _SORTS, which, wanted, lambda row: Channel(**row))

    def _taken(self, name: str) -> ConflictError:
        return ConflictError(
            "channel_exists",
            f"There is a channel {name!r} already.",
            hint=f"Choose another name, or change it: tidemill notify edit {name}",
        )
