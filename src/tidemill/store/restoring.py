"""What a database needs that was restored from a backup: the world has gone on since, and its tables in BigQuery hold
what it does not know. All in one transaction. See docs/decisions/0020-backups.md for the reason of each.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tidemill.store.streams import WHOLE

if TYPE_CHECKING:
    import psycopg

#: Further than any number of a person, or version of one, can have come since a backup.
_AHEAD = 1_000_000_000
#: Commits that the busiest store makes in a second are fewer; a backup counts as a day old at least.
_COMMITS_A_SECOND, _AT_LEAST_SECONDS = 200, 86_400
#: Snapshots share a number of 64 bits with the place of an event in them (events/sources/sessions.py).
_MOST_SNAPSHOTS = 2**32
#: Of a run that nobody will go on with: it did not end, and another one brings its rows. Those of load jobs without a
#: key are gone on with: the jobs' ids say which of them are in.
_GIVEN_UP = """
    status <> 'completed' AND mode <> 'stream' AND NOT (
        coalesce(spec->>'delivery', 'load') = 'load' AND mode = 'append' AND coalesce(
            jsonb_typeof(spec->'query') = 'object' AND coalesce(jsonb_array_length(spec#>'{query,key}'), 0) = 0, false))
"""
_STATEMENTS = f"""
    DELETE FROM tidemill.rejects WHERE kind = 'run' AND source IN (
        SELECT id::text FROM tidemill.runs WHERE {_GIVEN_UP});
    DELETE FROM tidemill.runs WHERE {_GIVEN_UP};
    UPDATE tidemill.chunks SET status = 'loaded', finished_at = now() WHERE run_id IN (
        SELECT id FROM tidemill.runs WHERE mode = 'stream' AND status <> 'completed');
    UPDATE tidemill.runs SET status = 'completed', finished_at = now() WHERE mode = 'stream' AND status <> 'completed';
    UPDATE tidemill.streams s SET epoch = 0, run_id = NULL, name = NULL, rows = 0, change = e.position,
        number = {WHOLE}, in_flight = '[]', trouble = NULL
        FROM tidemill.exports e WHERE e.id = s.export_id;
    UPDATE tidemill.tasks SET worker = NULL, taken_at = NULL;
    UPDATE tidemill.pieces SET worker = NULL, taken_at = NULL;
    DELETE FROM tidemill.jobs;
    UPDATE tidemill.channels SET lease = NULL, leased_until = NULL;
    UPDATE tidemill.deliveries SET given_up_at = now() WHERE sent_at IS NULL AND given_up_at IS NULL;
    UPDATE tidemill.persons SET version = version + {_AHEAD};
    UPDATE tidemill.identity SET versions = versions + {_AHEAD}, numbers = numbers + {_AHEAD};
"""


@dataclasses.dataclass(frozen=True)
class Backup:
    """What was restored."""

    id: uuid.UUID
    made_at: dt.datetime


def gap(newest: int, backup: Backup) -> int:
    """By how many numbers the next snapshot is to be later than the newest that was restored: by more than were used
    since the backup was made."""
    seconds = max((dt.datetime.now(dt.UTC) - backup.made_at).total_seconds(), _AT_LEAST_SECONDS)
    return int(min(_COMMITS_A_SECOND * seconds, (_MOST_SNAPSHOTS - newest) // 2))


def adjust(session: psycopg.Connection[Any], backup: Backup, resent: Sequence[str], reached: int, by: str) -> int:
    """Within a transaction of the session. Gives how many exports are in doubt from now on.

    `resent`: models of which all rows are sent anew, for they change; `reached`: the snapshot from which on commits
    have numbers that were never used.
    """
    session.execute(_STATEMENTS.encode())
    session.execute("UPDATE tidemill.identity SET snapshot = %s", [reached])
    session.execute("UPDATE tidemill.exports SET position = 0 WHERE model = ANY(%s)", [list(resent)])
    session.execute(
        "INSERT INTO tidemill.doubts (export_id, since) SELECT id, %s FROM tidemill.exports "
        "ON CONFLICT (export_id) DO UPDATE SET since = least(doubts.since, excluded.since)",
        [backup.made_at],
    )
    session.execute(
        "INSERT INTO tidemill.restorations (backup_id, backed_up_at, restored_by) VALUES (%s, %s, %s)",
        [backup.id, backup.made_at, by],
    )
    found = session.execute("SELECT count(*) FROM tidemill.doubts").fetchone()
    return int(found[0]) if found else 0
