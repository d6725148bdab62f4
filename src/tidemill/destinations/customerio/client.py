"""Requests to Customer.io.

Source: research on reverse ETL, section 3.3 (Customer.io Track v2).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tidemill.destinations import answers
from tidemill.destinations.port import Outlet
from tidemill.errors import ConfigError
from tidemill.outbound.client import Answer

if TYPE_CHECKING:
    from tidemill.destinations.customerio.config import CustomerioSettings

WHO = "Customer.io"
_HINT = (
    "Customer.io shows site id and API key under Settings, Workspace settings, API and webhook credentials, Track API."
)


class CustomerioClient:
    """See port.Client."""

    def __init__(self, settings: CustomerioSettings, outlet: Outlet) -> None:
        self._settings, self._http = settings, outlet.http

    @classmethod
    @contextlib.contextmanager
    def open(cls, settings: CustomerioSettings, outlet: Outlet) -> Iterator[CustomerioClient]:
        """See port.Destination."""
        yield cls(settings, outlet)

    def test(self) -> str:
        """Ask in which region the account is: another refuses what is sent, or leads it through another country.

        Raises
        ------
        ConfigError
            It is another one.
        """
        answer = self._asked("GET", "/api/v1/accounts/region", None)
        answers.checked(answer, WHO, self._settings.secrets, hint=_HINT)
        region = answers.told(answer, WHO, self._settings.secrets).get("region")
        if isinstance(region, str) and region.lower() != self._settings.region:
            raise ConfigError(
                "customerio_region",
                f"The account is in the region {region.lower()}, not in {self._settings.region}.",
                hint=f"Set region to {region.lower()}.",
            )
        return f"Customer.io takes the key of site {self._settings.site_id}."

    def post(self, body: bytes) -> list[Any]:
        """Send a batch: the errors of it that the answer names."""
        answer = self._asked("POST", "/api/v2/batch", body)
        said = answer.json()
        errors = said.get("errors") if isinstance(said, dict) else None
        if answer.status == 400 and isinstance(errors, list) and errors:
            return [*errors, "The call was refused."]
        answers.checked(answer, WHO, self._settings.secrets, hint=_HINT)
        if isinstance(errors, list) and errors:
            return errors
        if answer.status == 207:
            return [f"status 207: {answer.said(self._settings.secrets)}"]
        answers.told(answer, WHO, self._settings.secrets)
        return []

    def _asked(self, method: str, path: str, body: bytes | None) -> Answer:
        settings = self._settings
        headers = {"Content-Type": "application/json"} if body is not None else {}
        auth = (settings.site_id, settings.api_key.get_secret_value())
        return self._http.request(method, settings.address + path, headers=headers, body=body, auth=auth)
