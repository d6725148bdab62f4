"""What rows look like in a job's CSV, and what its results say of each.

Sources: research on reverse ETL, section 3.3 (Salesforce): limits; that a job's rows are never asked for by others.

Insertions: a record is inserted with an external id that is unique, which is asked of Salesforce before. So a row that
comes again, because the process ended before its job did, is refused, not doubled; the jobs that were made before say
whether one of them has taken that very row.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from tidemill.destinations.port import (
    WRITTEN,
    Action,
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
from tidemill.destinations.salesforce import jobs
from tidemill.errors import ConfigError

if TYPE_CHECKING:
    from tidemill.destinations.salesforce.client import SalesforceClient

#: What clears a field: an empty one is left as it is.
_CLEARS = "#N/A"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,79}")
_COLUMN = re.compile(r"[A-Za-z][A-Za-z0-9_.]{0,199}")
#: Errors of a row that may pass.
_PASSES = ("UNABLE_TO_LOCK_ROW", "QUERY_TIMEOUT", "SERVER_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED", "UNKNOWN_EXCEPTION")
_DOUBLED = "DUPLICATE_VALUE"
_SILENT = again("salesforce_silent", "Salesforce does not say what became of the row.", unsure=True)


def operation(record: Record) -> str:
    """What a job does with a record."""
    if record.op is Op.DELETED:
        return "delete"
    return {Mode.INSERT: "insert", Mode.UPDATE: "update"}.get(record.mode, "upsert")


def check(record: Record) -> Outcome | None:
    """Names go into statements and headers; and each operation needs what it knows a record by."""
    fields = record.fields
    names = [str(fields.get("external_id_field", "Id")), str(fields["object"])]
    columns = fields.get("fields", {})
    for name in names:
        if not _NAME.fullmatch(name):
            return rejected("salesforce_name", f"{name!r} is no API name of Salesforce.")
    for name in columns:
        if not _COLUMN.fullmatch(name):
            return rejected("salesforce_name", f"{name!r} is no API name of a field.")
    external = bool(fields.get("external_id_field")) and bool(fields.get("external_id"))
    if operation(record) in {"insert", "upsert"} and not external:
        return rejected("salesforce_id", "external_id_field or external_id is missing.")
    if not external and not fields.get("id"):
        return rejected("salesforce_id", "There is neither an id nor an external id.")
    return None


def columns(record: Record) -> tuple[str, ...]:
    """The fields of a record, but for those that it is known by, in order."""
    if operation(record) == "delete":
        return ()
    known = {"id", str(record.fields.get("external_id_field", "")).casefold()}
    return tuple(sorted(name for name in record.fields.get("fields", {}) if name.casefold() not in known))


def encode(record: Record) -> bytes:
    """A line of CSV, without the key, which comes first in it."""
    found = record.fields.get("fields", {})
    return ",".join([cell(found[name]) for name in columns(record)]).encode()


def cell(value: Any) -> str:
    """A value in CSV. Null and an empty text clear a field; several choices are parted by semicolons."""
    if isinstance(value, str):
        text = value or _CLEARS
    elif value is None:
        text = _CLEARS
    elif isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, list) and all(isinstance(item, str) for item in value):
        text = ";".join(value) or _CLEARS
    else:
        text = msgspec.json.encode(value).decode()
    if any(letter in text for letter in '",\n\r') or text != text.strip():
        return '"' + text.replace('"', '""') + '"'
    return text


def send(client: SalesforceClient, batch: Sequence[Sending]) -> Sequence[Outcome]:
    """Send rows that share object, operation and columns, by one job."""
    first = batch[0].record
    if operation(first) == "insert":
        _check_unique(client, first)
    keys = _keys(client, batch)
    told = {
        sending.record.identity: _absent(sending.record)
        for sending, key in zip(batch, keys, strict=True)
        if key is None
    }
    there = [(key, sending) for key, sending in zip(keys, batch, strict=True) if key is not None]
    if there:
        told |= _job(client, there)
    return [told[sending.record.identity] for sending in batch]


def _check_unique(client: SalesforceClient, record: Record) -> None:
    kind, name = str(record.fields["object"]), str(record.fields["external_id_field"])
    if not client.unique(kind, name):
        raise ConfigError(
            "salesforce_not_unique",
            f"{name} of {kind} is not unique: a row whose answer is lost would be there twice.",
            hint="In Salesforce, mark the field as External ID and Unique; or use the mode upsert.",
        )


def _keys(client: SalesforceClient, batch: Sequence[Sending]) -> list[str | None]:
    """What the job knows each record by: its external id, or Salesforce's id, which is looked up if it must be."""
    records = [sending.record for sending in batch]
    if operation(records[0]) in {"insert", "upsert"}:
        return [str(record.fields["external_id"]).strip() for record in records]
    if records[0].fields.get("id"):
        return [str(record.fields["id"]) for record in records]
    values = [str(record.fields["external_id"]).strip() for record in records]
    first = records[0].fields
    found = client.ids(str(first["object"]), str(first["external_id_field"]), values)
    return [found.get(value.casefold()) for value in values]


def _absent(record: Record) -> Outcome:
    """Of a record that is to be changed or deleted, and is not there."""
    if operation(record) == "delete":
        return WRITTEN
    return rejected("salesforce_no_record", "Salesforce has no record with that external id.")


def _job(client: SalesforceClient, there: Sequence[tuple[str, Sending]]) -> dict[str, Outcome]:
    first = there[0][1].record
    kind, doing = str(first.fields["object"]), operation(first)
    named = str(first.fields["external_id_field"]) if doing in {"insert", "upsert"} else "Id"
    head = (named, *columns(first))
    lines = [b",".join([cell(key).encode(), *([sent.body] if len(head) > 1 else [])]) for key, sent in there]
    table = ",".join(head).encode() + b"\n" + b"\n".join(lines) + b"\n"
    identities = [sent.record.identity for _, sent in there]
    with Progress() as progress:
        job = jobs.run(client, identities, kind, doing, named if doing == "upsert" else None, table, progress)
        by_key = outcomes(job, named, doing)
        doubled = {key: sent for key, sent in there if doing == "insert" and _is_doubled(by_key.get(key))}
        if doubled:
            by_key |= _taken_before(client, kind, job, head, doubled)
    jobs.forget(client, identities)
    return {sent.record.identity: by_key.get(key, _SILENT) for key, sent in there}


def outcomes(job: jobs.Job, key: str, doing: str) -> dict[str, Outcome]:
    """Of a job that has ended, by the column that says which row it is."""
    found = {row.get(key) or "": WRITTEN for row in job.written()}
    for row in job.failed():
        found[row.get(key) or ""] = _wrong(row.get("sf__Error") or "", doing)
    if job.state != "JobComplete":
        whole = _whole(job)
        for row in job.unprocessed():
            found.setdefault(row.get(key) or "", whole)
    return found


def _wrong(error: str, doing: str) -> Outcome:
    code = error.partition(":")[0].strip()
    if doing == "delete" and code == "ENTITY_IS_DELETED":
        return WRITTEN
    if code in _PASSES:
        return again("salesforce_busy", error[:500])
    return rejected(f"salesforce_{code.lower()}"[:80] if code else "salesforce_rejected", error[:500] or "Refused.")


def _whole(job: jobs.Job) -> Outcome:
    """Of rows that a job did not come to: its columns are wrong for all of them, or it was stopped."""
    if "InvalidBatch" in job.error:
        return rejected("salesforce_batch", job.error[:500])
    return again("salesforce_stopped", f"The job ended as {job.state}{f': {job.error}' if job.error else ''}."[:500])


def _is_doubled(outcome: Outcome | None) -> bool:
    return outcome is not None and outcome.message.startswith(_DOUBLED)


def _taken_before(
    client: SalesforceClient, kind: str, own: jobs.Job, head: Sequence[str], doubled: dict[str, Sending]
) -> dict[str, Outcome]:
    """Of rows that are there already: those that an earlier job took as they are."""
    wanted = {key: (key, *_texts(sent.record)) for key, sent in doubled.items()}
    found: dict[str, Outcome] = {}
    for job in jobs.earlier(client, kind, "insert", own):
        for row in job.written():
            key = row.get(head[0]) or ""
            if key in wanted and tuple(row.get(name) or "" for name in head) == wanted[key]:
                found[key] = WRITTEN
        if len(found) == len(wanted):
            break
    return found


def _texts(record: Record) -> tuple[str, ...]:
    """The cells of a record, as a reader of CSV has them."""
    quoted = [cell(record.fields["fields"][name]) for name in columns(record)]
    return tuple(text[1:-1].replace('""', '"') if text.startswith('"') else text for text in quoted)


def _batch(record: Record) -> Hashable:
    fields = record.fields
    by_id = operation(record) in {"update", "delete"} and bool(fields.get("id"))
    return str(fields["object"]), operation(record), fields.get("external_id_field"), by_id, columns(record)


def _record(record: Record) -> Hashable:
    fields = record.fields
    if operation(record) in {"update", "delete"} and fields.get("id"):
        return str(fields["id"])[:15]  # the other three of eighteen are a check of these
    return str(fields["external_id"]).strip().casefold()


RECORDS = Action(
    name="records",
    title="Sync records",
    description="Each row is a record of an object: inserted, changed, or deleted when the row is gone.",
    fields=(
        Field(
            "object",
            "Object",
            "Its API name, such as Contact, Account, Lead or Plan__c.",
            required=True,
            mapping={"@literal": "Contact"},
            on_delete=True,
        ),
        Field(
            "external_id_field",
            "External id field",
            "The API name of a field that is marked as External ID (and Unique, to insert).",
            mapping={"@literal": "External_Id__c"},
        ),
        Field("external_id", "External id", "Its value: which record it is.", names=("external_id", "id", "user_id")),
        Field("id", "Salesforce id", "To change and delete records by it instead.", names=("salesforce_id", "sfdc_id")),
        Field("fields", "Fields", "By their API names. Null and an empty text clear one.", Kind.OBJECT),
    ),
    modes=(Mode.UPSERT, Mode.MIRROR, Mode.INSERT, Mode.UPDATE, Mode.DELETE),
    limits=Limits(rows=10_000, bytes=20_000_000, row_bytes=400_000, at_once=2),
    check=check,
    group=_batch,
    distinct=_record,
    encode=encode,
    send=send,
)
