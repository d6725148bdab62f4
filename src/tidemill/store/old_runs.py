"""Forgets runs that were over long ago, with their chunks, and backfills: in years they become millions.

What somebody may still need stays, however old it is: see `_NEEDED`.
"""

from __future__ import annotations

import datetime as dt
import itertools

import sqlalchemy as sa

from tidemill.store.database import Database
from tidemill.store.tables import SCHEMA

_AT_ONCE = 1_000
#: Such a run goes on where the last one ended.
_NEW = "{run}.backfill_id IS NULL AND {run}.status = 'completed'"
#: By these an export knows whether its table has rows of its runs (Runs.brought_rows), or had rows before them
#: (Runs.merged_first). Of each the first run stays: it is found at once, the last one behind thousands that are empty.
_BROUGHT = f"""
    {{run}}.id IN (SELECT run_id FROM {SCHEMA}.chunks WHERE run_id = {{run}}.id AND rows_loaded > 0)
    AND ({{run}}.status = 'completed' OR {{run}}.mode IN ('append', 'stream') OR {{run}}.rows_merged > 0)
"""
_MERGED = (
    "{run}.mode = 'merge' AND {run}.snapshot_after < {run}.snapshot_upto "
    "AND coalesce({run}.layout->>'unconfirmed', '') = ''"
)


def _is(fact: str, order: str) -> str:
    """Whether a run `r` is the first one of its export, in that order of their numbers, of which this holds.

    Asked like this, the one is found by the index of numbers: as EXISTS, a run before or behind was looked for in all.
    """
    of = f"SELECT n.id FROM {SCHEMA}.runs n WHERE n.export_id = r.export_id AND {fact.format(run='n')}"
    return f"({fact.format(run='r')}) AND r.id = ({of} ORDER BY n.number {order} LIMIT 1)"


#: Of a run `r`: rows that it set aside are not settled, a stream is at it, it is the last one (numbers go on from it),
#: the last that brings what is new, or the first of its kind.
_NEEDED = f"""
    EXISTS (SELECT 1 FROM {SCHEMA}.rejects x
        WHERE x.kind = 'run' AND x.source = r.id::text AND x.resolved_at IS NULL)
    OR EXISTS (SELECT 1 FROM {SCHEMA}.streams s WHERE s.run_id = r.id)
    OR {_is("true", "DESC")}
    OR {_is(_NEW, "DESC")}
    OR {_is(_BROUGHT, "ASC")}
    OR {_is(_MERGED, "ASC")}
"""
#: Who deletes an export has its row first, too. Nobody is waited for.
_OLD_RUNS = f"""
    SELECT r.id FROM {SCHEMA}.runs r JOIN {SCHEMA}.exports e ON e.id = r.export_id
    WHERE r.finished_at < :before AND r.status = 'completed' AND r.backfill_id IS NULL AND NOT ({_NEEDED})
    ORDER BY r.finished_at LIMIT {_AT_ONCE} FOR UPDATE OF r SKIP LOCKED FOR KEY SHARE OF e SKIP LOCKED
"""
#: A backfill is shown with its runs: it goes with all of them, or stays.
_OLD_BACKFILLS = f"""
    SELECT b.id FROM {SCHEMA}.backfills b JOIN {SCHEMA}.exports e ON e.id = b.export_id
    WHERE b.finished_at < :before AND b.status IN ('completed', 'cancelled') AND NOT EXISTS (
        SELECT 1 FROM {SCHEMA}.runs r WHERE r.backfill_id = b.id
            AND (r.status = 'running' OR r.finished_at >= :before OR {_NEEDED}))
    ORDER BY b.finished_at LIMIT 1 FOR UPDATE OF b SKIP LOCKED FOR KEY SHARE OF e SKIP LOCKED
"""
_OF_BACKFILLS = f"SELECT id FROM {SCHEMA}.runs WHERE backfill_id = ANY(:backfills)"
#: What is kept of a run elsewhere goes with it. Intervals of schedules are not missed before the last that is gone.
_FORGET = f"""
    WITH gone AS (
        DELETE FROM {SCHEMA}.runs WHERE id = ANY(:runs) RETURNING id, export_id, scheduled, interval_end
    ), aside AS (
        DELETE FROM {SCHEMA}.rejects WHERE kind = 'run' AND source IN (SELECT id::text FROM gone)
    ), lines AS (
        DELETE FROM {SCHEMA}.run_lines WHERE run_id IN (SELECT id FROM gone)
    )
    UPDATE {SCHEMA}.schedules s SET expected_from = greatest(s.expected_from, last.interval_end)
    FROM (SELECT export_id, max(interval_end) AS interval_end FROM gone WHERE scheduled GROUP BY 1) last
    WHERE last.export_id = s.export_id
"""


class OldRuns:
    """Runs that were over long ago."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def prune(self, before: dt.datetime, pieces: int | None = None) -> int:
        """Forget those that were over by then and that nobody needs, in so many pieces at most. Gives how many that
        were. Several processes may do so at once."""
        number = 0
        for _ in itertools.count() if pieces is None else range(pieces):
            gone = self._forget(before)
            if not gone:
                break
            number += gone
        return number

    def _forget(self, before: dt.datetime) -> int:
        """A piece of it: so many runs, and the runs of one backfill."""
        with self._database.begin() as connection:
            found = list(connection.scalars(sa.text(_OLD_RUNS), {"before": before}))
            backfills = list(connection.scalars(sa.text(_OLD_BACKFILLS), {"before": before}))
            if backfills:
                found += connection.scalars(sa.text(_OF_BACKFILLS), {"backfills": backfills})
            if found:
                connection.execute(sa.text(_FORGET), {"runs": found})
            if backfills:
                gone = sa.text(f"DELETE FROM {SCHEMA}.backfills WHERE id = ANY(:backfills)")
                connection.execute(gone, {"backfills": backfills})
            return len(found) + len(backfills)
