"""Messages for Slack's incoming webhooks."""

from __future__ import annotations

import json
from collections.abc import Sequence

from tidemill.notify import http
from tidemill.notify import message as messages
from tidemill.notify.message import Message
from tidemill.notify.spec import SlackSpec
from tidemill.outbound.guard import Guard

#: Most characters of one of them, and of each of many: Slack cuts a text off at 40,000.
_MOST, _MOST_OF_MANY = 3_500, 1_000
_MANY = 10


def send(spec: SlackSpec, together: Sequence[Message], home: str, guard: Guard) -> None:
    """Send them, as one."""
    body = json.dumps({"text": text(together, home)}).encode()
    http.post(spec.url.get_secret_value(), body, {"Content-Type": "application/json"}, spec.secrets, guard)


def text(together: Sequence[Message], home: str) -> str:
    """All of them, in Slack's own markup."""
    most = _MOST_OF_MANY if len(together) > _MANY else _MOST
    return "\n\n".join([*(_one(message, most) for message in together), f"_{_escaped(messages.sender(home))}_"])


def _one(message: Message, most: int) -> str:
    parts = [f"*{_escaped(message.title)}*", *(f"*{name}:* {_escaped(said)}" for name, said in message.lines)]
    todo = "\n".join(part for part in (message.hint, *message.commands) if part)
    said = "\n".join(parts)[:most]
    room = max(0, most - len(said))
    return f"{said}\n*What to do:*\n```{_escaped(todo)[:room].replace('```', '` ` `')}```" if todo else said


def _escaped(said: str) -> str:
    """Without what Slack takes for mentions and links."""
    return said.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
