"""What is left of the calls and rows that an account of a destination allows, for all workers: token buckets."""

from __future__ import annotations

import datetime as dt

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from tidemill.store.database import Database
from tidemill.store.tables_sync import paces as table


class Paces:
    """The repository of paces."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def take(
        self, account: str, *, calls: int, rows: int, most_calls: int | None, most_rows: int | None, seconds: float
    ) -> float:
        """Take so many of what the account allows: at most `most_calls` and `most_rows` in so many seconds (None: any
        number). Gives the seconds to wait if there is not so much left; then nothing is taken.

        A bucket is as large as what is allowed in the time, and full at first. Rows above that are taken when it is
        full.
        """
        with self._database.begin() as connection:
            full = {"calls": float(most_calls or 0), "rows": float(most_rows or 0)}
            row = pg.insert(table).values(account=account, at=sa.func.clock_timestamp(), **full)
            connection.execute(row.on_conflict_do_nothing())
            query = sa.select(table, sa.func.clock_timestamp().label("now")).where(table.c.account == account)
            found = connection.execute(query.with_for_update()).one()
            if found.not_before is not None and found.not_before > found.now:
                return float((found.not_before - found.now).total_seconds())
            left, wait = {}, 0.0
            passed = max(0.0, (found.now - found.at).total_seconds())
            for name, wanted, most in (("calls", calls, most_calls), ("rows", rows, most_rows)):
                if most is None:
                    continue
                level = min(float(most), getattr(found, name) + passed * most / seconds)
                needed = min(float(wanted), float(most))
                left[name] = level - needed
                wait = max(wait, (needed - level) * seconds / most)
            if wait > 0 or not left:
                return wait
            change = sa.update(table).where(table.c.account == account)
            connection.execute(change.values(at=found.now, **left))
            return 0.0

    def hold(self, account: str, seconds: float) -> None:
        """Let nobody call for so long: the destination has asked for that."""
        until = sa.func.clock_timestamp() + dt.timedelta(seconds=seconds)
        values = {"account": account, "calls": 0.0, "rows": 0.0, "at": sa.func.clock_timestamp(), "not_before": until}
        row = pg.insert(table).values(**values)
        later = sa.func.greatest(table.c.not_before, row.excluded.not_before)
        with self._database.begin() as connection:
            connection.execute(row.on_conflict_do_update(index_elements=[table.c.account], set_={"not_before": later}))
