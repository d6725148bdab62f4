"""What HubSpot is."""

from __future__ import annotations

from pydantic import Field, SecretStr

from tidemill.destinations.hubspot import actions, client
from tidemill.destinations.port import Destination, Pace, Settings, fingerprint


class HubSpotSettings(Settings):
    """A HubSpot account."""

    token: SecretStr = Field(description="The access token of a private app (pat-…).")
    calls_per_ten_seconds: int = Field(
        default=100,
        ge=1,
        le=250,
        description="What your plan allows in ten seconds: 100 (Free, Starter), 150, 190 or 200 (with the API add-on).",
    )
    endpoint: str = Field(
        default="https://api.hubapi.com", description="Another address of the API, for a proxy of yours."
    )

    @property
    def account(self) -> str:
        """The token, as a name: HubSpot's limits are of a private app."""
        return fingerprint(self.token)


HUBSPOT = Destination(
    name="hubspot",
    title="HubSpot",
    description="Contacts, companies, deals and other objects of the CRM, made, changed and archived; lists.",
    page="https://developers.hubspot.com/docs/api-reference/latest/crm/objects/contacts/batch/upsert-contacts",
    settings=HubSpotSettings,
    actions=(actions.OBJECTS, actions.LISTS),
    open=client.HubSpotClient.open,
    pace=lambda settings: Pace(calls=settings.calls_per_ten_seconds, seconds=10.0),
)
