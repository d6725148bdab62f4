"""PostHog's usual records, many at once: what `posthog` makes of each of them, in a quarter of the time.

A usual record says what counts as texts that need no mending, with an id and a time of its own. In Python what costs
is each step for each record, so there are few: they are decoded, their properties are decoded, columns are made.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import msgspec

from tidemill.events.formats import sessions, text, timestamps

if TYPE_CHECKING:
    import pyarrow as pa

    from tidemill.events.blocks import Lines
    from tidemill.events.formats.event import Columns

_NONE = msgspec.Raw(b"")
_Id = Annotated[str, msgspec.Meta(min_length=1, max_length=text.MAX_ID)]


class Plain(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """What most records are: what counts is given, as texts that are not cut. All else is as in posthog, or absent."""

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


class _PlainAndMore(Plain, gc=False, forbid_unknown_fields=False):
    """One with other fields, which go into the envelope."""


class _PlainProperties(msgspec.Struct, gc=False):
    distinct_id: _Id | None = None
    set: msgspec.Raw = msgspec.field(name="$set", default=_NONE)
    set_once: msgspec.Raw = msgspec.field(name="$set_once", default=_NONE)
    ip: str | None = msgspec.field(name="$ip", default=None)
    session_id: str | None = msgspec.field(name="$session_id", default=None)


#: The fields of a record that have a column, or are nobody's business: an envelope holds the others.
TAKEN = frozenset(Plain.__struct_encode_fields__) | {"$token", "personal_api_key"}
_PLAIN = msgspec.json.Decoder(Plain)
_decode_plain = _PLAIN.decode
_decode_plain_and_more: Callable[[bytes], Plain] = msgspec.json.Decoder(_PlainAndMore).decode
_decode_properties = msgspec.json.Decoder(_PlainProperties).decode


def records(given: Sequence[bytes]) -> tuple[Columns, list[int]]:
    """See event.Format.quick."""
    if (columns := _columns(given)) is not None:
        return columns, []
    usual = [number for number, record in enumerate(given) if _is_plain(record)]
    if (columns := _columns([given[number] for number in usual])) is None:  # it is the times of some
        usual = [number for number in usual if _columns([given[number]]) is not None]
        columns = _columns([given[number] for number in usual])
    chosen = set(usual)
    return columns or {}, [number for number in range(len(given)) if number not in chosen]


@dataclasses.dataclass(frozen=True, slots=True)
class Body:
    """What a body of the capture API says, whose events seem to be usual: `columns` of them tells."""

    events: list[Plain]
    api_key: msgspec.Raw
    token: msgspec.Raw
    sent_at: object
    historical: bool = False


class _Batch(msgspec.Struct, gc=False):
    batch: list[Plain]
    api_key: msgspec.Raw = _NONE
    token: msgspec.Raw = _NONE
    sent_at: str | int | float | None = None
    historical_migration: bool = False


_decode_batch = msgspec.json.Decoder(_Batch).decode


def body(given: bytes) -> Body | None:
    """A batch, or one event (UTF-8); None if it is not certain that all is usual."""
    if text.is_odd(given):
        return None
    try:
        found = _decode_batch(given)
        made = Body(found.batch, found.api_key, found.token, found.sent_at, found.historical_migration)
    except (msgspec.DecodeError, RecursionError, ValueError):
        try:
            one = _decode_plain(given)
        except (msgspec.DecodeError, RecursionError, ValueError):
            return None
        made = Body([one], one.api_key, one.token, one.sent_at)
    return made if made.events and _is_shallow(given, made.events) else None


def _is_shallow(given: bytes, events: Sequence[Plain]) -> bool:
    """Whether it is certain that no JSON in an event has too many levels. A level takes a [, or 5 bytes."""
    if given.count(b"[") + max(map(_longest, events)) // 5 < text.MAX_DEPTH:
        return True
    each = (
        bytes(raw)
        for one in events
        for raw in (one.properties, one.set, one.set_once, one.person_set, one.person_set_once)
    )
    return all(raw.count(b"[") + min(raw.count(b"{"), len(raw) // 5) < text.MAX_DEPTH for raw in each)


def _longest(event: Plain) -> int:
    """Bytes of the longest JSON in an event."""
    found = len(memoryview(event.properties))
    for raw in (event.set, event.set_once, event.person_set, event.person_set_once):
        if raw is not _NONE:
            found = max(found, len(memoryview(raw)))
    return found


def columns(events: Sequence[Plain]) -> Columns | None:
    """The columns of events that seem to be usual; None if one of them is not."""
    return _columns_of(events, None)


def lines(given: Lines) -> Columns | None:
    """See event.Format.quick_lines."""
    if text.is_odd(given.text) or given.most_brackets > text.MAX_DEPTH:
        return None
    try:
        found = _PLAIN.decode_lines(given.text)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return None
    return _columns_of(found, None) if len(found) == len(given.ends) else None


def _is_plain(record: bytes) -> bool:
    """Whether it is a usual record, but for its time."""
    try:
        found = _decode_plain_and_more(record)
        within = _decode_properties(found.properties)
        _plain_object(within.set, found.set, found.person_set)
        _plain_object(within.set_once, found.set_once, found.person_set_once)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return False
    distinct_id = found.distinct_id or within.distinct_id or " "
    return text.is_plain(record) and not distinct_id.isspace() and not found.event.isspace()


def _columns(given: Sequence[bytes]) -> Columns | None:
    """The columns of usual records; None if one of them is not, or there is none."""
    if not given or not all(map(text.is_plain, given)):
        return None
    try:
        return _columns_of(*_decoded(given))
    except (msgspec.DecodeError, RecursionError, ValueError):
        return None


def _decoded(given: Sequence[bytes]) -> tuple[list[Plain], list[str | None] | None]:
    """The records, and the envelopes of all of them, if one has any."""
    try:
        return [_decode_plain(record) for record in given], None
    except msgspec.ValidationError:
        found = [_decode_plain_and_more(record) for record in given]
        return found, [text.rest(text.fields(record), TAKEN) for record in given]


def _columns_of(found: Sequence[Plain], envelopes: list[str | None] | None) -> Columns | None:
    """The columns of records that are usual so far; None if one of them is not."""
    import pyarrow as pa  # 50 ms
    import pyarrow.compute as pc

    properties = [one.properties for one in found]
    try:
        both = list(zip(found, map(_decode_properties, properties), strict=True))
        # Arrow takes times with an offset, to the microsecond, as `timestamps` does; all others it refuses.
        times = pa.array([one.timestamp for one in found]).cast(pa.timestamp("us", "UTC"))
        columns: Columns = {
            "uuid": [one.uuid for one in found],
            "event": [one.event for one in found],
            "properties": _joined(properties),
            "distinct_id": [one.distinct_id or within.distinct_id or " " for one, within in both],
            "ip": [one.ip or within.ip or None for one, within in both],
            "timestamp": times,
            "set": [
                None
                if within.set is _NONE and one.set is _NONE and one.person_set is _NONE
                else _plain_object(within.set, one.set, one.person_set)
                for one, within in both
            ],
            "set_once": [
                None
                if within.set_once is _NONE and one.set_once is _NONE and one.person_set_once is _NONE
                else _plain_object(within.set_once, one.set_once, one.person_set_once)
                for one, within in both
            ],
            "elements": [one.elements_chain or None for one in found],
            "team_id": [one.team_id for one in found],
            "session_id": sessions.session_ids([within.session_id for _, within in both]),
        }
    except (msgspec.DecodeError, RecursionError, ValueError):  # Arrow's errors are ValueErrors, too
        return None
    moments = pc.min_max(times.cast(pa.int64())).as_py()
    if moments["min"] < timestamps.EARLIEST or moments["max"] > timestamps.LATEST:
        return None
    if (
        any(map(str.isspace, columns["uuid"]))
        or any(map(str.isspace, columns["event"]))
        or any(map(str.isspace, columns["distinct_id"]))
    ):
        return None
    return columns if envelopes is None else {**columns, "envelope": envelopes}


def _joined(texts: Sequence[msgspec.Raw]) -> pa.Array:
    """The texts as an Arrow array of strings; each is copied once."""
    import pyarrow as pa  # 50 ms

    ends = pa.array([0, *itertools.accumulate(len(memoryview(text)) for text in texts)], pa.int32())
    return pa.StringArray.from_buffers(len(texts), ends.buffers()[1], pa.py_buffer(b"".join(texts)))


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
