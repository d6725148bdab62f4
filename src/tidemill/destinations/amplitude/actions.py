"""What rows look like as events, properties and members of cohorts.

Sources: research on Amplitude, sections 3.1 (names, ids that are refused, insert_id), 3.2 (batches), 3.3 (operations);
research on reverse ETL, section 3.3 (Amplitude: cohorts). Properties of users are sent as events of the name $identify,
as Amplitude's own libraries do: so they have an insert_id, and what is wrong with one is told.
"""

from __future__ import annotations

import dataclasses
import urllib.parse
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from tidemill.destinations import fields
from tidemill.destinations.amplitude import outcomes
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
    rejected,
)
from tidemill.errors import UnavailableError

if TYPE_CHECKING:
    from tidemill.destinations.amplitude.client import AmplitudeClient

_encoder = msgspec.json.Encoder()

#: Ids that programs make by mistake: Amplitude refuses them.
_NOBODY = frozenset(
    {
        "anonymous", "nil", "none", "null", "n/a", "na", "undefined", "unknown", "", "{}", "lmy47d", "0", "-1",
        "00000000-0000-0000-0000-000000000000",
    }
)  # fmt: skip
_OWN_EVENTS = ("[Amplitude] ", "$identify", "$groupidentify")

USER_ID = Field("user_id", "User ID", "Your own id of the user.", names=("userid", "customer_id"), personal=True)
DEVICE_ID = Field("device_id", "Device ID", "The id of a device.", names=("deviceid",), personal=True)
#: Names that have their own place in an event, beside those that need more than to be put there.
_TEXTS = (
    "app_version", "platform", "os_name", "os_version", "device_brand", "device_manufacturer", "device_model",
    "carrier", "country", "region", "city", "dma", "language", "ip", "currency",
)  # fmt: skip
_NUMBERS = ("price", "revenue", "location_lat", "location_lng")
_PLACES = {
    **{name: name for name in (*_TEXTS, *_NUMBERS, "user_id", "device_id", "event_type", "groups", "quantity")},
    **{name: name for name in ("user_properties", "session_id")},
    "product_id": "productId",
    "revenue_type": "revenueType",
}
#: Operations on properties, by the name of the field.
_OPERATIONS = {
    "set_once": "$setOnce",
    "add": "$add",
    "append": "$append",
    "prepend": "$prepend",
    "pre_insert": "$preInsert",
    "post_insert": "$postInsert",
    "remove": "$remove",
}


def encode_event(record: Record) -> bytes:
    """An event."""
    event: dict[str, Any] = {"insert_id": record.identity}
    inside: dict[str, Any] = {}
    for name, value in record.fields.items():
        place = _PLACES.get(name)
        if place is not None:
            event[place] = value
        elif name == "time":
            event["time"] = _milliseconds(value)
        elif name == "event_properties":
            inside = {**value, **inside}
        else:
            inside[name] = value
    if inside:
        event["event_properties"] = inside
    return _encoder.encode(event)


def encode_user(record: Record) -> bytes:
    """Properties of a user."""
    given = record.fields
    event: dict[str, Any] = {"insert_id": record.identity, "event_type": "$identify"}
    for name in ("user_id", "device_id", "groups"):
        if name in given:
            event[name] = given[name]
    if "time" in given:
        event["time"] = _milliseconds(given["time"])
    event["user_properties"] = _operations(record, _OF_USER)
    return _encoder.encode(event)


def encode_group(record: Record) -> bytes:
    """Properties of a group, as in a form."""
    given = record.fields
    group = {
        "group_type": given["group_type"],
        "group_value": given["group_value"],
        "group_properties": _operations(record, _OF_GROUP),
    }
    return urllib.parse.quote_plus(_encoder.encode(group)).encode()


def encode_member(record: Record) -> bytes:
    """Who comes into a cohort or goes."""
    return _encoder.encode(_member(record))


def _milliseconds(value: Any) -> int:
    return round(fields.moment(value).timestamp() * 1_000)


def _operations(record: Record, known: frozenset[str]) -> dict[str, Any]:
    given = record.fields
    values: dict[str, Any] = dict(given.get("properties") or {})
    values.update((name, value) for name, value in given.items() if name not in known)
    found: dict[str, Any] = {"$set": values} if values else {}
    for name, operation in _OPERATIONS.items():
        if name in known and given.get(name):
            found[operation] = given[name]
    if given.get("unset"):
        found["$unset"] = dict.fromkeys(given["unset"], "-")
    return found


def check_event(record: Record) -> Outcome | None:
    """An event of nobody, or that only Amplitude makes."""
    name = record.fields["event_type"]
    if name.startswith(_OWN_EVENTS):
        return rejected("amplitude_event", f"{name!r} is an event that Amplitude alone makes.")
    return _somebody(record)


def check_user(record: Record) -> Outcome | None:
    """Properties of nobody, or none."""
    if not _operations(record, _OF_USER):
        return rejected("amplitude_nothing", "No property is mapped: there is nothing to set.")
    return _somebody(record)


def check_group(record: Record) -> Outcome | None:
    """No properties of a group."""
    if not _operations(record, _OF_GROUP):
        return rejected("amplitude_nothing", "No property is mapped: there is nothing to set.")
    return None


def check_member(record: Record) -> Outcome | None:
    """One id, and not two."""
    if bool(record.fields.get("user_id")) == bool(record.fields.get("amplitude_id")):
        return rejected("amplitude_member", "One of user_id and amplitude_id is needed, and not both.")
    return None


def _somebody(record: Record) -> Outcome | None:
    ids = [(name, record.fields[name]) for name in ("user_id", "device_id") if name in record.fields]
    if not ids:
        return rejected(
            "amplitude_nobody", "Both user_id and device_id are missing: Amplitude takes nothing of nobody."
        )
    for name, value in ids:
        if value.strip().lower() in _NOBODY:
            return rejected("amplitude_nobody", f"{name} is {value!r}, which Amplitude refuses.")
    return None


def send_events(client: AmplitudeClient, batch: Sequence[Sending]) -> Sequence[Outcome]:
    """Send events; those that the answer names are left out, and the others sent again."""
    return outcomes.uploaded(client, batch)


def send_groups(client: AmplitudeClient, batch: Sequence[Sending]) -> Sequence[Outcome]:
    """Set properties of groups: all are set, or none."""
    client.identify("groupidentify", b"%2C".join(sending.body for sending in batch))
    return [WRITTEN] * len(batch)


def send_members(client: AmplitudeClient, batch: Sequence[Sending]) -> Sequence[Outcome]:
    """Change who is in a cohort. Who is not known to Amplitude is skipped: nobody who is in it."""
    cohort, kind, operation = _change(batch[0].record)
    head = {"cohort_id": cohort, "skip_invalid_ids": True}
    ids = b",".join(sending.body for sending in batch)
    change = b'{"id_type":"%s","operation":"%s","ids":[%s]}' % (kind.encode(), operation.encode(), ids)
    said = client.members(_encoder.encode(head)[:-1] + b',"memberships":[' + change + b"]}")
    results = said.get("memberships_result") if isinstance(said, dict) else None
    if not isinstance(results, list) or not results or not isinstance(results[0], dict):
        raise UnavailableError(
            "amplitude_answer", "Amplitude does not say who was taken into the cohort.", hint="It is tried again."
        )
    skipped = {str(one) for one in results[0].get("skipped_ids") or ()}
    if operation == "REMOVE":
        return [WRITTEN] * len(batch)
    unknown = rejected("amplitude_unknown", "Amplitude knows no such user, and skipped it.")
    return [unknown if _member(sending.record) in skipped else WRITTEN for sending in batch]


def _member(record: Record) -> str:
    return str(record.fields.get("user_id") or record.fields["amplitude_id"])


def _change(record: Record) -> tuple[str, str, str]:
    kind = "BY_NAME" if record.fields.get("user_id") else "BY_AMP_ID"
    return record.fields["cohort_id"], kind, "REMOVE" if record.op is Op.DELETED else "ADD"


def _together(record: Record) -> Hashable:
    return _change(record)


_STATE = (Mode.UPSERT, Mode.INSERT, Mode.UPDATE)
_TIME = Field(
    "time", "Time", "When it happened; left out: when it is taken.", Kind.DATETIME,
    names=("occurred_at", "event_time", "timestamp"),
)  # fmt: skip
_GROUPS = Field("groups", "Groups", "Groups of the user, by their type.", Kind.OBJECT)
_PROPERTIES = Field(
    "properties", "Properties", "An object of properties; other names of the mapping are added to it.", Kind.OBJECT
)
_SET_ONCE = Field("set_once", "Set once", "Properties that are set if they are not there.", Kind.OBJECT)
_UNSET = Field("unset", "Unset", "Names of properties that are taken away.", multiple=True)
_IN_EVENTS = Limits(rows=2_000, bytes=10_000_000, row_bytes=1_000_000)


def _own(names: Sequence[str], kind: Kind) -> tuple[Field, ...]:
    return tuple(Field(name, name.replace("_", " ").capitalize(), "A field of events.", kind) for name in names)


TRACK = Action(
    name="track",
    title="Track events",
    description="Each row is an event.",
    fields=(
        Field("event_type", "Event type", "The name of the event.", required=True, names=("event", "event_name")),
        USER_ID,
        DEVICE_ID,
        _TIME,
        Field(
            "event_properties",
            "Event properties",
            "An object; other names of the mapping are added to it.",
            Kind.OBJECT,
        ),
        Field("user_properties", "User properties", "An object, or operations such as $set.", Kind.OBJECT),
        _GROUPS,
        Field("session_id", "Session ID", "The start of the session in milliseconds.", Kind.INTEGER),
        Field("quantity", "Quantity", "Of what was bought.", Kind.INTEGER),
        Field("product_id", "Product ID", "Of what was bought."),
        Field("revenue_type", "Revenue type", "Such as refund."),
        *_own(_NUMBERS, Kind.NUMBER),
        *_own(_TEXTS, Kind.STRING),
    ),
    more=True,
    modes=(Mode.INSERT, Mode.UPSERT, Mode.UPDATE),
    limits=_IN_EVENTS,
    encode=encode_event,
    send=send_events,
    check=check_event,
)
IDENTIFY = Action(
    name="identify",
    title="Identify users",
    description="Sets properties of a user. They are seen with the user's next event.",
    fields=(
        USER_ID,
        DEVICE_ID,
        dataclasses.replace(_PROPERTIES, also=("user_properties",)),
        _SET_ONCE,
        _UNSET,
        Field("add", "Add", "Numbers that are added to properties.", Kind.OBJECT),
        Field("append", "Append", "Values that are put at the end of lists.", Kind.OBJECT),
        Field("prepend", "Prepend", "Values that are put at the beginning of lists.", Kind.OBJECT),
        Field("pre_insert", "Pre-insert", "The same, if they are not in the list.", Kind.OBJECT),
        Field("post_insert", "Post-insert", "Values that are put at the end, if they are not there.", Kind.OBJECT),
        Field("remove", "Remove", "Values that are taken out of lists.", Kind.OBJECT),
        _GROUPS,
        _TIME,
    ),
    more=True,
    modes=_STATE,
    limits=_IN_EVENTS,
    encode=encode_user,
    send=send_events,
    check=check_user,
)
GROUP = Action(
    name="group",
    title="Identify groups",
    description="Sets properties of a group. It needs the Accounts add-on.",
    fields=(
        Field("group_type", "Group type", "Such as company.", required=True),
        Field("group_value", "Group value", "Your id of the group.", required=True, names=("account_id", "company_id")),
        dataclasses.replace(_PROPERTIES, also=("group_properties",)),
        _SET_ONCE,
        _UNSET,
    ),
    more=True,
    modes=_STATE,
    # 1,024 groups, 1,024 properties and 1 MB in a call: with a hundred, each may have ten.
    limits=Limits(rows=100, bytes=950_000, row_bytes=900_000),
    encode=encode_group,
    send=send_groups,
    check=check_group,
)
COHORT = Action(
    name="cohort",
    title="Members of a cohort",
    description="Who is in a cohort: who is added comes in; in the modes mirror and delete, who is gone goes.",
    fields=(
        Field("cohort_id", "Cohort ID", "Of a cohort that there is.", required=True, on_delete=True),
        USER_ID,
        Field("amplitude_id", "Amplitude ID", "Amplitude's own id of the user.", personal=True),
    ),
    modes=(Mode.UPSERT, Mode.MIRROR, Mode.INSERT, Mode.DELETE),
    # A cohort that is changed twice at once answers 429.
    limits=Limits(rows=500, bytes=1_000_000, row_bytes=10_000, at_once=1),
    encode=encode_member,
    send=send_members,
    check=check_member,
    group=_together,
    distinct=_member,
)
_OF_USER, _OF_GROUP = (frozenset(field.name for field in action.fields) for action in (IDENTIFY, GROUP))
