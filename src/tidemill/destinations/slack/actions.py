"""What a row becomes as a message."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from tidemill.destinations.port import WRITTEN, Action, Field, Kind, Limits, Mode, Outcome, Record, Sending, rejected

if TYPE_CHECKING:
    from tidemill.destinations.slack.client import SlackClient

_encoder = msgspec.json.Encoder()
#: Slack cuts off a longer text without a word, and refuses more blocks.
_MOST_TEXT, _MOST_BLOCKS = 40_000, 50


def encode(record: Record) -> bytes:
    """The message."""
    return _encoder.encode(record.fields)


def check(record: Record) -> Outcome | None:
    """What is wrong with a message."""
    if not record.fields["text"].strip():
        return rejected("text_empty", "The text is empty.")
    number = len(record.fields.get("blocks", ()))
    if number > _MOST_BLOCKS:
        return rejected("too_many_blocks", f"The message has {number} blocks, and {_MOST_BLOCKS} are allowed.")
    return None


def send(client: SlackClient, batch: Sequence[Sending]) -> Sequence[Outcome]:
    """Post one message."""
    (sending,) = batch
    client.post(sending.body)
    return [WRITTEN]


POST_MESSAGE = Action(
    name="post_message",
    title="Post a message",
    description="A message in the webhook's channel about each row.",
    fields=(
        Field(
            "text",
            "Text",
            "The message, in Slack's mrkdwn; with blocks, what notifications show.",
            required=True,
            on_delete=True,
            longest=_MOST_TEXT,
            names=("text", "message"),
        ),
        Field("blocks", "Blocks", "A list of blocks (Block Kit), at most 50.", kind=Kind.OBJECT, multiple=True),
        Field("username", "Name", "Who posts it, where the webhook allows another name."),
        Field("icon_emoji", "Emoji", "Their picture, as :ocean:, where the webhook allows it."),
        Field("icon_url", "Picture", "The address of their picture, where the webhook allows it."),
    ),
    modes=(Mode.INSERT, Mode.UPSERT, Mode.UPDATE, Mode.DELETE, Mode.MIRROR),
    limits=Limits(rows=1, bytes=400_000, row_bytes=400_000, at_once=1),
    encode=encode,
    send=send,
    check=check,
)
