"""Requests to CleverTap.

Source: research on reverse ETL, section 3.3 (CleverTap): what is wrong with records is told in an answer of 200.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tidemill.destinations import answers
from tidemill.destinations.port import Outlet
from tidemill.outbound.client import Answer

if TYPE_CHECKING:
    from tidemill.destinations.clevertap.config import ClevertapSettings

_WHO = "CleverTap"
_HINT = "CleverTap shows the project id and its passcodes in Settings, Project. Look at the region, too."


class ClevertapClient:
    """See port.Client."""

    def __init__(self, settings: ClevertapSettings, outlet: Outlet) -> None:
        self._settings, self._http = settings, outlet.http
        self._headers = {
            "Content-Type": "application/json; charset=utf-8",
            "X-CleverTap-Account-Id": settings.account_id,
            "X-CleverTap-Passcode": settings.passcode.get_secret_value(),
        }

    @classmethod
    @contextlib.contextmanager
    def open(cls, settings: ClevertapSettings, outlet: Outlet) -> Iterator[ClevertapClient]:
        """See port.Destination."""
        yield cls(settings, outlet)

    def test(self) -> str:
        """Ask for a profile, which need not be there."""
        answer = self._asked("GET", "/1/profile.json?identity=tidemill", None)
        if answer.status not in {400, 404}:
            answers.told(self._checked(answer), _WHO, self._settings.secrets)
        return f"CleverTap takes the passcode of project {self._settings.account_id}."

    def post(self, path: str, body: bytes) -> Answer:
        """Send profiles or events, or delete profiles."""
        return self._checked(self._asked("POST", path, body))

    def said(self, answer: Answer) -> str:
        """An answer, for an error: without secrets."""
        return f"{_WHO} answers: {answer.said(self._settings.secrets)}"

    def _asked(self, method: str, path: str, body: bytes | None) -> Answer:
        return self._http.request(method, self._settings.address + path, headers=self._headers, body=body)

    def _checked(self, answer: Answer) -> Answer:
        return answers.checked(answer, _WHO, self._settings.secrets, hint=_HINT)
