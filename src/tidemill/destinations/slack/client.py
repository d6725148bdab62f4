"""Requests to an incoming webhook of Slack.

Sources: research on reverse ETL, section 3.3 (Slack); of Slack, "Sending messages using incoming webhooks".
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tidemill.destinations import answers
from tidemill.destinations.port import BatchRefused, Outlet
from tidemill.errors import AccessError, ConfigError, UnavailableError
from tidemill.outbound import network
from tidemill.outbound.client import Answer

if TYPE_CHECKING:
    from tidemill.destinations.slack.config import SlackSettings

#: Words of an answer by which the webhook is not there, or may not post.
_NO_WEBHOOK = frozenset({"invalid_token", "no_service", "no_service_id", "no_team", "no_active_hooks", "team_disabled"})
_MAY_NOT = frozenset({"action_prohibited", "posting_to_general_channel_denied"})
_CHANNEL = frozenset({"channel_not_found", "channel_is_archived", "user_not_found"})
#: Of an empty message: the webhook is there, and nothing was posted.
_EMPTY = frozenset({"no_text", "missing_text_or_fallback_or_attachments"})


class SlackClient:
    """See port.Client."""

    def __init__(self, settings: SlackSettings, outlet: Outlet) -> None:
        self._settings, self._http = settings, outlet.http
        address = settings.url.get_secret_value()
        self._url = f"{settings.endpoint}{settings.path}" if settings.endpoint else address

    @classmethod
    @contextlib.contextmanager
    def open(cls, settings: SlackSettings, outlet: Outlet) -> Iterator[SlackClient]:
        """See port.Destination."""
        yield cls(settings, outlet)

    def test(self) -> str:
        """An empty message is sent, which Slack refuses with other words if there is no such webhook."""
        answer = self._asked(b'{"text":""}')
        if answer.status != 400 or self._said(answer) not in _EMPTY:
            self._checked(answer)
        return f"The webhook {self._settings.account} is there."

    def post(self, body: bytes) -> None:
        """Post a message."""
        self._checked(self._asked(body))

    def _asked(self, body: bytes) -> Answer:
        return self._http.request("POST", self._url, headers={"Content-Type": "application/json"}, body=body)

    def _said(self, answer: Answer) -> str:
        return network.plain(answer.body[:200], self._settings.secrets)

    def _checked(self, answer: Answer) -> None:
        said = self._said(answer)
        if answer.good:
            if said != "ok":
                raise UnavailableError("destination_failed", f"Slack answers {said!r}.", hint="It is tried again.")
            return
        if said in _NO_WEBHOOK:
            raise AccessError(
                "destination_denied",
                f"Slack knows no such webhook: {said}.",
                hint="It was removed, or its app was. Make another: https://api.slack.com/apps, Incoming Webhooks.",
            )
        if said in _MAY_NOT:
            raise AccessError(
                "destination_denied", f"Slack does not let the webhook post: {said}.", hint="Ask the workspace's owner."
            )
        if said in _CHANNEL:
            raise ConfigError(
                "destination_channel", f"Slack says: {said}.", hint="Make a webhook for a channel that is there."
            )
        if answer.status == 400:
            raise BatchRefused("slack_refused", f"Slack refuses the message: {said}.")
        answers.checked(answer, "Slack", self._settings.secrets)
