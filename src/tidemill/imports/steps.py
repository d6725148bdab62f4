"""What is read of a row, each column by itself: whose it is, what it is called, when it was, and its properties."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tidemill.imports import columns, identity, ids, names, times, values
from tidemill.imports.made import Refusal
from tidemill.imports.spec import ImportSpec, Kind
from tidemill.imports.unfit import Unfit, told

#: Times before 1971 are mostly zeros (Mixpanel, research on Amplitude and CleverTap, section 5.1), those of tomorrow
#: clocks that are wrong: a time zone may be missing, which is no more than a day.
EARLIEST = 365 * 86_400 * 1_000_000
FUTURE = 24 * 3_600 * 1_000_000


@dataclasses.dataclass(frozen=True)
class Step:
    """A column that is read. `target`: what becomes of it: a column of events, or a property's name; `kind`: what it is
    read as. Values of the types `passed` stay as they are; `code` is that of a refusal."""

    column: str
    target: str
    kind: str
    code: str
    passed: frozenset[type]
    convert: Callable[[Any], Any]

    def run(self, given: Mapping[str, Sequence[Any]]) -> tuple[list[Any], dict[int, Refusal]]:
        """The column, converted, with None where a value does not fit; and why these do not, by their places."""
        found = columns.values(given, self.column)
        made, wrong = values.converted(found, (self.passed, self.convert))
        return made, {at: self.refusal(found[at], unfit) for at, unfit in wrong.items()}

    def refusal(self, value: Any, unfit: Unfit) -> Refusal:
        """Why nothing is made of a row that has this value."""
        return Refusal(unfit.code or self.code, told(self.column, value, unfit), self.column)


def whose(spec: ImportSpec) -> Step:
    """By whom a row is: the column with a distinct_id. That of Tidemill's own ids holds distinct_ids by now."""
    column = spec.identity if spec.identity is not None else str(spec.person_id)
    return Step(column, "distinct_id", "identity", "identity_refused", frozenset(), identity.distinct_id)


def of_event(spec: ImportSpec, now: int, *, mirrors: bool) -> list[Step]:
    """What else an event has, beside its properties. `now`: microseconds since 1970. `mirrors`: its row is its id."""
    if spec.kind is not Kind.EVENTS:
        return []
    steps = []
    none: frozenset[type] = frozenset()
    if spec.event_column is not None:
        steps.append(Step(spec.event_column, "event", "name", "event_name_refused", none, names.event_name))
    if spec.time is not None:
        steps.append(
            Step(
                spec.time,
                "timestamp",
                spec.time_format,
                "time_refused",
                none,
                _timely(times.reader(spec.time_format), now),
            )
        )
    if spec.insert_id is not None and not mirrors:
        convert = ids.inserted(spec.team_id)
        steps.append(Step(spec.insert_id, "uuid", "id", "insert_id_missing", none, convert))
    return steps


def of_properties(spec: ImportSpec) -> list[Step]:
    """The properties, in their order."""
    if spec.kind is Kind.DELETIONS:
        return []
    return [Step(one.column, one.name, one.type, "property_type", *values.column(one)) for one in spec.properties]


def _timely(read: times.Reader, now: int) -> Callable[[Any], int]:
    latest = now + FUTURE

    def convert(value: Any) -> int:
        if value is None:
            raise Unfit("a time", "time_missing")
        micros = read(value)
        if EARLIEST <= micros <= latest:
            return micros
        raise Unfit(f"a time from 1971 until 24 hours from now: it is {times.moment(micros)}")

    return convert
