"""Posts a body to an address, and says what is wrong if it is not taken."""

from __future__ import annotations

import http
import socket
import ssl
import threading
import time
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from tidemill.errors import AccessError, ConfigError, RetryableError, TidemillError, UnavailableError
from tidemill.notify import guarded
from tidemill.outbound import network
from tidemill.outbound.waits import seconds

if TYPE_CHECKING:
    import requests

    from tidemill.outbound.guard import Guard

#: Of one message: others may be taken.
REFUSED = "notify_message_refused"
_PASSES = {408, 425, 429}
_ACCESS = {401, 403, 407}
#: Of the address, not of the message.
_OF_ADDRESS = {404, 405, 410}
_READS_BYTES = 2_000
#: For all of it.
_WHOLE_SECONDS = 60.0
#: Status, body, and the header Retry-After.
_Answer = tuple[int, bytes, str | None]


def post(url: str, body: bytes, headers: Mapping[str, str], secrets: Sequence[str], guard: Guard) -> None:
    """Post it. No redirection is followed: it would lead elsewhere than the user has said. `secrets`: what no error
    may hold; `guard`: says which servers may be reached.

    Raises
    ------
    TidemillError
        It was not taken.
    """
    found = urllib.parse.urlsplit(url)
    status, said, after = _timely(found, lambda: _posted(url, found, body, headers, guard))
    if not 200 <= status < 300:
        raise _refused(found.hostname or "", status, network.plain(said, secrets), after)


def _timely(found: urllib.parse.SplitResult, ask: Callable[[], _Answer]) -> _Answer:
    """What `ask` gives, if it comes in time: a server may send a byte now and then for ever, each of which is in
    time."""
    answers: list[_Answer | BaseException] = []

    def run() -> None:
        try:
            answers.append(ask())
        except BaseException as error:  # noqa: BLE001 - it is raised in the other thread
            answers.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(_WHOLE_SECONDS)
    if not answers:
        raise network.unreachable(found.hostname or "", found.port, TimeoutError())
    if isinstance(answers[0], BaseException):
        raise answers[0]
    return answers[0]


def _posted(
    url: str, found: urllib.parse.SplitResult, body: bytes, headers: Mapping[str, str], guard: Guard
) -> _Answer:
    """Status, the beginning of what the server says of a refusal, and when to come again."""
    import requests  # 60 ms, and memory

    with guarded.session(guard) as session:
        # A user of the address signs in; nobody else's password, of ~/.netrc, is told to it.
        name = (urllib.parse.unquote(found.username or ""), urllib.parse.unquote(found.password or ""))
        session.auth = name if found.username else lambda request: request
        try:
            with session.post(
                url,
                data=body,
                headers={"Accept-Encoding": "identity", "User-Agent": "tidemill", **headers},
                timeout=(network.CONNECT_SECONDS, network.ANSWER_SECONDS),
                allow_redirects=False,
                stream=True,
            ) as answer:
                taken = 200 <= answer.status_code < 300  # then nothing else matters
                said = b"" if taken else _beginning(answer)
                return answer.status_code, said, answer.headers.get("Retry-After")
        except requests.RequestException as error:
            raise _failed(found.hostname or "", found.port, error) from None


def _beginning(answer: requests.Response) -> bytes:
    """What the server says, as far as it is short and comes soon."""
    import requests

    found, deadline = b"", time.monotonic() + network.ANSWER_SECONDS
    try:
        for piece in answer.iter_content(1):  # more would be waited for until it is there
            found += piece
            if len(found) >= _READS_BYTES or time.monotonic() > deadline:
                break
    except requests.RequestException:  # the status is known
        pass
    return found


def _failed(host: str, port: int | None, error: requests.RequestException) -> TidemillError:
    """Our error for one of requests, which holds the address in its text, and the cause somewhere below."""
    import requests

    if isinstance(error, requests.exceptions.ProxyError):
        return UnavailableError(
            "notify_proxy",
            f"The proxy on the way to {host} does not let us through.",
            hint="Look at HTTPS_PROXY and NO_PROXY, for tidemill serve, too.",
        )
    if isinstance(error, requests.Timeout):
        return network.unreachable(host, port, TimeoutError())
    cause = _cause(error)
    if cause is None and isinstance(error, ValueError):
        return ConfigError("url", "That is no address of a web server.", hint="It begins with https://, and a name.")
    return network.unreachable(host, port, cause or error)


def _cause(error: BaseException) -> BaseException | None:
    """The error of the socket: at the bottom."""
    seen: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting:
        one = waiting.pop()
        if not isinstance(one, BaseException) or one in seen:
            continue
        seen.append(one)
        waiting += [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]
    of_sockets = (socket.gaierror, ssl.SSLError, ConnectionError, TimeoutError)
    return next((one for kind in of_sockets for one in seen if isinstance(one, kind) and not _is_outer(one)), None)


def _is_outer(error: BaseException) -> bool:
    """Whether it is of requests, whose errors are of the system's kinds, too."""
    return type(error).__module__.startswith(("requests", "urllib3"))


def _refused(host: str, status: int, said: str, after: str | None) -> TidemillError:
    name = http.HTTPStatus(status).phrase if status in http.HTTPStatus._value2member_map_ else ""
    answered = f"{host} answers {f'{status} {name}'.strip()}{f': {said}' if said else ''}."
    if status in _PASSES or status >= 500:
        return RetryableError(
            "notify_status", answered, hint="It should pass; if not, look at that server's log.", after=seconds(after)
        )
    if status in _ACCESS:
        return AccessError("notify_denied", answered, hint="Look at the credential, or at what that server allows.")
    if 300 <= status < 400:
        return ConfigError(
            "notify_redirected", f"{answered} Redirections are not followed.", hint="Name the address that it leads to."
        )
    if status in _OF_ADDRESS:
        return ConfigError("notify_status", answered, hint="The address is wrong, or was withdrawn: name another one.")
    return ConfigError(REFUSED, answered, hint="That server does not take the message: look at its log.")
