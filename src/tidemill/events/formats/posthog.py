"""PostHog: bodies of its capture API (one event, an array, a batch, a form), and exported events, one a line.

Facts: PostHog's capture service (payload shapes, where the distinct_id may stand, `offset`) and its export columns.
`$set` and `$set_once` may stand in the properties or beside them; those in the properties win, as there.
A file does not say when a server received it, so a time is taken as it was sent; `sent_at` counts only for events that
have no time, less their `offset`. Other fields (an export's person properties, say) are kept in the envelope.
"""

from __future__ import annotations

import base64
import urllib.parse
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import msgspec

from tidemill.errors import RowError
from tidemill.events.formats import text, timestamps
from tidemill.events.formats.event import Columns, Event

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


_Id = Annotated[str, msgspec.Meta(min_length=1, max_length=text.MAX_ID)]


class _Plain(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """What most records are: what counts is given, as texts that are not cut. All else is as in _Record, or absent."""

    event: _Id
    uuid: _Id
    timestamp: Annotated[str, msgspec.Meta(min_length=1)]
    properties: msgspec.Raw
    distinct_id: _Id | None = None
    ip: str | None = None
    team_id: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] | None = None
    set: msgspec.Raw = msgspec.field(name="$set", default=_NONE)
    set_once: msgspec.Raw = msgspec.field(name="$set_once", default=_NONE)
    person_set: msgspec.Raw = msgspec.field(name="set", default=_NONE)
    person_set_once: msgspec.Raw = msgspec.field(name="set_once", default=_NONE)
    elements_chain: str | None = None
    offset: int | float | None = None
    sent_at: str | int | float | None = None
    api_key: msgspec.Raw = _NONE
    token: msgspec.Raw = _NONE
    dollar_distinct_id: None = msgspec.field(name="$distinct_id", default=None)
    elements: None = None
    batch: None = None


class _PlainAndMore(_Plain, gc=False, forbid_unknown_fields=False):
    """One with other fields, which go into the envelope."""


class _PlainProperties(msgspec.Struct, gc=False):
    distinct_id: _Id | None = None
    set: msgspec.Raw = msgspec.field(name="$set", default=_NONE)
    set_once: msgspec.Raw = msgspec.field(name="$set_once", default=_NONE)
    ip: str | None = msgspec.field(name="$ip", default=None)


class _Properties(msgspec.Struct, gc=False):
    """What is looked for in them; as texts, since a number that no float holds would be an error."""

    distinct_id: msgspec.Raw = _NONE
    set: msgspec.Raw = msgspec.field(name="$set", default=_NONE)
    set_once: msgspec.Raw = msgspec.field(name="$set_once", default=_NONE)
    ip: msgspec.Raw = msgspec.field(name="$ip", default=_NONE)


_RECORD = msgspec.json.Decoder(_Record)
_USUAL: msgspec.json.Decoder[_Record] = msgspec.json.Decoder(_Usual)
_decode_plain = msgspec.json.Decoder(_Plain).decode
_decode_plain_and_more: Callable[[bytes], _Plain] = msgspec.json.Decoder(_PlainAndMore).decode
_decode_plain_properties = msgspec.json.Decoder(_PlainProperties).decode
_TAKEN = frozenset(_Record.__struct_encode_fields__) | {"$token", "personal_api_key"}
_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_PROPERTIES = msgspec.json.Decoder(_Properties)


class PostHog:
    """See the module."""

    name = "posthog"
    title = "PostHog capture bodies and exported events"

    def quick(self, records: Sequence[bytes]) -> tuple[Columns, list[int]]:
        """See event.Format."""
        if (columns := _columns(records)) is not None:
            return columns, []
        usual = [number for number, record in enumerate(records) if _is_plain(record)]
        if (columns := _columns([records[number] for number in usual])) is None:  # it is the times of some
            usual = [number for number in usual if _columns([records[number]]) is not None]
            columns = _columns([records[number] for number in usual])
        chosen = set(usual)
        return columns or {}, [number for number in range(len(records)) if number not in chosen]

    def parse(self, record: bytes, now: int) -> list[Event | RowError]:
        """See event.Format."""
        record = text.mend(_unpacked(record) if record[:5] == b"data=" else record)
        if record[:1] == b"[":
            return _members(text.decode(_LIST, record), None, now)
        found, envelope = _read(record)
        if found.batch is not None:
            return _members(found.batch, found.sent_at, now)
        return [_event(found, envelope, found.sent_at, now)]


def _is_plain(record: bytes) -> bool:
    """Whether it is a usual record, but for its time."""
    try:
        found = _decode_plain_and_more(record)
        within = _decode_plain_properties(bytes(found.properties))
        _plain_object(within.set, found.set, found.person_set)
        _plain_object(within.set_once, found.set_once, found.person_set_once)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return False
    distinct_id = found.distinct_id or within.distinct_id or " "
    return text.is_plain(record) and not distinct_id.isspace() and not found.event.isspace()


def _columns(records: Sequence[bytes]) -> Columns | None:
    """The columns of usual records; None if one of them is not, or there is none."""
    import pyarrow as pa  # 50 ms

    if not records or not all(map(text.is_plain, records)):
        return None
    try:
        found, envelopes = _plain(records)
        properties = [bytes(one.properties) for one in found]
        both = list(zip(found, map(_decode_plain_properties, properties), strict=True))
        # Arrow takes times with an offset, to the microsecond, as `timestamps` does; all others it refuses.
        times = pa.array([one.timestamp for one in found]).cast(pa.timestamp("us", "UTC"))
        columns: Columns = {
            "uuid": [one.uuid for one in found],
            "event": [one.event for one in found],
            "properties": properties,
            "distinct_id": [one.distinct_id or within.distinct_id or " " for one, within in both],
            "ip": [one.ip or within.ip or None for one, within in both],
            "timestamp": times,
            "set": [_plain_object(within.set, one.set, one.person_set) for one, within in both],
            "set_once": [_plain_object(within.set_once, one.set_once, one.person_set_once) for one, within in both],
            "elements": [one.elements_chain or None for one in found],
            "team_id": [one.team_id for one in found],
        }
    except (msgspec.DecodeError, RecursionError, ValueError):  # Arrow's errors are ValueErrors, too
        return None
    moments = times.cast(pa.int64()).to_pylist()
    if min(moments) < timestamps.EARLIEST or max(moments) > timestamps.LATEST:
        return None
    if any(map(str.isspace, columns["event"])) or any(map(str.isspace, columns["distinct_id"])):
        return None
    return columns if envelopes is None else {**columns, "envelope": envelopes}


def _plain(records: Sequence[bytes]) -> tuple[list[_Plain], list[str | None] | None]:
    """The records, and the envelopes of all of them, if one has any."""
    try:
        return [_decode_plain(record) for record in records], None
    except msgspec.ValidationError:
        found = [_decode_plain_and_more(record) for record in records]
        return found, [text.rest(text.fields(record), _TAKEN) for record in records]


def _plain_object(*candidates: msgspec.Raw) -> bytes | None:
    """The first of them that is a JSON object and not empty. ValueError if one of them is something else."""
    for candidate in candidates:
        if candidate is not _NONE:
            given = bytes(candidate)
            if given[:1] == b"{":
                if given != b"{}":
                    return given
            elif given != b"null":
                raise ValueError
    return None


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
    return text.decode(_RECORD, record), text.rest(text.fields(record), _TAKEN)


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
