"""What PostHog is."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr

from tidemill.destinations.port import Destination, Settings, fingerprint
from tidemill.destinations.posthog import actions, client
from tidemill.errors import ConfigError

_HOSTS = {"us": "https://us.i.posthog.com", "eu": "https://eu.i.posthog.com"}


def _of_a_project(key: SecretStr) -> SecretStr:
    if key.get_secret_value().startswith("phx_"):
        raise ConfigError(
            "posthog_key",
            "phx_… is a personal API key, by which no events can be sent.",
            hint="Take the project API key (phc_…): Settings, Project, General.",
        )
    return key


class PosthogSettings(Settings):
    """A project."""

    project_key: Annotated[SecretStr, AfterValidator(_of_a_project)] = Field(description="The project API key (phc_…).")
    region: Literal["us", "eu"] = Field(default="us", description="Of PostHog Cloud.")
    endpoint: str | None = Field(
        default=None, description="Another address of the API, for a PostHog or a proxy of yours."
    )
    historical: bool = Field(
        default=False, description="Events of the past are loaded: PostHog keeps them apart from live ones."
    )

    @property
    def account(self) -> str:
        """The server, and which project it is."""
        return f"{self.address}/{fingerprint(self.project_key)}"

    @property
    def address(self) -> str:
        """Of the API."""
        return (self.endpoint or _HOSTS[self.region]).rstrip("/")


POSTHOG = Destination(
    name="posthog",
    title="PostHog",
    description="Events, and properties of persons and groups.",
    page="https://posthog.com/docs/api/capture",
    settings=PosthogSettings,
    actions=(actions.CAPTURE, actions.IDENTIFY, actions.GROUP, actions.ALIAS),
    open=client.PosthogClient.open,
)
