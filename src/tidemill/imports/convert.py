"""Makes events of the store of rows. It reads and writes nothing, and of the same rows it makes the same events."""

from __future__ import annotations

import contextlib
import functools
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from tidemill.destinations.port import Op
from tidemill.errors import ConfigError
from tidemill.events.formats import sessions
from tidemill.events.formats.event import Columns
from tidemill.imports import columns, ids, names, properties, steps, values
from tidemill.imports.made import Made, Refusal, Rows, Source
from tidemill.imports.spec import ImportSpec, Kind
from tidemill.imports.unfit import Unfit

#: Of the events that an import makes, and whose they are if a row that went away does not say it.
KIND = "import"
NOBODY = "$import"


def made(spec: ImportSpec, source: Source, rows: Rows) -> Made:
    """Events of rows, as columns for the store, by an import's mapping.

    Raises
    ------
    ConfigError
        ``column_unknown``: a column that is named is not there; ``property_reserved`` or ``event_name_refused``.
    """
    return _converter(spec).made(source, rows)


@functools.lru_cache(maxsize=64)
def _converter(spec: ImportSpec) -> Converter:
    return Converter(spec)


class Converter:
    """Converts rows by one mapping."""

    def __init__(self, spec: ImportSpec) -> None:
        self._spec = spec
        self._whose, self._properties = steps.whose(spec), steps.of_properties(spec)
        named = [step.target for step in self._properties]
        if reserved := properties.ORIGIN.intersection(named):
            raise ConfigError(
                "property_reserved",
                f"{min(reserved)} says where an event came from: no column can be that property.",
                hint="Give the property another name.",
            )
        self._event = _event_name(spec)
        self._writer = properties.Writer(named, nulls=spec.kind is Kind.PEOPLE)
        self._has_sessions = spec.kind is Kind.EVENTS and any(name in {"$session_id", "*"} for name in named)

    def made(self, source: Source, rows: Rows) -> Made:
        """See `made`."""
        gone = [at for at, op in enumerate(rows.ops) if op == Op.DELETED] if Op.DELETED in rows.ops else []
        if not gone:
            return self._of_living(source, rows)
        living = sorted(set(range(len(rows))).difference(gone))
        made = self._of_living(source, only(rows, living))
        made.positions = [living[at] for at in made.positions]
        made.refused = {living[at]: refusal for at, refusal in made.refused.items()}
        self._of_gone(source, rows, gone, made)
        return made

    def _of_living(self, source: Source, rows: Rows) -> Made:
        count = len(rows)
        if not count:
            return Made({}, [], {})
        refused: dict[int, Refusal] = {}
        read: dict[str, list[Any]] = {}
        for step in (self._whose, *steps.of_event(self._spec, rows.now, mirrors=source.mirrors)):
            read[step.target], wrong = step.run(rows.columns)
            refused = wrong | refused  # the first one counts
        if self._spec.kind is Kind.DELETIONS:
            return _kept({"distinct_id": read["distinct_id"]}, count, refused)
        given = []
        for step in self._properties:
            converted, wrong = step.run(rows.columns)
            refused = wrong | refused
            given.append(converted)
        written = self._writer.write(given, count)
        for at, (place, unfit) in written.wrong.items():
            step = self._properties[place]
            refused.setdefault(at, step.refusal(columns.values(rows.columns, step.column)[at], unfit))
        make = self._people if self._spec.kind is Kind.PEOPLE else self._events
        shared = {"team_id": [self._spec.team_id] * count, "kind": [KIND] * count}
        return _kept(make(source, rows, read, written) | shared, count, refused)

    def _people(
        self, source: Source, rows: Rows, read: Mapping[str, list[Any]], written: properties.Written
    ) -> Columns:
        origin = _origin(source)

        @functools.cache
        def said(nulls: tuple[str, ...]) -> bytes:
            return _joined(origin, properties.encode({"$unset": nulls})) if nulls else origin

        count = len(rows)
        return {
            "uuid": _version_ids(source.id, rows),
            "event": ["$set"] * count,
            "distinct_id": read["distinct_id"],
            "timestamp": [rows.now] * count,
            "properties": list(map(said, written.nulls)),
            "set": written.objects,
        }

    def _events(
        self, source: Source, rows: Rows, read: Mapping[str, list[Any]], written: properties.Written
    ) -> Columns:
        count, origin, objects = len(rows), _origin(source), written.objects
        if source.mirrors:
            uuids = _version_ids(source.id, rows)
            origins = [_of_row(origin, row) for row in map(ids.namer(source.id), rows.keys)]
            objects = list(map(_joined, objects, origins))
        else:
            uuids = read.get("uuid") or list(map(ids.namer(source.id), rows.keys))
            tail = b"," + origin[1:]
            objects = [one[:-1] + tail if len(one) > 2 else origin for one in objects]
        made: Columns = {
            "uuid": uuids,
            "event": read.get("event") or [self._event] * count,
            "distinct_id": read["distinct_id"],
            "timestamp": read.get("timestamp") or [rows.now] * count,
            "properties": objects,
        }
        if self._has_sessions:
            made["session_id"] = [sessions.session_of(one) if b'"$session_id"' in one else None for one in objects]
        return made

    def _of_gone(self, source: Source, rows: Rows, gone: Sequence[int], made: Made) -> None:
        """What becomes of rows that went away, of which only the key is known."""
        known = self._known(rows, gone)
        if self._spec.kind is Kind.EVENTS:
            _append(made, _tombstones(source, rows, gone, known, self._spec.team_id), gone)
            return
        for at, who in zip(gone, known, strict=True):
            if self._spec.kind is Kind.DELETIONS:
                message = "The row went away; that a person was deleted cannot be taken back."
                made.refused[at] = Refusal("deletion_taken_back", message)
            elif who is None:
                message = f"The row went away, and its key does not say whose it was ({self._whose.column})."
                made.refused[at] = Refusal("identity_unknown", message, self._whose.column)
            else:
                made.deleted.append((at, who))

    def _known(self, rows: Rows, gone: Sequence[int]) -> list[str | None]:
        found: Sequence[Any] = [None] * len(rows)
        with contextlib.suppress(ConfigError):  # it is not of the key
            found = columns.values(rows.columns, self._whose.column)
        return values.converted([found[at] for at in gone], (frozenset(), self._whose.convert))[0]


def _event_name(spec: ImportSpec) -> str | None:
    if spec.event is None:
        return None
    try:
        return names.event_name(spec.event)
    except Unfit as unfit:
        raise ConfigError(
            "event_name_refused", f"{spec.event!r} is not {unfit}.", hint="Call the events something else."
        ) from None


def only(rows: Rows, places: Sequence[int]) -> Rows:
    """The rows of some places."""
    return Rows(
        [rows.keys[at] for at in places],
        [rows.hashes[at] for at in places],
        [rows.ops[at] for at in places],
        {name: [column[at] for at in places] for name, column in rows.columns.items()},
        rows.now,
    )


def _kept(made: Columns, count: int, refused: dict[int, Refusal]) -> Made:
    """All but what is refused."""
    if not refused:
        return Made(made, list(range(count)), refused)
    left = [at for at in range(count) if at not in refused]
    return Made({name: [column[at] for at in left] for name, column in made.items()}, left, refused)


def _append(made: Made, more: Columns, places: Sequence[int]) -> None:
    count = len(made.positions)
    for name in {*made.events, *more}:
        before = made.events.get(name, [None] * count)
        made.events[name] = [*before, *more.get(name, [None] * len(places))]
    made.positions = [*made.positions, *places]


def _tombstones(source: Source, rows: Rows, gone: Sequence[int], whose: list[str | None], team_id: int) -> Columns:
    """Events that say that rows are gone. Nobody becomes a person by them."""
    origin = _joined(_origin(source), b'{"$process_person_profile":false}')
    count, apart = len(gone), only(rows, gone)
    return {
        "uuid": _version_ids(source.id, apart),
        "event": [names.DELETED] * count,
        "distinct_id": [who or NOBODY for who in whose],
        "timestamp": [rows.now] * count,
        "properties": [_of_row(origin, row) for row in map(ids.namer(source.id), apart.keys)],
        "team_id": [team_id] * count,
        "kind": [KIND] * count,
    }


def _version_ids(namespace: uuid.UUID, rows: Rows) -> list[str]:
    """Of each version of a row another id."""
    name = ids.namer(namespace)
    return [name("\x1f".join(parts)) for parts in zip(rows.keys, rows.hashes, rows.ops, strict=True)]


def _origin(source: Source) -> bytes:
    """An object of what tells where an event came from."""
    name = values.cleaned(source.name)
    return properties.encode({"$import_id": str(source.id), "$import": name, "$import_run": source.run})


def _of_row(origin: bytes, row: str) -> bytes:
    return origin[:-1] + b',"$import_row":"' + row.encode() + b'"}'


def _joined(first: bytes, second: bytes) -> bytes:
    """One object of two, of which the second is not empty."""
    return first[:-1] + b"," + second[1:] if len(first) > 2 else second
