"""What rows look like, and what the answer says of each.

Source: research on reverse ETL, sections 3.3 (Customer.io Track v2) and 3.4. An event is known again by its id, a ULID.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from tidemill.destinations.fields import INVALID, longer, moment
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
    rejected,
)

if TYPE_CHECKING:
    from tidemill.destinations.customerio.client import CustomerioClient

_encoder = msgspec.json.Encoder()
_LIMITS = Limits(rows=1_000, bytes=499_000, row_bytes=32_000, at_once=8)
#: Of attributes: how many, bytes of a name and of a value; and bytes of an event's name.
_ATTRIBUTES, _NAME_BYTES, _VALUE_BYTES, _EVENT_BYTES = 300, 150, 1_000, 100
_PERSON, _OBJECT = ("id", "email", "phone", "cio_id"), ("object_type_id", "object_id")
_SOMEBODY = (*_PERSON, "anonymous_id")
#: One may be named; the first of these that there is.
_KNOWN_BY = ("cio_id", "id", "email", "phone", "anonymous_id")
_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
#: The letters of ten bits: a ULID is made of thirteen such pairs.
_PAIRS = tuple(first + second for first in _LETTERS for second in _LETTERS)


def ulid(identity: str, milliseconds: int | None) -> str:
    """The ULID of a row: the same each time. Its time is the event's, if that is known."""
    number = uuid.UUID(identity).int
    if milliseconds is not None:
        number = (max(0, milliseconds) & (1 << 48) - 1) << 80 | number & (1 << 80) - 1
    return "".join(_PAIRS[number >> shift & 1023] for shift in range(120, -1, -10))


def check_person(record: Record) -> Outcome | None:
    """A row that names nobody, or has attributes that are more, or longer, than may be."""
    if not any(record.fields.get(name) for name in _PERSON):
        return rejected(INVALID, f"One of {', '.join(_PERSON)} is needed.")
    return _attributes_wrong(record.fields, _PERSON)


def check_object(record: Record) -> Outcome | None:
    """A row with attributes that are more, or longer, than may be."""
    return _attributes_wrong(record.fields, _OBJECT)


def _attributes_wrong(fields: Mapping[str, Any], but: tuple[str, ...]) -> Outcome | None:
    if len(fields) - sum(name in fields for name in but) > _ATTRIBUTES:
        return rejected(INVALID, f"The row has more than {_ATTRIBUTES} attributes.")
    for name, value in fields.items():
        if longer(name, _NAME_BYTES):
            return rejected(INVALID, f"The name of the attribute {name[:40]!r} is longer than {_NAME_BYTES} bytes.")
        if isinstance(value, str) and longer(value, _VALUE_BYTES):
            return rejected(INVALID, f"{name[:40]!r} is longer than {_VALUE_BYTES:,} bytes.")
    return None


def check_event(record: Record) -> Outcome | None:
    """A row that names nobody, or an event of too long a name."""
    if not any(record.fields.get(name) for name in _SOMEBODY):
        return rejected(INVALID, f"One of {', '.join(_SOMEBODY)} is needed.")
    if longer(record.fields["name"], _EVENT_BYTES):
        return rejected(INVALID, f"The event's name is longer than {_EVENT_BYTES} bytes.")
    return None


def encode_person(record: Record) -> bytes:
    """A person's attributes; of one who is deleted, who it is.

    With an id, the address is an attribute: so it can change.
    """
    fields = {name: value for name, value in record.fields.items() if value != "" or name not in _PERSON}
    known_by = next(name for name in _KNOWN_BY if name in fields)
    made: dict[str, Any] = {"type": "person", "identifiers": {known_by: fields.pop(known_by)}}
    if record.op is Op.DELETED:
        return _encoder.encode({**made, "action": "delete"})
    related = fields.pop("relationships", None)
    if "created_at" in fields:
        fields["created_at"] = int(moment(fields["created_at"]).timestamp())
    if record.mode is Mode.UPDATE:
        fields["_update"] = True  # nobody is made who is missing
    made |= {"action": "identify", "attributes": fields}
    if related:
        made["cio_relationships"] = [{"identifiers": one} for one in related]
    return _encoder.encode(made)


def encode_object(record: Record) -> bytes:
    """An object's attributes and people; of one that is deleted, which it is."""
    fields = dict(record.fields)
    made: dict[str, Any] = {"type": "object", "identifiers": {name: fields.pop(name) for name in _OBJECT}}
    if record.op is Op.DELETED:
        return _encoder.encode({**made, "action": "delete"})
    people = fields.pop("people", None)
    made |= {"action": "identify", "attributes": fields}
    if people:
        made["cio_relationships"] = [{"identifiers": {"id": one}} for one in people]
    return _encoder.encode(made)


def encode_event(record: Record) -> bytes:
    """An event of a person."""
    fields = record.fields
    known_by = next(name for name in _KNOWN_BY if fields.get(name))
    when = moment(fields["timestamp"]).timestamp() if "timestamp" in fields else None
    made: dict[str, Any] = {
        "type": "person",
        "action": "event",
        "identifiers": {known_by: fields[known_by]},
        "name": fields["name"],
        "id": ulid(record.identity, None if when is None else int(when * 1000)),
        "attributes": fields.get("attributes", {}),
    }
    if when is not None:
        made["timestamp"] = int(when)
    return _encoder.encode(made)


def send(client: CustomerioClient, batch: Sequence[Sending]) -> Sequence[Outcome]:
    """Send rows. All are written, but those that the answer names."""
    body = b'{"batch":[' + b",".join(sending.body for sending in batch) + b"]}"
    return outcomes(client.post(body), len(batch))


def outcomes(errors: Sequence[Any], number: int) -> list[Outcome]:
    """Of the errors of an answer, each of which says of which row it is.

    Raises
    ------
    SomeRefused
        One says of none: it is not known which rows were taken.
    """
    found = [WRITTEN] * number
    unnamed = []
    for error in errors:
        index = error.get("batch_index") if isinstance(error, dict) else None
        if isinstance(index, int) and 0 <= index < number:
            found[index] = rejected("customerio_rejected", _told(error))
        else:
            unnamed.append(_told(error))
    if unnamed and WRITTEN in found:
        raise SomeRefused("customerio_refused", f"Customer.io answers: {'; '.join(unnamed)[:500]}")
    return found


def _told(error: Any) -> str:
    words = (error.get("field"), error.get("message") or error.get("reason")) if isinstance(error, dict) else ()
    return (": ".join(str(word) for word in words if word) or str(error))[:500]


_ID = Field(
    "id",
    "Id",
    "The person's id in your systems.",
    names=("user_id", "id", "external_id"),
    personal=True,
    also=("person_id",),
)
_EMAIL = Field("email", "E-mail", "The person's address.", names=("email",), personal=True)
_PHONE = Field("phone", "Phone", "The person's number (E.164).", names=("phone",), personal=True)
_CIO_ID = Field("cio_id", "Customer.io id", "The person's id in Customer.io.", names=("cio_id",), personal=True)
_EVERY = (Mode.UPSERT, Mode.INSERT, Mode.UPDATE, Mode.MIRROR, Mode.DELETE)

PEOPLE = Action(
    name="people",
    title="Update people",
    description="Attributes of people: each field that is mapped is one. A deleted row deletes the person.",
    fields=(
        _ID,
        _EMAIL,
        _PHONE,
        _CIO_ID,
        Field("custom_attributes", "Attributes", "An object, each member of which is one.", Kind.OBJECT, spread=True),
        Field("created_at", "Created", "When the person signed up.", Kind.DATETIME, names=("created_at",)),
        Field(
            "relationships",
            "Objects",
            "Objects that the person belongs to, each with object_type_id and object_id.",
            Kind.OBJECT,
            multiple=True,
        ),
    ),
    more=True,
    modes=_EVERY,
    limits=_LIMITS,
    check=check_person,
    encode=encode_person,
    send=send,
)
EVENTS = Action(
    name="events",
    title="Track events",
    description="Each row is an event of a person.",
    fields=(
        _ID,
        _EMAIL,
        _PHONE,
        _CIO_ID,
        Field("anonymous_id", "Anonymous id", "Of one who is not known yet.", names=("anonymous_id",), personal=True),
        Field("name", "Name", "Of the event.", required=True, names=("event", "event_name", "name")),
        Field(
            "timestamp",
            "Time",
            "When it happened; left out, when it arrives.",
            Kind.DATETIME,
            names=("timestamp", "time", "created_at"),
        ),
        Field("attributes", "Attributes", "What else is to be known of it.", Kind.OBJECT, also=("data",)),
    ),
    modes=(Mode.INSERT, Mode.UPSERT),
    limits=_LIMITS,
    check=check_event,
    encode=encode_event,
    send=send,
)
OBJECTS = Action(
    name="objects",
    title="Update objects",
    description="Objects, such as companies: each field that is mapped is an attribute. A deleted row deletes one.",
    fields=(
        Field("object_type_id", "Kind", "The number of the kind of object.", required=True, on_delete=True),
        Field("object_id", "Id", "The object's id in your systems.", required=True, on_delete=True),
        Field("people", "People", "Ids of people who belong to it.", multiple=True, personal=True),
    ),
    more=True,
    modes=_EVERY,
    limits=_LIMITS,
    check=check_object,
    encode=encode_object,
    send=send,
)
