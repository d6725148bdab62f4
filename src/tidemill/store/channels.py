"""Channels by which people are told."""

from __future__ import annotations

import sqlalchemy as sa

from tidemill.errors import ConflictError
from tidemill.store.named import Named
from tidemill.store.records_notify import Channel
from tidemill.store.tables_notify import channels as table


class Channels(Named[Channel]):
    """The repository of channels. One is deleted with its secret and its messages."""

    table, record, what, command = table, Channel, "channel", "notify"
    gone = "removed"

    def any(self) -> bool:
        """Whether there is one."""
        with self._database.begin() as connection:
            return bool(connection.scalar(sa.select(sa.exists(sa.select(table.c.id)))))

    def _taken(self, name: str) -> ConflictError:
        return ConflictError(
            "channel_exists",
            f"There is a channel {name!r} already.",
            hint=f"Choose another name, or change it: tidemill notify edit {name}",
        )
