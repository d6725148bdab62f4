"""What Klaviyo is."""

from __future__ import annotations

from pydantic import Field, SecretStr

from tidemill.destinations.klaviyo import actions, client, lists
from tidemill.destinations.port import Destination, Pace, Settings, fingerprint


class KlaviyoSettings(Settings):
    """A Klaviyo account."""

    key: SecretStr = Field(description="A private API key (pk_…).")
    endpoint: str = Field(
        default="https://a.klaviyo.com", description="Another address of the API, for a proxy of yours."
    )

    @property
    def account(self) -> str:
        """The key, as a name."""
        return fingerprint(self.key)


KLAVIYO = Destination(
    name="klaviyo",
    title="Klaviyo",
    description="Profiles by bulk imports that tell of each row, on lists if you like; events; deletion of profiles.",
    page="https://developers.klaviyo.com/en/reference/bulk_import_profiles",
    settings=KlaviyoSettings,
    actions=(actions.PROFILES, lists.LISTS, actions.EVENTS, actions.DELETION),
    open=client.KlaviyoClient.open,
    pace=lambda _: Pace(calls=150, seconds=60.0, lanes={client.LOOK_UPS: Pace(calls=700, seconds=60.0)}),
)
