"""Amplitude: exported events, one a line, and bodies of its HTTP V2 and Batch APIs.

An exported event has a `uuid` of its own; a body's event has at most an `insert_id`. `user_properties` that use
operations are person properties by them (``$set``, ``$setOnce``; if there are others, the whole is kept in the envelope
too); plain ones are set. The person is the `user_id`, else the `device_id`; ids that stand for nobody ("unknown") are
left out. Everything else (device, place, session, groups, Amplitude's own ids) is kept in the envelope.
An event's time, if it does not say it, is what the device's clock said, put right by how far that was off when it sent
the event, if that was a minute or more.
Facts: Amplitude's Export API (times are "2023-08-24 07:00:00.000000", UTC) and HTTP V2 (milliseconds) pages; "Google
BigQuery", event_time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import msgspec

from tidemill.errors import RowError
from tidemill.events.formats import text, timestamps
from tidemill.events.formats.event import Event

_TAKEN = frozenset(
    {"uuid", "event_type", "event_properties", "user_properties", "ip", "ip_address", "api_key", "events"}
)
#: Ids that stand for nobody ("HTTP V2 API": invalid ids): Amplitude takes no event under them.
_NOBODY = frozenset(
    {"anonymous", "nil", "none", "null", "n/a", "na", "undefined", "unknown", "", "{}", "lmy47d", "0", "-1"}
    | {"00000000-0000-0000-0000-000000000000"}
)
_IDS = ("user_id", "device_id")
_KINDS = {"$identify": "identify", "$groupidentify": "group"}
_OFF = 60_000_000  # microseconds
_NOTHING = msgspec.Raw(b"")


class Amplitude:
    """See the module."""

    name = "amplitude"
    title = "Amplitude exports and HTTP V2 bodies"
    quick = None
    quick_lines = None

    def parse(self, record: bytes, now: int) -> list[Event | RowError]:
        """See event.Format."""
        record = text.mend(record)
        if record[:1] != b"[":
            given = text.fields(record)
            if "events" not in given:
                return [sent(given, now)]
            record = given["events"]
        parsed: list[Event | RowError] = []
        for member in text.members(record):
            try:
                parsed.append(sent(text.fields(member), now))
            except RowError as error:
                parsed.append(error)
        return parsed


def stands_for_nobody(name: str) -> bool:
    """Whether Amplitude takes this for no id."""
    return name.strip().lower() in _NOBODY


def sent(given: dict[str, msgspec.Raw], now: int) -> Event:
    """An event by its fields, without ids that stand for nobody.

    Raises
    ------
    RowError
        It cannot be taken.
    """
    given = {name: raw for name, raw in given.items() if name not in _IDS or not stands_for_nobody(_id(raw))}

    def first(*names: str) -> Any:
        return next((found for name in names if (found := text.value(given.get(name))) not in (None, "")), None)

    time = _time(first)
    to_set, set_once, whole = _person_properties(given.get("user_properties", _NOTHING))
    ip = first("ip_address", "ip")
    return Event(
        uuid=text.event_id(first("uuid")) or _derived(first("$insert_id", "insert_id"), first("device_id", "user_id")),
        event=text.event_name(first("event_type")),
        distinct_id=text.person(first("user_id"), first("device_id")),
        timestamp=time if time is not None else now,
        has_time=time is not None,
        properties=text.json_object(given.get("event_properties", _NOTHING), "event_properties") or "{}",
        set=to_set,
        set_once=set_once,
        ip=text.clean(ip) if isinstance(ip, str) and ip != "$remote" else None,
        kind=_KINDS.get(str(first("event_type")), "track"),
        envelope=text.rest(given, _TAKEN if whole else _TAKEN - {"user_properties"}),
    )


def _id(raw: msgspec.Raw) -> str:
    return text.identifier(text.value(raw))


def _derived(insert_id: Any, sender: Any) -> str:
    """The id of an event of a body: two are one if insert_id and device are the same ("HTTP V2": deduplication)."""
    if insert_id is None:
        return ""
    whole = msgspec.json.encode([text.identifier(sender), insert_id])
    digest = hashlib.blake2b(whole, digest_size=16, person=b"tidemill-insert").hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-8{digest[13:16]}-8{digest[17:20]}-{digest[20:]}"  # version 8: by own rules


def _time(first: Callable[..., Any]) -> int | None:
    """When it was, in microseconds since 1970; None if nothing says it."""
    said = first("event_time")
    if said is not None:
        return timestamps.parse(said)
    said, sent, received = (
        first("time", "client_event_time"),
        first("client_upload_time"),
        first("server_received_time"),
    )
    if said is None:
        return None
    time = timestamps.parse(said)
    if sent is None or received is None:
        return time
    off = timestamps.parse(received) - timestamps.parse(sent)
    return timestamps.checked(time + off, said) if abs(off) >= _OFF else time


def _person_properties(raw: msgspec.Raw) -> tuple[str | None, str | None, bool]:
    """What is set, what is set only if it is not there, and whether that is all: else there are other operations."""
    whole = text.json_object(raw, "user_properties")
    if whole is None or whole == "{}":
        return None, None, True
    given = text.fields(whole.encode())
    if not any(name.startswith("$") for name in given):
        return whole, None, True
    return _object(given.get("$set")), _object(given.get("$setOnce")), set(given) <= {"$set", "$setOnce"}


def _object(raw: msgspec.Raw | None) -> str | None:
    return text.json_object(raw, "user_properties") if raw is not None else None
