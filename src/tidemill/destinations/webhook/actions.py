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
    SomeRefused,
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
    with a good status means that all rows are written. Of a request with one row, an error is of that row.

    Raises
    ------
    SomeRefused
        There is an error, and it does not say of which row.
    """
    found = [WRITTEN] * number
    errors = said.get("errors") if isinstance(said, dict) else None
    for error in errors if isinstance(errors, list) else [errors] if errors else ():
        index = _index(error, number)
        if index is None:
            raise SomeRefused("webhook_refused", f"The answer names no row of the request: {json.dumps(error)[:500]}")
        told = error if isinstance(error, dict) else {"reason": error}
        reason = str(told.get("reason") or json.dumps(error))[:500]
        after = told.get("after")
        if told.get("retry"):
            found[index] = again("webhook_retry", reason, after if isinstance(after, int | float) else None)
        else:
            found[index] = rejected("webhook_rejected", reason)
    return found


def _index(error: Any, number: int) -> int | None:
    """Of which row an error is."""
    if number == 1:
        return 0
    index = error.get("index") if isinstance(error, dict) else None
    named = isinstance(index, int) and not isinstance(index, bool) and 0 <= index < number
    return index if named else None


SEND = Action(
    name="send",
    title="Send rows",
    description="Each row as an object with what was mapped.",
    fields=(),
    more=True,
    modes=(Mode.UPSERT, Mode.MIRROR, Mode.INSERT, Mode.UPDATE, Mode.DELETE),
    limits=Limits(rows=500, bytes=4_000_000, row_bytes=1_000_000),
    encode=encode,
    send=send,
)
