"""PostHog: bodies of its capture API (one event, an array, a batch, a form), and exported events, one a line.

Facts: PostHog's capture service (payload shapes, where the distinct_id may stand, `offset`) and its export columns.
`$set` and `$set_once` may stand in the properties or beside them; those in the properties win, as there.
A file does not say when a server received it, so a time is taken as it was sent; `sent_at` counts only for events that
have no time, less their `offset`. Other fields (an export's person properties, say) are kept in the envelope.
"""

from __future__ import annotations

import base64
import urllib.parse
from typing import Annotated, Any

import msgspec

from tidemill.errors import RowError
from tidemill.events.formats import posthog_quick, text, timestamps
from tidemill.events.formats.event import Event

_NONE = msgspec.Raw(b"")


class _Record(msgspec.Struct, gc=False):
    event: str | None = None
    uuid: str | None = None
    distinct_id: Any = None
    dollar_distinct_id: Any = msgspec.field(name="$distinct_id", default=None)
    timestamp: str | int | float | None = None
    offset: int | float | None = None
    sent_at: str | int | float | None = None
    properties: msgspec.Raw = _NONE
    set: msgspec.Raw = msgspec.field(name="$set", default=_NONE)
    set_once: msgspec.Raw = msgspec.field(name="$set_once", default=_NONE)
    person_set: msgspec.Raw = msgspec.field(name="set", default=_NONE)
    person_set_once: msgspec.Raw = msgspec.field(name="set_once", default=_NONE)
    ip: str | None = None
    elements: msgspec.Raw = _NONE
    elements_chain: str | None = None
    team_id: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] | None = None
    batch: list[msgspec.Raw] | None = None
    api_key: msgspec.Raw = _NONE
    token: msgspec.Raw = _NONE


class _Usual(_Record, gc=False, forbid_unknown_fields=True):
    """A record without other fields: nothing is left for an envelope."""


class _Properties(msgspec.Struct, gc=False):
    """What is looked for in them; as texts, since a number that no float holds would be an error."""

    distinct_id: msgspec.Raw = _NONE
    set: msgspec.Raw = msgspec.field(name="$set", default=_NONE)
    set_once: msgspec.Raw = msgspec.field(name="$set_once", default=_NONE)
    ip: msgspec.Raw = msgspec.field(name="$ip", default=_NONE)


_RECORD = msgspec.json.Decoder(_Record)
_USUAL: msgspec.json.Decoder[_Record] = msgspec.json.Decoder(_Usual)
_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_PROPERTIES = msgspec.json.Decoder(_Properties)


class PostHog:
    """See the module."""

    name = "posthog"
    title = "PostHog capture bodies and exported events"
    quick = staticmethod(posthog_quick.records)
    quick_lines = staticmethod(posthog_quick.lines)

    def parse(self, record: bytes, now: int) -> list[Event | RowError]:
        """See event.Format."""
        record = text.mend(_unpacked(record) if record[:5] == b"data=" else record)
        if record[:1] == b"[":
            return _members(text.decode(_LIST, record), None, now)
        found, envelope = _read(record)
        if found.batch is not None:
            return _members(found.batch, found.sent_at, now)
        return [_event(found, envelope, found.sent_at, now)]


def captured(record: bytes, sent_at: float, now: int) -> Event:
    """One event of a body that came just now. `sent_at`: what the sender's clock says; both in microseconds.

    Raises
    ------
    RowError
        It cannot be taken.
    """
    return _event(*_read(text.mend(record)), sent_at, now)


def _unpacked(record: bytes) -> bytes:
    """The JSON in a form's field `data`, in base64 or not, as older SDKs send it."""
    try:
        data = urllib.parse.parse_qs(record.decode(), strict_parsing=True)["data"][0].strip()
        return data.encode() if data[:1] in {"{", "["} else base64.b64decode(data.replace(" ", "+"), validate=True)
    except (ValueError, KeyError) as error:
        raise RowError("form_invalid", f"The form cannot be read: {error}.") from None


def _read(record: bytes) -> tuple[_Record, str | None]:
    """A record, and what is not known of it."""
    try:
        return text.decode(_USUAL, record), None
    except RowError as error:
        if error.code != "field_type":
            raise
    return text.decode(_RECORD, record), text.rest(text.fields(record), posthog_quick.TAKEN)


def _members(members: list[msgspec.Raw], sent_at: str | float | None, now: int) -> list[Event | RowError]:
    parsed: list[Event | RowError] = []
    for member in members:
        try:
            parsed.append(_event(*_read(bytes(member)), sent_at, now))
        except RowError as error:
            parsed.append(error)
    return parsed


def _event(found: _Record, envelope: str | None, sent_at: str | float | None, now: int) -> Event:
    properties = text.json_object(found.properties, "properties") or "{}"
    inner = _PROPERTIES.decode(properties)  # cheaper than a search for what could be in it
    timestamp, has_time = _time(found, sent_at, now)
    ip = found.ip or (text.value(inner.ip) if bytes(inner.ip)[:1] == b'"' else None)
    return Event(  # by position: with names it takes half as long again, and this runs for every event
        text.event_id(found.uuid),
        text.event_name(found.event),
        _person(found, inner),
        timestamp,
        has_time,
        properties,
        _object(inner.set, found.set, found.person_set),
        _object(inner.set_once, found.set_once, found.person_set_once),
        text.clean(ip) if ip else None,
        _elements(found),
        found.team_id,
        "capture",
        envelope,
    )


def _person(found: _Record, inner: _Properties) -> str:
    beside = found.distinct_id, found.dollar_distinct_id
    if any(text.identifier(candidate).strip() for candidate in beside):
        return text.person(*beside)
    return text.person(text.value(inner.distinct_id))


def _time(found: _Record, sent_at: str | float | None, now: int) -> tuple[int, bool]:
    if found.timestamp is not None and found.timestamp != "":
        return timestamps.parse(found.timestamp), True
    if found.offset is not None and sent_at:
        return timestamps.checked(timestamps.parse(sent_at) - int(found.offset * 1000), found.offset), True
    if sent_at:
        return timestamps.parse(sent_at), True
    return now, False


def _object(*candidates: msgspec.Raw) -> str | None:
    """The first of them that is a JSON object (or a text of one); what is none is no person property."""
    for candidate in candidates:
        if candidate is _NONE:
            continue
        if bytes(candidate)[:1] in {b"{", b'"'}:
            try:
                found = text.json_object(candidate, "$set")
            except RowError:
                continue
            if found and found != "{}":
                return found
    return None


def _elements(found: _Record) -> str | None:
    if found.elements_chain:
        return text.clean(found.elements_chain)
    if found.elements is _NONE:
        return None
    raw = bytes(found.elements)
    if not raw or raw in {b"null", b"[]", b'""'}:
        return None
    inner = text.value(found.elements)
    return text.clean(inner) if isinstance(inner, str) else raw.decode()
