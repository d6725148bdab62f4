"""Mixpanel: exported (or imported) events, one a line: ``{"event": …, "properties": {"time": …, "distinct_id": …}}``.

`time` is in seconds or milliseconds; `$insert_id` is the sender's own id. The properties are kept whole.
"""

from __future__ import annotations

import msgspec

from tidemill.errors import RowError
from tidemill.events.formats import text, timestamps
from tidemill.events.formats.event import Event

_NONE = msgspec.Raw(b"")


class _Record(msgspec.Struct, gc=False):
    event: str | None = None
    properties: msgspec.Raw = _NONE


class _Properties(msgspec.Struct, gc=False):
    time: str | int | float | None = None
    distinct_id: str | int | float | None = None
    user_id: str | int | float | None = msgspec.field(name="$user_id", default=None)
    device_id: str | int | float | None = msgspec.field(name="$device_id", default=None)
    insert_id: str | None = msgspec.field(name="$insert_id", default=None)
    ip: str | None = None


_RECORD = msgspec.json.Decoder(_Record)
_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_PROPERTIES = msgspec.json.Decoder(_Properties)


class Mixpanel:
    """See the module."""

    name = "mixpanel"
    title = "Mixpanel exports"
    quick = None
    quick_lines = None

    def parse(self, record: bytes, now: int) -> list[Event | RowError]:
        """See event.Format."""
        record = text.mend(record)
        if record[:1] != b"[":
            return [_event(record, now)]
        parsed: list[Event | RowError] = []
        for member in text.decode(_LIST, record):
            try:
                parsed.append(_event(bytes(member), now))
            except RowError as error:
                parsed.append(error)
        return parsed


def _event(record: bytes, now: int) -> Event:
    found = text.decode(_RECORD, record)
    properties = text.json_object(found.properties, "properties") or "{}"
    inner = text.decode(_PROPERTIES, properties.encode())
    return Event(
        uuid=text.event_id(inner.insert_id),
        event=text.event_name(found.event),
        distinct_id=text.person(inner.distinct_id, inner.user_id, inner.device_id),
        timestamp=timestamps.parse(inner.time) if inner.time is not None else now,
        has_time=inner.time is not None,
        properties=properties,
        ip=text.clean(inner.ip) if inner.ip else None,
        kind="track",
    )
