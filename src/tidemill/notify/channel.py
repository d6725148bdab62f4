"""A channel as it is used: opened with its secret, it sends messages of its kind."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tidemill.errors import TidemillError
from tidemill.notify import spec
from tidemill.notify.message import Message
from tidemill.notify.spec import EmailSpec, SlackSpec, Spec, WebhookSpec
from tidemill.outbound import network

if TYPE_CHECKING:
    from tidemill.notify.mail import Left
    from tidemill.outbound.guard import Guard
    from tidemill.store.records_notify import Channel
    from tidemill.store.secrets import Secrets

#: Most messages that go as one: much may go wrong at once. Programs get each by itself.
TOGETHER = {EmailSpec.kind: 50, SlackSpec.kind: 30, WebhookSpec.kind: 1}


def opened(channel: Channel, secrets: Secrets) -> Spec:
    """What a user has said of a channel, with its secret.

    Raises
    ------
    ConfigError
        The secret cannot be read.
    """
    hidden = json.loads(secrets.decrypt(channel.secret)) if channel.secret is not None else {}
    return spec.make(channel.kind, {**channel.settings, **hidden})


def send(
    made: Spec, together: Sequence[Message], home: str, to: Sequence[str] | None = None, *, guard: Guard
) -> Left | None:
    """Send messages, as one. `to`: those of its recipients who are left; None: all. `guard`: says which servers may be
    reached. Gives who has not got it, if others have.

    Raises
    ------
    TidemillError
        Nobody has. It holds no secret, whatever it is.
    """
    try:
        left = _send(made, together, home, to, guard)
        if left is not None:
            network.without(left.error, made.secrets)
        return left
    except TidemillError as error:
        raise network.without(error, made.secrets) from None
    except Exception as error:  # noqa: BLE001 - its text may hold anything
        raise TidemillError(
            "bug", f"This is a bug in Tidemill: {type(error).__name__} while sending.", hint="Please report it."
        ) from None


def _send(made: Spec, together: Sequence[Message], home: str, to: Sequence[str] | None, guard: Guard) -> Left | None:
    from tidemill.notify import mail, slack, webhook  # when something is to be sent

    match made:
        case EmailSpec():
            whom = [one for one in made.to if to is None or one in to]  # who is no recipient any more gets none
            return mail.send(made, together, whom, home, guard) if whom else None
        case SlackSpec():
            slack.send(made, together, home, guard)
        case WebhookSpec():
            for message in together:
                webhook.send(made, message, home, guard)
    return None
