"""What made a person what it is: since when each property is as it is, and which ids became one.

It is read from the events that are in the store; what older ones said, that are not there any more, is not known.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from tidemill.events import queries
from tidemill.events.identity.rules import MERGES

if TYPE_CHECKING:
    from tidemill.events.lake import Lake

#: So many of its newest events that say something are looked at.
_MOST_EVENTS = 2_000


@dataclasses.dataclass(frozen=True)
class PropertyView:
    """A property. `value`: as JSON has it; `changed_at`, `event`: since when it is so, and which event said that; None
    if no event of the newest does."""

    name: str
    value: Any
    changed_at: dt.datetime | None
    event: str | None


@dataclasses.dataclass(frozen=True)
class MergeView:
    """Two ids that became one person's."""

    at: dt.datetime
    event: str
    distinct_id: str
    other: str


@dataclasses.dataclass(frozen=True)
class History:
    """See the module."""

    properties: tuple[PropertyView, ...]
    merges: tuple[MergeView, ...]


def of(lake: Lake, team_id: int, ids: Sequence[str], properties: str) -> History:
    """That of the person with these ids, of whom these properties are known."""
    found = queries.telling(lake, team_id, ids, MERGES, _MOST_EVENTS)
    now: dict[str, Any] = msgspec.json.decode(properties)
    return History(
        tuple(PropertyView(name, value, *_since(name, value, found)) for name, value in sorted(now.items())),
        tuple(merge for event in found if (merge := _merge(event)) is not None),
    )


def _since(name: str, value: Any, found: Sequence[Mapping[str, Any]]) -> tuple[dt.datetime | None, str | None]:
    """When it became so: the oldest of the newest events that set it to this value, one after the other."""
    since: tuple[dt.datetime | None, str | None] = (None, None)
    for event in found:  # the newest first
        inner = _object(event["properties"])
        said = {**_inner(inner, "$set"), **_object(event["set"])}
        once = {**_inner(inner, "$set_once"), **_object(event["set_once"])}
        if name in said and said[name] != value:
            break
        if name in said or (name in once and once[name] == value):
            since = (event["timestamp"], event["event"])
    return since


def _merge(event: Mapping[str, Any]) -> MergeView | None:
    if event["event"] not in MERGES:
        return None
    said = _object(event["properties"])
    other = said.get("$anon_distinct_id" if event["event"] == "$identify" else "alias")
    if not isinstance(other, str) or other == event["distinct_id"]:
        return None
    return MergeView(event["timestamp"], event["event"], event["distinct_id"], other)


def _inner(properties: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = properties.get(name)
    return found if isinstance(found, dict) else {}


def _object(text: str | None) -> dict[str, Any]:
    with contextlib.suppress(msgspec.DecodeError, RecursionError):
        found = msgspec.json.decode(text or "{}")
        return found if isinstance(found, dict) else {}
    return {}
