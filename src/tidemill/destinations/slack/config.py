"""What a channel of Slack is."""

from __future__ import annotations

import re
import urllib.parse
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from tidemill.destinations.port import Destination, Pace, Settings
from tidemill.destinations.slack import actions, client
from tidemill.errors import ConfigError

_URL = re.compile(r"https://hooks\.slack(-gov)?\.com/services/[A-Za-z0-9]+/[A-Za-z0-9]+/[A-Za-z0-9]+")


def _checked(url: SecretStr) -> SecretStr:
    """An address of an incoming webhook."""
    if not _URL.fullmatch(url.get_secret_value()):
        raise ConfigError(
            "slack_url",
            "That is no incoming webhook of Slack.",
            hint="It begins with https://hooks.slack.com/services/ and has three parts more.",
        )
    return url


class SlackSettings(Settings):
    """An incoming webhook, which belongs to one channel."""

    url: Annotated[SecretStr, AfterValidator(_checked)] = Field(
        description="The incoming webhook's address: https://hooks.slack.com/services/…."
    )
    endpoint: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s/?#]+$",
        description="Another address of the API, for a proxy of yours.",
    )

    @property
    def account(self) -> str:
        """The workspace and the webhook, without what is secret of it."""
        return "/".join(self.path.split("/")[2:4])

    @property
    def path(self) -> str:
        """What comes behind the server, which is secret."""
        return urllib.parse.urlsplit(self.url.get_secret_value()).path

    @property
    def secrets(self) -> tuple[str, ...]:
        """The address, and what is secret of it."""
        return (self.url.get_secret_value(), self.path, self.path.rpartition("/")[2])


SLACK = Destination(
    name="slack",
    title="Slack",
    description="A message in a channel for each row.",
    page="https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks",
    settings=SlackSettings,
    actions=(actions.POST_MESSAGE,),
    open=client.SlackClient.open,
    # What Slack allows of an incoming webhook: one a second.
    pace=lambda _: Pace(calls=1, seconds=1.0, at_once=1),
)
