"""Requests to Braze.

Source: research on reverse ETL, section 3.3 (Braze). A call over the limit is answered without Retry-After: when the
limit begins anew is in X-RateLimit-Reset, as seconds since 1970.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tidemill.destinations import answers
from tidemill.destinations.port import Outlet
from tidemill.outbound import waits
from tidemill.outbound.client import Answer

if TYPE_CHECKING:
    from tidemill.destinations.braze.config import BrazeSettings

WHO = "Braze"
_HINT = (
    "Braze shows its keys, and what each may do, under Settings, APIs and Identifiers. The key must be one of that "
    "instance."
)


class BrazeClient:
    """See port.Client."""

    def __init__(self, settings: BrazeSettings, outlet: Outlet) -> None:
        self._settings, self._http = settings, outlet.http

    @classmethod
    @contextlib.contextmanager
    def open(cls, settings: BrazeSettings, outlet: Outlet) -> Iterator[BrazeClient]:
        """See port.Destination."""
        yield cls(settings, outlet)

    def test(self) -> str:
        """Track nothing: Braze looks at the key, and then complains that there is nothing."""
        self.track(b'{"attributes":[]}', 0)
        return f"Braze ({self._settings.instance}) takes the key."

    def track(self, body: bytes, rows: int) -> dict[str, Any]:
        """Send attributes, events or purchases: what is said of them, if anything is."""
        answer = self._asked("/users/track", body, {"X-Braze-Batch": "true"} if rows > 1 else {})
        said = answer.json()
        if answer.status == 400 and isinstance(said, dict) and said.get("message"):
            return said
        answers.checked(answer, WHO, self._settings.secrets, hint=_HINT)
        return answers.told(answer, WHO, self._settings.secrets)

    def delete(self, body: bytes) -> None:
        """Delete users."""
        secrets = self._settings.secrets
        answers.told(answers.checked(self._asked("/users/delete", body, {}), WHO, secrets, hint=_HINT), WHO, secrets)

    def _asked(self, path: str, body: bytes, more: dict[str, str]) -> Answer:
        key = self._settings.api_key.get_secret_value()
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", **more}
        answer = self._http.request("POST", self._settings.address + path, headers=headers, body=body)
        reset = waits.seconds(answer.headers.get("x-ratelimit-reset"))
        return answers.waiting(answer, None if reset is None else reset - time.time())
