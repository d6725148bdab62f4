"""Messages as signed HTTP requests, by the rules of Standard Webhooks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tidemill.notify import http
from tidemill.notify import message as messages
from tidemill.notify.message import Message
from tidemill.notify.spec import WebhookSpec
from tidemill.outbound import signing
from tidemill.outbound.guard import Guard


def send(spec: WebhookSpec, message: Message, home: str, guard: Guard) -> None:
    """Send one. Who gets it twice knows it by its id."""
    body = json.dumps(payload(message, home)).encode()
    headers = signing.headers(spec.key, message.id, body)
    http.post(spec.url.get_secret_value(), body, {"Content-Type": "application/json", **headers}, spec.secrets, guard)


def payload(message: Message, home: str) -> dict[str, Any]:
    """What it is made of."""
    about = "export" if message.sync is None else "sync"
    kind = message.kind if message.kind == messages.TEST else f"{about}.{message.kind}"
    data = {
        "title": message.title,
        "text": messages.text(message),
        "export": message.export,
        "table": message.table,
        "sync": message.sync,
        "model": message.model,
        "destination": message.destination,
        "code": message.code or None,
        "reason": message.message or None,
        "permission": message.permission,
        "what_to_do": message.hint or None,
        "commands": list(message.commands),
        "what_happens_next": message.then or None,
        "since": message.since.isoformat() if message.since else None,
        "over": _over(message.over),
        "sender": messages.sender(home),
    }
    return {"type": kind, "timestamp": message.at.isoformat(), "data": data}


def _over(over: Sequence[tuple[str, Any]]) -> list[dict[str, str]]:
    return [{"cause": cause, "since": since.isoformat()} for cause, since in over]
