"""What rows look like, and what the answer says of each.

Source: research on reverse ETL, sections 3.3 (Iterable) and 3.4: errors name users by address or id, and events by
name, not rows. A call may therefore have one row of a user alone; an event is known again by its id.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from tidemill.destinations.fields import INVALID, moment
from tidemill.destinations.iterable import client as clients
from tidemill.destinations.port import (
    WRITTEN,
    Action,
    Field,
    Kind,
    Limits,
    Mode,
    Op,
    Outcome,
    Record,
    Sending,
    SomeRefused,
    again,
    rejected,
)

if TYPE_CHECKING:
    from tidemill.destinations.iterable.client import IterableClient

_encoder = msgspec.json.Encoder()
_LIMITS = Limits(rows=1_000, bytes=3_990_000, row_bytes=1_000_000)
_USER = ("email", "userId")
_HOW = ("preferUserId", "mergeNestedObjects")
#: What the lists of an answer mean, which are named by that and by Emails or UserIds.
_WHY = {
    "invalid": "is none",
    "notFound": "is not known",
    "invalidData": "has data that the project does not take",
    "conflict": "is another user's",
    "forgotten": "is to be forgotten, and takes no data",
}
#: Those of an error of Iterable's own: it may pass.
_PASSES = frozenset({"failed", "validEmailFailures", "validUserIdFailures"})


def check(record: Record) -> Outcome | None:
    """A row that names no user."""
    if not any(record.fields.get(name) for name in _USER):
        return rejected(INVALID, "One of email, userId is needed.")
    return None


def group(record: Record) -> str:
    """Users are deleted one a call."""
    return record.identity if record.op is Op.DELETED else ""


def same_user(record: Record) -> str:
    """Two rows of a user cannot be told apart in an answer."""
    return (record.fields.get("email") or "").lower() or str(record.fields["userId"])


def encode_user(record: Record) -> bytes:
    """A user, with what is known of it."""
    data = dict(record.fields)
    made = {name: value for name in (*_USER, *_HOW) if (value := data.pop(name, None)) not in (None, "")}
    return _encoder.encode({**made, "dataFields": data})


def encode_event(record: Record) -> bytes:
    """An event of a user."""
    made = {name: value for name, value in record.fields.items() if value != "" or name not in _USER}
    if "createdAt" in made:
        made["createdAt"] = int(moment(made["createdAt"]).timestamp())
    return _encoder.encode({"id": record.identity, **made})


def send_users(client: IterableClient, batch: Sequence[Sending]) -> Sequence[Outcome]:
    """Send users, or delete one."""
    first = batch[0].record
    if first.op is Op.DELETED:
        name = next(name for name in _USER if first.fields.get(name))
        client.delete(name, first.fields[name])
        return [WRITTEN]
    only = b',"updateOnly":true' if first.mode is Mode.UPDATE else b""
    rows = b",".join(sending.body for sending in batch)
    said = client.post("/api/users/bulkUpdate", b'{"users":[' + rows + b"]" + only + b"}")
    return outcomes(said, [sending.record.fields for sending in batch])


def send_events(client: IterableClient, batch: Sequence[Sending]) -> Sequence[Outcome]:
    """Send events."""
    rows = b",".join(sending.body for sending in batch)
    said = client.post("/api/events/trackBulk", b'{"events":[' + rows + b"]}")
    return outcomes(said, [sending.record.fields for sending in batch])


def outcomes(said: Any, rows: Sequence[Mapping[str, Any]]) -> list[Outcome]:
    """Of an answer, which names users and events that it did not take.

    Raises
    ------
    SomeRefused
        It counts more failures than it names, or says nothing.
    """
    if not isinstance(said, dict) or not (isinstance(said.get("failCount"), int) or said.get("code") == "Success"):
        raise SomeRefused("iterable_refused", f"{clients.WHO} does not say what it took: {str(said)[:300]}")
    emails, ids, events = _named(said, "Emails"), _named(said, "UserIds"), set(said.get("disallowedEventNames") or ())
    found = [_outcome(row, emails, ids, events) for row in rows] if emails or ids or events else [WRITTEN] * len(rows)
    failures = said.get("failCount") or 0
    if failures > len(found) - found.count(WRITTEN):
        raise SomeRefused("iterable_refused", f"{clients.WHO} did not take {failures} of {len(rows)} rows.")
    return found


def _outcome(row: Mapping[str, Any], emails: Mapping[str, str], ids: Mapping[str, str], events: set[str]) -> Outcome:
    if events and row.get("eventName") in events:
        return rejected("iterable_rejected", f"The project does not take events of the name {row['eventName']!r}.")
    for name, lists in (("email", emails), ("userId", ids)):
        which = lists.get(_folded(row.get(name) or ""))
        if which in _PASSES:
            return again("iterable_failed", f"Iterable failed at this {name} ({which}).")
        if which:
            return rejected("iterable_rejected", f"This {name} {_WHY.get(which, f'was refused ({which})')}.")
    return WRITTEN


def _named(said: Mapping[str, Any], kind: str) -> dict[str, str]:
    """Users that the answer names, each with the list that it is in."""
    found: dict[str, str] = {}
    for name, values in _lists(said):
        if name.endswith(kind):
            found.update((_folded(value), name.removesuffix(kind)) for value in values if value)
        elif name in _PASSES:
            found.update((_folded(value), name) for value in values if value)
    return found


def _folded(value: Any) -> str:
    """An address in small letters, for Iterable has them so; an id as it is."""
    text = str(value)
    return text.lower() if "@" in text else text


def _lists(said: Mapping[str, Any]) -> Iterator[tuple[str, list[Any]]]:
    for part in (said, said.get("failedUpdates")):
        for name, values in part.items() if isinstance(part, dict) else ():
            if isinstance(values, list):
                yield name, values


_EMAIL = Field("email", "E-mail", "The user's address.", names=("email",), personal=True)
_ID = Field("userId", "User id", "The user's id in your systems.", names=("user_id", "id"), personal=True)

USERS = Action(
    name="users",
    title="Update users",
    description="Data fields of users: each field that is mapped is one. A deleted row deletes the user, for good.",
    fields=(
        _EMAIL,
        _ID,
        Field("dataFields", "Data fields", "An object, each member of which is one.", Kind.OBJECT, spread=True),
        Field(
            "preferUserId",
            "Prefer user id",
            "Make a user of an id that is not known, in a project that knows users by address.",
            Kind.BOOLEAN,
        ),
        Field(
            "mergeNestedObjects",
            "Merge objects",
            "Change within objects what is given, instead of replacing them.",
            Kind.BOOLEAN,
        ),
    ),
    more=True,
    modes=(Mode.UPSERT, Mode.UPDATE, Mode.INSERT, Mode.MIRROR, Mode.DELETE),
    limits=_LIMITS,
    check=check,
    group=group,
    distinct=same_user,
    encode=encode_user,
    send=send_users,
)
EVENTS = Action(
    name="events",
    title="Track events",
    description="Each row is an event of a user.",
    fields=(
        _EMAIL,
        _ID,
        Field("eventName", "Name", "Of the event.", required=True, names=("event", "event_name", "name")),
        Field(
            "createdAt",
            "Time",
            "When it happened; left out, when it arrives.",
            Kind.DATETIME,
            names=("created_at", "timestamp", "time"),
        ),
        Field("dataFields", "Data fields", "What else is to be known of it.", Kind.OBJECT),
        Field("id", "Event id", "One of yours: an event of that id is replaced. Left out, it is made of the row."),
        Field("campaignId", "Campaign", "The campaign that it is counted for.", Kind.INTEGER),
        Field("templateId", "Template", "The template that it is counted for.", Kind.INTEGER),
    ),
    modes=(Mode.INSERT, Mode.UPSERT),
    limits=_LIMITS,
    check=check,
    encode=encode_event,
    send=send_events,
)
