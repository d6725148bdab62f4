"""Members of a list: profiles that are there are put on it, and taken off.

Sources: Klaviyo's OpenAPI file: a thousand profiles a call, by Klaviyo's ids, which are looked up, a hundred a page.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

import msgspec

from tidemill.destinations.klaviyo.actions import IDS, OWN_ID, WHO, has_id
from tidemill.destinations.port import (
    WRITTEN,
    Action,
    Field,
    Limits,
    Mode,
    Op,
    Outcome,
    Record,
    Sending,
    rejected,
)

if TYPE_CHECKING:
    from tidemill.destinations.klaviyo.client import KlaviyoClient

_encoder = msgspec.json.Encoder()


def _known_by(record: Record) -> tuple[str, str]:
    """What a profile is looked up by."""
    name = next(name for name in ("id", *IDS) if record.fields.get(name))
    return name, str(record.fields[name]).strip()


def encode(record: Record) -> bytes:
    """What is looked up."""
    return _encoder.encode(_known_by(record)[1])


def send(client: KlaviyoClient, batch: Sequence[Sending]) -> Sequence[Outcome]:
    """Put profiles on a list, or take them off. Who is not there is on no list."""
    first = batch[0].record
    name = _known_by(first)[0]
    values = [_known_by(sending.record)[1] for sending in batch]
    found = client.profiles(name, values)
    ids = [found.get(value.casefold()) for value in values]
    there = list(dict.fromkeys(key for key in ids if key is not None))
    removing = first.op is Op.DELETED
    if there:
        body = _encoder.encode({"data": [{"type": "profile", "id": key} for key in there]})
        client.change_list(str(first.fields["list_id"]), body, remove=removing)
    if removing:
        return [WRITTEN] * len(batch)
    absent = rejected("klaviyo_no_profile", f"Klaviyo has no profile with that {name}.")
    return [absent if key is None else WRITTEN for key in ids]


def _batch(record: Record) -> Hashable:
    return str(record.fields["list_id"]), record.op is Op.DELETED, _known_by(record)[0]


LISTS = Action(
    name="list",
    title="Members of a list",
    description="Each row is put on a list; in the modes mirror and delete, it is taken off when it is gone.",
    fields=(
        Field("list_id", "List", "Its id, as in the address of its page.", required=True, on_delete=True),
        *WHO,
        OWN_ID,
    ),
    modes=(Mode.UPSERT, Mode.MIRROR, Mode.INSERT, Mode.DELETE),
    limits=Limits(rows=500, bytes=1_000_000, row_bytes=1_000),
    check=lambda record: has_id(record, (*IDS, "id")),
    group=_batch,
    encode=encode,
    send=send,
)
