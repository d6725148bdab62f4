"""Deletes a person, as for a privacy request: here first, so that no run brings it back; then in the tables.

What is to be deleted is written down before, and forgotten when it is deleted everywhere: a request that a table could
not follow yet may be repeated, whatever came of the person since.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import secrets
from collections.abc import Callable, Collection, Iterator

from tidemill.bigquery import sql
from tidemill.bigquery.client import Client
from tidemill.errors import ConflictError, NotFoundError, TidemillError
from tidemill.events.erasure import PersonEvents, Span
from tidemill.events.identity.service import IdentityService
from tidemill.exports import cut
from tidemill.exports.backfill import Backfiller
from tidemill.exports.dispatch import Dispatch
from tidemill.exports.rejects import Ground
from tidemill.exports.spec import ExportSpec
from tidemill.exports.steps import turn
from tidemill.exports.views import RunProgress, target
from tidemill.exports.work import Parts
from tidemill.store.erasures import IDS, Erasures
from tidemill.store.records import Export

_MOST_BYTES = 500_000  # of values in one statement, whose text has 1 MB at most ("Quotas": Query jobs)
_MOST_PIECES = 20  # in which sessions are sent again
_TICK = dt.timedelta(microseconds=1)
#: Kinds of values: distinct_ids; those under which nobody else sent anything; uuids of all events, and of those that
#: were not sent under such an id; ids of sessions.
_OWN, _EVENTS, _APART, _SESSIONS = "own", "events", "apart", "sessions"
#: By which columns the rows of a person are found in a table of a model; the first names the team.
_COLUMNS = {
    "persons": ("team_id", {"distinct_id": IDS}),
    "events": ("team_id", {"distinct_id": _OWN, "uuid": _APART}),
    "sessions": ("team_id", {"session_id": _SESSIONS}),
    "amplitude_events": ("app", {"user_id": _OWN, "uuid": _EVENTS}),
}


@dataclasses.dataclass(frozen=True)
class Deleted:
    """What was done to one place: `rows` deleted, or why it could not be done yet. `place`: a table, or the store."""

    place: str
    rows: int
    error: TidemillError | None = None


Told = Callable[[Deleted], None]
Wanted = dict[str, set[str]]


class Eraser:
    """Deletes persons."""

    def __init__(
        self,
        parts: Parts,
        identity: IdentityService,
        events: PersonEvents,
        erasures: Erasures,
        dispatch: Dispatch,
        backfiller: Backfiller,
        client_for: Callable[[Export], Client],
    ) -> None:
        self._parts, self._identity, self._events, self._erasures = parts, identity, events, erasures
        self._dispatch, self._backfiller, self._client_for = dispatch, backfiller, client_for

    def erase(self, team_id: int, distinct_id: str, *, events: bool, by: str, told: Told) -> None:
        """Delete the person of this id here and in the tables; with `events`, all that it sent, too, as if an earlier
        request that is not finished asked for that. `told` is called for each place. May be repeated.

        Raises
        ------
        NotFoundError
            There never was such a person; nor, with `events`, anything that was sent under the id.
        TidemillError
            A table could not be reached, or a run may bring rows back. The others were done.
        """
        earlier = self._erasures.open(team_id, distinct_id)
        events = events or any(_EVENTS in kept for kept in earlier.values())
        numbers, wanted = self._wanted(team_id, distinct_id, earlier, events=events)
        told(Deleted("persons", len(wanted[IDS])))
        if events:
            self._events.delete(team_id, wanted[_EVENTS])
            with self._parts.lake.turn():
                self._erasures.blank_statistics()
            told(Deleted("events", len(wanted[_EVENTS])))
        self._erasures.remove_traces(team_id, wanted[IDS], wanted[IDS] | wanted[_EVENTS] | wanted[_SESSIONS])
        failed: TidemillError | None = None
        for export in self._parts.exports.find():
            if not _concerns(export, team_id, events=events):
                continue
            try:
                told(Deleted(target(export), self._in_table(export, team_id, wanted, by)))
            except TidemillError as error:
                failed = failed or error
                told(Deleted(target(export), 0, error))
        if failed:
            raise failed
        self._erasures.forget(numbers)
        if events:  # with them, nothing needs the numbers of the ids any more
            self._identity.forget(team_id, wanted[IDS])

    def _wanted(
        self, team_id: int, distinct_id: str, earlier: dict[int, dict[str, list[str]]], *, events: bool
    ) -> tuple[set[int], Wanted]:
        """What is to be deleted, with what is left to do of earlier requests; written down under these numbers."""
        wanted: Wanted = {name: set() for name in (IDS, _OWN, _EVENTS, _APART, _SESSIONS)}
        for kept in earlier.values():
            for name, values in kept.items():
                wanted[name] |= set(values)
        ids = set(self._identity.ids(team_id, distinct_id)) or ({distinct_id} if events else set())
        wanted[IDS] |= ids
        if not wanted[IDS]:
            raise self._identity.unknown(team_id, distinct_id)
        numbers = {*earlier, self._erasures.begin(team_id, {IDS: ids})}
        with contextlib.suppress(NotFoundError):  # nobody, but events may have come under the id
            wanted[IDS] |= set(self._identity.erase(team_id, distinct_id))
        if not events:
            return numbers, wanted
        sent = self._events.find(team_id, wanted[IDS])
        wanted[_EVENTS] |= sent.events
        wanted[_APART] |= sent.apart
        wanted[_SESSIONS] |= sent.sessions
        if wanted[_OWN] & sent.shared:  # others have sent something since under an id that was the person's alone
            wanted[_APART] |= wanted[_EVENTS]
        wanted[_OWN] = (wanted[_OWN] | wanted[IDS]) - sent.shared
        if not wanted[_EVENTS] and not self._identity.ids(team_id, distinct_id):
            self._erasures.forget(numbers)
            raise self._identity.unknown(team_id, distinct_id)
        return {*numbers, self._erasures.begin(team_id, wanted)}, wanted

    def _in_table(self, export: Export, team_id: int, wanted: Wanted, by: str) -> int:
        """Delete the rows of a person from the table of an export. Gives their number; none if the table is gone."""
        client = self._client_for(export)
        try:
            client.locate(export.dataset)
            if client.get_table(export.dataset, export.table_id) is None:
                return 0
            team, columns = _COLUMNS[export.model]
            with turn.alone(self._parts, export, client):
                self._assert_still(export)
                deleted = sum(
                    _delete(client, export, {team: team_id}, column, wanted[which]) for column, which in columns.items()
                )
        finally:
            client.close()
        if export.model == "sessions":
            self._send_rest(export, self._events.left(team_id, wanted[_SESSIONS], export.position), by)
        return deleted

    def _send_rest(self, export: Export, left: list[Span], by: str) -> None:
        """Sessions in which others have a part come again, without the events of the person."""
        last = self._parts.runs.last(export.id)
        if left and last:
            why = "Sends sessions again that events of a deleted person were in."
            self._dispatch.over(export, Ground(last, tuple(_pieces(left)), why), by, _quiet)

    def _assert_still(self, export: Export) -> None:
        """Raise ConflictError if a run may be bringing rows that were read before."""
        last = self._parts.runs.last(export.id)
        if (last is not None and last.status != "completed") or self._parts.runs.running(export.id):
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


def _pieces(left: list[Span]) -> list[cut.Chunk]:
    """Chunks in which all these sessions lie: one for each, or one for all if they are many."""
    if len(left) > _MOST_PIECES:
        left = [
            Span(
                min(span.first_snapshot for span in left),
                max(span.last_snapshot for span in left),
                min(span.first_time for span in left),
                max(span.last_time for span in left),
            )
        ]
    return [
        cut.Chunk(number, span.first_snapshot - 1, span.last_snapshot, 1, span.first_time, span.last_time + _TICK)
        for number, span in enumerate(left)
    ]


def _delete(client: Client, export: Export, team: dict[str, int], column: str, values: Collection[str]) -> int:
    place, deleted = (export.project, export.dataset, export.table_id), 0
    for some in _portions(values):
        answer = client.query(
            sql.delete_rows(place, team, column, some),
            job_id=f"tidemill_erase_{secrets.token_hex(12)}",
            permission="bigquery.tables.updateData",
            dataset=export.dataset,
            table=export.table_id,
            max_bytes_billed=ExportSpec.model_validate(export.spec).max_bytes_billed,
        )
        deleted += answer.affected or 0
    return deleted


def _portions(values: Collection[str]) -> Iterator[list[str]]:
    """As many at a time as fit into a statement."""
    some: list[str] = []
    size = 0
    for value in sorted(values):
        length = len(sql.literal(value).encode()) + 2
        if some and size + length > _MOST_BYTES:
            yield some
            some, size = [], 0
        some.append(value)
        size += length
    if some:
        yield some


def _quiet(_: RunProgress) -> None:
    return None
