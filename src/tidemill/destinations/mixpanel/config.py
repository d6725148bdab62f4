"""What Mixpanel is.

Source: research on reverse ETL, section 3.3 (Mixpanel).
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator

from tidemill.destinations.mixpanel import actions, client
from tidemill.destinations.port import Destination, Pace, Settings, fingerprint
from tidemill.errors import ConfigError

_HOSTS = {"us": "https://api.mixpanel.com", "eu": "https://api-eu.mixpanel.com", "in": "https://api-in.mixpanel.com"}


class MixpanelSettings(Settings):
    """A project."""

    token: SecretStr = Field(description="The project token.")
    region: Literal["us", "eu", "in"] = Field(default="us", description="Where the project's data is.")
    service_account: str | None = Field(
        default=None, min_length=1, description="A service account's name, if events are imported by one."
    )
    service_secret: SecretStr | None = Field(default=None, description="The service account's secret.")
    project_id: str | None = Field(
        default=None, min_length=1, description="The project's number, for a service account."
    )
    endpoint: str | None = Field(default=None, description="Another address of the API, for a proxy of yours.")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        given = [value is not None for value in (self.service_account, self.service_secret, self.project_id)]
        if any(given) and not all(given):
            raise ConfigError(
                "mixpanel_service_account",
                "A service account has a name, a secret and a project.",
                hint="Set service_account, service_secret and project_id, or none of them.",
            )
        return self

    @property
    def account(self) -> str:
        """The region, and which project it is."""
        return f"{self.region}/{fingerprint(self.token)}"

    @property
    def address(self) -> str:
        """Of the API."""
        return (self.endpoint or _HOSTS[self.region]).rstrip("/")


MIXPANEL = Destination(
    name="mixpanel",
    title="Mixpanel",
    description="Events, and profiles of users and groups.",
    page="https://developer.mixpanel.com/reference/import-events",
    settings=MixpanelSettings,
    actions=(actions.EVENTS, actions.PROFILES, actions.GROUPS),
    open=client.MixpanelClient.open,
    pace=lambda _: Pace(rows=30_000),
)
