"""What rows look like as contacts, and what the answers say.

Sources: research on reverse ETL, section 3.3 (Intercom): no call takes more than one contact; it is searched for, then
created or changed; 409 comes when it was created a moment ago and the search does not see it yet, or when it is
archived. The error names the contact.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from tidemill.destinations.fields import moment
from tidemill.destinations.intercom.client import said
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
from tidemill.errors import RetryableError, UnavailableError
from tidemill.outbound.client import Answer

if TYPE_CHECKING:
    from tidemill.destinations.intercom.client import IntercomClient

_encoder = msgspec.json.Encoder()
_TEXTS = ("role", "external_id", "email", "phone", "name", "avatar", "language_override")
_TIMES = ("signed_up_at", "last_seen_at")
_OTHERS = ("owner_id", "unsubscribed_from_emails", "custom_attributes")
#: In the message of a conflict.
_NAMED = re.compile(r"\bid\s*=\s*([0-9A-Za-z_-]+)")
#: Seconds until a search sees what was created.
_LAG_SECONDS = 10.0


def check(record: Record) -> Outcome | None:
    """Intercom must know whose contact it is."""
    if record.fields.get("external_id") or record.fields.get("email"):
        return None
    return rejected("intercom_id", "external_id or email is needed.")


def encode(record: Record) -> bytes:
    """The body of a contact. Of one that is gone, nothing is sent."""
    fields = record.fields
    told: dict[str, Any] = {name: fields[name] for name in (*_TEXTS, *_OTHERS) if name in fields}
    told |= {name: int(moment(fields[name]).timestamp()) for name in _TIMES if name in fields}
    return _encoder.encode(told)


def send(client: IntercomClient, batch: Sequence[Sending]) -> Sequence[Outcome]:
    """Send one row."""
    sending = batch[0]
    if sending.record.op is Op.DELETED:
        return [_remove(client, sending.record)]
    if sending.record.mode is Mode.INSERT:
        return [_create(client, sending)]
    found = _found(client, sending.record)
    if isinstance(found, Outcome):
        return [found]
    if found is not None:
        return [_update(client, found, sending)]
    if sending.record.mode is Mode.UPDATE:
        return [rejected("intercom_no_contact", "Intercom has no such contact.")]
    return [_create(client, sending)]


def _found(client: IntercomClient, record: Record) -> str | Outcome | None:
    """The contact of a row: by the external id if it has one, else by the e-mail address, which may be of several."""
    name = "external_id" if record.fields.get("external_id") else "email"
    ids = client.found(name, str(record.fields[name]))
    if len(ids) > 1:
        return rejected("intercom_several", f"Several contacts of Intercom have that {name}.")
    return ids[0] if ids else None


def _update(client: IntercomClient, contact: str, sending: Sending) -> Outcome:
    answer = client.update(contact, sending.body)
    if answer.status == 404:  # deleted or merged since it was searched for
        raise _later("Intercom has found the contact, and does not know it.")
    return WRITTEN if answer.good else _refused(answer)


def _create(client: IntercomClient, sending: Sending) -> Outcome:
    record = sending.record
    try:
        answer = client.create(sending.body)
    except UnavailableError:
        client.unsure.add(record.identity)
        raise
    if answer.good:
        return WRITTEN
    if answer.status != 409:
        return _refused(answer)
    _, message = said(answer)
    named = _NAMED.search(message)
    if record.mode is Mode.INSERT and record.identity not in client.unsure:
        is_it = named is not None and _is_as(client.contact(named[1]), msgspec.json.decode(sending.body))
        return WRITTEN if is_it else _refused(answer)
    if named is None:
        raise _later("Intercom has that contact, and its search does not find it yet.")
    if "archived" in message.lower():
        back = client.unarchive(named[1])
        if not back.good:
            return _refused(back)
    return _update(client, named[1], sending)


def _is_as(found: Any, told: Any) -> bool:
    """Whether a contact is as a row would make it, such as one that a process created before it ended."""
    if isinstance(told, dict):
        return isinstance(found, dict) and all(_is_as(found.get(name), value) for name, value in told.items())
    return bool(found == told)


def _remove(client: IntercomClient, record: Record) -> Outcome:
    """What is not there is gone."""
    found = _found(client, record)
    if isinstance(found, Outcome):
        return found
    if found is None:
        return WRITTEN
    answer = client.remove(found, archive=record.fields.get("when_gone") != "delete")
    return WRITTEN if answer.good or answer.status == 404 else _refused(answer)


def _refused(answer: Answer) -> Outcome:
    code, message = said(answer)
    return rejected(f"intercom_{code}"[:80], message)


def _later(message: str) -> RetryableError:
    return RetryableError("intercom_search", message, hint="It is tried again.", after=_LAG_SECONDS)


CONTACTS = Action(
    name="contacts",
    title="Sync contacts",
    description="Each row is a contact: created, changed, or archived when the row is gone.",
    fields=(
        Field(
            "external_id",
            "External id",
            "The id that you know the person by.",
            names=("external_id", "user_id"),
            personal=True,
        ),
        Field("email", "E-mail", "The person's address.", names=("email", "email_address"), personal=True),
        Field(
            "role",
            "Role",
            "Of a new contact. Left out: user.",
            choices=("user", "lead"),
            mapping={"@literal": "user"},
        ),
        Field("phone", "Phone", "With + and the country's code.", names=("phone", "phone_number"), personal=True),
        Field("name", "Name", "Of the person.", names=("name", "full_name"), personal=True),
        Field("avatar", "Picture", "The address of a picture.", names=("avatar_url", "avatar")),
        Field("language_override", "Language", "In which Intercom speaks to the person.", names=("language",)),
        Field("signed_up_at", "Signed up", "When.", Kind.DATETIME, names=("signed_up_at", "created_at")),
        Field("last_seen_at", "Last seen", "When.", Kind.DATETIME, names=("last_seen_at",)),
        Field("owner_id", "Owner", "The number of the teammate who looks after the contact.", Kind.INTEGER),
        Field("unsubscribed_from_emails", "Unsubscribed", "From e-mails.", Kind.BOOLEAN),
        Field("custom_attributes", "Custom attributes", "By their names in Intercom: they must exist.", Kind.OBJECT),
        Field(
            "when_gone",
            "When the row is gone",
            "archive (it can be brought back) or delete (for good). Left out: archive.",
            choices=("archive", "delete"),
        ),
    ),
    modes=(Mode.UPSERT, Mode.MIRROR, Mode.INSERT, Mode.UPDATE, Mode.DELETE),
    limits=Limits(rows=1, bytes=200_000, row_bytes=200_000, at_once=8),
    check=check,
    encode=encode,
    send=send,
)
