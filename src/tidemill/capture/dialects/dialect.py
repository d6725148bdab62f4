"""What intake asks of each API."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
from typing import Any, Protocol, TypeVar

import msgspec

from tidemill.capture.http import Answer, Request
from tidemill.capture.taken import Sender, Taken
from tidemill.errors import RowError
from tidemill.events.formats import text, timestamps

NOTHING = msgspec.Raw(b"")
EMPTY = "the request has no body"
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
T = TypeVar("T")


class Trouble(enum.Enum):
    """Why nothing of a request is taken."""

    UNREADABLE = 400
    NO_KEY = 401
    TOO_LARGE = 413
    LIMITED = 429
    FAILED = 500
    BUSY = 503


class Refused(Exception):  # noqa: N818 - it is answered, not raised at a user
    """Nothing of the request is taken, and the API has an answer of its own for that."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer)
        self.answer = answer


class Unreadable(Exception):  # noqa: N818 - it is answered, not raised at a user
    """The body is not what the API takes."""


@dataclasses.dataclass(slots=True)
class Sent:
    """A body: its key, and its records as they came, or their number (`count`), if `more` holds them.

    `sent_at`: when it was sent, by the sender's clock, in microseconds since 1970.
    """

    key: str | None
    records: list[bytes]
    sent_at: int | None = None
    more: dict[str, Any] = dataclasses.field(default_factory=dict)
    count: int = 0

    def __len__(self) -> int:
        return self.count or len(self.records)


class Dialect(Protocol):
    """One API."""

    name: str
    format: str  #: of its records, as `events load --format` has it

    def most(self, path: str) -> int:
        """Bytes of a body at most, unpacked or not."""

    def body(self, request: Request, body: bytes) -> bytes:
        """Where the body is, if a GET has it somewhere else."""

    def read(self, request: Request, body: bytes) -> Sent:
        """What a body says. Raises Unreadable, Refused."""

    def sender(self, request: Request, sent: Sent, team_id: int, now: int) -> Sender:
        """On whose behalf."""

    def take(self, sent: Sent, sender: Sender, now: int) -> Taken | Answer:
        """Events of the records, or why the whole is refused."""

    def ok(self, request: Request, sent: Sent, size: int, now: int) -> Answer:
        """All is durable."""

    def trouble(self, what: Trouble, message: str) -> Answer:
        """Nothing is taken."""

    def limited(self, sent: Sent, rate: float, wait: int) -> Answer:
        """Nothing is taken, since it is more than so many events a second: come again in so many seconds."""


def decoded(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """A body as JSON; a cut-off emoji in it is mended, or one event would have all refused. Raises Unreadable."""
    try:
        if not body.isascii():
            body.decode()
        try:
            return decoder.decode(body)
        except msgspec.DecodeError:
            mended = text.mend(body)
            if mended == body:
                raise
            return decoder.decode(mended)
    except UnicodeDecodeError:
        raise Unreadable("it is not UTF-8") from None
    except RecursionError:
        raise Unreadable("it is nested too deep") from None
    except msgspec.DecodeError as error:
        raise Unreadable(str(error)) from None


def text_of(raw: msgspec.Raw) -> str | None:
    """A text; None if it is something else, or empty."""
    if bytes(raw)[:1] != b'"':
        return None
    try:
        return msgspec.json.decode(raw, type=str).strip() or None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def value_of(raw: msgspec.Raw | None) -> Any:
    """A value; None if it is none that can be read."""
    try:
        return text.value(raw)
    except RowError:
        return None


def moment(value: object) -> int | None:
    """A time that somebody says it is; None if it is none."""
    if value is None or value == "" or not isinstance(value, str | int | float):
        return None
    try:
        return timestamps.parse(value)
    except RowError:
        return None


def fields(record: bytes) -> dict[str, msgspec.Raw]:
    """The fields of a record, with what is odd in it mended. Raises RowError."""
    return text.fields(text.mend(record))


def written(moment: int) -> msgspec.Raw:
    """A time in microseconds since 1970 as JSON."""
    return msgspec.Raw(msgspec.json.encode(_EPOCH + dt.timedelta(microseconds=moment)))


def too_many(rate: float) -> str:
    """What is told who sends more than so many events a second."""
    return f"more than {rate:g} events a second"
