"""What Amplitude is."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr

from tidemill.destinations.amplitude import actions, client
from tidemill.destinations.port import Destination, Pace, Settings, fingerprint

#: By region: where events go, and where Amplitude's own data is asked for.
_HOSTS = {
    "us": ("https://api2.amplitude.com", "https://amplitude.com"),
    "eu": ("https://api.eu.amplitude.com", "https://analytics.eu.amplitude.com"),
}


class AmplitudeSettings(Settings):
    """A project."""

    api_key: SecretStr = Field(description="The API key of the project.")
    secret_key: SecretStr | None = Field(default=None, description="The secret key of the project, for cohorts.")
    region: Literal["us", "eu"] = Field(default="us", description="Where the project is.")
    min_id_length: int = Field(
        default=5, ge=1, le=100, description="Characters that ids of users and devices have at least."
    )
    endpoint: str | None = Field(default=None, description="Another address of the API, for a proxy of yours.")
    analytics_endpoint: str | None = Field(
        default=None, description="Another address for cohorts and the test of the keys, for a proxy of yours."
    )

    @property
    def account(self) -> str:
        """The region, and which project it is."""
        return f"{self.region}/{fingerprint(self.api_key)}"

    @property
    def address(self) -> str:
        """Where events go."""
        return (self.endpoint or _HOSTS[self.region][0]).rstrip("/")

    @property
    def analytics_address(self) -> str:
        """Where cohorts are."""
        return (self.analytics_endpoint or _HOSTS[self.region][1]).rstrip("/")


AMPLITUDE = Destination(
    name="amplitude",
    title="Amplitude",
    description="Events, properties of users and groups, and who is in a cohort.",
    page="https://amplitude.com/docs/apis/analytics/batch-event-upload",
    settings=AmplitudeSettings,
    actions=(actions.TRACK, actions.IDENTIFY, actions.GROUP, actions.COHORT),
    open=client.AmplitudeClient.open,
    pace=lambda _: Pace(calls=100),
)
