"""What rows look like in a request, and what the answer says of each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from tidemill.destinations.port import (
    WRITTEN,
    Action,
    Limits,
    Mode,
    Outcome,
    Record,
    Sending,
    again,
    rejected,
)

if TYPE_CHECKING:
    from tidemill.destinations.webhook.client import WebhookClient

_encoder = msgspec.json.Encoder()


def encode(record: Record) -> bytes:
    """A row: who it is, what happened to it, and what was mapped."""
    return _encoder.encode({"id": record.identity, "key": record.row_key, "op": record.op.value, "data": record.fields})


def send(client: WebhookClient, batch: Sequence[Sending]) -> Sequence[Outcome]:
    """Send rows. All are written, but those that the answer names."""
    body = b'{"type":"rows","rows":[' + b",".join(sending.body for sending in batch) + b"]}"
    answer = client.post(body, [sending.record.identity for sending in batch])
    return outcomes(answer.json(), len(batch))


def outcomes(said: Any, number: int) -> list[Outcome]:
    """Of the answer ``{"errors": [{"index": 0, "reason": "…", "retry": false, "after": 30}]}``; anything else that came
    with a good status means that all rows are written."""
    found = [WRITTEN] * number
    errors = said.get("errors") if isinstance(said, dict) else None
    for error in errors if isinstance(errors, list) else ():
        index = error.get("index") if isinstance(error, dict) else None
        if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < number:
            continue
        reason = str(error.get("reason") or json.dumps(error))[:500]
        after = error.get("after")
        if error.get("retry"):
            found[index] = again("webhook_retry", reason, after if isinstance(after, int | float) else None)
        else:
            found[index] = rejected("webhook_rejected", reason)
    return found


SEND = Action(
    name="send",
    title="Send rows",
    description="Each row as an object with what was mapped.",
    fields=(),
    more=True,
    modes=(Mode.MIRROR, Mode.UPSERT, Mode.INSERT, Mode.UPDATE, Mode.DELETE),
    limits=Limits(rows=500, bytes=4_000_000, row_bytes=1_000_000),
    encode=encode,
    send=send,
)
