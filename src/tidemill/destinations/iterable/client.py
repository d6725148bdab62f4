"""Requests to Iterable.

Sources: research on reverse ETL, section 3.3 (Iterable); for limits (5 calls a second that update, 10 of events, 100
that delete) and the answer 429, which holds seconds in its body, Iterable's own description of its API.
"""

from __future__ import annotations

import contextlib
import urllib.parse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tidemill.destinations import answers
from tidemill.destinations.port import BatchRefused, Outlet
from tidemill.outbound import waits
from tidemill.outbound.client import Answer

if TYPE_CHECKING:
    from tidemill.destinations.iterable.config import IterableSettings

WHO = "Iterable"
#: Requests of which Iterable allows more than the five a second of updates: ten, and a hundred.
EVENTS, DELETIONS = "events", "deletions"
#: Of answers about a user who is not there: what is to be deleted is.
_GONE = frozenset({"UnknownEmailError", "UnknownUserIdError"})
_HINT = "Iterable shows its keys under Integrations, API keys: it must be a server-side key, of that data center."


class IterableClient:
    """See port.Client."""

    def __init__(self, settings: IterableSettings, outlet: Outlet) -> None:
        self._settings, self._http = settings, outlet.http

    @classmethod
    @contextlib.contextmanager
    def open(cls, settings: IterableSettings, outlet: Outlet) -> Iterator[IterableClient]:
        """See port.Destination."""
        yield cls(settings, outlet)

    def test(self) -> str:
        """Ask for the names of users' fields."""
        answer = self._checked(self._asked("GET", "/api/users/getFields", None))
        answers.told(answer, WHO, self._settings.secrets)
        return f"Iterable ({self._settings.region}) takes the key."

    def post(self, path: str, body: bytes) -> Any:
        """Send rows: what is said of them."""
        return self._checked(self._asked("POST", path, body)).json()

    def delete(self, name: str, value: str) -> None:
        """Delete the user of that `email` or `userId`. One that is not there is deleted, too.

        Raises
        ------
        BatchRefused
            It is refused.
        """
        quoted = urllib.parse.quote(value, safe="")
        path = f"/api/users/byUserId/{quoted}" if name == "userId" else f"/api/users/{quoted}"
        answer = self._asked("DELETE", path, None)
        said = answer.json()
        code = str(said.get("code") or "") if isinstance(said, dict) else ""
        if answer.status in {400, 404} and (code in _GONE or "nouser" in code.lower()):
            return
        self._checked(answer)
        if code != "Success":
            raise BatchRefused("iterable_refused", f"{WHO} answers: {answer.said(self._settings.secrets)}")

    def _checked(self, answer: Answer) -> Answer:
        return answers.checked(answer, WHO, self._settings.secrets, hint=_HINT)

    def _asked(self, method: str, path: str, body: bytes | None) -> Answer:
        headers = {"Api-Key": self._settings.api_key.get_secret_value()}
        if body is not None:
            headers["Content-Type"] = "application/json"
        lane = DELETIONS if method == "DELETE" else EVENTS if path.startswith("/api/events/") else ""
        answer = self._http.request(method, self._settings.address + path, headers=headers, body=body, lane=lane)
        said = answer.json() if answer.status == 429 else None
        told = said.get("params") if isinstance(said, dict) else None
        reset = told.get("rateLimitReset") if isinstance(told, dict) else None
        return answers.waiting(answer, waits.seconds(str(reset or "")))
