"""What Iterable is.

Source: research on reverse ETL, section 3.3 (Iterable).
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr

from tidemill.destinations.iterable import actions, client
from tidemill.destinations.port import Destination, Pace, Settings, fingerprint

_HOSTS = {"us": "https://api.iterable.com", "eu": "https://api.eu.iterable.com"}


class IterableSettings(Settings):
    """A project."""

    api_key: SecretStr = Field(description="A server-side API key of the project.")
    region: Literal["us", "eu"] = Field(default="us", description="The data center that the project is in.")
    calls_per_second: int = Field(
        default=5,
        ge=1,
        le=500,
        description="Most requests a second that update users, of all workers: what your contract allows. Twice "
        "that of events, and twenty times that delete.",
    )
    endpoint: str | None = Field(default=None, description="Another address of the API, for a proxy of yours.")

    @property
    def account(self) -> str:
        """The region, and which key it is."""
        return f"{self.region}/{fingerprint(self.api_key)}"

    @property
    def address(self) -> str:
        """Of the API."""
        return (self.endpoint or _HOSTS[self.region]).rstrip("/")


ITERABLE = Destination(
    name="iterable",
    title="Iterable",
    description="Users, what they do, and users that are deleted.",
    page="https://api.iterable.com/api/docs",
    settings=IterableSettings,
    actions=(actions.USERS, actions.EVENTS),
    open=client.IterableClient.open,
    pace=lambda settings: Pace(
        calls=settings.calls_per_second,
        lanes={
            client.EVENTS: Pace(calls=settings.calls_per_second * 2),
            client.DELETIONS: Pace(calls=settings.calls_per_second * 20),
        },
    ),
)
