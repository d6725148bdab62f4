"""Requests to Segment.

Source: research on reverse ETL, section 3.3 (Segment Tracking API). The API answers 200 whatever the write key is, so
that all rows would be lost without a word: the key is looked up before the first call, as Segment's own connector does.
"""

from __future__ import annotations

import contextlib
import threading
import urllib.parse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tidemill.destinations import answers
from tidemill.destinations.port import BatchRefused, Outlet
from tidemill.errors import AccessError
from tidemill.outbound import waits

if TYPE_CHECKING:
    from tidemill.destinations.segment.config import SegmentSettings

_WHO = "Segment"
_HINT = "Segment shows the write key under Connections, Sources, your source, Settings, API keys."


class SegmentClient:
    """See port.Client."""

    def __init__(self, settings: SegmentSettings, outlet: Outlet) -> None:
        self._settings, self._http = settings, outlet.http
        self._known, self._lock = False, threading.Lock()

    @classmethod
    @contextlib.contextmanager
    def open(cls, settings: SegmentSettings, outlet: Outlet) -> Iterator[SegmentClient]:
        """See port.Destination."""
        yield cls(settings, outlet)

    def test(self) -> str:
        """Look the key up."""
        self._look_up()
        return "Segment has a source of that write key."

    def post(self, body: bytes) -> None:
        """Send a batch."""
        with self._lock:
            if not self._known:
                self._look_up()
                self._known = True
        key = self._settings.write_key.get_secret_value()
        answer = self._http.request(
            "POST",
            f"{self._settings.address}/v1/batch",
            headers={"Content-Type": "application/json"},
            body=body,
            auth=(key, ""),
        )
        waited = answers.waiting(answer, waits.seconds(answer.headers.get("x-ratelimit-reset")))
        answers.checked(waited, _WHO, self._settings.secrets, hint=_HINT)
        if answers.told(answer, _WHO, self._settings.secrets).get("success") is False:
            raise BatchRefused("segment_refused", f"{_WHO} answers: {answer.said(self._settings.secrets)}")

    def _look_up(self) -> None:
        key = urllib.parse.quote(self._settings.write_key.get_secret_value(), safe="")
        address = self._settings.key_endpoint.rstrip("/")
        answer = self._http.request("GET", f"{address}/v1/projects/{key}/settings")
        if answer.status in {400, 404}:
            raise AccessError("segment_key", "Segment knows no source of that write key.", hint=_HINT)
        answers.checked(answer, _WHO, self._settings.secrets, hint=_HINT)
        answers.told(answer, _WHO, self._settings.secrets)
