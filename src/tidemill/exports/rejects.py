"""Rows that a run could not deliver: each is kept with its reason until a later run has gone over it again.

The event itself stays in the store. Sending it again is a run like any other, over the ranges in which such rows lie:
its rows go through a stage table, so that what the table holds is not added again. A row that is made of several events
(a session) or of none (a person) is sent again with all others of its chunk: rows with versions may come again.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import datetime as dt
import json
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tidemill import tabular
from tidemill.errors import NotFoundError
from tidemill.events import chunks as chunk_files
from tidemill.events.chunks import RejectedRow
from tidemill.events.lake import Lake
from tidemill.exports import cut, selection
from tidemill.exports.views import RejectView
from tidemill.exports.work import Parts, Work
from tidemill.paging import Page, Wanted
from tidemill.store.loads import Rejects
from tidemill.store.records import Chunk, Export, Reject, Run
from tidemill.store.runs import Runs
from tidemill.tabular import Form

_PAGE = 500
_AT_A_TIME = 20  # events that may be large
#: An event as a row of CSV.
_CSV = (
    *("event", "distinct_id", "timestamp", "team_id", "ip", "properties", "set", "set_once", "elements"),
    "rejected_uuid",
)
_TICK = dt.timedelta(microseconds=1)


@dataclasses.dataclass(frozen=True)
class Ground:
    """What is to be gone over again: chunks of a run, or parts of them, and the names of the events in question; of all
    events, if there are none. `why`: to be remarked on the run that does it.
    """

    run: Run
    chunks: tuple[cut.Chunk, ...]
    why: str
    events: tuple[str, ...] = ()


def whole(run: Run, chunks: Sequence[Chunk], why: str) -> Ground:
    """All of these chunks of a run."""
    parts = [
        cut.Chunk(number, one.snapshot_after, one.snapshot_upto, one.rows_written, one.time_from, one.time_to)
        for number, one in enumerate(chunks)
    ]
    return Ground(run, tuple(parts), why)


class RunRejects:
    """The rows that runs set aside."""

    def __init__(self, lake: Lake, runs: Runs, rejects: Rejects) -> None:
        self._lake, self._runs, self._rejects = lake, runs, rejects

    def runs(self, export_id: uuid.UUID | None = None) -> list[Run]:
        """Those of an export, or of all, that set rows aside which no later run tried again."""
        return _refusing(self._runs, self._rejects, export_id)

    def find(
        self, runs: Sequence[Run], names: dict[uuid.UUID, str], *, code: str | None, limit: int
    ) -> list[RejectView]:
        """Those of these runs, newest first. `names`: of the exports, by id."""
        known = {str(run.id): run for run in runs}
        newest: collections.deque[Reject] = collections.deque(maxlen=limit)
        for page in _pages(self._rejects, set(known), code):
            newest.extend(page)
        found = ((reject, known[reject.source]) for reject in reversed(newest))
        return [_view(reject, run.id.hex[:8], names.get(run.export_id, reject.place)) for reject, run in found]

    def page(self, export: Export, run_id: uuid.UUID | None, code: str | None, wanted: Wanted) -> Page[RejectView]:
        """Those of an export, or of one run of it, by pages, newest first."""
        found = self._rejects.page(export.id, run_id, code, wanted)
        return found.map(lambda reject: _view(reject, uuid.UUID(reject.source).hex[:8], export.name))

    def write(self, runs: Sequence[Run], out: Path, *, code: str | None) -> int:
        """Write the events to a file, as JSON Lines that `events load` takes. Gives their number.

        They come without their uuid: the store knows that already, and would leave a mended event out. It is under
        `rejected_uuid` instead.
        """
        number = 0
        with out.open("w", encoding="utf-8") as file:
            for number, line in enumerate(self.lines(runs, "json", code=code), 1):  # noqa: B007 - it is how many
                file.write(line)
        return number

    def lines(self, runs: Sequence[Run], form: Form, *, code: str | None) -> Iterator[str]:
        """The same events, as such lines, or as CSV."""
        if form == "csv":
            yield from tabular.lines(form, _CSV, map(_flat, self._events(runs, code)))
        else:
            yield from (_line(event) + "\n" for event in self._events(runs, code))

    def _events(self, runs: Sequence[Run], code: str | None) -> Iterator[dict[str, Any]]:
        for run in runs:
            for uuids in self._uuids(run, code):
                yield from selection.whole(self._lake, *_span(self._runs.chunks(run.id)), uuids)

    def _uuids(self, run: Run, code: str | None) -> Iterator[list[str]]:
        for page in _pages(self._rejects, {str(run.id)}, code):
            for start in range(0, len(page), _AT_A_TIME):
                yield [_uuid(reject) for reject in page[start : start + _AT_A_TIME]]

    def ground(self, runs: Sequence[Run], code: str | None, *, events: bool) -> Iterator[Ground]:
        """What has to be gone over again, for each of the runs that set rows aside. `events`: a row is one."""
        for run in runs:
            why = f"Tries the rows again that run {run.id.hex[:8]} set aside."
            chunks = [chunk for chunk in self._runs.chunks(run.id) if chunk.rows_rejected]
            pages = _pages(self._rejects, {str(run.id)}, code) if chunks else iter(())
            if events:
                yield from self._narrow(run, chunks, pages, why)
            elif any(pages):
                yield whole(run, chunks, why)

    def _narrow(self, run: Run, chunks: list[Chunk], pages: Iterator[list[Reject]], why: str) -> Iterator[Ground]:
        """Just those parts of the chunks in which the events lie."""
        pieces: dict[int, list[selection.Found]] = collections.defaultdict(list)
        for page in pages:
            for found in selection.find(self._lake, *_span(chunks), [_uuid(reject) for reject in page]):
                for chunk in chunks:
                    if _holds(chunk, found):
                        pieces[chunk.number].append(found)
        if pieces:
            ranges = {chunk.number: chunk for chunk in chunks}
            parts = [_piece(new, ranges[old], pieces[old]) for new, old in enumerate(sorted(pieces))]
            names = sorted({found.event for piece in pieces.values() for found in piece})
            yield Ground(run, tuple(parts), why, tuple(names))

    def keys(self, export_id: uuid.UUID) -> set[tuple[int, str]]:
        """Team and uuid of all rows that runs of an export set aside, and that no later run tried again."""
        sources = {str(run.id) for run in self.runs(export_id)}
        return {_key(reject) for page in _pages(self._rejects, sources, None) for reject in page}

    def dismiss(self, runs: Sequence[Run], code: str | None) -> int:
        """List them no longer. Gives their number."""
        number = 0
        for page in _pages(self._rejects, {str(run.id) for run in runs}, code):
            self._rejects.resolve([reject.id for reject in page])
            number += len(page)
        return number


def set_aside(parts: Parts, work: Work, rows: Sequence[RejectedRow]) -> None:
    """Keep rows that a run cannot deliver. The same ones again change nothing."""
    same = {"source": str(work.run.id), "kind": "run", "place": work.export.name, "whole": False}
    parts.rejects.add(
        [
            {**same, "part": f"{row.team_id}:{row.id}", "code": row.code, "message": row.message}
            | {"raw": row.raw.encode()}
            for row in rows
        ]
    )


def settle(parts: Parts, work: Work) -> None:
    """A run has gone over old ground: what earlier runs set aside there was sent now, or is set aside by this run."""
    earlier = _refusing(parts.runs, parts.rejects, work.export.id)
    known = {str(run.id): run for run in earlier if run.id != work.run.id}
    settled: collections.Counter[str] = collections.Counter()
    for page in _pages(parts.rejects, set(known), None):
        asked = {_key(reject) for reject in page}
        source, chunks = parts.source(work.export), parts.runs.chunks(work.run.id)
        covered = {key for chunk in chunks for key in chunk_files.among(parts.lake, source, work.chosen(chunk), asked)}
        over = [reject for reject in page if _key(reject) in covered]
        parts.rejects.resolve([reject.id for reject in over])
        settled.update(reject.source for reject in over)
    for name, number in settled.items():
        text = f"{number:,} of the rows that were set aside were tried again by run {work.run.id.hex[:8]}."
        parts.runs.remark(known[name].id, text)


def _refusing(runs: Runs, rejects: Rejects, export_id: uuid.UUID | None) -> list[Run]:
    """The runs with rejects, in the order of their first one."""
    found = []
    for source in rejects.sources("run"):
        with contextlib.suppress(NotFoundError):  # its export was deleted
            found.append(runs.by_id(uuid.UUID(source)))
    return [run for run in found if export_id in {None, run.export_id}]


def _pages(rejects: Rejects, sources: set[str], code: str | None) -> Iterator[list[Reject]]:
    """What these runs set aside, oldest first."""
    after = -1
    only = next(iter(sources)) if len(sources) == 1 else None
    while sources and (page := rejects.find(kind="run", code=code, source=only, limit=_PAGE, after=after)):
        after = page[-1].id
        yield [reject for reject in page if reject.source in sources]


def _uuid(reject: Reject) -> str:
    """Of the event: `part` is its key, TEAM:UUID."""
    return reject.part.partition(":")[2]


def _key(reject: Reject) -> tuple[int, str]:
    """Team and id of the row; of a very long id only a hash is kept, which is no row's."""
    team, _, name = reject.part.partition(":")
    return (int(team), name) if team.lstrip("-").isdecimal() else (-1, reject.part)


def _span(chunks: Sequence[Chunk]) -> tuple[int, int]:
    """The range of snapshots in which all of them lie."""
    return min(chunk.snapshot_after for chunk in chunks), max(chunk.snapshot_upto for chunk in chunks)


def _holds(chunk: Chunk, found: selection.Found) -> bool:
    begun = chunk.time_from is None or found.timestamp >= chunk.time_from
    over = chunk.time_to is not None and found.timestamp >= chunk.time_to
    return chunk.snapshot_after < found.snapshot <= chunk.snapshot_upto and begun and not over


def _piece(number: int, chunk: Chunk, found: Sequence[selection.Found]) -> cut.Chunk:
    """The part of a chunk in which these events lie."""
    first, last = min(one.timestamp for one in found), max(one.timestamp for one in found)
    try:
        end: dt.datetime | None = last + _TICK
    except OverflowError:
        end = chunk.time_to
    snapshots = [one.snapshot for one in found]
    return cut.Chunk(number, min(snapshots) - 1, max(snapshots), len(found), first, end)


def _view(reject: Reject, run: str, export: str) -> RejectView:
    return RejectView(
        id=reject.id,
        export=export,
        run=run,
        uuid=_uuid(reject),
        code=reject.code,
        message=reject.message,
        text=reject.raw.decode("utf-8", "replace"),
        set_aside_at=reject.created_at,
    )


def _line(event: dict[str, Any]) -> str:
    """The event as a PostHog body, its JSON as it is in the store."""
    fields = {
        "event": json.dumps(event["event"], ensure_ascii=False),
        "distinct_id": json.dumps(event["distinct_id"], ensure_ascii=False),
        "timestamp": json.dumps(event["timestamp"].astimezone(dt.UTC).isoformat()),
        "team_id": str(event["team_id"]),
        "ip": json.dumps(event["ip"]),
        "properties": _text(event["properties"]),
        "$set": _text(event["set"]),
        "$set_once": _text(event["set_once"]),
        "elements": _text(event["elements"]),
        "rejected_uuid": json.dumps(event["uuid"], ensure_ascii=False),
    }
    return "{" + ", ".join(f'"{name}": {value}' for name, value in fields.items() if value != "null") + "}"


def _flat(event: dict[str, Any]) -> dict[str, Any]:
    """The event as a row of CSV."""
    timestamp = event["timestamp"].astimezone(dt.UTC).isoformat()
    return {**event, "timestamp": timestamp, "rejected_uuid": str(event["uuid"])}


def _text(value: str | None) -> str:
    """The text itself, on one line; a string of it if it is no JSON, for somebody to mend."""
    if value is None:
        return "null"
    try:
        json.loads(value, parse_constant=_no_json)
    except (ValueError, RecursionError):
        return json.dumps(value, ensure_ascii=False)
    return value.replace("\n", " ").replace("\r", " ")


def _no_json(constant: str) -> None:
    """Python takes NaN and Infinity."""
    raise ValueError(constant)
