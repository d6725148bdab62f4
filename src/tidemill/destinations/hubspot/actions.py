"""What rows look like as objects and as members of lists, and what the answers say of each.

Sources: research on reverse ETL, section 3.3 (HubSpot) and 3.4: without `objectWriteTraceId` an error is of no row, an
answer may be good and have no results, and ids that are in a batch twice must be sent apart.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from tidemill.destinations.hubspot.client import CONFLICT, folded
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
    again,
    rejected,
)
from tidemill.errors import UnavailableError

if TYPE_CHECKING:
    from tidemill.destinations.hubspot.client import HubSpotClient

#: What HubSpot itself calls an object by. It can be no `idProperty`.
OWN_ID = "hs_object_id"
#: Categories of errors that may pass; others are of the row.
_PASSES = frozenset({"RATE_LIMITS", "RATE_LIMIT", "INTERNAL_ERROR", "SERVICE_UNAVAILABLE", "LOCKED"})
_CONFLICTS = frozenset({"CONFLICT", "OBJECT_ALREADY_EXISTS"})
_encoder = msgspec.json.Encoder()


def verb(record: Record) -> str:
    """What is done with an object."""
    if record.op is Op.DELETED:
        return "archive"
    if record.mode is Mode.INSERT:
        return "create"
    return "update" if record.mode is Mode.UPDATE or _by_own_id(record) else "upsert"


def _by_own_id(record: Record) -> bool:
    return str(record.fields.get("id_property", OWN_ID)) == OWN_ID


def check_object(record: Record) -> Outcome | None:
    """HubSpot gives an id itself: an object cannot be created with one."""
    if verb(record) == "create" and _by_own_id(record):
        return rejected("hubspot_id", f"An object cannot be created with a value for {OWN_ID}: HubSpot gives it.")
    return None


def encode_object(record: Record) -> bytes:
    """An input of a batch."""
    fields = record.fields
    name = fields.get("id_property", OWN_ID)
    told: dict[str, Any] = {"objectWriteTraceId": record.identity, "properties": _properties(record)}
    if verb(record) == "archive":
        told = {"id": fields["id"]}
    elif verb(record) == "create":
        told["properties"] = {name: fields["id"], **told["properties"]}
    else:
        told["id"] = fields["id"]
        if name != OWN_ID:
            told["idProperty"] = name
    return _encoder.encode(told)


def _properties(record: Record) -> dict[str, Any]:
    """HubSpot's properties are texts; an empty one clears it, and several values of one are parted by semicolons."""
    return {name: _text(value) for name, value in record.fields.get("properties", {}).items()}


def _text(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ";".join(value)
    return _encoder.encode(value).decode() if isinstance(value, list | dict) else value


def send_objects(client: HubSpotClient, batch: Sequence[Sending]) -> Sequence[Outcome]:
    """Send objects of one kind, all with the same verb."""
    doing = verb(batch[0].record)
    if doing == "archive":
        return _archive(client, batch)
    if doing == "create":
        return _create(client, batch)
    return _batch(client, doing, batch)


def _batch(client: HubSpotClient, doing: str, batch: Sequence[Sending]) -> list[Outcome]:
    kind = str(batch[0].record.fields["object_type"])
    answer = client.batch(kind, doing, b"[" + b",".join(sending.body for sending in batch) + b"]")
    return outcomes(answer.json(), [sending.record for sending in batch])


def _create(client: HubSpotClient, batch: Sequence[Sending]) -> list[Outcome]:
    """New objects. Those whose creation was not answered may be there: they are sent as what creates or updates."""
    doubtful = [place for place, sending in enumerate(batch) if sending.record.identity in client.unsure]
    fresh = [place for place, sending in enumerate(batch) if sending.record.identity not in client.unsure]
    with Progress() as progress:
        if doubtful:
            told = _batch(client, "upsert", [_upserting(batch[place]) for place in doubtful])
            progress.outcomes.update(zip(doubtful, told, strict=True))
        if fresh:
            try:
                told = _created(client, [batch[place] for place in fresh])
            except UnavailableError:
                client.unsure.update(batch[place].record.identity for place in fresh)
                raise
            progress.outcomes.update(zip(fresh, told, strict=True))
    return [progress.outcomes[place] for place in range(len(batch))]


def _created(client: HubSpotClient, batch: Sequence[Sending]) -> list[Outcome]:
    """New objects. One that is there with the very values of its row, such as one that a process created before it
    ended, needs nothing: it is written."""
    try:
        found = _batch(client, "create", batch)
    except BatchRefused as error:
        if error.code != CONFLICT or len(batch) > 1:
            raise
        found = [rejected(CONFLICT, error.message)]
    there = [number for number, outcome in enumerate(found) if outcome.code == CONFLICT]
    if there:
        first = batch[there[0]].record.fields
        values = [str(batch[number].record.fields["id"]) for number in there]
        names = sorted({name for number in there for name in batch[number].record.fields.get("properties", {})})
        objects = client.objects(str(first["object_type"]), str(first["id_property"]), values, names)
        for number, value in zip(there, values, strict=True):
            if _is_as(objects.get(folded(value)), batch[number].record):
                found[number] = WRITTEN
    return found


def _is_as(found: Any, record: Record) -> bool:
    """Whether an object has the properties that a row would give it."""
    if found is None:
        return False
    return all(str(found["properties"].get(name) or "") == str(told) for name, told in _properties(record).items())


def _upserting(sending: Sending) -> Sending:
    record = sending.record
    changed = Record(record.row_key, record.identity, record.op, Mode.UPSERT, record.fields)
    return Sending(changed, encode_object(changed))


def _archive(client: HubSpotClient, batch: Sequence[Sending]) -> list[Outcome]:
    """Archive objects: by HubSpot's ids, which are looked up. What is not there is gone already."""
    first = batch[0].record.fields
    kind, wanted = str(first["object_type"]), [str(sending.record.fields["id"]) for sending in batch]
    if not _by_own_id(batch[0].record):
        found = client.ids(kind, str(first["id_property"]), wanted)
        wanted = [found[folded(value)] for value in wanted if folded(value) in found]
    if wanted:
        client.batch(kind, "archive", _encoder.encode([{"id": value} for value in wanted]))
    return [WRITTEN] * len(batch)


def outcomes(said: Any, records: Sequence[Record]) -> list[Outcome]:
    """What an answer says of each row: by its trace id. One of which it says nothing is not taken for written."""
    body = said if isinstance(said, dict) else {}
    found: dict[str, Outcome] = {}
    results, errors = _list(body.get("results")), _list(body.get("errors"))
    for result in results:
        if result.get("objectWriteTraceId"):
            found[str(result["objectWriteTraceId"])] = WRITTEN
    unnamed = []
    for error in errors:
        context = error.get("context")
        traced = context.get("objectWriteTraceId") if isinstance(context, dict) else None
        for trace in traced if isinstance(traced, list) else [traced] if traced else []:
            found[str(trace)] = _wrong(error)
        if not traced:
            unnamed.append(error)
    if not errors and not found and len(results) == len(records):
        return [WRITTEN] * len(records)  # some kinds of objects do not repeat the trace ids
    if unnamed and not results and not found:
        raise BatchRefused("hubspot_refused", _wrong(unnamed[0]).message)
    silent = again("hubspot_silent", "HubSpot does not say what became of the row.", unsure=True)
    return [found.get(record.identity, silent) for record in records]


def _wrong(error: dict[str, Any]) -> Outcome:
    category, message = str(error.get("category") or ""), str(error.get("message") or error)[:500]
    if category in _PASSES:
        return again("hubspot_busy", message)
    if category in _CONFLICTS:
        return rejected(CONFLICT, message)
    return rejected("hubspot_rejected", f"{category}: {message}" if category else message)


def _list(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _batch_of_object(record: Record) -> Hashable:
    fields = record.fields
    return str(fields["object_type"]), fields.get("id_property", OWN_ID), verb(record)


def _object(record: Record) -> Hashable:
    return folded(str(record.fields["id"]))


_TYPE = Field(
    "object_type",
    "Object type",
    "Such as contacts, companies, deals, tickets, or the id of an object of yours (2-123456).",
    required=True,
    mapping={"@literal": "contacts"},
    on_delete=True,
)
_ID_PROPERTY = Field(
    "id_property",
    "Id property",
    "The property that says which object it is: email of contacts, or one whose values are unique. Left out: "
    "HubSpot's own id.",
    mapping={"@literal": "email"},
)
_ID = Field(
    "id",
    "Id",
    "The value of the id property.",
    required=True,
    names=("email", "email_address"),
    personal=True,
    on_delete=True,
)

OBJECTS = Action(
    name="objects",
    title="Sync objects",
    description="Each row is an object of the CRM: created, updated, or archived when the row is gone.",
    fields=(
        _TYPE,
        _ID_PROPERTY,
        _ID,
        Field(
            "properties",
            "Properties",
            "By their internal names. Null clears one; a list of texts becomes the choices of one that takes several.",
            Kind.OBJECT,
        ),
    ),
    modes=(Mode.UPSERT, Mode.MIRROR, Mode.INSERT, Mode.UPDATE, Mode.DELETE),
    limits=Limits(rows=100, bytes=3_000_000, row_bytes=500_000),
    check=check_object,
    group=_batch_of_object,
    distinct=_object,
    encode=encode_object,
    send=send_objects,
)


def encode_member(record: Record) -> bytes:
    """The id is all that is sent."""
    return _encoder.encode(str(record.fields["id"]))


def send_members(client: HubSpotClient, batch: Sequence[Sending]) -> Sequence[Outcome]:
    """Put records on a list, or take them off. Those that the answer does not miss are on it, or off."""
    first = batch[0].record
    removing = first.op is Op.DELETED
    asked = [str(sending.record.fields["id"]) for sending in batch]
    ids: list[str | None] = list(asked)
    if not _by_own_id(first):
        found = client.ids(str(first.fields.get("object_type", "contacts")), str(first.fields["id_property"]), asked)
        ids = [found.get(folded(value)) for value in asked]
    there = [value for value in ids if value is not None]
    missing: set[str] = set()
    if there:
        said = client.change_list(str(first.fields["list_id"]), [] if removing else there, there if removing else [])
        missing = {str(value) for value in said.get("recordIdsMissing") or ()}
    if removing:  # what is not there is on no list
        return [WRITTEN] * len(batch)
    absent = rejected("hubspot_no_record", "HubSpot has no record with that id.")
    return [WRITTEN if value is not None and value not in missing else absent for value in ids]


def _batch_of_member(record: Record) -> Hashable:
    fields = record.fields
    return (
        str(fields["list_id"]),
        fields.get("object_type", "contacts"),
        fields.get("id_property", OWN_ID),
        record.op is Op.DELETED,
    )


LISTS = Action(
    name="list",
    title="Members of a list",
    description="Each row is put on a static list; in the modes mirror and delete, it is taken off when it is gone.",
    fields=(
        Field(
            "list_id",
            "List",
            "The number of the list (ILS list id). It must be a static one.",
            required=True,
            names=("list_id",),
            on_delete=True,
        ),
        Field("object_type", "Object type", "What the list is of. Left out: contacts.", names=("object_type",)),
        _ID_PROPERTY,
        _ID,
    ),
    modes=(Mode.UPSERT, Mode.MIRROR, Mode.INSERT, Mode.DELETE),
    limits=Limits(rows=500, bytes=1_000_000, row_bytes=1_000),
    group=_batch_of_member,
    distinct=_object,
    encode=encode_member,
    send=send_members,
)
