"""Takes rows in: what is made of them is committed to the event store, and people are deleted who are to be.

Whatever is done twice has the effect of once: events are known by ids that are derived from their rows, and who is
deleted is deleted. So a run that was killed goes on at the piece that it was at.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import json
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from tidemill.destinations.port import WRITTEN, Mode, Op, Outcome, rejected
from tidemill.events.identity.service import IdentityService
from tidemill.events.lake import Lake, Place
from tidemill.events.parse import to_arrow
from tidemill.imports import convert, names
from tidemill.imports.columns import values
from tidemill.imports.made import Made, Refusal, Rows, Source
from tidemill.imports.spec import ImportSpec, Kind, Taken
from tidemill.reverse_etl.journal import Journal, Way
from tidemill.reverse_etl.plan.port import PlanRow, PlanRows
from tidemill.reverse_etl.watch import Watch
from tidemill.reverse_etl.work import Job
from tidemill.store.sync_books import SyncBooks
from tidemill.store.sync_rejects import key_of

_NOBODY: Mapping[int, Refusal] = {}
_UNKNOWN = Refusal("person_unknown", "There is no person with this id.")


class Taking:
    """Of an installation. `lake`, `identity`: opened when they are needed."""

    def __init__(self, books: SyncBooks, lake: Callable[[], Lake], identity: Callable[[], IdentityService]) -> None:
        self._books, self._lake, self._identity = books, lake, identity

    @contextlib.contextmanager
    def opened(self, job: Job, watch: Watch) -> Iterator[Way]:
        """The way in for rows of a run, for the time of the block. At its end the run notes what was left out."""
        import pyarrow as pa  # 50 ms

        pa.set_memory_pool(pa.system_memory_pool())  # its own one keeps more of what was freed
        way = _Inward(self, job, watch)
        yield way
        if way.left_out:
            some = "1 row is" if way.left_out == 1 else f"{way.left_out:,} rows are"
            said = f"{some} of people who are not known, and {'was' if way.left_out == 1 else 'were'} left out."
            self._books.runs.note(job.run.id, notes=[*self._books.runs.get(job.run.id).notes, said])

    def take(self, job: Job, rows: Rows, of_key: Callable[[str], dict[str, Any]]) -> tuple[dict[int, Outcome], int]:
        """Take rows in. Gives what became of each, by its place, and how many were left out as of unknown people.
        `of_key`: the columns of the key of a row that is gone."""
        spec = spec_of(job)
        rows, unknown = self.with_ids(spec, with_keys(rows, of_key))
        return self.keep(job, rows, convert.made(spec, source_of(job), rows), unknown)

    def keep(
        self, job: Job, rows: Rows, made: Made, unknown: Mapping[int, Refusal] = _NOBODY
    ) -> tuple[dict[int, Outcome], int]:
        """Commit what was made of rows. `unknown`: those of people by whose ids nobody is known. Gives what `take`
        does."""
        outcomes = {place: rejected(why.code, why.message) for place, why in {**made.refused, **unknown}.items()}
        outcomes |= {place: WRITTEN for place in unknown if rows.ops[place] is Op.DELETED}  # they are gone already
        left_out = self._commit(job, spec_of(job), made)
        outcomes |= dict.fromkeys([*made.positions, *(place for place, _ in made.deleted)], WRITTEN)
        return outcomes, left_out

    def with_ids(self, spec: ImportSpec, rows: Rows) -> tuple[Rows, dict[int, Refusal]]:
        """The rows with a distinct_id in place of each person's id."""
        if spec.person_id is None:
            return rows, {}
        given = [None if value is None else str(value).lower() for value in values(rows.columns, spec.person_id)]
        known = self._identity().distinct_ids(spec.team_id, {value for value in given if value is not None})
        found = [known.get(value) if value is not None else None for value in given]
        columns = {**rows.columns, spec.person_id: found}
        refused = {place: _UNKNOWN for place, name in enumerate(found) if name is None and given[place] is not None}
        return Rows(rows.keys, rows.hashes, rows.ops, columns, rows.now), refused

    def _commit(self, job: Job, spec: ImportSpec, made: Made) -> int:
        """Keep what was made. How many were left out."""
        if spec.kind is Kind.DELETIONS:
            self._identity().delete_all(spec.team_id, set(made.events.get("distinct_id", ())))
            return 0
        wanted: Sequence[int] = range(len(made.positions))
        if spec.existing_only and made.positions:
            wanted = self.known(spec, made)
        if wanted:
            self._append(job, spec, made, _order(made, wanted))
        if made.deleted:
            self._identity().delete_all(spec.team_id, {name for _, name in made.deleted})
        return len(made.positions) - len(wanted)

    def known(self, spec: ImportSpec, made: Made) -> list[int]:
        """Places of what was made of people who are known; what says that a row is gone is of nobody."""
        identity = self._identity()
        identity.catch_up()
        ids: Sequence[str] = made.events["distinct_id"]
        living = identity.living(spec.team_id, set(ids))
        events: Sequence[str] = made.events["event"]
        return [at for at, name in enumerate(ids) if name in living or events[at] == names.DELETED]

    def _append(self, job: Job, spec: ImportSpec, made: Made, order: Sequence[int] | None) -> None:
        batch = to_arrow(made.events, len(made.positions), spec.team_id)
        lake = self._lake()
        prepared = lake.prepare([batch if order is None else batch.take(list(order))])
        lake.append(prepared, Place(file_key(job.sync.id), job.run.number))


class _Inward:
    """See Way. `left_out`: rows of people who are not known."""

    def __init__(self, taking: Taking, job: Job, watch: Watch) -> None:
        self._taking, self._job, self._watch = taking, job, watch
        self._ready: dict[int, tuple[Rows, Made]] = {}
        self.left_out = 0

    def ahead(self, rows: PlanRows) -> None:
        """Make events of rows, if nothing else must be known for that: the store commits others meanwhile."""
        spec = spec_of(self._job)
        if spec.person_id is None and spec.kind is not Kind.DELETIONS:
            whole = with_keys(_chosen(rows, range(len(rows)), self._job.run.began_at), rows.of_key)
            self._ready[id(rows)] = whole, convert.made(spec, source_of(self._job), whole)

    def take(self, pages: Journal, rows: PlanRows) -> None:
        """See Way."""
        ready, positions = self._ready.pop(id(rows), None), pages.left()
        self._watch.check()
        if not positions:
            return
        if ready is not None and len(positions) == len(rows):
            outcomes, unknown = self._taking.keep(self._job, *ready)
        else:
            some = _chosen(rows, positions, self._job.run.began_at)
            outcomes, unknown = self._taking.take(self._job, some, rows.of_key)
        self.left_out += unknown
        pages.settled((positions[place], outcome) for place, outcome in outcomes.items())


def _order(made: Made, wanted: Sequence[int]) -> Sequence[int] | None:
    """In which order events are committed: the oldest first. None: as they are."""
    times = made.events["timestamp"]
    chosen = sorted(wanted, key=times.__getitem__)
    return None if len(chosen) == len(times) and chosen == list(range(len(times))) else chosen


def file_key(sync: uuid.UUID) -> str:
    """Under what the store keeps that events came by an import."""
    return f"import-{sync.hex}"


def spec_of(job: Job) -> ImportSpec:
    """What is made of the rows of a run."""
    spec = Taken.model_validate(job.spec.taken).spec
    assert spec is not None  # noqa: S101 - no run is begun of a draft
    return spec


def source_of(job: Job) -> Source:
    """Where the rows of a run come from."""
    return Source(job.sync.id, job.spec.name, job.run.number, mirrors=job.spec.mode is Mode.MIRROR)


def moment(time: dt.datetime) -> int:
    """Microseconds since 1970."""
    return int(time.timestamp() * 1_000_000)


def _chosen(rows: PlanRows, positions: Sequence[int], now: dt.datetime) -> Rows:
    """Those at these positions."""
    versions = [f"{since}:{hashed}" for since, hashed in zip(rows.since, rows.hashes, strict=True)]
    if len(positions) == len(rows):
        return Rows(rows.keys, versions, rows.ops, rows.columns, moment(now))

    def some(values: Sequence[Any]) -> list[Any]:
        return [values[position] for position in positions]

    columns = {name: some(column) for name, column in rows.columns.items()}
    return Rows(some(rows.keys), some(versions), some(rows.ops), columns, moment(now))


def of_rows(rows: Collection[PlanRow], now: dt.datetime) -> Rows:
    """Rows as columns."""
    names = dict.fromkeys(name for row in rows for name in row.row)
    columns = {name: [row.row.get(name) for row in rows] for name in names}
    versions = [f"{row.since}:{row.hash}" for row in rows]
    return Rows([row.key for row in rows], versions, [row.op for row in rows], columns, moment(now))


def repaired(given: Sequence[Mapping[str, Any]], mapped: Sequence[str], now: dt.datetime) -> Rows:
    """Rows that somebody has repaired: objects with key, as it is listed, and row. `mapped`: columns that all of them
    have, NULL where it is not said."""
    names = dict.fromkeys([*mapped, *(name for one in given for name in one["row"])])
    columns = {name: [one["row"].get(name) for one in given] for name in names}
    keys = [key_of(one["key"]) for one in given]  # ids of events are made of it
    versions = [hashlib.sha256(json.dumps(one["row"], sort_keys=True).encode()).hexdigest() for one in given]
    return Rows(keys, versions, [Op.ADDED] * len(keys), columns, moment(now))


def with_keys(rows: Rows, of_key: Callable[[str], dict[str, Any]]) -> Rows:
    """The rows, those that are gone with the columns of their keys."""
    gone = [place for place, op in enumerate(rows.ops) if op is Op.DELETED]
    if not gone:
        return rows
    columns = {name: list(column) for name, column in rows.columns.items()}
    for place in gone:
        known = of_key(rows.keys[place])
        for name, column in columns.items():
            column[place] = known.get(name)
    return Rows(rows.keys, rows.hashes, rows.ops, columns, rows.now)
