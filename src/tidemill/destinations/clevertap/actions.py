"""What rows look like as profiles and events.

Sources: research on reverse ETL, section 3.3 (CleverTap: records, limits, dates as $D_, a hundred profiles in a call
that deletes), and on CleverTap, sections 4.2 (ids that are nobody's) and 4.3 (lengths). What is too long has no code of
an error: it is found here.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from tidemill.destinations import fields
from tidemill.destinations.clevertap import outcomes
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
    rejected,
)

if TYPE_CHECKING:
    from tidemill.destinations.clevertap.client import ClevertapClient

_encoder = msgspec.json.Encoder()

#: Ids that programs make by mistake: CleverTap takes them for nobody's.
_NOBODY = frozenset(
    {
        "undefined", "null", "na", "n/a", "0", "nil", "-1", "infinity", "-infinity", "inf", "-inf", "nan", "-nan",
        "empty", "xxxxxx", "",
    }
)  # fmt: skip
_KEY_BYTES, _VALUE_BYTES, _LIST_ITEMS = 120, 512, 100
#: Profiles in a call that deletes.
_DELETES = 100

_IDS = {"identity": "identity", "object_id": "objectId", "fbid": "FBID", "gpid": "GPID"}
_WHO = (
    Field(
        "identity", "Identity", "Your own id of the user; a profile is made if there is none.", longest=1_024,
        names=("user_id", "userid", "customer_id", "email"), personal=True,
    ),
    Field("object_id", "CleverTap ID", "CleverTap's own id of the user or device.", personal=True),
    Field("fbid", "Facebook ID", "The user's id at Facebook.", personal=True),
    Field("gpid", "Google ID", "The user's id at Google.", personal=True),
)  # fmt: skip
_DATES = Field("dates", "Dates", "Properties that are times, by their name.", Kind.OBJECT)


def _encode_as(kind: str, data: str, rest: str) -> Callable[[Record], bytes]:
    """What encodes records of that kind. `data`: the object that holds properties, and `rest` the field for it."""

    def encode(record: Record) -> bytes:
        found: dict[str, Any] = {"type": kind}
        inside: dict[str, Any] = {}
        for name, value in record.fields.items():
            if name in _IDS:
                found[_IDS[name]] = value
            elif name == "ts":
                found["ts"] = int(fields.moment(value).timestamp())
            elif name == "event" and kind == "event":
                found["evtName"] = value
            elif name == "dates":
                inside.update((key, _date(one)) for key, one in value.items())
            elif name == rest:
                inside = {**value, **inside}
            else:
                inside[name] = value
        found[data] = inside
        return _encoder.encode(found)

    return encode


def encode_profile(record: Record) -> bytes:
    """A profile; of a deleted row, the id by which it is deleted."""
    if record.op is Op.DELETED:
        return _encoder.encode(record.fields.get("identity") or record.fields["object_id"])
    return _encode_profile(record)


_encode_profile = _encode_as("profile", "profileData", "profile_data")
encode_event = _encode_as("event", "evtData", "event_data")


def _date(value: Any) -> str | None:
    return None if value is None else f"$D_{int(fields.moment(value).timestamp())}"


def check(record: Record) -> Outcome | None:
    """What CleverTap would cut, drop or count for somebody else without a word."""
    given = record.fields
    ids = [(name, given[name]) for name in _IDS if given.get(name)]
    if record.op is Op.DELETED:
        ids = [(name, value) for name, value in ids if name in {"identity", "object_id"}]
    if not ids:
        return rejected("clevertap_nobody", "No id of a user is mapped, such as identity.")
    for name, value in ids:
        if value.strip().lower() in _NOBODY:
            return rejected("clevertap_nobody", f"{name} is {value!r}, which CleverTap takes for nobody's.")
    for name, value in (given.get("dates") or {}).items():
        if value is not None and not fields.is_moment(value):
            return rejected("clevertap_date", f"{name} is no time (ISO 8601, or seconds since 1970).")
    for name, value in given.items():
        inner = value.items() if name in {"profile_data", "event_data"} else ((name, value),)
        for key, one in inner:
            wrong = None if key in _IDS else _too_long(key, one)
            if wrong is not None:
                return rejected("clevertap_too_long", wrong)
    return None


def _too_long(key: str, value: Any) -> str | None:
    if fields.longer(key, _KEY_BYTES):
        return f"The name {key[:40]!r}… has more than {_KEY_BYTES} bytes."
    if isinstance(value, str):
        return f"{key} has more than {_VALUE_BYTES} bytes." if fields.longer(value, _VALUE_BYTES) else None
    if isinstance(value, list) and key != "Items":
        if len(value) > _LIST_ITEMS:
            return f"{key} has {len(value)} items, and {_LIST_ITEMS} are kept."
        if any(isinstance(item, str) and fields.longer(item, _VALUE_BYTES) for item in value):
            return f"An item of {key} has more than {_VALUE_BYTES} bytes."
    return None


def send_profiles(client: ClevertapClient, batch: Sequence[Sending]) -> Sequence[Outcome]:
    """Send profiles, or delete them."""
    if batch[0].record.op is not Op.DELETED:
        return _upload(client, batch)
    with Progress() as progress:
        for start in range(0, len(batch), _DELETES):
            _delete(client, batch, range(start, min(start + _DELETES, len(batch))), progress)
    return [progress.outcomes[place] for place in range(len(batch))]


def _delete(client: ClevertapClient, batch: Sequence[Sending], places: range, progress: Progress) -> None:
    """Delete profiles of one call. It is halved here, not by who calls: other parts of the batch are deleted."""
    part = batch[places.start : places.stop]
    name = b"identity" if part[0].record.fields.get("identity") else b"guid"
    ids = b",".join(sending.body for sending in part)
    try:
        answer = client.post("/1/delete/profiles.json", b'{"%s":[%s]}' % (name, ids))
        said = answer.json()
        if not isinstance(said, dict) or said.get("status") not in {"success", None}:
            raise BatchRefused("clevertap_refused", client.said(answer))
    except BatchRefused as error:
        if len(part) == 1:
            progress.outcomes[places.start] = rejected(error.code, error.message)
            return
        middle = len(part) // 2
        _delete(client, batch, places[:middle], progress)
        _delete(client, batch, places[middle:], progress)
        return
    progress.outcomes.update((place, WRITTEN) for place in places)


def _upload(client: ClevertapClient, batch: Sequence[Sending]) -> Sequence[Outcome]:
    body = b'{"d":[' + b",".join(sending.body for sending in batch) + b"]}"
    return outcomes.read(client, client.post("/1/upload", body), batch)


def _by_call(record: Record) -> Hashable:
    """Profiles that are sent, and those that are deleted, by the kind of their id."""
    return record.op is Op.DELETED and ("identity" if record.fields.get("identity") else "guid")


_LIMITS = Limits(rows=1_000, bytes=5_000_000, row_bytes=500_000)

PROFILE = Action(
    name="profile",
    title="Upload profiles",
    description="Sets properties of a user. Profiles of deleted rows are deleted.",
    fields=(
        *_WHO,
        Field(
            "profile_data",
            "Profile data",
            "An object of properties; other names of the mapping are added.",
            Kind.OBJECT,
            also=("profileData", "userData"),
        ),
        _DATES,
        Field("ts", "Time", "When it was so; left out: now.", Kind.DATETIME, names=("updated_at",)),
    ),
    more=True,
    modes=(Mode.UPSERT, Mode.INSERT, Mode.UPDATE, Mode.MIRROR, Mode.DELETE),
    limits=_LIMITS,
    encode=encode_profile,
    send=send_profiles,
    check=check,
    group=_by_call,
)
EVENT = Action(
    name="event",
    title="Upload events",
    description="Each row is an event.",
    fields=(
        Field("event", "Event", "The name of the event.", required=True, longest=1_024, names=("event_name",)),
        *_WHO,
        Field(
            "event_data", "Event data", "An object of properties; other names of the mapping are added.", Kind.OBJECT
        ),
        _DATES,
        Field(
            "ts", "Time", "When it happened; left out: now.", Kind.DATETIME,
            names=("occurred_at", "event_time", "timestamp"),
        ),
    ),
    more=True,
    modes=(Mode.INSERT, Mode.UPSERT, Mode.UPDATE),
    limits=_LIMITS,
    encode=encode_event,
    send=_upload,
    check=check,
)  # fmt: skip
