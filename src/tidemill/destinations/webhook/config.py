"""What a webhook is."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, SecretStr

from tidemill.destinations.port import Destination, Pace, Settings
from tidemill.destinations.webhook import actions, client
from tidemill.outbound import signing, urls


class WebhookSettings(Settings):
    """One address."""

    unsent: ClassVar[frozenset[str]] = frozenset({"key"})

    url: Annotated[SecretStr, AfterValidator(urls.checked)] = Field(description="Where rows go.")
    key: Annotated[SecretStr, AfterValidator(signing.checked)] | None = Field(
        default=None, description="By which requests are signed (whsec_…). Left out: they are not signed."
    )
    method: Literal["POST", "PUT", "PATCH"] = Field(default="POST", description="Of the requests.")
    token: SecretStr | None = Field(default=None, description="Sent as Authorization: Bearer.")
    calls_per_second: int = Field(default=50, ge=1, le=10_000, description="Most requests a second, of all workers.")

    @property
    def account(self) -> str:
        """The server."""
        return urls.origin(self.url)


WEBHOOK = Destination(
    name="webhook",
    title="Webhook",
    description="Signed HTTP requests to a server of yours, which may say of each row what became of it.",
    page="https://www.standardwebhooks.com",
    settings=WebhookSettings,
    actions=(actions.SEND,),
    open=client.WebhookClient.open,
    pace=lambda settings: Pace(calls=settings.calls_per_second),
)
