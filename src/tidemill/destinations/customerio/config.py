"""What Customer.io is.

Source: research on reverse ETL, section 3.3 (Customer.io Track v2).
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr

from tidemill.destinations.customerio import actions, client
from tidemill.destinations.port import Destination, Pace, Settings

_HOSTS = {"us": "https://track.customer.io", "eu": "https://track-eu.customer.io"}


class CustomerioSettings(Settings):
    """A workspace."""

    site_id: str = Field(min_length=1, description="The site id, of the workspace's Track API keys.")
    api_key: SecretStr = Field(description="The API key that belongs to it.")
    region: Literal["us", "eu"] = Field(default="us", description="Where the account is.")
    endpoint: str | None = Field(default=None, description="Another address of the API, for a proxy of yours.")

    @property
    def account(self) -> str:
        """The region, and the site."""
        return f"{self.region}/{self.site_id}"

    @property
    def address(self) -> str:
        """Of the API."""
        return (self.endpoint or _HOSTS[self.region]).rstrip("/")


CUSTOMERIO = Destination(
    name="customerio",
    title="Customer.io",
    description="People, what they do, and the objects that they belong to.",
    page="https://docs.customer.io/integrations/api/track/",
    settings=CustomerioSettings,
    actions=(actions.PEOPLE, actions.EVENTS, actions.OBJECTS),
    open=client.CustomerioClient.open,
    pace=lambda _: Pace(calls=100),
)
