"""Segment's tracking API, which RudderStack's SDKs speak, too: single calls, and batches of them.

Facts: "HTTP API" of Segment's documentation. The key is the user of Basic authentication, or `writeKey`. Sizes: 32 KB
a call, 500 KB and 2,500 calls a batch. Too large or not JSON: 400. What is too much within a batch is accepted there
and then dropped; here it is set aside. Too often: 429 with `Retry-After` and `X-RateLimit-Reset`, in seconds.
"""

from __future__ import annotations

import binascii

import msgspec

from tidemill.capture import bodies
from tidemill.capture.dialects.dialect import (
    EMPTY,
    NOTHING,
    Sent,
    Trouble,
    Unreadable,
    decoded,
    fields,
    moment,
    text_of,
    too_many,
    value_of,
    written,
)
from tidemill.capture.http import Answer, Request
from tidemill.capture.taken import Keeping, Sender, Taken, off, one_by_one, shifted
from tidemill.errors import RowError
from tidemill.events.formats import segment
from tidemill.events.formats.event import Event

_CALL, _BATCH, _CALLS = 32 * 1024, 500 * 1024, 2_500
_KINDS = {
    "/v1/track": "track",
    "/v1/identify": "identify",
    "/v1/page": "page",
    "/v1/screen": "screen",
    "/v1/group": "group",
    "/v1/alias": "alias",
    # what Segment's own SDK for browsers calls them
    "/v1/t": "track",
    "/v1/i": "identify",
    "/v1/p": "page",
    "/v1/s": "screen",
    "/v1/g": "group",
    "/v1/a": "alias",
}
_BATCHES = ("/v1/batch", "/v1/import", "/v1/b")
PATHS = frozenset(f"{path}{end}" for path in (*_KINDS, *_BATCHES) for end in ("", "/"))
#: What tells the time of a call, as its format has it.
_TIMES = ("timestamp", "originalTimestamp", "sentAt", "receivedAt")
_OK = Answer(200, b'{"success":true}')
_STATUS = {Trouble.TOO_LARGE: 400}
_CODES = {
    Trouble.UNREADABLE: "invalid_request",
    Trouble.NO_KEY: "unauthorized",
    Trouble.TOO_LARGE: "request_too_large",
    Trouble.LIMITED: "rate_limited",
}


class _Body(msgspec.Struct, gc=False):
    write_key: msgspec.Raw = msgspec.field(name="writeKey", default=NOTHING)
    batch: list[msgspec.Raw] | None = None
    sent_at: msgspec.Raw = msgspec.field(name="sentAt", default=NOTHING)
    context: msgspec.Raw = NOTHING
    integrations: msgspec.Raw = NOTHING


_BODY = msgspec.json.Decoder(_Body)


class Segment:
    """See the module."""

    name = "segment"
    format = "segment"

    def most(self, path: str) -> int:
        """See Dialect."""
        return _BATCH if path.rstrip("/") in _BATCHES else _CALL

    def body(self, request: Request, body: bytes) -> bytes:
        """See Dialect."""
        return body

    def read(self, request: Request, body: bytes) -> Sent:
        """See Dialect."""
        if body[:1] != b"{":
            raise Unreadable("it is no JSON object" if body else EMPTY)
        found = decoded(_BODY, body)
        kind = _KINDS.get(request.path.rstrip("/"))
        if kind is None and found.batch is None:
            raise Unreadable("it has no batch")
        records = [msgspec.Raw(body)] if kind else found.batch or []
        shared = {
            name: raw
            for name, raw in (
                ("context", found.context),
                ("integrations", found.integrations),
                ("sentAt", found.sent_at),
            )
            if not kind and bytes(raw) not in {b"", b"null"}
        }
        key = _basic(request.headers.get(b"authorization")) or text_of(found.write_key)
        sent_at = moment(text_of(found.sent_at))
        return Sent(key, [bytes(one) for one in records], sent_at, {"kind": kind, "shared": shared})

    def sender(self, request: Request, sent: Sent, team_id: int, now: int) -> Sender:
        """See Dialect. Calls of a server are not sent from where their users are."""
        address = request.address if b"origin" in request.headers else None
        return Sender(team_id, address, off(sent.sent_at, now))

    def take(self, sent: Sent, sender: Sender, now: int) -> Taken | Answer:
        """See Dialect."""
        parse = _Parse(sent.more["kind"], sent.more["shared"], now, sender.off)
        found = one_by_one(sent.records[:_CALLS], parse, sender, Keeping(parse.shared, parse.put_right))
        many = RowError("batch_too_long", f"The batch has more than {_CALLS:,} calls.")
        found.refused += [(record, many) for record in sent.records[_CALLS:]]
        return found

    def ok(self, request: Request, sent: Sent, size: int, now: int) -> Answer:
        """See Dialect."""
        return _OK

    def trouble(self, what: Trouble, message: str) -> Answer:
        """See Dialect."""
        code = _CODES.get(what, "unavailable")
        body = msgspec.json.encode({"success": False, "code": code, "message": message})
        return Answer(_STATUS.get(what, what.value), body)

    def limited(self, sent: Sent, rate: float, wait: int) -> Answer:
        """See Dialect."""
        answer = self.trouble(Trouble.LIMITED, too_many(rate)).later(wait)
        answer.headers = (*answer.headers, (b"x-ratelimit-reset", b"%d" % wait))
        return answer


class _Parse:
    """Reads one call. `off`: by how much the sender's clock is behind."""

    def __init__(self, kind: str | None, shared: dict[str, msgspec.Raw], now: int, off: int) -> None:
        self.shared = {**shared, "receivedAt": msgspec.Raw(str(now // 1000).encode())}
        self._kind = {"type": msgspec.Raw(f'"{kind}"'.encode())} if kind else {}
        self._now, self._off = now, off

    def __call__(self, record: bytes) -> list[Event | RowError]:
        if len(record) > _CALL:
            raise RowError("call_too_large", f"The call has {len(record):,} bytes; the limit is {_CALL:,}.")
        return [segment.called({**self.shared, **fields(record), **self._kind}, self._now)]

    def put_right(self, given: dict[str, msgspec.Raw]) -> dict[str, msgspec.Raw]:
        """The fields of a call that is set aside, with its type, and its time by a clock that is right."""
        given = {**given, **self._kind}
        if self._off:
            said = next((found for name in _TIMES if (found := value_of({**self.shared, **given}.get(name)))), None)
            time = moment(said)
            if time is not None:
                given["timestamp"] = written(shifted(time, self._off))
        return given


def _basic(header: bytes | None) -> str | None:
    """The user of Basic authentication, which is the key; its password is empty."""
    if header is None or header[:6].lower() != b"basic ":
        return None
    try:
        return bodies.from_base64(header[6:].strip()).decode().partition(":")[0] or None
    except (binascii.Error, UnicodeDecodeError):
        return None
