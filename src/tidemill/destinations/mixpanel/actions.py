"""What rows look like, and what the answer says of each.

Source: research on reverse ETL, sections 3.3 (Mixpanel) and 3.4; Mixpanel's description of its API (openapi of
mixpanel/docs). An event is known again by its $insert_id, together with name, time and user.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from tidemill.destinations.fields import moment
from tidemill.destinations.mixpanel import client as clients
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
    from tidemill.destinations.mixpanel.client import MixpanelClient

_encoder = msgspec.json.Encoder()
#: Where the project's token goes: a record does not know it while it is encoded.
_TOKEN = b'{"$token":'
_LIMITS = Limits(rows=2_000, bytes=9_900_000, row_bytes=1_000_000)
#: Of a token, quoted, which each profile has besides.
_TOKEN_BYTES = 100


def encode_event(record: Record) -> bytes:
    """An event."""
    fields = record.fields
    properties: dict[str, Any] = {
        **fields.get("properties", {}),
        "time": int(moment(fields["time"]).timestamp() * 1000),
        "distinct_id": fields["distinct_id"],
        "$insert_id": record.identity,
    }
    return _encoder.encode({"event": fields["event"], "properties": properties})


def encode_user(record: Record) -> bytes:
    """The update of a user's profile, without the token that it begins with."""
    return _profile(record, ("distinct_id",))


def encode_group(record: Record) -> bytes:
    """The update of a group's profile, without the token that it begins with."""
    return _profile(record, ("group_key", "group_id"))


def _profile(record: Record, ids: tuple[str, ...]) -> bytes:
    fields = dict(record.fields)
    made: dict[str, Any] = {f"${name}": fields.pop(name) for name in ids}
    if record.op is Op.DELETED:
        made["$delete"] = ""
    else:
        if "$created" in fields:
            fields["$created"] = moment(fields["$created"]).strftime("%Y-%m-%dT%H:%M:%S")
        made["$set"] = fields
    return _encoder.encode(made)


def send_events(client: MixpanelClient, batch: Sequence[Sending]) -> Sequence[Outcome]:
    """Import events."""
    said = client.post(clients.IMPORT, b"[" + b",".join(sending.body for sending in batch) + b"]")
    return outcomes(said, [sending.record.identity for sending in batch])


def _sends(path: str) -> Callable[[MixpanelClient, Sequence[Sending]], Sequence[Outcome]]:
    def send(client: MixpanelClient, batch: Sequence[Sending]) -> Sequence[Outcome]:
        begin = _TOKEN + _encoder.encode(client.token) + b","
        said = client.profiles(path, b"[" + b",".join(begin + sending.body[1:] for sending in batch) + b"]")
        return outcomes(said, [sending.record.identity for sending in batch])

    return send


def outcomes(said: Any, identities: Sequence[str]) -> list[Outcome]:
    """Of an answer, which names the records that are refused, by index and $insert_id, and counts the others.

    Raises
    ------
    SomeRefused
        It does not say of all that they were taken, or which were not.
    """
    number = len(identities)
    if not isinstance(said, dict):
        if said == 1 and number == 1:  # "one or more are valid"
            return [WRITTEN]
        raise _refused(f"answers {str(said)[:200]}")
    found = [WRITTEN] * number
    errors = said.get("failed_records")
    for error in errors if isinstance(errors, list) else ():
        index = _index(error, identities)
        if index is None:
            raise _refused(str(error)[:500])
        told = (error.get("field"), error.get("message"))
        found[index] = rejected("mixpanel_rejected", (": ".join(str(one) for one in told if one) or str(error))[:500])
    if errors:
        taken = said.get("num_records_imported")
    elif said.get("error") or said.get("status") not in {"OK", 1}:
        raise _refused(str(said.get("error") or said)[:500])
    else:
        taken = said.get("num_records_imported", number)
    if isinstance(taken, int) and taken < found.count(WRITTEN):
        raise _refused(f"says that it took {taken} of {number}")
    return found


def _index(error: Any, identities: Sequence[str]) -> int | None:
    """Of which record an error is. The id decides, if there is one: the index may be one of those that are left."""
    if not isinstance(error, dict):
        return None
    identity, index = error.get("insert_id") or error.get("$insert_id"), error.get("index")
    at = index if isinstance(index, int) and 0 <= index < len(identities) else None
    if not identity or (at is not None and identities[at] == identity):
        return at
    return identities.index(identity) if identity in identities else None


def _refused(why: str) -> SomeRefused:
    return SomeRefused("mixpanel_refused", f"{clients.WHO} {why}.")


_TRAITS = Field("traits", "Traits", "An object, each member of which is a property.", Kind.OBJECT, spread=True)
_ALL = (Mode.UPSERT, Mode.INSERT, Mode.UPDATE, Mode.MIRROR, Mode.DELETE)

EVENTS = Action(
    name="events",
    title="Import events",
    description="Each row is an event of a user, of any age.",
    fields=(
        Field("event", "Event", "Its name.", required=True, names=("event", "event_name", "name")),
        Field(
            "distinct_id",
            "User",
            "Who did it.",
            required=True,
            names=("user_id", "distinct_id", "id"),
            personal=True,
        ),
        Field("time", "Time", "When.", Kind.DATETIME, required=True, names=("time", "timestamp", "created_at")),
        Field("properties", "Properties", "What else is to be known of it.", Kind.OBJECT, also=("event_properties",)),
    ),
    modes=(Mode.INSERT, Mode.UPSERT),
    limits=_LIMITS,
    encode=encode_event,
    send=send_events,
)
PROFILES = Action(
    name="profiles",
    title="Update user profiles",
    description="Properties of users: each field that is mapped is one. A deleted row deletes the profile.",
    fields=(
        Field(
            "distinct_id",
            "User",
            "The user's id.",
            required=True,
            on_delete=True,
            names=("user_id", "distinct_id", "id"),
            personal=True,
            also=("user_id",),
        ),
        _TRAITS,
        Field("$email", "E-mail", "The user's address.", names=("email",), personal=True),
        Field("$name", "Name", "Shown for the user.", names=("name", "full_name"), personal=True),
        Field("$phone", "Phone", "The user's number.", names=("phone",), personal=True),
        Field("$created", "Created", "When the user signed up.", Kind.DATETIME, names=("created_at", "signed_up_at")),
    ),
    more=True,
    modes=_ALL,
    limits=Limits(rows=2_000, bytes=9_900_000 - 2_000 * _TOKEN_BYTES, row_bytes=1_000_000 - _TOKEN_BYTES),
    encode=encode_user,
    send=_sends(clients.PROFILES),
)
GROUPS = Action(
    name="groups",
    title="Update group profiles",
    description="Properties of groups, such as companies: each field that is mapped is one. A deleted row deletes one.",
    fields=(
        Field("group_key", "Group key", "The property that groups events, as company.", required=True, on_delete=True),
        Field("group_id", "Group", "The group's id.", required=True, on_delete=True, names=("group_id", "company_id")),
        _TRAITS,
        Field("$name", "Name", "Shown for the group.", names=("name",)),
    ),
    more=True,
    modes=_ALL,
    # Its documents say 2,000 now; they said 200, and some projects may be held to it.
    limits=Limits(rows=200, bytes=9_900_000 - 200 * _TOKEN_BYTES, row_bytes=1_000_000 - _TOKEN_BYTES),
    encode=encode_group,
    send=_sends(clients.GROUPS),
)
