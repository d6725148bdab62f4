"""What Salesforce is.

Sources: research on reverse ETL, section 3.3 (Salesforce): 15,000 batches in 24 hours; the vendor's page "API Request
Limits and Allocations" on requests.
"""

from __future__ import annotations

import urllib.parse
from typing import Self

import pydantic
from pydantic import Field, SecretStr

from tidemill.destinations.port import Destination, Pace, Settings
from tidemill.destinations.salesforce import actions, client
from tidemill.errors import ConfigError
from tidemill.outbound import urls


class SalesforceSettings(Settings):
    """A Salesforce organisation, and who signs in there."""

    instance_url: str = Field(description="Your domain: https://NAME.my.salesforce.com (a sandbox has its own).")
    client_id: str | None = Field(default=None, description="The consumer key of a connected app (client credentials).")
    client_secret: SecretStr | None = Field(default=None, description="The consumer secret of that app.")
    access_token: SecretStr | None = Field(
        default=None, description="A token, instead of an app. It ends when its session ends."
    )
    calls_per_day: int = Field(
        default=50_000,
        ge=1_000,
        description="Most requests in 24 hours, of all workers. Salesforce allows 15,000 (Developer Edition), or "
        "100,000 and more by your licences, for all programs together.",
    )
    version: str = Field(default="62.0", pattern=r"^\d{2,3}\.0$", description="Of the API, at least 53.0.")
    endpoint: str | None = Field(default=None, description="Another address of the API, for a proxy of yours.")

    @pydantic.model_validator(mode="after")
    def _signs_in(self) -> Self:
        """Either way, and to an address."""
        urls.checked(SecretStr(self.base))
        if self.access_token is None and not (self.client_id and self.client_secret):
            raise ConfigError(
                "salesforce_credential",
                "There is nothing to sign in with.",
                hint="Give client_id and client_secret of a connected app, or access_token.",
            )
        return self

    @property
    def base(self) -> str:
        """Where requests go."""
        return (self.endpoint or self.instance_url).rstrip("/")

    @property
    def account(self) -> str:
        """The organisation: Salesforce's limits are of it."""
        return urllib.parse.urlsplit(self.instance_url).netloc


SALESFORCE = Destination(
    name="salesforce",
    title="Salesforce",
    description="Records of any object, made, changed and deleted by bulk jobs whose results are told of each row.",
    page="https://developer.salesforce.com/docs/platform/api-asynch/guide/bulk-api-2-0-ingest.html",
    settings=SalesforceSettings,
    actions=(actions.RECORDS,),
    open=client.SalesforceClient.open,
    # A job of 10,000 rows takes some twelve requests, for it is looked at until it has ended: so the 15,000 batches
    # that Salesforce allows in that time are not come to, either, unless most jobs are small.
    pace=lambda settings: Pace(calls=settings.calls_per_day, seconds=86_400.0),
)
