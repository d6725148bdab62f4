"""Requests to Amplitude.

Sources: research on reverse ETL, section 3.3 (Amplitude), and on Amplitude, sections 3.1 to 3.3.
"""

from __future__ import annotations

import contextlib
import json
import re
import urllib.parse
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from tidemill.destinations import answers
from tidemill.destinations.port import BatchRefused, Outlet
from tidemill.errors import AccessError, ConfigError
from tidemill.outbound.client import Answer

if TYPE_CHECKING:
    from tidemill.destinations.amplitude.config import AmplitudeSettings

_WHO = "Amplitude"
_HINT = "Amplitude shows both keys in Settings, Projects, your project, General. Look at the region, too."
_KEY_REFUSED = re.compile(rb"invalid.api.key", re.IGNORECASE)
_JSON = {"Content-Type": "application/json"}
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class AmplitudeClient:
    """See port.Client."""

    def __init__(self, settings: AmplitudeSettings, outlet: Outlet) -> None:
        self.settings, self._http = settings, outlet.http
        self.sleep: Callable[[float], None] = outlet.sleep
        key = json.dumps(settings.api_key.get_secret_value())
        self._head = f'{{"api_key":{key},"options":{{"min_id_length":{settings.min_id_length}}},"events":['.encode()

    @classmethod
    @contextlib.contextmanager
    def open(cls, settings: AmplitudeSettings, outlet: Outlet) -> Iterator[AmplitudeClient]:
        """See port.Destination."""
        yield cls(settings, outlet)

    def test(self) -> str:
        """Look for a user, by both keys; without the secret key, set properties of nobody."""
        if self.settings.secret_key is not None:
            answer = self._analytics("GET", "/api/2/usersearch?user=tidemill", None)
            answers.told(answer, _WHO, self.settings.secrets)
            return "Amplitude takes both keys."
        try:
            self.identify("identify", b"")
        except BatchRefused:  # the key was not what is wrong with it
            return "Amplitude does not refuse the API key; with the secret key, more can be said."
        return "Amplitude takes the API key."

    def upload(self, events: bytes) -> Answer:
        """Send events, put together by commas. What the answer says of single events is for the caller to see."""
        body = self._head + events + b"]}"
        answer = self._http.request("POST", f"{self.settings.address}/batch", headers=_JSON, body=body)
        if answer.good:
            answers.told(answer, _WHO, self.settings.secrets)
        return answer

    def identify(self, path: str, encoded: bytes) -> None:
        """Set properties. `encoded`: objects, put together by commas, all of it as in a form."""
        key = urllib.parse.quote_plus(self.settings.api_key.get_secret_value())
        body = f"api_key={key}&identification=%5B".encode() + encoded + b"%5D"
        answer = self.checked(self._http.request("POST", f"{self.settings.address}/{path}", headers=_FORM, body=body))
        answers.assert_no_page(answer, _WHO, self.settings.secrets)

    def members(self, body: bytes) -> Any:
        """Change who is in a cohort."""
        return self._analytics("POST", "/api/3/cohorts/membership", body).json()

    def checked(self, answer: Answer) -> Answer:
        """The answer, if it is good. A key that is refused is told of as 400, too."""
        if answer.status == 400 and _KEY_REFUSED.search(answer.body):
            raise AccessError("amplitude_key", f"{_WHO} does not take the API key.", hint=_HINT)
        return answers.checked(answer, _WHO, self.settings.secrets, hint=_HINT)

    def _analytics(self, method: str, path: str, body: bytes | None) -> Answer:
        secret = self.settings.secret_key
        if secret is None:
            raise ConfigError("amplitude_secret_key", "Cohorts need the secret key of the project.", hint=_HINT)
        auth = self.settings.api_key.get_secret_value(), secret.get_secret_value()
        url = self.settings.analytics_address + path
        answer = self._http.request(method, url, headers=_JSON, body=body, auth=auth)
        if answer.status == 404 and body is not None:
            raise ConfigError("amplitude_cohort", f"{_WHO} has no such cohort.", hint="Look at the cohort_id.")
        return self.checked(answer)
