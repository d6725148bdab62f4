"""What is wrong with exports and syncs, and whether people are told: at most once a day of a cause, and once when it is
over.

The functions are for the transaction of what goes wrong, or right: with it, the message is written down, or is not.
Each is about a thing that runs: an export or a sync, by its id.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from tidemill.store import tables_sync
from tidemill.store.database import Database
from tidemill.store.loads import storable
from tidemill.store.records_notify import RECOVERED, Alarm, Cause, Trouble
from tidemill.store.tables import exports
from tidemill.store.tables_notify import channels, deliveries, notices
from tidemill.store.tables_notify import troubles as table

#: Of a cause with a thing, people are told once within this.
ONCE_WITHIN = dt.timedelta(days=1)
#: Most characters of a text in a message.
_MOST = 4_000
_NOW = sa.select(sa.func.now())
_PLACE = sa.func.concat_ws(".", exports.c.project, exports.c.dataset, exports.c.table_id)
_EXPORT = sa.select(exports.c.name.label("export"), _PLACE.label("table"))
_MODEL, _DESTINATION, _SYNCS = tables_sync.source_models, tables_sync.destinations, tables_sync.syncs
_SYNC = (
    sa.select(
        _SYNCS.c.name.label("sync"),
        _MODEL.c.name.label("model"),
        _DESTINATION.c.name.label("destination"),
        sa.case((_SYNCS.c.spec["taken"]["spec"].is_not(None), "import"), else_="sync").label("group"),
    )
    .join(_MODEL, _MODEL.c.id == _SYNCS.c.model_id)
    .join(_DESTINATION, _DESTINATION.c.id == _SYNCS.c.destination_id)
)


def is_due(began_at: dt.datetime, told_at: dt.datetime | None, now: dt.datetime, patience: dt.timedelta) -> bool:
    """Whether people are to be told of what lasts since then."""
    return now - began_at >= patience and (told_at is None or now - told_at >= ONCE_WITHIN)


def was_told(trouble: Trouble) -> bool:
    """Whether people know of it: not of one before, that is over."""
    return trouble.told_at is not None and trouble.told_at >= trouble.began_at


def hold(connection: sa.Connection, thing_id: uuid.UUID) -> None:
    """To be called before other rows of a thing are changed: who deletes it has its row first, too. Else each would
    wait for the other."""
    _named(connection, thing_id)


def _named(connection: sa.Connection, thing_id: uuid.UUID) -> dict[str, str] | None:
    """What a thing is called in messages; nobody deletes it before the transaction ends. None: it is gone."""
    for query, things in ((_EXPORT, exports), (_SYNC, _SYNCS)):
        mine = query.where(things.c.id == thing_id).with_for_update(read=True, key_share=True, of=things)
        if row := connection.execute(mine).first():
            return dict(row._mapping)
    return None


def seen(connection: sa.Connection, thing_id: uuid.UUID, alarm: Alarm, now: dt.datetime | None = None) -> bool:
    """Something is wrong, still or again. Whether people are told of it by this."""
    about = _named(connection, thing_id)
    if about is None:
        return False
    now = now or connection.execute(_NOW).scalar_one()
    key = {"export_id": thing_id, "cause": alarm.cause.value}
    connection.execute(pg.insert(table).values(**key, began_at=now, seen_at=now).on_conflict_do_nothing())
    mine = (table.c.export_id == thing_id, table.c.cause == alarm.cause.value)
    before = Trouble(**connection.execute(sa.select(table).where(*mine).with_for_update()).one()._mapping)
    values: dict[str, Any] = {"began_at": before.began_at if before.over_at is None else now}
    due = is_due(values["began_at"], before.told_at, now, alarm.patience)
    values["facts"] = facts = {**about, **_facts(alarm, values["began_at"])}
    whom = _who_wants(connection, thing_id, alarm.cause) if due else []
    if whom:
        values |= {"told_at": now, "notice_id": _post(connection, thing_id, alarm.cause, facts, whom, now)}
    connection.execute(sa.update(table).where(*mine).values(**values, seen_at=now, over_at=None))
    return bool(whom)


def over(
    connection: sa.Connection,
    thing_id: uuid.UUID,
    causes: Collection[Cause],
    *,
    quietly: bool = False,
    now: dt.datetime | None = None,
) -> bool:
    """These are over, if they lasted. Who was told of one is told that, too, by one message; unless `quietly`. Whether
    that was done."""
    which = (table.c.export_id == thing_id, table.c.cause.in_([cause.value for cause in causes]))
    query = sa.select(table).where(*which, table.c.over_at.is_(None)).order_by(table.c.cause).with_for_update()
    found = [Trouble(**row._mapping) for row in connection.execute(query)]
    if not found:
        return False
    now = now or connection.execute(_NOW).scalar_one()
    known = [] if quietly else [trouble for trouble in found if was_told(trouble)]
    if known:
        _tell_over(connection, thing_id, known, now)
    connection.execute(sa.update(table).where(*which, table.c.over_at.is_(None)).values(over_at=now))
    return bool(known)


def _tell_over(connection: sa.Connection, thing_id: uuid.UUID, known: Sequence[Trouble], now: dt.datetime) -> None:
    """Who had a message of one of these gets another one."""
    about = _named(connection, thing_id)
    if about is None:  # there is nothing to go on with
        return
    over = [{"cause": trouble.cause, "since": trouble.began_at.isoformat()} for trouble in known]
    theirs = sa.select(deliveries.c.channel_id).where(deliveries.c.notice_id.in_([one.notice_id for one in known]))
    if whom := _held(connection, channels.c.id.in_(theirs)):
        _post(connection, thing_id, RECOVERED, {**about, "over": over}, whom, now)


def _facts(alarm: Alarm, since: dt.datetime) -> dict[str, Any]:
    said = {name: storable(getattr(alarm, name))[:_MOST] for name in ("code", "message", "hint", "then")}
    return {**said, "permission": alarm.permission, "commands": list(alarm.commands), "since": since.isoformat()}


def _who_wants(connection: sa.Connection, thing_id: uuid.UUID, cause: Cause) -> list[uuid.UUID]:
    """The channels that are told of such."""
    mine = sa.literal(thing_id, pg.UUID(as_uuid=True))
    return _held(
        connection,
        channels.c.causes.is_(None) | (sa.literal(cause.value) == sa.any_(channels.c.causes)),
        channels.c.exports.is_(None) | (mine == sa.any_(channels.c.exports)),
    )


def _held(connection: sa.Connection, *which: sa.ColumnElement[bool]) -> list[uuid.UUID]:
    """Channels. Nobody removes one of them before the transaction ends."""
    query = sa.select(channels.c.id).where(*which).order_by(channels.c.id)
    return list(connection.scalars(query.with_for_update(read=True, key_share=True)))


def _post(
    connection: sa.Connection,
    thing_id: uuid.UUID,
    kind: str,
    facts: dict[str, Any],
    whom: Sequence[uuid.UUID],
    now: dt.datetime,
) -> uuid.UUID:
    """A message is due by these channels."""
    notice_id = uuid.uuid4()
    values = {"id": notice_id, "export_id": thing_id, "kind": str(kind), "facts": facts, "created_at": now}
    connection.execute(sa.insert(notices).values(**values))
    due = [{"notice_id": notice_id, "channel_id": channel_id, "due_at": now} for channel_id in whom]
    connection.execute(sa.insert(deliveries), due)
    return notice_id


class Troubles:
    """The same, for who finds something in its own transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def seen(self, thing_id: uuid.UUID, alarm: Alarm, now: dt.datetime | None = None) -> bool:
        """Something is wrong, still or again. Whether people are told of it by this."""
        with self._database.begin() as connection:
            return seen(connection, thing_id, alarm, now)

    def over(
        self, thing_id: uuid.UUID, causes: Collection[Cause], *, quietly: bool = False, now: dt.datetime | None = None
    ) -> bool:
        """These are over, if they lasted. Whether people are told of it by this."""
        with self._database.begin() as connection:
            hold(connection, thing_id)
            return over(connection, thing_id, causes, quietly=quietly, now=now)

    def lasting(self, cause: Cause, *, syncs: bool = False) -> list[Trouble]:
        """Those of a cause that are not over, of exports; or of `syncs`."""
        things = _SYNCS if syncs else exports
        which = (table.c.cause == cause.value, table.c.export_id.in_(sa.select(things.c.id)))
        return self._open(*which)

    def of(self, thing_id: uuid.UUID) -> list[Trouble]:
        """Those of a thing that are not over, by cause."""
        return self._open(table.c.export_id == thing_id)

    def _open(self, *which: sa.ColumnElement[bool]) -> list[Trouble]:
        query = sa.select(table).where(*which, table.c.over_at.is_(None)).order_by(table.c.cause)
        with self._database.begin() as connection:
            return [Trouble(**row._mapping) for row in connection.execute(query)]
