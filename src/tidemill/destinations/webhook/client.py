"""Requests to the user's server."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from tidemill.destinations import answers
from tidemill.destinations.port import Outlet
from tidemill.outbound import signing, urls
from tidemill.outbound.client import Answer

if TYPE_CHECKING:
    from tidemill.destinations.webhook.config import WebhookSettings

_IDS = uuid.UUID("9c0a6a2e-7c55-4a71-93c8-0f4f0c1d2b11")


class WebhookClient:
    """See port.Client."""

    def __init__(self, settings: WebhookSettings, outlet: Outlet) -> None:
        self._settings, self._http = settings, outlet.http

    @classmethod
    @contextlib.contextmanager
    def open(cls, settings: WebhookSettings, outlet: Outlet) -> Iterator[WebhookClient]:
        """See port.Destination."""
        yield cls(settings, outlet)

    def test(self) -> str:
        """A request without rows is sent: a server that does not know such a thing should take it, too."""
        self.post(b'{"type":"test","rows":[]}', ["test"])
        return f"{urls.origin(self._settings.url)} takes requests."

    def post(self, body: bytes, identities: Sequence[str]) -> Answer:
        """Send a body about these rows: the id of the request is the same each time that these are sent."""
        settings = self._settings
        headers = {"Content-Type": "application/json"}
        if settings.token is not None:
            headers["Authorization"] = f"Bearer {settings.token.get_secret_value()}"
        if settings.key is not None:
            headers |= signing.headers(settings.key, str(uuid.uuid5(_IDS, ",".join(identities))), body)
        answer = self._http.request(settings.method, settings.url.get_secret_value(), headers=headers, body=body)
        return answers.checked(answer, urls.origin(settings.url), settings.secrets)
