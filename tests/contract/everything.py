"""The API of each destination, for the tests that all pass."""

from __future__ import annotations

from tests.contract.api import Api
        AmplitudeApi,
        PosthogApi,
        SegmentApi,
        WebhookApi,
    )
    api.destination: api
    for api in (
APIS: dict[str, type[Api]] = {
APIS: dict[str, type[Api]] = {api.destination: api for api in (BrazeApi, CustomerioApi, WebhookApi)}
APIS: dict[str, type[Api]] = {api.destination: api for api in (BrazeApi, WebhookApi)}
APIS: dict[str, type[Api]] = {api.destination: api for api in (HubSpotApi, SalesforceApi, WebhookApi)}
APIS: dict[str, type[Api]] = {api.destination: api for api in (HubSpotApi, WebhookApi)}
from tests.contract.apis.amplitude import AmplitudeApi
from tests.contract.apis.braze import BrazeApi
from tests.contract.apis.customerio import CustomerioApi
from tests.contract.apis.hubspot import HubSpotApi
from tests.contract.apis.posthog import PosthogApi
from tests.contract.apis.salesforce import SalesforceApi
from tests.contract.apis.segment import SegmentApi
from tests.contract.apis.webhook import WebhookApi
}
