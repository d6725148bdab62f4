"""How a server is asked: tries again what may be tried again, tells errors as such, goes through pages and streams."""

from __future__ import annotations

import dataclasses
import json
import time
import urllib.parse
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any, TypeVar

import httpx
import pydantic

Made = TypeVar("Made", bound="Model")
_AGAIN = frozenset({408, 429, 503})
#: What is done once, however often it is asked for: reading, and what has an Idempotency-Key.
_SAFE = frozenset({"GET", "POST"})
_BLOCK = 256 * 1024
_FIRST_WAIT, _MOST_WAIT = 0.5, 30.0


class Model(pydantic.BaseModel):
    """What is sent or answered. What an answer has that this version does not know is left out."""

    model_config = pydantic.ConfigDict(extra="ignore")
    _etag: str | None = pydantic.PrivateAttr(default=None)

    @property
    def etag(self) -> str | None:
        """By which a change says what it was decided on; None: it has none."""
        return self._etag


class Wanted(Model):
    """What is sent. A field that there is not is refused."""

    model_config = pydantic.ConfigDict(extra="forbid")


class ApiError(Exception):
    """The server refused, or failed. `code`: for programs, it stays the same; `hint`: what to do; `errors`: parts of
    the request that are wrong (where, message)."""

    def __init__(self, status: int, told: Mapping[str, Any]) -> None:
        self.status, self.code = status, str(told.get("code", ""))
        self.detail, self.hint = str(told.get("detail", "")), str(told.get("hint", ""))
        self.errors: list[dict[str, str]] = list(told.get("errors", ()))
        super().__init__(f"{self.detail or status} {self.hint}".strip())


class UnreachableError(Exception):
    """The server does not answer, however often it is asked."""


@dataclasses.dataclass(frozen=True)
class Event:
    """How something goes on. `is_over`: it stays like that."""

    id: str
    is_over: bool
    data: dict[str, Any]


class _Known(Exception):  # noqa: N818 - it is none
    """It is over, and that was told."""


class Core:
    """One server, and a token for it."""

    def __init__(
        self,
        url: str,
        token: str,
        *,
        timeout: float,
        tries: int,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`tries`: how often a call is made at most; `sleep`: between two."""
        headers = {"authorization": f"Bearer {token}", "user-agent": "tidemill-client"}
        self._http = httpx.Client(base_url=url.rstrip("/"), headers=headers, timeout=timeout, transport=transport)
        self._tries, self._sleep = tries, sleep

    def close(self) -> None:
        """Ask nothing more."""
        self._http.close()

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Model | Mapping[str, Any] | None = None,
        match: Model | str | None = None,
    ) -> httpx.Response:
        """An answer that is none of an error.

        Raises
        ------
        ApiError
            The server refused, or failed.
        UnreachableError
            It does not answer.
        """
        headers: dict[str, str] = {}
        if method == "POST":
            headers["idempotency-key"] = uuid.uuid4().hex
        if match is not None:
            headers["if-match"] = _tag(match)
        options: dict[str, Any] = {"params": _query(query), "headers": headers}
        if body is not None:
            options["content"] = (
                body.model_dump_json(exclude_unset=True) if isinstance(body, Model) else json.dumps(body)
            )
            headers["content-type"] = "application/json"
        return self._tried(lambda: self._http.request(method, path, **options), again=method in _SAFE)

    def send(self, path: str, content: IO[bytes], *, query: Mapping[str, Any] | None = None) -> httpx.Response:
        """The answer to a file that is sent, from where it stands. It is sent again if it can go back there. Raises as
        `ask`."""
        start = content.tell() if content.seekable() else None

        def asked() -> httpx.Response:
            if start is not None:
                content.seek(start)
            headers = {"content-type": "application/octet-stream"}
            return self._http.post(path, params=_query(query), headers=headers, content=_blocks(content))

        return self._tried(asked, again=start is not None, tries=self._tries if start is not None else 1)

    def _tried(self, ask: Callable[[], httpx.Response], *, again: bool, tries: int | None = None) -> httpx.Response:
        wait = _FIRST_WAIT
        for left in reversed(range(tries or self._tries)):
            try:
                answer = ask()
            except httpx.TransportError as error:
                if not (again or isinstance(error, httpx.ConnectError)) or not left:
                    raise UnreachableError(f"{type(error).__name__}: {error}") from error
            else:
                if answer.status_code < 400:
                    return answer
                if not _is_soon(answer) or not left:
                    raise refused(answer)
                wait = max(wait, _later(answer))
            self._sleep(min(wait, _MOST_WAIT))
            wait *= 2
        raise UnreachableError("It was not asked.")

    def pages(self, path: str, query: Mapping[str, Any], kind: type[Made]) -> Iterator[Made]:
        """The items of all pages of a list, each page when it is needed."""
        cursor: str | None = None
        while True:
            page = self.ask("GET", path, query={**query, "cursor": cursor}).json()
            yield from (kind.model_validate(item) for item in page["items"])
            cursor = page["next"]
            if cursor is None:
                return

    def lines(self, path: str, query: Mapping[str, Any]) -> Iterator[str]:
        """Lines of a long answer, as they come."""
        with self._http.stream("GET", path, params=_query(query)) as answer:
            if answer.status_code >= 400:
                answer.read()
                raise refused(answer)
            yield from answer.iter_lines()

    def events(self, path: str) -> Iterator[Event]:
        """How something goes on, until it is over. A stream that ends before is gone on with, where it ended."""
        last: str | None = None
        failed = 0
        while True:
            try:
                for event in self._stream(path, last):
                    last, failed = event.id, 0
                    yield event
                    if event.is_over:
                        return
            except _Known:
                return
            except httpx.TransportError as error:
                failed += 1
                if failed >= self._tries:
                    raise UnreachableError(str(error)) from error
            self._sleep(_FIRST_WAIT)

    _gone = False

    def _stream(self, path: str, last: str | None) -> Iterator[Event]:
        headers = {"accept": "text/event-stream", **({"last-event-id": last} if last else {})}
        with self._http.stream("GET", path, headers=headers) as answer:
            if answer.status_code >= 400:
                answer.read()
                raise refused(answer)
            if answer.status_code == 204:
                raise _Known
            yield from parsed(answer.iter_lines())


def parsed(lines: Iterator[str]) -> Iterator[Event]:
    """The events that lines of a stream are."""
    fields: dict[str, str] = {}
    for line in lines:
        if line and not line.startswith(":"):
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        elif not line and "data" in fields:
            yield Event(fields.get("id", ""), fields.get("event") == "over", json.loads(fields["data"]))
            fields = {}


def refused(answer: httpx.Response) -> ApiError:
    """What an answer of an error says."""
    try:
        told = answer.json()
    except ValueError:
        told = {}
    return ApiError(answer.status_code, told if isinstance(told, dict) else {})


def made(answer: httpx.Response, kind: type[Made]) -> Made:
    """An answer as what it is, with its ETag."""
    found = kind.model_validate_json(answer.content)
    found._etag = answer.headers.get("etag")
    return found


def path(text: str, **parts: object) -> str:
    """An address, with names in it."""
    return text.format(**{name: urllib.parse.quote(str(part), safe="") for name, part in parts.items()})


def _blocks(content: IO[bytes]) -> Iterator[bytes]:
    while block := content.read(_BLOCK):
        yield block


def _is_soon(answer: httpx.Response) -> bool:
    """Whether the same call may be answered otherwise in a moment. It was not begun, or has a key."""
    return answer.status_code in _AGAIN or (answer.status_code == 409 and "retry-after" in answer.headers)


def _later(answer: httpx.Response) -> float:
    said = answer.headers.get("retry-after", "")
    return float(said) if said.isdigit() else 0.0


def _tag(match: Model | str) -> str:
    found = match if isinstance(match, str) else match.etag
    if found is None:
        raise ValueError("It has no ETag: give what `show`, `create` or `edit` answered.")
    return found


def _query(given: Mapping[str, Any] | None) -> dict[str, Any]:
    found = {}
    for name, value in (given or {}).items():
        if value is not None:
            plain = value.isoformat() if hasattr(value, "isoformat") else value
            found[name] = str(plain).lower() if isinstance(plain, bool) else plain
    return found
