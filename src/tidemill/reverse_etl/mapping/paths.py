"""Paths into a row: `$.address.city`, `items[0].name`, `$.properties.email`.

A row stands where Segment has an event whose properties are the row. So `properties` is the row itself, unless it has a
column of that name.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Mapping
from typing import Any

from tidemill.destinations.port import Op
from tidemill.reverse_etl.mapping.values import MISSING, Reader, Unfit

#: What is known of a row beside its columns, for paths that name it, if no column has the name:
#: the row's key, the id under which it is sent, and what happened to it, as in an event of Segment's.
GIVEN = frozenset({"__segment_id", "messageId", "event", "type"})
#: What Segment calls what happened.
_EVENTS = {Op.ADDED: "new", Op.UPDATED: "updated", Op.DELETED: "deleted"}
#: Characters.
LONGEST = 1_000

_STEP = re.compile(r"[^\[.\]]+")
#: What stands for the row itself, unless it has such a column.
PROPERTIES = "properties"
_INDEX = re.compile(r"0|[1-9][0-9]{0,17}")


def given_of(row_key: str, identity: str, op: Op) -> dict[str, str]:
    """What is known of a row beside its columns."""
    return {"__segment_id": row_key, "messageId": identity, "event": _EVENTS[op], "type": "track"}


@dataclasses.dataclass(frozen=True)
class Scope:
    """What `$` stands for. `event`: a row, or what @transform made of one; else anything. `row`: the row itself."""

    event: bool
    row: bool


ROW, EVENT, ITEM = Scope(event=True, row=True), Scope(event=True, row=False), Scope(event=False, row=False)


class Event(dict[str, Any]):
    """A row that knows what is given beside its columns."""

    __slots__ = ("given",)
    given: Mapping[str, Any]

    @classmethod
    def of(cls, row: Mapping[str, Any], given: Mapping[str, Any]) -> Event:
        """The row, with it."""
        event = cls(row)
        event.given = given
        return event


@dataclasses.dataclass(frozen=True)
class Step:
    """A name on the way; `index`: the same as a position in a list, -1 if it is none."""

    name: str
    index: int


def parse(path: str) -> tuple[Step, ...]:
    """The steps of a path; none for the whole.

    Raises
    ------
    Unfit
        It is not a path.
    """
    if len(path) > LONGEST:
        raise Unfit(f"is a path of {len(path):,} characters; at most {LONGEST:,} are read")
    rest = path.removeprefix("$.") if path != "$" else ""
    names = _STEP.findall(rest)
    if not names and rest not in {"", "."}:
        raise Unfit(f"is {path!r}; a path names something, as in $.address.city")
    return tuple(Step(name, int(name) if _INDEX.fullmatch(name) else -1) for name in names)


def columns(steps: tuple[Step, ...]) -> frozenset[str] | None:
    """Columns of the row that a path of it may read; None: all."""
    names = [step.name for step in steps[:2]]
    if not names or names == [PROPERTIES]:
        return None
    return frozenset(names if names[0] == PROPERTIES else names[:1])


def meant(steps: tuple[Step, ...]) -> str | None:
    """The column that a path of a row is written for, which may be behind `properties`. None: the whole row."""
    names = [step.name for step in steps if step.name != PROPERTIES]
    return names[0] if names else None


def given(steps: tuple[Step, ...]) -> bool:
    """Whether a path may read what is known of the row beside its columns."""
    return bool({step.name for step in steps[:2]} & GIVEN)


def walk(value: Any, steps: tuple[Step, ...]) -> Any:
    """What is at the end of the steps. Behind null there is null."""
    for step in steps:
        if isinstance(value, dict):
            value = value.get(step.name, MISSING)
        elif isinstance(value, list):
            value = value[step.index] if 0 <= step.index < len(value) else MISSING
        else:
            return None if value is None else MISSING
    return value


def reader(steps: tuple[Step, ...], scope: Scope) -> Reader:
    """What reads a path."""
    if not scope.event:
        return lambda value: walk(value, steps)
    if not steps:
        return _whole
    if steps[0].name == PROPERTIES:
        return _under_properties(steps)
    first, rest = steps[0].name, steps[1:]
    if first in GIVEN:
        return lambda row: walk(_known(row, first), rest)
    if not rest:
        return lambda row: row.get(first, MISSING)
    return lambda row: walk(row.get(first, MISSING), rest)


@functools.lru_cache(maxsize=1024)
def found(path: str, scope: Scope) -> Reader:
    """What reads a path that a row gave.

    Raises
    ------
    Unfit
        It is not a path.
    """
    return reader(parse(path), scope)


def _under_properties(steps: tuple[Step, ...]) -> Reader:
    beneath, rest = reader(steps[1:], EVENT), steps[1:]

    def read(row: Any) -> Any:
        if PROPERTIES in row:
            return walk(row[PROPERTIES], rest)
        return beneath(row)

    if rest and rest[0].name == PROPERTIES:  # of a row without that column, this is a column that is missing
        return lambda row: walk(row.get(PROPERTIES, MISSING), rest)
    return read


def _known(row: Any, name: str) -> Any:
    value = row.get(name, MISSING)
    if value is MISSING and isinstance(row, Event):
        return row.given.get(name, MISSING)
    return value


def _whole(row: Any) -> Any:
    return dict(row) if isinstance(row, Event) else row
