"""What Braze is.

Source: research on reverse ETL, section 3.3 (Braze).
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr

from tidemill.destinations.braze import actions, client
from tidemill.destinations.port import Destination, Pace, Settings, fingerprint

Instance = Literal[
    "iad-01",
    "iad-02",
    "iad-03",
    "iad-04",
    "iad-05",
    "iad-06",
    "iad-07",
    "iad-08",
    "us-09",
    "us-10",
    "fra-01",
    "fra-02",
    "au-01",
    "id-01",
    "jp-01",
]


class BrazeSettings(Settings):
    """A workspace."""

    instance: Instance = Field(description="Of the REST endpoint: that of rest.iad-01.braze.com is iad-01.")
    api_key: SecretStr = Field(description="A REST API key that may users.track, and users.delete to delete users.")
    endpoint: str | None = Field(default=None, description="Another address of the API, for a proxy of yours.")

    @property
    def account(self) -> str:
        """The instance, and which key it is."""
        return f"{self.instance}/{fingerprint(self.api_key)}"

    @property
    def address(self) -> str:
        """Of the API."""
        country = "eu" if self.instance.startswith("fra-") else "com"
        return (self.endpoint or f"https://rest.{self.instance}.braze.{country}").rstrip("/")


BRAZE = Destination(
    name="braze",
    title="Braze",
    description="Attributes, events and purchases of users; users that are deleted.",
    page="https://www.braze.com/docs/api/endpoints/user_data/post_user_track/",
    settings=BrazeSettings,
    actions=(actions.USERS, actions.EVENTS, actions.PURCHASES),
    open=client.BrazeClient.open,
    pace=lambda _: Pace(calls=3_000, seconds=3.0),
)
