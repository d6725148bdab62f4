"""The set that each SDK is asked to send, and what of each call the store must have."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import json
import uuid
from collections.abc import Callable, Iterable
from typing import Any

from tests.capture_server import CaptureServer

#: What a test takes at most.
_RUN = dt.timedelta(minutes=20)
KINDS = ("track", "identify", "track", "page", "track", "group", "track", "screen", "track", "alias")


@dataclasses.dataclass(frozen=True)
class Call:
    """One call. `properties` are those of a person or a group, too."""

    number: int
    kind: str
    id: str
    who: str
    at: dt.datetime
    event: str
    properties: dict[str, Any]

    @property
    def previous(self) -> str:
        """Who that was before, of an alias."""
        return f"anonymous-{self.number}"

    @property
    def group(self) -> str:
        """The name of a group."""
        return f"Büro {self.number % 5}"

    @property
    def milliseconds(self) -> int:
        """When it was, since 1970."""
        return round(self.at.timestamp() * 1000)

    def told(self) -> dict[str, Any]:
        """The call as JSON, for a script."""
        more = {"previous": self.previous, "group": self.group, "at": self.milliseconds}
        return {**dataclasses.asdict(self), **more}


def calls(count: int) -> list[Call]:
    """So many calls, of yesterday."""
    midnight = dt.datetime.now(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    yesterday = midnight - dt.timedelta(days=1)
    return [_call(number, yesterday + dt.timedelta(seconds=number, milliseconds=number)) for number in range(count)]


def _call(number: int, at: dt.datetime) -> Call:
    kind = KINDS[number % len(KINDS)]
    who = f"user-{number % 50}@example.com" if number % 3 else f"Пользователь {number % 50}"
    event = f"event {number % 7}" if number % 4 else f"Bestellung „{number % 7}“ 🛒"
    return Call(number, kind, str(uuid.uuid4()), who, at, event, _properties(number))


def _properties(number: int) -> dict[str, Any]:
    if number % 5 == 0:
        return {"number": number}
    return {
        "number": number,
        "text": f'Grüße {number} 🌊 — «日本語» "quoted", a back\\slash, \t, \x01 and \u2028',
        "half": "a cut-off emoji: \ud83d",
        "nested": {"list": [1, -2.5, "x", {"deep": True}], "größe": "ä", "empty": {}, "null": {"nothing": None}},
        "nothing": None,
        "no": False,
        "large": 2**53 - 1,
    }


def kept(call: Call, event: str, **fields: Any) -> dict[str, Any]:
    """What the store must have of a call: those columns that do not follow from the event's name."""
    usual = {"id": call.id, "who": call.who, "at": call.at, "properties": {}, "set": None, "set_once": None}
    return {"event": event, **usual, "previous": None, **fields}


def segments(call: Call) -> dict[str, Any]:
    """What the store must have of a call that was sent to Segment's API."""
    properties = call.properties
    match call.kind:
        case "identify":
            return kept(call, "$identify", set=properties)
        case "group":
            group = {"$group_type": "group", "$group_key": call.group, "$group_set": properties}
            return kept(call, "$groupidentify", properties=group)
        case "alias":
            return kept(call, "$create_alias", previous=call.previous)
        case _:
            name = {"page": "$pageview", "screen": "$screen"}.get(call.kind, call.event)
            return kept(call, name, properties=properties)


def amplitudes(call: Call) -> dict[str, Any]:
    """What the store must have of a call that was sent to Amplitude's API."""
    match call.kind:
        case "identify" if call.number % 20 == 1:
            return kept(call, "$identify", set_once=call.properties)
        case "identify":
            return kept(call, "$identify", set=call.properties)
        case "group":
            group = {"$group_type": "company", "$group_key": call.group, "$group_set": {"$set": call.properties}}
            more = {"$process_person_profile": False}
            return kept(call, "$groupidentify", who=f"company_{call.group}", properties={**group, **more})
        case _:
            said = {name: value for name, value in call.properties.items() if value is not None}
            return kept(call, call.event, properties=said)


@dataclasses.dataclass(frozen=True)
class Reading:
    """How rows of the store are read that came from an SDK.

    `own`: whether a property was added by the SDK; `chosen`: events whose id and time the SDK chooses;
    `id_of`: the id as the call gave it.
    """

    own: Callable[[str], bool] = lambda _: False
    chosen: frozenset[str] = frozenset()
    id_of: Callable[[dict[str, Any]], Any] = lambda row: row["uuid"]

    def row(self, row: dict[str, Any]) -> dict[str, Any]:
        """A row as `kept` has it."""
        chosen = row["event"] in self.chosen
        return {
            "id": None if chosen else self.id_of(row),
            "event": row["event"],
            "who": row["distinct_id"],
            "at": None if chosen else row["timestamp"].astimezone(dt.UTC),
            "properties": self._sent(row["properties"]),
            "set": self._sent(row["set"]) or None,
            "set_once": self._sent(row["set_once"]) or None,
            "previous": (row["envelope"] or {}).get("previousId"),
        }

    def _sent(self, given: dict[str, Any] | None) -> dict[str, Any]:
        return {name: value for name, value in (given or {}).items() if not self.own(name)}


def added_by_posthog(name: str) -> bool:
    """Whether it is a property that PostHog's SDKs add to each event."""
    return name.startswith("$") and name not in {"$group_type", "$group_key", "$group_set"}


def check(server: CaptureServer, team_id: int, expected: Iterable[dict[str, Any]], reading: Reading) -> None:
    """The store has exactly these events of a team."""
    rows = server.rows(team_id)
    assert len({row["uuid"] for row in rows}) == len(rows)
    now = dt.datetime.now(dt.UTC)
    ages = [now - row["timestamp"] for row in rows if row["event"] in reading.chosen]
    assert all(dt.timedelta() <= age < _RUN for age in ages), ages
    wanted = collections.Counter(_text(each) for each in expected)
    found = collections.Counter(_text(reading.row(row)) for row in rows)
    missing, strange = list((wanted - found).elements()), list((found - wanted).elements())
    told = "\n".join([*(f"missing: {row}" for row in missing[:3]), *(f"strange: {row}" for row in strange[:3])])
    assert not missing and not strange, f"{len(missing)} missing, {len(strange)} strange of team {team_id}\n{told}"


def _text(row: dict[str, Any]) -> str:
    return json.dumps(row, sort_keys=True, default=str).replace('\\ud83d"', '\\ufffd"')
