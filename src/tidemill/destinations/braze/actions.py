"""What rows look like, and what the answer says of each.

Source: research on reverse ETL, sections 3.3 (Braze) and 3.4. Braze knows no event again: one whose answer was lost is
there twice, if it had arrived. An object that holds null is dropped as a whole; so nulls in objects are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from tidemill.destinations.fields import INVALID, moment
from tidemill.destinations.port import (
    WRITTEN,
    Action,
    BatchRefused,
    Field,
    Kind,
    Limits,
    Mode,
    Op,
    Outcome,
    Progress,
    Record,
    Sending,
    SomeRefused,
    again,
    rejected,
)

if TYPE_CHECKING:
    from tidemill.destinations.braze.client import BrazeClient

_encoder = msgspec.json.Encoder()
#: Objects of all arrays of a call; and ids of one that deletes.
_MOST, _MOST_DELETED = 75, 50
_LIMITS = Limits(rows=_MOST, bytes=3_999_000, row_bytes=100_000, at_once=8)
#: By which users are known, in the order in which Braze looks; and the lists of those that are to be deleted.
_IDS = ("external_id", "user_alias", "braze_id", "email", "phone")
_DELETED = {
    "external_id": b"external_ids",
    "user_alias": b"user_aliases",
    "braze_id": b"braze_ids",
    "email": b"email_addresses",
}
#: Which of several users of one address is deleted: without it none is.
_FIRST = ["identified", "most_recently_updated"]
_ONLY_KNOWN = "_update_existing_only"
_REFUSED = "braze_refused"
#: Messages of calls that were taken (Braze's page "Errors and responses").
_TAKEN = frozenset({"success", "queued"})


def check(record: Record) -> Outcome | None:
    """A row that names no user."""
    known = tuple(_DELETED) if record.op is Op.DELETED else _IDS
    if any(_names(record, name) for name in known):
        return None
    return rejected(INVALID, f"One of {', '.join(known)} is needed; user_alias with alias_name and alias_label.")


def _names(record: Record, name: str) -> bool:
    """Whether that field names a user. A mapping may make an alias of columns that are null."""
    value = record.fields.get(name)
    if name == "user_alias" and value:
        return all(isinstance(value.get(part), str) and value[part] for part in ("alias_name", "alias_label"))
    return bool(value)


def encode_user(record: Record) -> bytes:
    """The attributes of a user; of one that is deleted, the id."""
    if record.op is Op.DELETED:
        name = _known_by(record)
        value = record.fields[name]
        return _encoder.encode({"email": value, "prioritization": _FIRST} if name == "email" else value)
    user = {name: _without_nulls(value) if _nests(value) else value for name, value in _named(record).items()}
    # Without it, a user who is known by an alias alone is not made.
    user[_ONLY_KNOWN] = record.mode is Mode.UPDATE or user.get(_ONLY_KNOWN, False)
    return _encoder.encode(user)


def encode_happening(record: Record) -> bytes:
    """An event or a purchase."""
    found = _named(record)
    found["time"] = moment(found["time"]).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    found[_ONLY_KNOWN] = found.pop("update_existing_only", False)
    if "properties" in found:
        found["properties"] = _without_nulls(found["properties"])
    return _encoder.encode(found)


def _named(record: Record) -> dict[str, Any]:
    """The fields, without ids that name nobody."""
    return {name: value for name, value in record.fields.items() if name not in _IDS or _names(record, name)}


def _nests(value: Any) -> bool:
    return isinstance(value, dict | list)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(item) for name, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value if item is not None] if isinstance(value, list) else value


def _known_by(record: Record) -> str:
    return next(name for name in _DELETED if _names(record, name))


def group(record: Record) -> str:
    """Users that are deleted go by themselves, those of one kind of id together."""
    return _known_by(record) if record.op is Op.DELETED else ""


def tried(record: Record) -> bool | None:
    """An event or a purchase that comes again goes by itself: so none comes a third time for another one's error."""
    return record.tried or None


def send_users(client: BrazeClient, batch: Sequence[Sending]) -> Sequence[Outcome]:
    """Send attributes, or delete."""
    if batch[0].record.op is not Op.DELETED:
        return _send("attributes", client, batch)
    of = _DELETED[_known_by(batch[0].record)]
    with Progress() as progress:
        for start in range(0, len(batch), _MOST_DELETED):
            part = batch[start : start + _MOST_DELETED]
            client.delete(b'{"' + of + b'":[' + b",".join(sending.body for sending in part) + b"]}")
            progress.outcomes.update((start + place, WRITTEN) for place in range(len(part)))
    return [WRITTEN] * len(batch)  # one that is not there is deleted, too


def _sends(array: str) -> Callable[[BrazeClient, Sequence[Sending]], Sequence[Outcome]]:
    def send(client: BrazeClient, batch: Sequence[Sending]) -> Sequence[Outcome]:
        return _send(array, client, batch)

    return send


def _send(array: str, client: BrazeClient, batch: Sequence[Sending]) -> list[Outcome]:
    rows = b",".join(sending.body for sending in batch)
    said = client.track(b'{"' + array.encode() + b'":[' + rows + b"]}", len(batch))
    return outcomes(said, array, len(batch))


def outcomes(said: dict[str, Any], array: str, number: int) -> list[Outcome]:
    """Of an answer: with the message `success` all are written but those that it names; with `queued` all are, when
    Braze has ended its maintenance; with another none is.

    If it is not said of which rows errors are, events and purchases are not sent again now: those that were taken would
    be there twice.

    Raises
    ------
    BatchRefused
        None was taken, and it is not said for which row.
    SomeRefused
        Attributes of some users were not taken, and it is not said whose.
    """
    found = [WRITTEN] * number
    message, errors = str(said.get("message") or "no message"), said.get("errors")
    unnamed = []
    for error in errors if isinstance(errors, list) else ():
        index = error.get("index") if isinstance(error, dict) else None
        if isinstance(index, int) and 0 <= index < number and error.get("input_array", array) == array:
            found[index] = rejected("braze_rejected", str(error.get("type") or error)[:500])
        else:
            unnamed.append(str(error)[:500])
    left, taken = found.count(WRITTEN), said.get(f"{array}_processed")
    was_taken = message.lower() in _TAKEN
    if not left or (was_taken and (not unnamed or taken == left)):
        return found
    told = f"Braze answers: {'; '.join([message, *unnamed])[:500]}."
    if not was_taken or taken == 0:
        raise BatchRefused(_REFUSED, told)
    if left == 1:
        return [rejected(_REFUSED, told) if outcome is WRITTEN else outcome for outcome in found]
    if array == "attributes":
        raise SomeRefused(_REFUSED, told)
    unclear = again(
        "braze_unclear", f"Braze did not take some of {left} rows, and does not say which. {told}", unsure=True
    )
    return [unclear if outcome is WRITTEN else outcome for outcome in found]


_WHO = (
    Field(
        "external_id",
        "External id",
        "The user's id in your systems.",
        names=("user_id", "external_id", "id"),
        personal=True,
    ),
    Field(
        "user_alias",
        "Alias",
        "An object of alias_name and alias_label, for users without id.",
        Kind.OBJECT,
        personal=True,
    ),
    Field("braze_id", "Braze id", "The user's id in Braze.", names=("braze_id",), personal=True),
    Field("email", "E-mail", "An attribute, and the id of users that have no other.", names=("email",), personal=True),
    Field(
        "phone",
        "Phone",
        "An attribute (E.164), and the id of users that have no other.",
        names=("phone",),
        personal=True,
    ),
)
_TIME = Field(
    "time", "Time", "When it happened.", Kind.DATETIME, required=True, names=("time", "timestamp", "created_at")
)
_APP = Field("app_id", "App", "The app's identifier in Braze.")
_PROPERTIES = Field("properties", "Properties", "What else is to be known of it.", Kind.OBJECT)
_EXISTING = Field(
    "update_existing_only",
    "Known users only",
    "Leave it, if there is no such user.",
    Kind.BOOLEAN,
    also=(_ONLY_KNOWN,),
)

USERS = Action(
    name="users",
    title="Update users",
    description="Attributes of users: each field that is mapped is one. Null removes an attribute. "
    "A deleted row deletes the user, for good.",
    fields=(
        *_WHO,
        Field(
            "custom_attributes",
            "Custom attributes",
            "An object, each member of which is an attribute.",
            Kind.OBJECT,
            spread=True,
        ),
        Field(_ONLY_KNOWN, "Known users only", "Leave it, if there is no such user.", Kind.BOOLEAN),
    ),
    more=True,
    modes=(Mode.UPSERT, Mode.UPDATE, Mode.INSERT, Mode.MIRROR, Mode.DELETE),
    limits=_LIMITS,
    check=check,
    group=group,
    encode=encode_user,
    send=send_users,
)
EVENTS = Action(
    name="events",
    title="Track events",
    description="Each row is an event of a user.",
    fields=(
        *_WHO,
        Field("name", "Name", "Of the event.", required=True, names=("event", "event_name", "name")),
        _TIME,
        _APP,
        _PROPERTIES,
        _EXISTING,
    ),
    modes=(Mode.INSERT, Mode.UPSERT),
    limits=_LIMITS,
    check=check,
    group=tried,
    distinct=tried,
    encode=encode_happening,
    send=_sends("events"),
)
PURCHASES = Action(
    name="purchases",
    title="Track purchases",
    description="Each row is a purchase by a user.",
    fields=(
        *_WHO,
        Field("product_id", "Product", "Id or category of the product.", required=True, names=("product_id", "sku")),
        Field("currency", "Currency", "Three letters, as USD.", required=True, names=("currency",)),
        Field("price", "Price", "Of one.", Kind.NUMBER, required=True, names=("price", "amount")),
        Field("quantity", "Quantity", "How many; 1, if it is left out.", Kind.INTEGER, names=("quantity",)),
        _TIME,
        _APP,
        _PROPERTIES,
        _EXISTING,
    ),
    modes=(Mode.INSERT, Mode.UPSERT),
    limits=_LIMITS,
    check=check,
    group=tried,
    distinct=tried,
    encode=encode_happening,
    send=_sends("purchases"),
)
