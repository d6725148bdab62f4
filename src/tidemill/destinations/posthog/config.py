"""What PostHog is."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr

from tidemill.destinations.port import Destination, Settings, fingerprint
from tidemill.destinations.posthog import actions, client
from tidemill.errors import ConfigError

#: By region: where events go, and where the application is.
_HOSTS = {
    "us": ("https://us.i.posthog.com", "https://us.posthog.com"),
    "eu": ("https://eu.i.posthog.com", "https://eu.posthog.com"),
}


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
    personal_key: SecretStr | None = Field(
        default=None, description="A personal API key (phx_…) that may write persons: to delete them."
    )
    project_id: str | None = Field(
        default=None, pattern=r"^\w+$", description="The project's number: to delete persons."
    )
    delete_events: bool = Field(default=False, description="The events of a person who is deleted are deleted, too.")
    app_endpoint: str | None = Field(
        default=None, description="Another address of the application, to delete persons; as a rule, that of the API."
    )

    @property
    def account(self) -> str:
        """The server, and which project it is."""
        return f"{self.address}/{fingerprint(self.project_key)}"

    @property
    def address(self) -> str:
        """Of the API."""
        return (self.endpoint or _HOSTS[self.region][0]).rstrip("/")

    @property
    def app_address(self) -> str:
        """Of the application."""
        return (self.app_endpoint or self.endpoint or _HOSTS[self.region][1]).rstrip("/")


POSTHOG = Destination(
    name="posthog",
    title="PostHog",
    description="Events, and properties of persons and groups.",
    page="https://posthog.com/docs/api/capture",
    settings=PosthogSettings,
    actions=(actions.CAPTURE, actions.IDENTIFY, actions.GROUP, actions.ALIAS),
    open=client.PosthogClient.open,
)
