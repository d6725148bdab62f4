"""Calls to other people's APIs: one connection pool, bounded in time and size, to what the guard allows."""

from __future__ import annotations

import dataclasses
import json
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import httpx

from tidemill import __version__
from tidemill.errors import ConfigError, UnavailableError
from tidemill.outbound import bodies, network, waits
from tidemill.outbound import guard as guards

#: How long is waited for a connection, and for each part of an answer; and for the whole of it.
CONNECT_SECONDS, PART_SECONDS, WHOLE_SECONDS = 10.0, 60.0, 180.0
#: An answer that is larger is not read further.
MOST_BYTES = 64_000_000
#: Of a header (RFC 9110, section 5.5).
_VALUE = re.compile(r"[!-~](?:[ \t!-~]*[!-~])?")
USER_AGENT = f"tidemill/{__version__}"


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a server said. Names of headers are in small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def good(self) -> bool:
        """Whether it is of the kind 2xx."""
        return 200 <= self.status < 300

    def json(self) -> Any:
        """The body as JSON; None if it is none. What is no UTF-8 in its texts, or a number beyond all others, spoils
        nothing else of it.

        Raises
        ------
        UnavailableError
            It is a good answer that nobody can read: nested without an end.
        """
        try:
            text = self.body.decode(json.detect_encoding(self.body), "replace")
            return json.loads(text, parse_int=_number)
        except ValueError:
            return None
        except RecursionError:
            if not self.good:  # its status says enough
                return None
            raise UnavailableError(
                "answer_nested", "The answer is nested too deep to be read.", hint="Look at that server's log."
            ) from None

    @property
    def after(self) -> float | None:
        """Seconds of the header Retry-After; None without one that can be read."""
        return waits.seconds(self.headers.get("retry-after"))

    def said(self, secrets: Iterable[str] = ()) -> str:
        """The beginning of the body in one line, without secrets, for an error's message."""
        return network.plain(self.body[:2_000], secrets)


@dataclasses.dataclass(frozen=True)
class Seen:
    """A request and its answer, as they went over the line: with its secrets. `status`: in words where it is
    no HTTP, or no answer came."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    status: int | str
    answer: bytes


class Http:
    """Sends requests. May be used by several threads. `turn`: returns when the next one of a lane may be made, and is
    asked for each; `observe`: is told of each; `guard`: says which servers may be reached, for those that speak
    something else, too."""

    def __init__(self, guard: guards.Guard, *, connections: int = 16) -> None:
        self.guard = guard
        self._client = httpx.Client(
            transport=guards.transport(guard, connections),
            timeout=httpx.Timeout(PART_SECONDS, connect=CONNECT_SECONDS),
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": bodies.ACCEPTED},
            follow_redirects=False,
            trust_env=False,
        )
        self.turn: Callable[[str], None] = lambda _: None
        self.observe: Callable[[Seen], None] | None = None

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        auth: tuple[str, str] | None = None,
        most_bytes: int = MOST_BYTES,
        signs_in: bool = False,
        lane: str = "",
        whole_seconds: float = WHOLE_SECONDS,
    ) -> Answer:
        """Send one, and read the answer, whatever its status. No redirection is followed. `signs_in`: nobody is shown
        it, because there are secrets in it that no settings hold. `lane`: of requests that the server counts apart.
        `whole_seconds`: all of the answer is to be there by then.

        Raises
        ------
        ConfigError
            The address is none, or may not be reached; or a header cannot be sent. Nothing was sent.
        UnavailableError
            No answer came: the server may have taken the request, or not.
        """
        _assert_sendable(headers or {})
        try:
            asked = self._client.build_request(method, url, headers=dict(headers or {}), content=body)
        except (httpx.InvalidURL, ValueError, TypeError):
            raise ConfigError("url", "That is no address of a web server.", hint="It begins with https://.") from None
        host, port = asked.url.host, asked.url.port
        if asked.url.scheme not in {"http", "https"} or not host:
            raise ConfigError("url", "That is no address of a web server.", hint="It begins with https://.")
        self.turn(lane)
        deadline = time.monotonic() + whole_seconds
        told = guards.deadline.set(deadline)
        try:
            answer = self._client.send(asked, auth=httpx.BasicAuth(*auth) if auth else None, stream=True)
            try:
                found = bytearray()
                for piece in bodies.unpacked(answer.iter_raw(), answer.headers.get("content-encoding", ""), host):
                    found += piece
                    if len(found) > most_bytes or time.monotonic() > deadline:
                        raise UnavailableError(
                            "answer_too_long",
                            f"{host} does not come to the end of its answer.",
                            hint="Look at that server's log.",
                        )
                self._seen(asked, body, answer.status_code, bytes(found), signs_in=signs_in)
                return Answer(answer.status_code, _small(answer.headers), bytes(found))
            finally:
                answer.close()
        except (httpx.HTTPError, OSError) as error:  # the latter: of the look-up of a name
            lost = network.unreachable(host, port, _cause(error))
            self._seen(asked, body, "no answer", lost.message.encode(), signs_in=signs_in)
            raise lost from None
        finally:
            guards.deadline.reset(told)

    def tell(self, seen: Seen) -> None:
        """What speaks something else than HTTP is observed likewise."""
        if self.observe is not None:
            self.observe(seen)

    def _seen(
        self, asked: httpx.Request, body: bytes | None, status: int | str, answer: bytes, *, signs_in: bool
    ) -> None:
        if not signs_in:
            self.tell(Seen(asked.method, str(asked.url), dict(asked.headers), body or b"", status, answer))


def _assert_sendable(headers: Mapping[str, str]) -> None:
    """Raise ConfigError for a header that HTTP does not know: what is wrong with it is a credential, and stays so."""
    for name, value in headers.items():
        if not _VALUE.fullmatch(value):
            raise ConfigError(
                "header",
                f"The header {name} cannot be sent: its value is empty, or holds a line break or a letter that is not "
                "of ASCII.",
                hint="Look at the token or the key: is it there, whole, and without anything around it?",
            )


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:  # Python reads no integer of more than 4,300 digits
        return float(text)


def _small(headers: httpx.Headers) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _cause(error: BaseException) -> BaseException:
    """The error of the socket: at the bottom."""
    if isinstance(error, httpx.TimeoutException):
        return TimeoutError()
    of_sockets = (socket.gaierror, ssl.SSLError, ConnectionError, TimeoutError)
    seen: list[BaseException] = []
    below: BaseException | None = error
    while below is not None and below not in seen:
        if isinstance(below, of_sockets):
            return below
        seen.append(below)
        below = below.__cause__ or below.__context__
    return error
