"""Deletes a person, as for a privacy request: here first, so that no run brings it back; then in the tables."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Callable, Sequence

from tidemill.bigquery import sql
from tidemill.bigquery.client import Client
from tidemill.errors import ConflictError, TidemillError
from tidemill.events import erasure
from tidemill.events.identity.service import IdentityService
from tidemill.exports.backfill import Backfiller
from tidemill.exports.spec import ExportSpec
from tidemill.exports.views import target
from tidemill.exports.work import Parts
from tidemill.store.records import Export

_AT_ONCE = 500  # ids in one statement, whose text has 1 MB at most ("Quotas": Query jobs)
_IDS, _EVENTS, _SESSIONS = "ids", "events", "sessions"
#: By which columns the rows of a person are found in a table of a model; the first names the team.
_COLUMNS = {
    "persons": ("team_id", {"distinct_id": _IDS}),
    "events": ("team_id", {"distinct_id": _IDS}),
    "sessions": ("team_id", {"distinct_id": _IDS, "session_id": _SESSIONS}),
    # By the device, others might be meant, who use it now.
    "amplitude_events": ("app", {"user_id": _IDS, "uuid": _EVENTS}),
}


@dataclasses.dataclass(frozen=True)
class Deleted:
    """What was done to one place: `rows` deleted, or why it could not be done yet. `place`: a table, or the store."""

    place: str
    rows: int
    error: TidemillError | None = None


Told = Callable[[Deleted], None]


class Eraser:
    """Deletes persons."""

    def __init__(
        self,
        parts: Parts,
        identity: IdentityService,
        backfiller: Backfiller,
        client_for: Callable[[Export], Client],
    ) -> None:
        self._parts, self._identity, self._backfiller = parts, identity, backfiller
        self._client_for = client_for

    def erase(self, team_id: int, distinct_id: str, *, events: bool, tables: bool, told: Told) -> None:
        """Delete the person of this id; with `events`, all that was sent under its ids, too; with `tables`, the rows
        of all that in BigQuery. `told` is called for each place. May be repeated.

        Raises
        ------
        NotFoundError
            There never was such a person.
        TidemillError
            A table could not be reached, or a run may bring rows back. The others were done.
        """
        ids = self._identity.erase(team_id, distinct_id, exported=not tables)
        found = erasure.Erased((), ())
        told(Deleted("persons", len(ids)))
        if events:
            found = erasure.erase(self._parts.lake, team_id, ids)
            told(Deleted("events", len(found.events)))
        failed: TidemillError | None = None
        for export in self._parts.exports.find() if tables else ():
            if not _concerns(export, team_id, events=events):
                continue
            try:
                values = {_IDS: ids, _EVENTS: found.events, _SESSIONS: found.sessions}
                told(Deleted(target(export), self._in_table(export, team_id, values)))
            except TidemillError as error:
                failed = failed or error
                told(Deleted(target(export), 0, error))
        if failed:
            raise failed

    def _in_table(self, export: Export, team_id: int, values: dict[str, tuple[str, ...]]) -> int:
        """Delete the rows of a person from the table of an export. Gives their number; none if the table is gone."""
        self._assert_still(export)
        client = self._client_for(export)
        try:
            client.locate(export.dataset)
            if client.get_table(export.dataset, export.table_id) is None:
                return 0
            team, columns = _COLUMNS[export.model]
            return sum(
                _delete(client, export, {team: team_id}, column, values[which]) for column, which in columns.items()
            )
        finally:
            client.close()

    def _assert_still(self, export: Export) -> None:
        """Raise ConflictError if a run may be bringing rows that were read before."""
        last = self._parts.runs.last(export.id)
        if last is not None and last.status != "completed":
            raise ConflictError(
                "run_unfinished",
                f"A run of {export.name} is not finished, and may bring the person back.",
                hint=f"tidemill export run {export.name}, and then delete the person again.",
            )
        self._backfiller.assert_none(export)


def _concerns(export: Export, team_id: int, *, events: bool) -> bool:
    """Whether the export's table may hold rows that are to be deleted."""
    models = set(_COLUMNS) if events else {"persons"}
    return export.model in models and export.spec.get("team_id") in (None, team_id)


def _delete(client: Client, export: Export, team: dict[str, int], column: str, values: Sequence[str]) -> int:
    place, deleted = (export.project, export.dataset, export.table_id), 0
    for start in range(0, len(values), _AT_ONCE):
        answer = client.query(
            sql.delete_rows(place, team, column, values[start : start + _AT_ONCE]),
            job_id=f"tidemill_erase_{secrets.token_hex(12)}",
            permission="bigquery.tables.updateData",
            dataset=export.dataset,
            table=export.table_id,
            max_bytes_billed=ExportSpec.model_validate(export.spec).max_bytes_billed,
        )
        deleted += answer.affected or 0
    return deleted
