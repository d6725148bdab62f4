"""What rows look like in a batch. The API says nothing of single rows: what it would drop is found here.

Source: research on reverse ETL, section 3.3 (Segment Tracking API): 500 KB and 2,500 calls in a batch, 32 KB a call;
neither user nor anonymous id, or no name of an event: not accepted, and not said. A call that comes again with the same
messageId is dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from tidemill.destinations import fields
from tidemill.destinations.port import (
    WRITTEN,
    Action,
    Field,
    Kind,
    Limits,
    Mode,
    Outcome,
    Record,
    Sending,
    rejected,
)

if TYPE_CHECKING:
    from tidemill.destinations.segment.client import SegmentClient

_encoder = msgspec.json.Encoder()

USER_ID = Field("user_id", "User ID", "Your own id of the user.", names=("userid", "customer_id", "id"), personal=True)
ANONYMOUS_ID = Field(
    "anonymous_id", "Anonymous ID", "The id of a visitor who is not known.", names=("anonymousid",), personal=True
)
TIMESTAMP = Field(
    "timestamp", "Timestamp", "When it happened; left out: when it is sent.", Kind.DATETIME,
    names=("occurred_at", "event_time", "time"),
)  # fmt: skip
CONTEXT = Field("context", "Context", "What Segment calls context: ip, locale, campaign and others.", Kind.OBJECT)
INTEGRATIONS = Field("integrations", "Integrations", "Which of Segment's destinations get it.", Kind.OBJECT)
TRAITS = Field("traits", "Traits", "An object of traits; other names of the mapping are added to it.", Kind.OBJECT)
PROPERTIES = Field(
    "properties", "Properties", "An object of properties; other names of the mapping are added to it.", Kind.OBJECT
)
_WHO = (USER_ID, ANONYMOUS_ID)
_COMMON = (TIMESTAMP, CONTEXT, INTEGRATIONS)
#: Fields that have their own place in a call, by their name there.
_PLACES = {
    "user_id": "userId",
    "anonymous_id": "anonymousId",
    "previous_id": "previousId",
    "group_id": "groupId",
    "event": "event",
    "name": "name",
    "category": "category",
    "context": "context",
    "integrations": "integrations",
}


def encoder(kind: str, rest: str | None) -> Callable[[Record], bytes]:
    """What encodes a call of that kind. `rest`: the name of the object that holds what has no place of its own."""

    def encode(record: Record) -> bytes:
        call: dict[str, Any] = {"type": kind, "messageId": record.identity}
        inside: dict[str, Any] = {}
        for name, value in record.fields.items():
            place = _PLACES.get(name)
            if place is not None and name in own:
                call[place] = value
            elif name == "timestamp":
                call["timestamp"] = fields.moment(value).isoformat()
            elif name == rest:
                inside = {**value, **inside}
            else:
                inside[name] = value
        if rest is not None and inside:
            call[rest] = inside
        return _encoder.encode(call)

    own = _OWN[kind]
    return encode


_SHARED = frozenset({"user_id", "anonymous_id", "context", "integrations"})
_OWN = {
    "identify": _SHARED,
    "track": _SHARED | {"event"},
    "group": _SHARED | {"group_id"},
    "page": _SHARED | {"name", "category"},
    "screen": _SHARED | {"name", "category"},
    "alias": _SHARED | {"previous_id"},
}


def somebody(record: Record) -> Outcome | None:
    """Segment drops a call that is of nobody, without a word."""
    if record.fields.get("user_id") or record.fields.get("anonymous_id"):
        return None
    return rejected("segment_nobody", "Both user_id and anonymous_id are missing: Segment takes no call of nobody.")


def send(client: SegmentClient, batch: Sequence[Sending]) -> Sequence[Outcome]:
    """Send a batch: it is taken as a whole, or not."""
    client.post(b'{"batch":[' + b",".join(sending.body for sending in batch) + b"]}")
    return [WRITTEN] * len(batch)


def _action(
    kind: str, title: str, description: str, own: tuple[Field, ...], rest: Field | None, modes: tuple[Mode, ...]
) -> Action:
    return Action(
        name=kind,
        title=title,
        description=description,
        fields=(*own, *((rest,) if rest else ()), *_COMMON),
        more=rest is not None,
        modes=modes,
        # Of 500 KB some are left for what is around the calls.
        limits=Limits(rows=2_500, bytes=490_000, row_bytes=32_000),
        encode=encoder(kind, rest.name if rest else None),
        send=send,
        check=somebody,
    )


_STATE = (Mode.UPSERT, Mode.INSERT, Mode.UPDATE)
_HAPPENED = (Mode.INSERT, Mode.UPSERT, Mode.UPDATE)

IDENTIFY = _action("identify", "Identify users", "Sets traits of a user.", _WHO, TRAITS, _STATE)
TRACK = _action(
    "track",
    "Track events",
    "Each row is an event.",
    (
        Field("event", "Event", "The name of the event.", required=True, names=("event_name",), also=("event_name",)),
        *_WHO,
    ),
    PROPERTIES,
    _HAPPENED,
)
GROUP = _action(
    "group",
    "Group users",
    "Puts a user into a group, and sets traits of the group.",
    (Field("group_id", "Group ID", "Your own id of the group.", required=True, names=("account_id",)), *_WHO),
    TRAITS,
    _STATE,
)
_VIEW = (
    Field("name", "Name", "Of what was seen.", also=("page_name", "screen_name")),
    Field("category", "Category", "Of what was seen."),
    *_WHO,
)
PAGE = _action("page", "Page views", "Each row is a view of a page.", _VIEW, PROPERTIES, _HAPPENED)
SCREEN = _action("screen", "Screen views", "Each row is a view of a screen of an app.", _VIEW, PROPERTIES, _HAPPENED)
ALIAS = _action(
    "alias",
    "Alias users",
    "Says that an earlier id is the same user.",
    (
        Field("previous_id", "Previous ID", "The earlier id of the user.", required=True, personal=True),
        Field("user_id", "User ID", "The id that is kept.", required=True, personal=True),
    ),
    None,
    _HAPPENED,
)
