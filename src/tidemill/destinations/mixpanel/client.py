"""Requests to Mixpanel.

Source: research on reverse ETL, section 3.3 (Mixpanel). Profiles of a token that it does not know are taken and dropped
without a word; so the import of events, which looks at the token, is asked about it first.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import urllib.parse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tidemill.destinations import answers
from tidemill.destinations.port import BatchRefused, Outlet
from tidemill.outbound import network

if TYPE_CHECKING:
    from tidemill.destinations.mixpanel.config import MixpanelSettings

WHO = "Mixpanel"
_HINT = (
    "Mixpanel shows the project token under Settings, Project settings, Overview, and service accounts beside it. "
    "Look at the region, too."
)
#: Mixpanel counts by the minute, and does not say when to come again (its page on status 429).
_BUSY_SECONDS = 15.0
IMPORT, PROFILES, GROUPS = "/import?strict=1", "/engage?ip=0&strict=1&verbose=1", "/groups?ip=0&strict=1&verbose=1"


class MixpanelClient:
    """See port.Client."""

    def __init__(self, settings: MixpanelSettings, outlet: Outlet) -> None:
        self._settings, self._http = settings, outlet.http
        self._known, self._lock = False, threading.Lock()

    @classmethod
    @contextlib.contextmanager
    def open(cls, settings: MixpanelSettings, outlet: Outlet) -> Iterator[MixpanelClient]:
        """See port.Destination."""
        yield cls(settings, outlet)

    @property
    def token(self) -> str:
        """Of the project: it goes into each profile."""
        return self._settings.token.get_secret_value()

    def test(self) -> str:
        """Import no events: Mixpanel looks at the credential first."""
        self._look_up()
        who = "project token" if self._settings.service_account is None else "service account"
        return f"Mixpanel ({self._settings.region}) takes the {who}."

    def profiles(self, path: str, body: bytes) -> Any:
        """Send updates of profiles: what is said of them."""
        with self._lock:
            if not self._known:
                self._look_up()
                self._known = True
        return self.post(path, body)

    def post(self, path: str, body: bytes) -> Any:
        """Send records: what is said of them.

        Raises
        ------
        BatchRefused
            They are refused, and it is not said which.
        """
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        address, auth = self._settings.address + path, None
        if path == IMPORT:
            auth, more = self._signed()
            address += more
        answer = self._http.request("POST", address, headers=headers, body=body, auth=auth)
        # What is said of a profile may repeat it, with the token in it.
        text = network.scrubbed(answer.body.decode(errors="replace"), self._settings.secrets)
        answer = dataclasses.replace(answer, body=text.encode())
        said = answer.json()
        answer = answers.waiting(answer, _BUSY_SECONDS)
        if answer.status == 400 and isinstance(said, dict) and said.get("failed_records"):
            return said
        answers.checked(answer, WHO, self._settings.secrets, hint=_HINT)
        answers.assert_no_page(answer, WHO, self._settings.secrets)
        return said

    def _signed(self) -> tuple[tuple[str, str], str]:
        settings = self._settings
        if settings.service_account is None or settings.service_secret is None:
            return (self.token, ""), ""
        project = urllib.parse.quote(settings.project_id or "", safe="")
        return (settings.service_account, settings.service_secret.get_secret_value()), f"&project_id={project}"

    def _look_up(self) -> None:
        with contextlib.suppress(BatchRefused):  # the token is good, and there are no events
            self.post(IMPORT, b"[]")
