"""Segment calls: track, identify, page, screen, group, alias, and batches of them (RudderStack's are the same).

Calls other than track get PostHog's names for the same thing: identify is ``$identify``, page ``$pageview``, screen
``$screen``, group ``$groupidentify``, alias ``$create_alias``. Traits of an identify call are person properties;
RudderStack's SDKs have them in the context.
A group call's group and traits are properties as PostHog has them: ``$group_type``, ``$group_key``, ``$group_set``.
The time is `timestamp`, else `originalTimestamp`, `sentAt`, `receivedAt`. Everything else that was sent (context,
integrations, both user ids, …) is kept in the envelope.
"""

from __future__ import annotations

import msgspec

from tidemill.errors import RowError
from tidemill.events.formats import text, timestamps
from tidemill.events.formats.event import Event

NAMES = {
    "identify": "$identify",
    "page": "$pageview",
    "screen": "$screen",
    "group": "$groupidentify",
    "alias": "$create_alias",
}
_TIMES = ("timestamp", "originalTimestamp", "sentAt", "receivedAt")
#: What becomes a column, or must not be kept.
_TAKEN = frozenset({"messageId", "event", "properties", "timestamp", "type", "writeKey", "batch"})
_TAKEN_OF = {"identify": frozenset({"traits"}), "group": frozenset({"traits", "groupId"})}


class Segment:
    """See the module."""

    name = "segment"
    title = "Segment and RudderStack calls"
    quick = None
    quick_lines = None

    def parse(self, record: bytes, now: int) -> list[Event | RowError]:
        """See event.Format."""
        record = text.mend(record)
        if record[:1] == b"[":
            return _members(text.members(record), {}, now)
        given = text.fields(record)
        if "batch" not in given:
            return [called(given, now)]
        shared = {name: raw for name, raw in given.items() if name in {"context", "integrations", "sentAt"}}
        return _members(text.members(given["batch"]), shared, now)


def _members(members: list[bytes], shared: dict[str, msgspec.Raw], now: int) -> list[Event | RowError]:
    parsed: list[Event | RowError] = []
    for member in members:
        try:
            parsed.append(called({**shared, **text.fields(member)}, now))
        except RowError as error:
            parsed.append(error)
    return parsed


def called(given: dict[str, msgspec.Raw], now: int) -> Event:
    """The event of a call, by its fields.

    Raises
    ------
    RowError
        It cannot be taken.
    """
    kind = text.value(given.get("type")) or "track"
    if not isinstance(kind, str) or (kind != "track" and kind not in NAMES):
        raise RowError("call_unknown", f"{str(kind)[:60]!r} is no type of Segment call.")
    time = next((found for name in _TIMES if (found := text.value(given.get(name)))), None)
    context = text.fields(given["context"]) if bytes(given.get("context", b""))[:1] == b"{" else {}
    traits = given.get("traits", msgspec.Raw(b""))
    if bytes(traits) in {b"", b"null", b"{}"} and bytes(context.get("traits", b""))[:1] == b"{":
        traits = context["traits"]
    ip = text.value(context.get("ip"))
    properties = given.get("properties", msgspec.Raw(b""))
    if kind == "group":
        properties = _group(given, properties)
    return Event(
        uuid=text.event_id(text.value(given.get("messageId"))),
        event=NAMES.get(kind) or text.event_name(text.value(given.get("event"))),
        distinct_id=text.person(text.value(given.get("userId")), text.value(given.get("anonymousId"))),
        timestamp=timestamps.parse(time) if time is not None else now,
        has_time=time is not None,
        properties=text.json_object(properties, "properties") or "{}",
        set=text.json_object(traits, "traits") if kind == "identify" else None,
        ip=text.clean(ip) if isinstance(ip, str) and ip else None,
        kind=kind,
        envelope=text.rest(given, _TAKEN | _TAKEN_OF.get(kind, frozenset())),
    )


def _group(given: dict[str, msgspec.Raw], properties: msgspec.Raw) -> msgspec.Raw:
    """The group with its traits. Segment knows one type of groups only."""
    about = {
        "$group_type": msgspec.Raw(b'"group"'),
        "$group_key": given.get("groupId"),
        "$group_set": given.get("traits"),
    }
    sent = {name: raw for name, raw in about.items() if raw is not None}
    more = text.fields(properties) if bytes(properties)[:1] == b"{" else {}
    return msgspec.Raw(msgspec.json.encode({**more, **sent}))
