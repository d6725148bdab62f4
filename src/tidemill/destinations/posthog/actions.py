"""What rows look like in a batch. The API says nothing of single events: what it would drop is found here.

Sources: research on reverse ETL, section 3.3 (PostHog): a batch of 20 MB; an event without a name or a distinct_id is
dropped, and 200 is answered. Research on PostHog, section 4: 1 MB an event, ids are cut at 200 characters (4.1), $set,
$set_once and $unset (4.2), ids that are nobody's (4.3). Persons are deleted by PostHog's API of the application, a
thousand in a call (posthog.com/docs/api/persons).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Sequence
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
    Op,
    Outcome,
    Record,
    Sending,
    again,
    rejected,
)

if TYPE_CHECKING:
    from tidemill.destinations.posthog.client import PosthogClient

_encoder = msgspec.json.Encoder()

#: Ids that programs make by mistake: PostHog takes them for nobody's. The first in any case of letters.
_NOBODY = frozenset(
    {
        "anonymous",
        "guest",
        "distinctid",
        "distinct_id",
        "id",
        "not_authenticated",
        "email",
        "undefined",
        "true",
        "false",
    }
)
_NOBODY_AS_IT_IS = frozenset({"[object Object]", "NaN", "None", "none", "null", "0", "undefined"})

DISTINCT_ID = Field(
    "distinct_id", "Distinct ID", "Your id of the person.", required=True, longest=200,
    names=("user_id", "userid", "id"), personal=True,
)  # fmt: skip
TIMESTAMP = Field(
    "timestamp", "Timestamp", "When it happened; left out: when it is taken.", Kind.DATETIME,
    names=("occurred_at", "event_time", "time"),
)  # fmt: skip


def _encoded(record: Record, event: str, distinct_id: str, properties: dict[str, Any]) -> bytes:
    # As PostHog's own libraries for servers have it: where this runs says nothing of where the person is.
    if "$ip" not in properties:
        properties["$geoip_disable"] = True
    properties["$lib"] = "tidemill"
    found = {"uuid": record.identity, "event": event, "distinct_id": distinct_id, "properties": properties}
    timestamp = record.fields.get("timestamp")
    if timestamp is not None:
        found["timestamp"] = fields.moment(timestamp).isoformat()
    return _encoder.encode(found)


def _others(record: Record, known: frozenset[str]) -> dict[str, Any]:
    """The object `properties`, and what the mapping names beside the fields of the action."""
    others: dict[str, Any] = dict(record.fields.get("properties") or {})
    others.update((name, value) for name, value in record.fields.items() if name not in known)
    return others


def encode_event(record: Record) -> bytes:
    """An event."""
    given = record.fields
    properties = _others(record, _OF_EVENT)
    if given.get("groups"):
        properties["$groups"] = given["groups"]
    if given.get("person_profile") is False:
        properties["$process_person_profile"] = False
    return _encoded(record, given["event"], given["distinct_id"], properties)


def encode_person(record: Record) -> bytes:
    """Properties of a person; of a deleted row, the id by which the person is deleted."""
    given = record.fields
    if record.op is Op.DELETED:
        return _encoder.encode(given["distinct_id"])
    properties: dict[str, Any] = {"$set": _others(record, _OF_PERSON)}
    if given.get("set_once"):
        properties["$set_once"] = given["set_once"]
    if given.get("unset"):
        properties["$unset"] = given["unset"]
    event = "$set"
    if given.get("anonymous_id"):
        event, properties["$anon_distinct_id"] = "$identify", given["anonymous_id"]
    return _encoded(record, event, given["distinct_id"], properties)


def encode_group(record: Record) -> bytes:
    """Properties of a group."""
    given = record.fields
    kind, key = given["group_type"], given["group_key"]
    properties = {"$group_type": kind, "$group_key": key, "$group_set": _others(record, _OF_GROUP)}
    # The id by which PostHog's own libraries send a group that is nobody's in particular.
    return _encoded(record, "$groupidentify", given.get("distinct_id") or f"${kind}_{key}", properties)


def encode_alias(record: Record) -> bytes:
    """A second id of a person."""
    given = record.fields
    return _encoded(record, "$create_alias", given["distinct_id"], {"alias": given["alias"]})


def somebody(record: Record) -> Outcome | None:
    """PostHog drops what comes with an id that is nobody's, and says so in its own pages only."""
    for name in ("distinct_id", "anonymous_id", "alias"):
        value = record.fields.get(name)
        if value is None:
            continue
        bare = value.strip().strip("'\"")
        if not bare or bare in _NOBODY_AS_IT_IS or bare.lower() in _NOBODY:
            return rejected("posthog_nobody", f"{name} is {value[:40]!r}, which PostHog takes for nobody's.")
    return None


def send(client: PosthogClient, batch: Sequence[Sending]) -> Sequence[Outcome]:
    """Send a batch: it is taken as a whole, or not. Over its quota, PostHog answers 200 and drops it."""
    limited = client.post(b",".join(sending.body for sending in batch)).get("quota_limited")
    if limited:
        told = f"The project is over its quota of {', '.join(map(str, limited))}: PostHog has dropped it."
        return [again("posthog_quota", told)] * len(batch)
    return [WRITTEN] * len(batch)


def send_persons(client: PosthogClient, batch: Sequence[Sending]) -> Sequence[Outcome]:
    """Set properties of persons, or delete persons. Who is not there is as good as deleted."""
    if batch[0].record.op is not Op.DELETED:
        return send(client, batch)
    said = client.delete(b",".join(sending.body for sending in batch))
    if isinstance(said, dict) and said.get("deletion_errors"):
        # By its own id, which says nothing to us: the others will not be there the next time.
        told = "PostHog could not delete some of the persons of this call, and does not say which."
        return [again("posthog_delete", told, unsure=True)] * len(batch)
    return [WRITTEN] * len(batch)


def _by_call(record: Record) -> Hashable:
    return record.op is Op.DELETED


#: Of the 20 MB of a batch and the 1 MB of an event some are left: an event is put into another envelope there.
_LIMITS = Limits(rows=1_000, bytes=10_000_000, row_bytes=900_000)
_STATE = (Mode.UPSERT, Mode.INSERT, Mode.UPDATE)
_PERSONS = (*_STATE, Mode.MIRROR, Mode.DELETE)
_HAPPENED = (Mode.INSERT, Mode.UPSERT, Mode.UPDATE)


def _properties(whose: str) -> Field:
    told = f"An object of properties of the {whose}; other names of the mapping are added to it."
    return Field("properties", "Properties", told, Kind.OBJECT)


CAPTURE = Action(
    name="capture",
    title="Capture events",
    description="Each row is an event.",
    fields=(
        Field("event", "Event", "The name of the event.", required=True, names=("event_name",), also=("event_name",)),
        DISTINCT_ID,
        TIMESTAMP,
        _properties("event"),
        Field("groups", "Groups", "Keys of the event's groups, by their type.", Kind.OBJECT),
        Field("person_profile", "Person profile", "False: no person is made of it.", Kind.BOOLEAN),
    ),
    more=True,
    modes=_HAPPENED,
    limits=_LIMITS,
    encode=encode_event,
    send=send,
    check=somebody,
)
IDENTIFY = Action(
    name="identify",
    title="Identify persons",
    description="Sets properties of a person, and joins an earlier id. Persons of deleted rows are deleted.",
    fields=(
        dataclasses.replace(DISTINCT_ID, on_delete=True),
        _properties("person"),
        Field("set_once", "Set once", "Properties that are set if they are not there.", Kind.OBJECT),
        Field("unset", "Unset", "Names of properties that are taken away.", multiple=True),
        Field("anonymous_id", "Anonymous ID", "An earlier id of the person, to be joined.", longest=200, personal=True),
        TIMESTAMP,
    ),
    more=True,
    modes=_PERSONS,
    limits=_LIMITS,
    encode=encode_person,
    send=send_persons,
    check=somebody,
    group=_by_call,
)
GROUP = Action(
    name="group",
    title="Identify groups",
    description="Sets properties of a group.",
    fields=(
        Field("group_type", "Group type", "Such as company.", required=True),
        Field("group_key", "Group key", "Your id of the group.", required=True, names=("account_id", "company_id")),
        _properties("group"),
        Field("distinct_id", "Distinct ID", "A person of the group, if it is to be said.", longest=200, personal=True),
        TIMESTAMP,
    ),
    more=True,
    modes=_STATE,
    limits=_LIMITS,
    encode=encode_group,
    send=send,
    check=somebody,
)
ALIAS = Action(
    name="alias",
    title="Alias persons",
    description="Gives a person a second id. Two that were identified are not joined.",
    fields=(
        DISTINCT_ID,
        Field("alias", "Alias", "The second id.", required=True, longest=200, personal=True),
        TIMESTAMP,
    ),
    modes=_HAPPENED,
    limits=_LIMITS,
    encode=encode_alias,
    send=send,
    check=somebody,
)
_OF_EVENT, _OF_PERSON, _OF_GROUP = (
    frozenset(field.name for field in action.fields) for action in (CAPTURE, IDENTIFY, GROUP)
)
