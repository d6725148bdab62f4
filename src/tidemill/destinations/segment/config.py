"""What Segment is."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr

from tidemill.destinations.port import Destination, Pace, Settings, fingerprint
from tidemill.destinations.segment import actions, client

#: Of the Tracking API, by region. A workspace of Europe does not show what is sent to America, and nothing says so.
_HOSTS = {"us": "https://api.segment.io", "eu": "https://events.eu1.segmentapis.com"}


class SegmentSettings(Settings):
    """A source of the kind HTTP API."""

    write_key: SecretStr = Field(description="The write key of the source.")
    region: Literal["us", "eu"] = Field(default="us", description="Where the workspace is.")
    endpoint: str | None = Field(default=None, description="Another address of the API, for a proxy of yours.")
    key_endpoint: str = Field(
        default="https://cdn.segment.com", description="Where it is looked up whether there is a source of that key."
    )

    @property
    def account(self) -> str:
        """The region, and which source it is."""
        return f"{self.region}/{fingerprint(self.write_key)}"

    @property
    def address(self) -> str:
        """Of the API."""
        return (self.endpoint or _HOSTS[self.region]).rstrip("/")


SEGMENT = Destination(
    name="segment",
    title="Segment",
    description="Calls of the Tracking API, which Segment passes on to all that is connected there.",
    page="https://segment.com/docs/connections/sources/catalog/libraries/server/http-api/",
    settings=SegmentSettings,
    actions=(actions.IDENTIFY, actions.TRACK, actions.GROUP, actions.PAGE, actions.SCREEN, actions.ALIAS),
    open=client.SegmentClient.open,
    pace=lambda _: Pace(calls=1_000),
)
