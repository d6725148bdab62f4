"""What rows look like as profiles, events and deletions, and what the answers say of each.

Sources: research on reverse ETL, section 3.3 (Klaviyo); the OpenAPI file: 10,000 profiles and 100 KB each, 1,000
events, 5 MB; an event with a `unique_id` that is known is recorded once for its profile and metric. Events that are
taken are not told of later: what is known of their limits is checked here.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from tidemill.destinations.fields import moment
from tidemill.destinations.port import (
    WRITTEN,
    Action,
    Field,
    Kind,
    Limits,
    Mode,
    Outcome,
    Progress,
    Record,
    Sending,
    SomeRefused,
    rejected,
)
from tidemill.errors import RetryableError, UnavailableError

if TYPE_CHECKING:
    from tidemill.destinations.klaviyo.client import KlaviyoClient

_encoder = msgspec.json.Encoder()
#: What a profile is known by, beside Klaviyo's own id.
IDS = ("email", "phone_number", "external_id")
_TEXTS = ("first_name", "last_name", "organization", "title", "image", "locale", "location")
#: The number of a row in a pointer: /data/attributes/profiles/data/3/attributes/email
_NUMBER = re.compile(r"/(?:profiles|events-bulk-create)/data/(\d+)(?:/|$)")
#: Of an event.
_MOST_PROPERTIES, _FIRST_TIME = 300, dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
_REFUSED = "klaviyo_rejected"


def _profile(fields: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    attributes = {name: fields[name] for name in names if name in fields}
    if fields.get("properties"):
        attributes["properties"] = fields["properties"]
    return {"type": "profile", **({"id": fields["id"]} if "id" in fields else {}), "attributes": attributes}


def has_id(record: Record, names: Sequence[str]) -> Outcome | None:
    """What is wrong with a record that has none of these."""
    if any(record.fields.get(name) for name in names):
        return None
    return rejected("klaviyo_id", f"One of {', '.join(names)} is needed.")


def check_profile(record: Record) -> Outcome | None:
    """Klaviyo must know whose profile it is."""
    return has_id(record, (*IDS, "id"))


def encode_profile(record: Record) -> bytes:
    """A profile of an import job."""
    return _encoder.encode(_profile(record.fields, (*IDS, *_TEXTS)))


def send_profiles(client: KlaviyoClient, batch: Sequence[Sending]) -> Sequence[Outcome]:
    """Import profiles by a job, and wait for what it says of each."""
    sent, key = list(range(len(batch))), tuple(sending.record.identity for sending in batch)
    job = client.begun.get(key)
    with Progress() as progress:
        found = progress.outcomes
        if job is None:
            answer, sent = _posted(client, "/api/profile-bulk-import-jobs", batch, _wrapped_profiles, found)
            if not sent:
                return [found[number] for number in range(len(batch))]
            job = _begun(answer)
            key = tuple(batch[number].record.identity for number in sent)
            client.begun[key] = job
        progress.unsure = True
        try:
            failed = client.ended(job).get("failed_count") or 0
        except RetryableError as error:
            if error.code == "klaviyo_cancelled":
                client.begun.pop(key, None)
            raise
        errors = client.errors(job)
        client.begun.pop(key, None)
        refused = refusals(errors, failed, [batch[number].record for number in sent])
        found |= {sent[number]: wrong for number, wrong in refused.items()}
    return [found.get(number, WRITTEN) for number in range(len(batch))]


def _begun(answer: Any) -> str:
    """The job's id."""
    data = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(data, dict) or not data.get("id"):
        raise UnavailableError(
            "klaviyo_answer", "Klaviyo does not say which import it has begun.", hint="It is tried again."
        )
    return str(data["id"])


def refusals(errors: Sequence[Mapping[str, Any]], failed: int, records: Sequence[Record]) -> dict[int, Outcome]:
    """Of an import job: by a row's number, which the error points to, or by the profile that it repeats.

    Raises
    ------
    SomeRefused
        Profiles failed, and it is not known which: the rest must not count as written.
    """
    by_id = {
        (name, record.fields[name]): number
        for number, record in enumerate(records)
        for name in IDS
        if record.fields.get(name)
    }
    found: dict[int, Outcome] = {}
    unknown = ""
    for error in errors:
        number = _pointed(error)
        if number is None or number >= len(records):
            payload = error.get("original_payload") or {}
            attributes = payload.get("attributes") or payload
            number = next((by_id[name, value] for name in IDS if (name, value := attributes.get(name)) in by_id), None)
        if number is None and len(records) == 1:
            number = 0
        if number is None:
            unknown = _told(error)
        else:
            found[number] = rejected(_REFUSED, _told(error))
    if unknown or len(found) < min(failed, len(records)):
        raise SomeRefused(_REFUSED, unknown or f"Klaviyo refuses {failed} profiles, and does not say which.")
    return found


def _pointed(error: Mapping[str, Any]) -> int | None:
    pointer = _NUMBER.search(str((error.get("source") or {}).get("pointer") or ""))
    return int(pointer[1]) if pointer else None


def _told(error: Mapping[str, Any]) -> str:
    source = str((error.get("source") or {}).get("pointer") or "").rpartition("/")[2]
    detail = str(error.get("detail") or error.get("title") or "Klaviyo refuses it.")
    return f"{source}: {detail}"[:500] if source and not source.isdigit() else detail[:500]


def _wrapped_profiles(bodies: Sequence[bytes], record: Record) -> bytes:
    lists = b""
    if record.fields.get("list_id"):
        on = [{"type": "list", "id": record.fields["list_id"]}]
        lists = b',"relationships":{"lists":{"data":' + _encoder.encode(on) + b"}}"
    head = b'{"data":{"type":"profile-bulk-import-job","attributes":{"profiles":{"data":['
    return head + b",".join(bodies) + b"]}}" + lists + b"}}"


def _posted(
    client: KlaviyoClient,
    path: str,
    batch: Sequence[Sending],
    wrap: Callable[[Sequence[bytes], Record], bytes],
    found: dict[int, Outcome],
) -> tuple[Any, list[int]]:
    """Send rows; those that the answer names as bad are taken out into `found`, and the others sent again. Gives the
    answer, and the numbers of the rows that it is about."""
    left = list(range(len(batch)))
    while left:
        answer = client.post(path, wrap([batch[number].body for number in left], batch[0].record))
        if answer.good:
            return answer.json(), left
        said = answer.json()
        errors = said.get("errors") if isinstance(said, dict) else None
        named = {_pointed(error): _told(error) for error in errors or () if isinstance(error, dict)}
        bad = {left[number]: told for number, told in named.items() if number is not None and number < len(left)}
        if not bad:
            client.refused(answer)
        found |= {number: rejected(_REFUSED, told) for number, told in bad.items()}
        left = [number for number in left if number not in bad]
    return None, []


def _whose(record: Record) -> Hashable:
    found = next((str(record.fields[name]) for name in ("id", *IDS) if record.fields.get(name)), None)
    return found.strip().casefold() if found is not None else record.identity


WHO = (
    Field("email", "E-mail", "The person's address.", names=("email", "email_address"), personal=True),
    Field(
        "phone_number",
        "Phone number",
        "With + and the country's code (E.164).",
        names=("phone_number", "phone"),
        personal=True,
    ),
    Field("external_id", "External id", "The id that you know the person by.", names=("external_id", "user_id")),
)
OWN_ID = Field("id", "Profile id", "Klaviyo's own id of the profile.", names=("klaviyo_id",))
_PROPERTIES = Field("properties", "Properties", "Of the person, by any names.", Kind.OBJECT)

PROFILES = Action(
    name="profiles",
    title="Import profiles",
    description="Each row is a profile: created, or changed.",
    fields=(
        *WHO,
        OWN_ID,
        Field("first_name", "First name", "Of the person.", names=("first_name",), personal=True),
        Field("last_name", "Last name", "Of the person.", names=("last_name",), personal=True),
        Field("organization", "Organization", "Where the person works.", names=("company", "organization")),
        Field("title", "Title", "The person's work.", names=("job_title", "title")),
        Field("image", "Image", "The address of a picture.", names=("image", "avatar_url")),
        Field("locale", "Locale", "Language and country, such as en-US.", names=("locale",)),
        Field("location", "Location", "address1, city, country, region, zip, timezone and others.", Kind.OBJECT),
        _PROPERTIES,
        Field("list_id", "List", "The id of a list that profiles are put on, too."),
    ),
    modes=(Mode.UPSERT, Mode.INSERT, Mode.UPDATE),
    limits=Limits(rows=10_000, bytes=4_900_000, row_bytes=100_000, at_once=2),
    check=check_profile,
    group=lambda record: record.fields.get("list_id"),
    distinct=_whose,
    encode=encode_profile,
    send=send_profiles,
)

_EVENT_IDS = (*IDS, "anonymous_id")


def check_event(record: Record) -> Outcome | None:
    """What Klaviyo drops later, when it has answered."""
    missing = has_id(record, (*_EVENT_IDS, "id"))
    if missing is not None:
        return missing
    if len(record.fields.get("event_properties", ())) > _MOST_PROPERTIES:
        return rejected("klaviyo_properties", f"An event has at most {_MOST_PROPERTIES} properties.")
    if "time" in record.fields:
        when = moment(record.fields["time"])
        if not _FIRST_TIME <= when <= dt.datetime.now(dt.UTC) + dt.timedelta(days=365):
            return rejected("klaviyo_time", "An event's time is after 1999, and not more than a year from now.")
    return None


def encode_event(record: Record) -> bytes:
    """An event, with the profile that it is of. Its unique id is the row's, unless one is mapped."""
    fields = record.fields
    told: dict[str, Any] = {
        "properties": fields.get("event_properties", {}),
        "metric": {"data": {"type": "metric", "attributes": {"name": fields["metric"]}}},
        "unique_id": fields.get("unique_id", record.identity),
    }
    told |= {name: fields[name] for name in ("value", "value_currency") if name in fields}
    if "time" in fields:
        told["time"] = moment(fields["time"]).isoformat()
    attributes = {
        "profile": {"data": _profile(fields, _EVENT_IDS)},
        "events": {"data": [{"type": "event", "attributes": told}]},
    }
    return _encoder.encode({"type": "event-bulk-create", "attributes": attributes})


def _wrapped_events(bodies: Sequence[bytes], _: Record) -> bytes:
    head = b'{"data":{"type":"event-bulk-create-job","attributes":{"events-bulk-create":{"data":['
    return head + b",".join(bodies) + b"]}}}}"


def send_events(client: KlaviyoClient, batch: Sequence[Sending]) -> Sequence[Outcome]:
    """Send events. Those that the answer does not name are taken."""
    with Progress() as progress:
        _posted(client, "/api/event-bulk-create-jobs", batch, _wrapped_events, progress.outcomes)
    return [progress.outcomes.get(number, WRITTEN) for number in range(len(batch))]


EVENTS = Action(
    name="events",
    title="Send events",
    description="Each row is an event of a profile.",
    fields=(
        Field("metric", "Metric", "The event's name.", required=True, names=("event", "event_name"), longest=128),
        *WHO,
        Field("anonymous_id", "Anonymous id", "Of somebody who is not known by name.", names=("anonymous_id",)),
        OWN_ID,
        Field("time", "Time", "When it happened. Left out: now.", Kind.DATETIME, names=("time", "timestamp")),
        Field("event_properties", "Event properties", "By any names; at most 300.", Kind.OBJECT),
        Field("value", "Value", "What it is worth.", Kind.NUMBER, names=("value", "revenue")),
        Field("value_currency", "Currency", "Of the value, such as EUR.", names=("currency",)),
        Field("unique_id", "Unique id", "By which Klaviyo knows it again. Left out: the row's.", names=("event_id",)),
        _PROPERTIES,
    ),
    modes=(Mode.INSERT, Mode.UPSERT, Mode.UPDATE),
    limits=Limits(rows=1_000, bytes=4_900_000, row_bytes=100_000),
    check=check_event,
    encode=encode_event,
    send=send_events,
)

_DELETED_BY = ("id", "email", "phone_number")


def check_deletion(record: Record) -> Outcome | None:
    """Klaviyo must know whose profile it is."""
    return has_id(record, _DELETED_BY)


def encode_deletion(record: Record) -> bytes:
    """A request to delete a profile, by one thing only: Klaviyo refuses more."""
    name = next(name for name in _DELETED_BY if record.fields.get(name))
    who = {"id": record.fields[name]} if name == "id" else {"attributes": {name: record.fields[name]}}
    profile = {"type": "profile", **({"attributes": {}} if name == "id" else {}), **who}
    told = {"type": "data-privacy-deletion-job", "attributes": {"profile": {"data": profile}}}
    return _encoder.encode({"data": told})


def send_deletion(client: KlaviyoClient, batch: Sequence[Sending]) -> Sequence[Outcome]:
    """Ask for the deletion of one profile."""
    answer = client.post("/api/data-privacy-deletion-jobs", batch[0].body)
    client.refused(answer)
    return [WRITTEN]


DELETION = Action(
    name="delete_profiles",
    title="Delete profiles",
    description="The profile of a row that is gone is deleted, with all that Klaviyo knows of the person.",
    fields=(OWN_ID, *WHO[:2]),
    modes=(Mode.DELETE,),
    limits=Limits(rows=1, bytes=10_000, row_bytes=10_000, at_once=1),
    check=check_deletion,
    encode=encode_deletion,
    send=send_deletion,
)
