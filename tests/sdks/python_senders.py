"""The Python SDKs, as programs use them: set up by host and key, and by what their options offer for flushing and
trying again."""

from __future__ import annotations

import contextlib
import http.client
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Protocol

import amplitude
import posthog
from rudderstack.analytics.client import Client as RudderClient
from segment.analytics.client import Client as SegmentClient
from tests.capture_server import LIMIT_SECONDS, until
from tests.sdks.known import Call, Reading, added_by_posthog, amplitudes, kept, segments

#: More batches than it takes to be killed in the middle of them.
BATCH = 10


class Sender(Protocol):
    """One SDK. `errors`: what it told by its public means."""

    reading: Reading
    errors: list[str]

    def __init__(self, url: str, key: str) -> None: ...

    def send(self, calls: Sequence[Call]) -> None:
        """Hand all calls to the SDK."""

    def finish(self) -> None:
        """Wait until the SDK has nothing left to send."""

    def expected(self, call: Call) -> dict[str, Any]:
        """What the store must have of a call."""


class PostHog:
    """posthog."""

    reading = Reading(own=added_by_posthog)

    def __init__(self, url: str, key: str) -> None:
        self.errors: list[str] = []
        self.client = posthog.Posthog(
            key,
            host=url,
            flush_at=BATCH,
            flush_interval=0.1,
            max_retries=20,
            on_error=lambda error, _: self.errors.append(f"{error}"),
        )

    def send(self, calls: Sequence[Call]) -> None:
        """See Sender."""
        for call in calls:
            self._send(call)

    def _send(self, call: Call) -> None:
        client, properties = self.client, call.properties
        common: dict[str, Any] = {"timestamp": call.at, "uuid": call.id}
        match call.kind:
            case "identify" if call.number % 20 == 1:
                client.set(distinct_id=call.who, properties=properties, **common)
            case "identify":
                client.set_once(distinct_id=call.who, properties=properties, **common)
            case "group":
                client.group_identify("company", call.group, properties, distinct_id=call.who, **common)
            case "alias":
                client.alias(call.previous, call.who, **common)
            case _:
                client.capture(self._name(call), distinct_id=call.who, properties=properties, **common)

    @staticmethod
    def _name(call: Call) -> str:
        return {"page": "$pageview", "screen": "$screen"}.get(call.kind, call.event)

    def finish(self) -> None:
        """See Sender."""
        self.client.flush(timeout_seconds=LIMIT_SECONDS)
        self.client.shutdown()

    def expected(self, call: Call) -> dict[str, Any]:
        """See Sender."""
        match call.kind:
            case "identify" if call.number % 20 == 1:
                return kept(call, "$set", set=call.properties)
            case "identify":
                return kept(call, "$set_once", set_once=call.properties)
            case "group":
                group = {"$group_type": "company", "$group_key": call.group, "$group_set": call.properties}
                return kept(call, "$groupidentify", properties=group)
            case "alias":
                both = {"distinct_id": call.previous, "alias": call.who}
                return kept(call, "$create_alias", who=call.previous, properties=both)
            case _:
                return kept(call, self._name(call), properties=call.properties)


class Segment:
    """segment-analytics-python."""

    reading = Reading()
    client_type: Callable[..., Any] = SegmentClient
    options: ClassVar[dict[str, Any]] = {"gzip": True}

    def __init__(self, url: str, key: str) -> None:
        self.errors: list[str] = []
        self.client = self.client_type(
            key,
            host=url,
            upload_size=BATCH,
            upload_interval=0.1,
            on_error=lambda error, _: self.errors.append(f"{error}"),
            **self.options,
        )

    def send(self, calls: Sequence[Call]) -> None:
        """See Sender."""
        for call in calls:
            self._send(call)

    def _send(self, call: Call) -> None:
        client = self.client
        common = {"user_id": call.who, "timestamp": call.at, "message_id": call.id}
        match call.kind:
            case "identify":
                client.identify(traits=call.properties, **common)
            case "group":
                client.group(group_id=call.group, traits=call.properties, **common)
            case "alias":
                client.alias(previous_id=call.previous, **common)
            case "page":
                client.page(name=call.event, properties=call.properties, **common)
            case "screen":
                client.screen(name=call.event, properties=call.properties, **common)
            case _:
                client.track(event=call.event, properties=call.properties, **common)

    def finish(self) -> None:
        """See Sender."""
        self.client.shutdown()

    def expected(self, call: Call) -> dict[str, Any]:
        """See Sender."""
        return segments(call)


class RudderStack(Segment):
    """rudder-sdk-python."""

    client_type = RudderClient
    options: ClassVar[dict[str, Any]] = {"max_retries": 20}


class Amplitude:
    """amplitude-analytics.

    It forgets the events of a request whose answer breaks off, and calls nobody back for them: its user tracks them
    once more, with the same insert_id, when it has nothing left to send.
    """

    reading = Reading(id_of=lambda row: row["envelope"]["insert_id"])

    def __init__(self, url: str, key: str) -> None:
        self.errors: list[str] = []
        self._left: dict[str, Any] = {}
        self._told, self._thread = threading.Event(), threading.Thread()
        logger = logging.getLogger(f"amplitude of {key}")
        logger.addHandler(_Listed(self.errors))
        self.client = amplitude.Amplitude(
            key,
            amplitude.Config(
                server_url=f"{url}/2/httpapi",
                flush_queue_size=BATCH,
                flush_interval_millis=500,
                flush_max_retries=100_000,
                callback=self._called_back,
                logger=logger,
            ),
        )

    def _called_back(self, event: Any, code: int, message: str | None) -> None:
        if code == 200:
            self._left.pop(event.insert_id, None)
        else:
            self.errors.append(f"{code} {message}")
        self._told.set()

    def send(self, calls: Sequence[Call]) -> None:
        """See Sender."""
        self._thread = threading.Thread(target=self._send_all, args=[calls], daemon=True)
        self._thread.start()

    def _send_all(self, calls: Sequence[Call]) -> None:
        for first in range(0, len(calls), BATCH):
            self._left = {call.id: call for call in calls[first : first + BATCH]}
            for call in list(self._left.values()):
                self._send(call)
            while self._left and not self.errors:
                self._flush()

    def _flush(self) -> None:
        self._told.clear()
        sending = [future for future in self.client.flush() if future]
        for future in sending:
            with contextlib.suppress(OSError, http.client.HTTPException):
                future.result()
        if self._left and not self._told.wait(0.1) and not sending:
            for call in list(self._left.values()):
                self._send(call)

    def _send(self, call: Call) -> None:
        client = self.client
        options = amplitude.EventOptions(user_id=call.who, time=call.milliseconds, insert_id=call.id)
        match call.kind:
            case "identify":
                client.identify(self._identify(call), options)
            case "group":
                nobody = amplitude.EventOptions(time=call.milliseconds, insert_id=call.id)
                client.group_identify("company", call.group, self._identify(call), nobody)
            case _:
                event = amplitude.BaseEvent(call.event, event_properties=dict(call.properties))
                event.load_event_options(options)
                client.track(event)

    @staticmethod
    def _identify(call: Call) -> Any:
        found = amplitude.Identify()
        for name, value in call.properties.items():
            if call.number % 20 == 1:
                found.set_once(name, value)
            else:
                found.set(name, value)
        return found

    def finish(self) -> None:
        """See Sender."""
        until(lambda: not self._thread.is_alive(), "Amplitude's SDK has sent all")
        self.client.shutdown()

    def expected(self, call: Call) -> dict[str, Any]:
        """See Sender."""
        return amplitudes(call)


class _Listed(logging.Handler):
    """What is logged as an error, but for attempts that failed."""

    def __init__(self, texts: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._texts = texts

    def emit(self, record: logging.LogRecord) -> None:
        if not record.getMessage().startswith("Flush batch"):
            self._texts.append(record.getMessage())


SENDERS: dict[str, type[Sender]] = {
    "posthog": PostHog,
    "segment": Segment,
    "rudderstack": RudderStack,
    "amplitude": Amplitude,
}
