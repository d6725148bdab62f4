"""Requests to Intercom's API.

Sources: research on reverse ETL, section 3.3 (Intercom); Intercom's pages on errors and on limits: 429 comes with
X-RateLimit-Reset, in seconds since 1970.
"""

from __future__ import annotations

import contextlib
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from tidemill.destinations import answers
from tidemill.destinations.port import Outlet
from tidemill.errors import RetryableError
from tidemill.outbound.client import Answer

if TYPE_CHECKING:
    from tidemill.destinations.intercom.config import IntercomSettings

#: Which version of the API is spoken.
VERSION = "2.13"
#: What the caller makes of itself: a row is refused, is there already, or is gone.
_OF_ROWS = frozenset({400, 404, 409, 422})
#: No window is longer.
_MOST_SECONDS = 60.0
_HINT = "Look at the token, its permissions to read and write users, and the region."


class IntercomClient:
    """See port.Client. `unsure`: ids of rows whose contact was to be created, and to which no answer came."""

    def __init__(self, settings: IntercomSettings, outlet: Outlet) -> None:
        self._settings, self._http = settings, outlet.http
        self.unsure: set[str] = set()

    @classmethod
    @contextlib.contextmanager
    def open(cls, settings: IntercomSettings, outlet: Outlet) -> Iterator[IntercomClient]:
        """See port.Destination."""
        yield cls(settings, outlet)

    def test(self) -> str:
        """Ask who the token is of."""
        app = self._told(self._asked("GET", "/me", None)).get("app") or {}
        return f"Intercom takes the token, for {app.get('name') or 'a workspace'}."

    def found(self, name: str, value: str) -> list[str]:
        """Ids of the contacts of which a field has that value: at most two."""
        query = {"field": name, "operator": "=", "value": value}
        body = msgspec.json.encode({"query": query, "pagination": {"per_page": 2}})
        said = self._told(self._asked("POST", "/contacts/search", body))
        return [str(one["id"]) for one in said["data"]]

    def contact(self, contact: str) -> Any:
        """One as it is; None if there is none."""
        answer = self._asked("GET", _path(contact), None)
        return None if answer.status == 404 else self._told(answer)

    def create(self, body: bytes) -> Answer:
        """Make a contact. Gives answers that are of the row, too."""
        return self._of_row(self._asked("POST", "/contacts", body))

    def update(self, contact: str, body: bytes) -> Answer:
        """Change one. Gives answers that are of the row, too."""
        return self._of_row(self._asked("PUT", _path(contact), body))

    def remove(self, contact: str, *, archive: bool) -> Answer:
        """Archive one, or delete it for good. Gives answers that are of the row, too."""
        if archive:
            return self._of_row(self._asked("POST", f"{_path(contact)}/archive", b"{}"))
        return self._of_row(self._asked("DELETE", _path(contact), None))

    def unarchive(self, contact: str) -> Answer:
        """Bring one back. Gives answers that are of the row, too."""
        return self._of_row(self._asked("POST", f"{_path(contact)}/unarchive", b"{}"))

    def _asked(self, method: str, path: str, body: bytes | None) -> Answer:
        headers = {
            "Authorization": f"Bearer {self._settings.token.get_secret_value()}",
            "Intercom-Version": VERSION,
            "Content-Type": "application/json",
            "Accept": "application/json",
        }
        answer = self._http.request(method, self._settings.base + path, headers=headers, body=body)
        if answer.status == 429:
            raise RetryableError(
                "destination_busy",
                f"Intercom answers 429: {answer.said(self._settings.secrets)}.",
                hint="It is tried again.",
                after=answer.after if answer.after is not None else _reset(answer.headers),
            )
        return answer

    def _of_row(self, answer: Answer) -> Answer:
        if answer.status not in _OF_ROWS:
            self._told(answer)
        return answer

    def _told(self, answer: Answer) -> dict[str, Any]:
        return answers.told(self._checked(answer), "Intercom", self._settings.secrets)

    def _checked(self, answer: Answer) -> Answer:
        return answers.checked(answer, "Intercom", self._settings.secrets, hint=_HINT)


def _path(contact: str) -> str:
    return f"/contacts/{urllib.parse.quote(contact, safe='')}"


def _reset(headers: Mapping[str, str]) -> float | None:
    """Seconds until the window is over."""
    try:
        seconds = float(headers.get("x-ratelimit-reset", "")) - time.time()
    except ValueError:
        return None
    return min(max(seconds, 0.0), _MOST_SECONDS)


def said(answer: Answer) -> tuple[str, str]:
    """The first error of an answer: its code, and its message."""
    body: Any = answer.json()
    errors = body.get("errors") if isinstance(body, dict) else None
    first = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else {}
    return str(first.get("code") or answer.status), str(first.get("message") or answer.said() or answer.status)[:500]
