"""How a sync stands, as the database finds it, of each row of a list: as reverse_etl/views.py and imports/views.py say
of one. A test holds them together."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from typing import Any

import sqlalchemy as sa

from tidemill.store import keyset
from tidemill.store.records_notify import Cause
from tidemill.store.tables_notify import troubles
from tidemill.store.tables_queue import schedules
from tidemill.store.tables_sync import sync_runs, sync_totals, syncs

#: Who begins the runs of syncs that are due.
BY_SCHEDULE = "schedule"
#: Why an import is stopped, as the reason of its pause.
_STOPPED = "stopped"
#: In trouble: beside how it stands.
TROUBLE = "trouble"
_PAUSED = syncs.c.paused_at.is_not(None)
_RUNNING = sa.exists().where(sync_runs.c.sync_id == syncs.c.id, sync_runs.c.status == "running")
_MINE = sync_runs.c.sync_id == syncs.c.id


def _last(column: sa.Column[Any]) -> sa.ScalarSelect[Any]:
    """Of the newest run."""
    newest = sa.select(column).where(_MINE).correlate(syncs).order_by(sync_runs.c.number.desc())
    return newest.limit(1).scalar_subquery()


#: It goes to this installation.
IS_IMPORT = keyset.holds(syncs.c.spec["taken"])
#: What it imports; NULL of a draft, and of what is no import.
KIND: sa.ColumnElement[Any] = syncs.c.spec["taken"]["spec"]["kind"].astext
LAST_BEGAN = keyset.moment(sync_totals.c.last_began_at)
OF_SYNC = sa.case((_PAUSED, "paused"), (_RUNNING, "running"), else_="ready")
_THROUGH = sa.and_(syncs.c.spec["taken"]["once"].astext == "true", _last(sync_runs.c.status) == "completed")
OF_IMPORT = sa.case(
    (~keyset.holds(syncs.c.spec["taken"]["spec"]), "draft"),
    (_PAUSED & (syncs.c.pause_reason["code"].astext == _STOPPED), "stopped"),
    (_PAUSED, "paused"),
    (_RUNNING, "running"),
    (_THROUGH, "completed"),
    (syncs.c.next_at.is_not(None), "scheduled"),
    else_="ready",
)
#: The share of rows that an import took in its last run that had something to do, in hundredths of a per cent, rounded
#: down; NULL while it is not over, and if it failed before there was a row.
TAKEN = sa.case((_RUNNING, None), else_=sync_totals.c.last_taken)
#: From how much on, and up to below how much.
_HEALTH = {"green": (10_000, None), "yellow": (5_000, 10_000), "red": (0, 5_000)}
HEALTHS = tuple(_HEALTH)


def is_of(kind: str) -> sa.ColumnElement[bool]:
    """Whether it imports that."""
    of: sa.ColumnElement[str] = KIND
    return of == kind


def is_healthy(health: str) -> sa.ColumnElement[bool]:
    """Whether an import took so much of its rows."""
    least, below = _HEALTH[health]
    return least <= TAKEN if below is None else (least <= TAKEN) & (below > TAKEN)


def is_late(late: dt.timedelta) -> sa.ColumnElement[bool]:
    """Whether a sync was due so long ago, and nobody has begun it. Where no worker has ever run, syncs are run by hand,
    and none is."""
    served = sa.or_(
        sa.exists(sa.select(schedules.c.export_id).where(schedules.c.served_at.is_not(None))),
        sa.exists(sa.select(sa.literal(1)).select_from(_BEGUN).where(_BEGUN.c.began_by == BY_SCHEDULE)),
    )
    waits = (syncs.c.worker.is_(None), syncs.c.paused_at.is_(None))
    return sa.and_(sa.func.coalesce(syncs.c.next_at < sa.func.now() - late, sa.false()), *waits, served)


#: Runs of any sync: not of that of the row.
_BEGUN = sync_runs.alias("begun")


def is_one(status: Collection[str], late: dt.timedelta, *, imports: bool) -> sa.ColumnElement[bool]:
    """Whether it stands like one of these; a sync may be in trouble, too."""
    found = (OF_IMPORT if imports else OF_SYNC).in_([one for one in status if one != TROUBLE])
    return sa.or_(found, _in_trouble(late)) if TROUBLE in status else found


def _in_trouble(late: dt.timedelta) -> sa.ColumnElement[bool]:
    """Whether something is wrong that does not pass by itself."""
    shown = [Cause.PAUSED.value, Cause.OVERDUE.value]  # by the reason of the pause, and by that it is late
    lasting = sa.exists().where(
        troubles.c.export_id == syncs.c.id, troubles.c.over_at.is_(None), troubles.c.cause.not_in(shown)
    )
    return sa.or_(lasting, keyset.holds(syncs.c.pause_reason), is_late(late))
