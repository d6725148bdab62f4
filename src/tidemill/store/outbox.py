"""Messages that are due, and who sends them: of a channel one process at a time, in order.

Who takes a channel has it for a while (a lease), and says so again with each message. If it is gone, another one takes
its place when the lease has ended: what was on its way then may come twice.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa

from tidemill.store.database import Database
from tidemill.store.records_notify import Channel, Delivery
from tidemill.store.tables_notify import WAITS, channels, notices, troubles
from tidemill.store.tables_notify import deliveries as table

#: Longer than it takes to send a message, or to find out that it cannot be sent.
LEASE = dt.timedelta(minutes=5)
_DUE = WAITS & (table.c.due_at <= sa.func.now())
_AGE = (sa.func.now() - notices.c.created_at).label("age")
_MESSAGE = (notices.c.kind, notices.c.facts, notices.c.created_at, _AGE)
_STATE = tuple(
    table.c[name] for name in ("number", "notice_id", "due_at", "tries", "left", "error", "sent_at", "given_up_at")
)


class Outbox:
    """The repository of messages."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def any_due(self) -> bool:
        """Whether something is to be sent."""
        with self._database.begin() as connection:
            return bool(connection.scalar(sa.select(sa.exists().where(_DUE))))

    def take(self, busy: Collection[uuid.UUID] = ()) -> Channel | None:
        """Take a channel, of those by which something is due, and that nobody has; none of `busy`. None: there is none.
        Who has had it before has it no more."""
        free = channels.c.lease.is_(None) | (channels.c.leased_until <= sa.func.now())
        due = sa.exists().where(table.c.channel_id == channels.c.id, _DUE)
        chosen = sa.select(channels.c.id).where(free, due, channels.c.id.not_in(list(busy))).limit(1)
        change = sa.update(channels).where(
            channels.c.id == chosen.with_for_update(key_share=True, skip_locked=True).scalar_subquery()
        )
        values = {"lease": uuid.uuid4(), "leased_until": sa.func.now() + LEASE}
        with self._database.begin() as connection:
            row = connection.execute(change.values(**values).returning(*channels.c)).first()
        return Channel(**row._mapping) if row else None

    def next(self, channel: Channel, most: int) -> list[Delivery]:
        """What is due by a channel, the oldest first, at most so many; it counts as tried. Nothing, if somebody else
        has the channel by now."""
        first = sa.select(table.c.number).where(table.c.channel_id == channel.id, _DUE)
        first = first.order_by(table.c.number).limit(most)
        with self._database.begin() as connection:
            if not connection.execute(_own(channel).values(leased_until=sa.func.now() + LEASE)).rowcount:
                return []
            numbers: list[int] = list(connection.scalars(first))
            tried = sa.update(table).where(table.c.number.in_(numbers)).values(tries=table.c.tries + 1)
            connection.execute(tried)
            query = sa.select(*_STATE, *_MESSAGE).join(notices, notices.c.id == table.c.notice_id)
            found = connection.execute(query.where(table.c.number.in_(numbers)).order_by(table.c.number))
            return [Delivery(**row._mapping) for row in found]

    def sent(self, channel: Channel, numbers: Sequence[int]) -> None:
        """The channel has taken these. What waits to be tried again is due at once: it works again."""
        with self._database.begin() as connection:
            if connection.execute(_own(channel).values(**_WELL)).rowcount:
                done = sa.update(table).where(table.c.number.in_(numbers))
                connection.execute(done.values(sent_at=sa.func.now(), error=sa.null(), left=sa.null()))
                connection.execute(_hasten(channel.id))

    def failed(
        self,
        channel: Channel,
        numbers: Sequence[int],
        error: dict[str, str],
        pause: dt.timedelta | None,
        *,
        others: bool,
        left: Sequence[str] | None = None,
    ) -> None:
        """These are tried again after a pause; None: never. `others`: other messages would fare alike, and wait as
        long. `left`: recipients who have not got it; some have."""
        values: dict[str, Any] = {"error": error} | ({"left": list(left)} if left is not None else {})
        later = sa.func.now() + pause if pause is not None else None
        values |= {"given_up_at": sa.func.now()} if later is None else {"due_at": later}
        failing = {"error": error, "failing_since": sa.func.coalesce(channels.c.failing_since, sa.func.now())}
        with self._database.begin() as connection:
            if not connection.execute(_own(channel).values(**failing)).rowcount:
                return
            connection.execute(sa.update(table).where(table.c.number.in_(numbers)).values(**values))
            if others and later is not None:
                rest = sa.update(table).where(table.c.channel_id == channel.id, _DUE)
                connection.execute(rest.values(due_at=later))

    def release(self, channel: Channel) -> None:
        """Anybody may have the channel."""
        with self._database.begin() as connection:
            connection.execute(_own(channel).values(lease=None, leased_until=None))

    def tested(self, channel_id: uuid.UUID, error: dict[str, str] | None) -> None:
        """Somebody has tried a channel by hand. If it works, what waits is due at once."""
        failing = {"error": error, "failing_since": sa.func.coalesce(channels.c.failing_since, sa.func.now())}
        change = sa.update(channels).where(channels.c.id == channel_id)
        with self._database.begin() as connection:
            connection.execute(change.values(**(failing if error else _WELL)))
            if error is None:
                connection.execute(_hasten(channel_id))

    def hasten(self, channel_id: uuid.UUID) -> None:
        """What waits to be tried again is due at once."""
        with self._database.begin() as connection:
            waits = sa.update(table).where(table.c.channel_id == channel_id, WAITS)
            connection.execute(waits.values(due_at=sa.func.least(table.c.due_at, sa.func.now())))

    def waiting(self) -> dict[uuid.UUID, tuple[int, int]]:
        """By channel: how many messages wait, and how many were given up."""
        counts = [sa.func.count().filter(which) for which in (WAITS, table.c.given_up_at.is_not(None))]
        with self._database.begin() as connection:
            found = connection.execute(sa.select(table.c.channel_id, *counts).group_by(table.c.channel_id))
            return {row[0]: (row[1], row[2]) for row in found}

    def history(self, channel_id: uuid.UUID, limit: int) -> list[Delivery]:
        """Messages of a channel, the newest first."""
        query = sa.select(*_STATE, *_MESSAGE).join(notices, notices.c.id == table.c.notice_id)
        query = query.where(table.c.channel_id == channel_id).order_by(table.c.number.desc()).limit(limit)
        with self._database.begin() as connection:
            return [Delivery(**row._mapping) for row in connection.execute(query)]

    def forget(self, age: dt.timedelta) -> int:
        """Messages of before are forgotten, but for those of what still lasts. Gives how many."""
        lasting = sa.exists().where(troubles.c.notice_id == notices.c.id, troubles.c.over_at.is_(None))
        old = sa.delete(notices).where(notices.c.created_at < sa.func.now() - age, ~lasting)
        with self._database.begin() as connection:
            return connection.execute(old).rowcount


_WELL = {"sent_at": sa.func.now(), "error": sa.null(), "failing_since": None}


def _own(channel: Channel) -> sa.Update:
    """Of a channel, if it is still had by who took it."""
    return sa.update(channels).where(channels.c.id == channel.id, channels.c.lease == channel.lease)


def _hasten(channel_id: uuid.UUID) -> sa.Update:
    later = (table.c.channel_id == channel_id, WAITS, table.c.due_at > sa.func.now(), table.c.left.is_(None))
    return sa.update(table).where(*later).values(due_at=sa.func.now())
