"""What became of what used connections last: when BigQuery did what was asked by one, and when it did not, and why.

It is put together of sums that are kept when runs end, and of what is wrong now: no run is looked at.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from tidemill.store.database import Database
from tidemill.store.tables import SCHEMA

#: Kinds of what runs by connections.
EXPORT, STREAM, SYNC, IMPORT = "export", "stream", "sync", "import"
#: The kind of a destination that is Tidemill itself.
TIDEMILL = "tidemill"
_SYNCS = f"""
    {SCHEMA}.syncs s JOIN {SCHEMA}.source_models m ON m.id = s.model_id AND m.connection_id = ANY(:owners)
    JOIN {SCHEMA}.destinations d ON d.id = s.destination_id
"""
_EXPORT_KIND = f"CASE WHEN e.spec->>'mode' = 'stream' THEN '{STREAM}' ELSE '{EXPORT}' END"
_SYNC_KIND = f"CASE WHEN d.kind = '{TIDEMILL}' THEN '{IMPORT}' ELSE '{SYNC}' END"
_WENT_WELL = f"""
    SELECT connection_id, max(at) AS at FROM (
        SELECT e.connection_id, greatest(t.last_reached_at, w.sent_at) AS at FROM {SCHEMA}.exports e
        LEFT JOIN {SCHEMA}.run_totals t ON t.export_id = e.id LEFT JOIN {SCHEMA}.streams w ON w.export_id = e.id
        WHERE e.connection_id = ANY(:owners)
        UNION ALL
        SELECT m.connection_id, t.last_success_at FROM {_SYNCS} JOIN {SCHEMA}.sync_totals t ON t.sync_id = s.id
    ) AS used WHERE at IS NOT NULL GROUP BY connection_id
"""
_FAILED = f"""
    SELECT DISTINCT ON (connection_id) connection_id, kind, name, at, error FROM (
        SELECT e.connection_id, {_EXPORT_KIND} AS kind, e.name, t.last_finished_at AS at, t.last_error AS error
        FROM {SCHEMA}.exports e JOIN {SCHEMA}.run_totals t ON t.export_id = e.id
        WHERE e.connection_id = ANY(:owners) AND t.last_status = 'failed'
        UNION ALL
        SELECT e.connection_id, {_EXPORT_KIND}, e.name, w.seen_at, w.facts
        FROM {SCHEMA}.exports e JOIN {SCHEMA}.troubles w ON w.export_id = e.id AND w.over_at IS NULL
        WHERE e.connection_id = ANY(:owners)
        UNION ALL
        SELECT m.connection_id, {_SYNC_KIND}, s.name, t.last_finished_at, t.last_error
        FROM {_SYNCS} JOIN {SCHEMA}.sync_totals t ON t.sync_id = s.id WHERE t.last_status = 'failed'
        UNION ALL
        SELECT m.connection_id, {_SYNC_KIND}, s.name, w.seen_at, w.facts
        FROM {_SYNCS} JOIN {SCHEMA}.troubles w ON w.export_id = s.id AND w.over_at IS NULL
    ) AS failing WHERE error->>'code' = ANY(:codes) AND at IS NOT NULL ORDER BY connection_id, at DESC
"""


@dataclasses.dataclass(frozen=True)
class Failure:
    """Something that used a connection failed last. `kind`: export, stream, sync or import."""

    kind: str
    name: str
    at: dt.datetime
    code: str
    message: str
    hint: str


class ConnectionUses:
    """See the module."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def went_well(self, owners: Collection[uuid.UUID]) -> Mapping[uuid.UUID, dt.datetime]:
        """When something was last done by each of these connections that was used."""
        return {row.connection_id: row.at for row in self._asked(_WENT_WELL, owners=list(owners))}

    def failed(self, owners: Collection[uuid.UUID], codes: Collection[str]) -> Mapping[uuid.UUID, Failure]:
        """The newest failure with one of these codes, of what has not gone well since."""
        found = self._asked(_FAILED, owners=list(owners), codes=list(codes))
        return {
            row.connection_id: Failure(
                row.kind, row.name, row.at, *(str(row.error.get(part) or "") for part in ("code", "message", "hint"))
            )
            for row in found
        }

    def _asked(self, text: str, **given: Any) -> list[Any]:
        kinds: dict[str, Any] = {"owners": pg.ARRAY(pg.UUID(as_uuid=True)), "codes": pg.ARRAY(sa.Text)}
        query = sa.text(text).bindparams(*(sa.bindparam(name, type_=kinds[name]) for name in given))
        with self._database.begin() as connection:
            return list(connection.execute(query, given))
