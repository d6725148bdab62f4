"""What Intercom is."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr

from tidemill.destinations.intercom import actions, client
from tidemill.destinations.port import Destination, Pace, Settings, fingerprint

_HOSTS = {"us": "https://api.intercom.io", "eu": "https://api.eu.intercom.io", "au": "https://api.au.intercom.io"}
#: Intercom counts calls in windows of so many seconds.
_WINDOW = 10


class IntercomSettings(Settings):
    """An Intercom workspace."""

    token: SecretStr = Field(description="The access token of an app of yours.")
    region: Literal["us", "eu", "au"] = Field(default="us", description="Where the workspace is.")
    calls_per_minute: int = Field(default=10_000, ge=60, le=25_000, description="What your app is allowed.")
    endpoint: str | None = Field(default=None, description="Another address of the API, for a proxy of yours.")

    @property
    def base(self) -> str:
        """Where requests go."""
        return (self.endpoint or _HOSTS[self.region]).rstrip("/")

    @property
    def account(self) -> str:
        """The token, as a name: limits are of an app."""
        return f"{self.region}-{fingerprint(self.token)}"


INTERCOM = Destination(
    name="intercom",
    title="Intercom",
    description="Contacts, made, changed, archived and deleted.",
    page="https://developers.intercom.com/docs/references/rest-api/api.intercom.io/contacts",
    settings=IntercomSettings,
    actions=(actions.CONTACTS,),
    open=client.IntercomClient.open,
    pace=lambda settings: Pace(calls=settings.calls_per_minute * _WINDOW // 60, seconds=float(_WINDOW)),
)
