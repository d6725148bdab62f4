"""What CleverTap is."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr

from tidemill.destinations.clevertap import actions, client
from tidemill.destinations.port import Destination, Pace, Settings


class ClevertapSettings(Settings):
    """A project."""

    account_id: str = Field(min_length=1, description="The project's id (it was called account id).")
    passcode: SecretStr = Field(description="A passcode of the project.")
    region: Literal["in1", "eu1", "us1", "sg1", "sk1", "aps3", "mec1"] = Field(
        default="in1", description="Where the project is: the beginning of the dashboard's address."
    )
    endpoint: str | None = Field(default=None, description="Another address of the API, for a proxy of yours.")

    @property
    def account(self) -> str:
        """The region and the project."""
        return f"{self.region}/{self.account_id}"

    @property
    def address(self) -> str:
        """Of the API."""
        return (self.endpoint or f"https://{self.region}.api.clevertap.com").rstrip("/")


CLEVERTAP = Destination(
    name="clevertap",
    title="CleverTap",
    description="Profiles of users, and events.",
    page="https://developer.clevertap.com/docs/upload-user-profiles-api",
    settings=ClevertapSettings,
    actions=(actions.PROFILE, actions.EVENT),
    open=client.ClevertapClient.open,
    pace=lambda _: Pace(at_once=15),
)
