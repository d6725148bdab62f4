"""Requests to PostHog.

Source: research on reverse ETL, section 3.3 (PostHog), and on PostHog, section 4.1. Capture takes any key that looks
like one, and what it took for a project that there is not is lost without a word: the key is tried at the address of
feature flags before the first call, where it is refused.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tidemill.destinations import answers
from tidemill.destinations.port import Outlet
from tidemill.errors import AccessError, ConfigError
from tidemill.outbound.client import Answer

if TYPE_CHECKING:
    from tidemill.destinations.posthog.config import PosthogSettings

_WHO = "PostHog"
_HINT = "PostHog shows the project API key (phc_…) in Settings, Project, General. Look at the region, too."
_PERSONAL_HINT = "PostHog makes personal API keys (phx_…) in Settings, Personal API keys: one that may write persons."
_JSON = {"Content-Type": "application/json"}


class PosthogClient:
    """See port.Client."""

    def __init__(self, settings: PosthogSettings, outlet: Outlet) -> None:
        self._settings, self._http = settings, outlet.http
        self._tried, self._lock = False, threading.Lock()
        key = json.dumps(settings.project_key.get_secret_value())
        historical = json.dumps(settings.historical)
        self._head = f'{{"api_key":{key},"historical_migration":{historical},"batch":['.encode()

    @classmethod
    @contextlib.contextmanager
    def open(cls, settings: PosthogSettings, outlet: Outlet) -> Iterator[PosthogClient]:
        """See port.Destination."""
        yield cls(settings, outlet)

    def test(self) -> str:
        """Try the key; no flag is evaluated. Ask for a person, if persons may be deleted."""
        if self._settings.personal_key is not None:
            answers.checked(self._persons("GET", "?limit=1", None), _WHO, self._settings.secrets, hint=_PERSONAL_HINT)
        if self._knows_key():
            return "PostHog takes the project API key."
        return f"{self._settings.address} does not say whether it takes the key (it has no /flags)."

    def post(self, events: bytes) -> dict[str, Any]:
        """Send events, put together by commas. Gives the answer."""
        with self._lock:
            if not self._tried:
                self._knows_key()
                self._tried = True
        body = self._head + events + b"]}"
        answer = self._http.request("POST", f"{self._settings.address}/batch/", headers=_JSON, body=body)
        answers.checked(answer, _WHO, self._settings.secrets, hint=_HINT)
        return answers.told(answer, _WHO, self._settings.secrets)

    def delete(self, ids: bytes) -> Any:
        """Delete persons of these ids, put together by commas. Gives the answer; None: there is nobody of them."""
        events = json.dumps(self._settings.delete_events).encode()
        answer = self._persons(
            "POST", "bulk_delete/", b'{"distinct_ids":[' + ids + b'],"delete_events":' + events + b"}"
        )
        if answer.status == 400 and b"no person" in answer.body:
            return None
        answers.checked(answer, _WHO, self._settings.secrets, hint=_PERSONAL_HINT)
        return answers.told(answer, _WHO, self._settings.secrets)

    def _persons(self, method: str, path: str, body: bytes | None) -> Answer:
        settings = self._settings
        if settings.personal_key is None or settings.project_id is None:
            raise ConfigError(
                "posthog_personal_key",
                "To delete persons, PostHog wants a personal API key and the project's number.",
                hint="Set personal_key and project_id of the destination.",
            )
        headers = {**_JSON, "Authorization": f"Bearer {settings.personal_key.get_secret_value()}"}
        url = f"{settings.app_address}/api/projects/{settings.project_id}/persons/{path}"
        return self._http.request(method, url, headers=headers, body=body)

    def _knows_key(self) -> bool:
        """Whether it takes the key; False: there is nobody to ask at this address."""
        key = self._settings.project_key.get_secret_value()
        body = json.dumps({"api_key": key, "distinct_id": "tidemill", "disable_flags": True}).encode()
        answer = self._http.request("POST", f"{self._settings.address}/flags/?v=2", headers=_JSON, body=body)
        if self._settings.endpoint is not None and answer.status in {404, 405}:
            return False  # a proxy of somebody that passes on events alone
        said = answer.json()
        if isinstance(said, dict) and said.get("code") == "invalid_api_key":
            raise AccessError("posthog_key", "PostHog knows no project of that API key.", hint=_HINT)
        answers.checked(answer, _WHO, self._settings.secrets, hint=_HINT)
        answers.assert_no_page(answer, _WHO, self._settings.secrets)
        return True
