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
from tidemill.events.erasure import Brought, PersonEvents, Span
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
_MOST_PIECES = 50  # of sessions that are sent again by one run
_TICK = dt.timedelta(microseconds=1)
#: Kinds of values, beside distinct_ids: uuids of events; ids of sessions; BigQuery jobs that were begun, by export.
_EVENTS, _SESSIONS, _JOBS = "events", "sessions", "jobs"
#: Of an import that is taken back: distinct_ids of people of whom it said something.
_PEOPLE = "people"
#: So many of its events are taken back at once.
_MOST_BROUGHT = 50_000
#: By which column the rows of a person are found in a table of a model; the first names the team.
_COLUMNS = {
    "persons": ("team_id", "distinct_id", IDS),
    "events": ("team_id", "uuid", _EVENTS),
    "sessions": ("team_id", "session_id", _SESSIONS),
    "amplitude_events": ("app", "uuid", _EVENTS),
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
        quiet: Callable[[Export], contextlib.AbstractContextManager[None]],
    ) -> None:
        """`quiet`: nothing is streamed into an export's table meanwhile."""
        self._parts, self._identity, self._events, self._erasures = parts, identity, events, erasures
        self._dispatch, self._backfiller, self._client_for, self._quiet = dispatch, backfiller, client_for, quiet

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
        number, wanted = self._wanted(team_id, distinct_id, earlier, events=events)
        told(Deleted("persons", len(wanted[IDS])))
        if events:
            self._events.delete(team_id, wanted[_EVENTS])
            with self._parts.lake.alone():
                self._erasures.clear_catalog()
            told(Deleted("events", len(wanted[_EVENTS])))
        self._erasures.remove_traces(team_id, wanted[IDS] if events else (), set[str]().union(*wanted.values()))
        self._in_tables(team_id, number, wanted, set(_COLUMNS) if events else {"persons"}, by, told)
        self._erasures.forget(number)
        if events:  # with them, nothing needs the numbers of the ids any more
            self._identity.forget(team_id, wanted[IDS])

    def assert_known(self, team_id: int, distinct_id: str, *, events: bool) -> None:
        """Raise NotFoundError if `erase` would find nothing of this id."""
        known = self._identity.ids(team_id, distinct_id) or self._erasures.open(team_id, distinct_id)
        if not known and not (events and self._events.find(team_id, [distinct_id]).events):
            raise self._identity.unknown(team_id, distinct_id)

    def places(self, team_id: int, *, events: bool) -> int:
        """How many places `erase` would look at: here, and tables."""
        models = set(_COLUMNS) if events else {"persons"}
        return (2 if events else 1) + sum(1 for _ in self._exports_of(team_id, models))

    def brought(self, file_key: str, said: str) -> int:
        """How many events `take_back` would delete."""
        return self._events.count(file_key, said)

    def take_back(self, file_key: str, said: str, *, by: str, told: Told) -> None:
        """Delete all events that came by commits of this file key and have this text in their properties, here and in
        the tables; people are as if these had never been. `told` is called for each place. May be repeated.

        Raises
        ------
        TidemillError
            A table could not be reached, or a run may bring rows back. The others were done.
        """
        failed: TidemillError | None = None
        for team_id in self._erasures.teams(file_key):
            failed = (
                self._tried(team_id, file_key, Brought(), self._erasures.open(team_id, file_key), by, told) or failed
            )
        while brought := self._events.brought(file_key, said, _MOST_BROUGHT):
            for team_id, sent in brought.items():
                failed = self._tried(team_id, file_key, sent, {}, by, told) or failed
        if failed:
            raise failed

    def _tried(
        self, team_id: int, mark: str, sent: Brought, earlier: dict[int, dict[str, list[str]]], by: str, told: Told
    ) -> TidemillError | None:
        """Take some events back, and what is left to do of `earlier` ones. Gives what was wrong with a table."""
        try:
            self._take_back(team_id, mark, sent, earlier, by, told)
        except TidemillError as error:
            return error
        return None

    def _take_back(
        self, team_id: int, mark: str, sent: Brought, earlier: dict[int, dict[str, list[str]]], by: str, told: Told
    ) -> None:
        wanted: Wanted = {
            IDS: {mark},
            _JOBS: set(),
            _EVENTS: sent.events,
            _SESSIONS: sent.sessions,
            _PEOPLE: sent.people,
        }
        for kept in earlier.values():
            for name, values in kept.items():
                wanted[name] |= set(values)
        number = self._erasures.begin(team_id, wanted, earlier)
        self._events.delete(team_id, wanted[_EVENTS])
        told(Deleted("events", len(wanted[_EVENTS])))
        if wanted[_PEOPLE]:
            told(Deleted("persons", self._identity.recompute(team_id, wanted[_PEOPLE])))
        self._erasures.remove_traces(team_id, (), wanted[_EVENTS] | wanted[_SESSIONS])
        self._in_tables(team_id, number, wanted, set(_COLUMNS) - {"persons"}, by, told)
        self._erasures.forget(number)

    def _in_tables(
        self, team_id: int, number: int, wanted: Wanted, models: Collection[str], by: str, told: Told
    ) -> None:
        """Delete it from the tables of exports of these models. Raises what was wrong with one, when all were tried."""
        failed: TidemillError | None = None
        for export in self._exports_of(team_id, models):
            try:
                with self._quiet(export):
                    told(Deleted(target(export), self._in_table(export, team_id, number, wanted, by)))
            except TidemillError as error:
                failed = failed or error
                told(Deleted(target(export), 0, error))
        if failed:
            raise failed

    def _exports_of(self, team_id: int, models: Collection[str]) -> Iterator[Export]:
        """Those whose tables may hold something of this team."""
        for export in self._parts.exports.find():
            if export.model in models and export.spec.get("team_id") in (None, team_id):
                yield export

    def _wanted(
        self, team_id: int, distinct_id: str, earlier: dict[int, dict[str, list[str]]], *, events: bool
    ) -> tuple[int, Wanted]:
        """What is to be deleted, with what is left to do of earlier requests; written down under this number."""
        kinds = (IDS, _JOBS, _EVENTS, _SESSIONS) if events else (IDS, _JOBS)
        wanted: Wanted = {name: {v for kept in earlier.values() for v in kept.get(name, ())} for name in kinds}
        wanted[IDS] |= set(self._identity.ids(team_id, distinct_id)) or ({distinct_id} if events else set())
        if not wanted[IDS]:
            raise self._identity.unknown(team_id, distinct_id)
        number = self._erasures.begin(team_id, wanted, earlier)
        with contextlib.suppress(NotFoundError):  # nobody, but events may have come under the id
            wanted[IDS] |= set(self._identity.erase(team_id, distinct_id))
        if not events:
            return number, wanted
        # An id of an earlier request may be somebody else's by now.
        sent = self._events.find(team_id, wanted[IDS] - self._identity.living(team_id, wanted[IDS]).keys())
        wanted[_EVENTS] |= sent.events
        wanted[_SESSIONS] |= sent.sessions
        if not wanted[_EVENTS] and not self._identity.ids(team_id, distinct_id):
            self._erasures.forget(number)
            raise self._identity.unknown(team_id, distinct_id)
        return self._erasures.begin(team_id, wanted, [number]), wanted

    def _in_table(self, export: Export, team_id: int, number: int, wanted: Wanted, by: str) -> int:
        """Delete the rows of a person from the table of an export. Gives their number; none if the table is gone."""
        left: list[Span] = []
        client = self._client_for(export)
        try:
            client.locate(export.dataset)
            if client.get_table(export.dataset, export.table_id) is None:
                return 0
            with turn.alone(self._parts, export, client) as took:
                self._assert_still(export)
                for job in wanted[_JOBS]:  # of a process that died: it may be at work still
                    owner, _, job_id = job.partition(":")
                    if owner == export.id.hex:
                        client.wait_for(job_id, export.dataset, export.table_id)
                deleted = self._deleted(export, team_id, number, wanted, client, took)
                if export.model == "sessions":
                    position = self._parts.exports.by_id(export.id).position  # a run may have moved it lately
                    left = self._events.left(team_id, wanted[_SESSIONS], position)
        finally:
            client.close()
        self._send_rest(export, left, by)
        return deleted

    def _deleted(
        self, export: Export, team_id: int, number: int, wanted: Wanted, client: Client, took: turn.Turn
    ) -> int:
        place, deleted = (export.project, export.dataset, export.table_id), 0
        team, column, kind = _COLUMNS[export.model]
        # Somebody may have come back meanwhile, and be in the table already.
        back = self._identity.living(team_id, wanted[IDS]) if export.model == "persons" else {}
        for some in _portions(wanted[kind]):
            job_id = f"tidemill_erase_{secrets.token_hex(12)}"
            self._erasures.add(number, _JOBS, f"{export.id.hex}:{job_id}")
            answer = client.query(
                sql.delete_rows(place, {team: team_id}, column, some, {"person_id": sorted(set(back.values()))}),
                job_id=job_id,
                permission="bigquery.tables.updateData",
                dataset=export.dataset,
                table=export.table_id,
                max_bytes_billed=ExportSpec.model_validate(export.spec).max_bytes_billed,
                cancelled=took.cancelled,
            )
            deleted += answer.affected or 0
        return deleted

    def _send_rest(self, export: Export, left: list[Span], by: str) -> None:
        """Sessions in which others have a part come again, without the events of the person."""
        pieces = _pieces(left)
        for start in range(0, len(pieces), _MOST_PIECES):
            last = self._parts.runs.last(export.id)
            if last:
                why = "Sends sessions again that events of a deleted person were in."
                some = [
                    dataclasses.replace(one, number=n) for n, one in enumerate(pieces[start : start + _MOST_PIECES])
                ]
                self._dispatch.over(export, Ground(last, tuple(some), why), by, _untold)

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


def _pieces(left: list[Span]) -> list[cut.Chunk]:
    """A chunk for each of these sessions."""
    found = []
    for number, span in enumerate(left):
        try:
            end: dt.datetime | None = span.last_time + _TICK
        except OverflowError:
            end = None
        found.append(cut.Chunk(number, span.first_snapshot - 1, span.last_snapshot, 1, span.first_time, end))
    return found


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


def _untold(_: RunProgress) -> None:
    return None
