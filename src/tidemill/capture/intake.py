"""One request from its body to its answer."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import time
from collections.abc import Callable, MutableMapping
from typing import Any, ParamSpec, TypeVar

from tidemill.capture import bodies
from tidemill.capture.bodies import Room, Share
from tidemill.capture.committer import Committer, Failed
from tidemill.capture.deadlines import Deadlines
from tidemill.capture.dialects import amplitude, posthog, segment
from tidemill.capture.dialects.dialect import Dialect, Refused, Sent, Trouble, Unreadable
from tidemill.capture.http import Answer, Receive, Request
from tidemill.capture.keeper import Revoked
from tidemill.capture.keyring import Holder, Keyring
from tidemill.capture.metrics import Metrics
from tidemill.capture.server import API
from tidemill.capture.taken import Taken
from tidemill.errors import UnavailableError

P = ParamSpec("P")
T = TypeVar("T")
POSTHOG, SEGMENT, AMPLITUDE = posthog.PostHog(), segment.Segment(), amplitude.Amplitude()
DIALECTS: dict[str, Dialect] = {
    **dict.fromkeys(posthog.PATHS | posthog.BATCH, POSTHOG),
    **dict.fromkeys(segment.PATHS, SEGMENT),
    **dict.fromkeys(amplitude.PATHS, AMPLITUDE),
}
#: A larger body is read by a thread, and does not hold up the others: one of JSON, a packed one, one that is a text.
_LARGE, _LARGE_PACKED, _LARGE_TEXT = 1024 * 1024, 256 * 1024, 64 * 1024
#: How JSON and gzip begin.
_OPEN = frozenset({b"{", b"[", b"\x1f"})
#: When to come again, if it is too much now.
AGAIN_SECONDS = 1
#: So many parts take as long as a large body; and the bytes that a record takes beside its text.
_MANY, _RECORD = 50_000, 64
#: What is made of an event takes so many bytes beside its text, while columns are made of it.
_EVENT, _PLAIN_EVENT = 1_024, 768
#: The first part of a body tells whose it is, if it comes within that time.
_FIRST_SECONDS = 1.0
_TELLS_SECONDS = 0.2
_REFUSED = (
    bodies.TooLarge,
    bodies.Undecodable,
    bodies.TooSlow,
    bodies.Overloaded,
    Unreadable,
    Refused,
    UnavailableError,
)
_METHODS = Answer(405, b"GET, POST", b"text/plain", ((b"allow", b"GET, POST, OPTIONS"),))


class Intake:
    """See the module. One a process."""

    def __init__(
        self,
        keyring: Keyring,
        committer: Committer,
        metrics: Metrics,
        room: Room,
        seconds: float,
        source: Callable[[str, int], str],
        look: Callable[[], None],
    ) -> None:
        """`seconds`: a body must be here within. `source`: by API and team, under what events are set aside.

        `look` raises if events cannot be kept now.
        """
        self._keyring, self._committer, self._metrics = keyring, committer, metrics
        self._telling = False
        self._room, self._deadlines, self._source, self.look = room, Deadlines(seconds), source, look

    async def answer(self, request: Request, dialect: Dialect) -> Answer | None:
        """The answer to a request with events; None if nobody waits for it."""
        if request.method not in {"POST", "GET"}:
            return _METHODS
        if not self._telling:
            self._telling = True
            loop = asyncio.get_running_loop()
            loop.call_soon(self._tell, loop)
        asked = _Asked(request, dialect)
        try:
            with self._room.share() as share:
                return await self._taken_in(asked, share)
        except _REFUSED as error:
            return self._refusal(error, request.path, await asked.settled())
        except bodies.Gone:
            return None

    def _refusal(self, error: Exception, path: str, dialect: Dialect) -> Answer:
        """What is answered if nothing of a request is taken."""
        if isinstance(error, Refused):
            return error.answer
        if isinstance(error, bodies.TooLarge):
            return dialect.trouble(Trouble.TOO_LARGE, f"the body may have {dialect.most(path):,} bytes")
        if isinstance(error, bodies.Undecodable | Unreadable):
            return dialect.trouble(Trouble.UNREADABLE, str(error))
        if isinstance(error, bodies.TooSlow):
            said = f"the body was not here within {self._deadlines.seconds:g} seconds"
        else:
            said = error.message if isinstance(error, UnavailableError) else "too much at once"
        return dialect.trouble(Trouble.BUSY, said).later(AGAIN_SECONDS)

    def _tell(self, loop: asyncio.AbstractEventLoop) -> None:
        """Of what is held, until it is nothing: with each request it would be a part of what that costs."""
        self._metrics.held.set(self._room.taken)
        self._telling = self._room.taken > 0
        if self._telling:
            loop.call_later(_TELLS_SECONDS, self._tell, loop)

    async def _taken_in(self, asked: _Asked, share: Share) -> Answer:
        request, most = asked.request, asked.dialect.most(asked.request.path)
        if request.path in posthog.BATCH:
            asked.note()
        body = asked.dialect.body(request, await bodies.read(request, share, most, self._deadlines))
        asked.start = body
        large = len(body) > _LARGE_TEXT and (len(body) > _LARGE_PACKED or body[:1] not in _OPEN or _is_lz64(request))
        given = request, asked.dialect, body, most, share  # without _aside, which costs a part of a small request
        unpacked = await asyncio.to_thread(_plain, *given) if large else _plain(*given)
        large = len(unpacked) > _LARGE or (len(unpacked) > _MANY and unpacked.count(b",") > _MANY)
        sent = await asyncio.to_thread(_read, asked, unpacked, share) if large else _read(asked, unpacked, share)
        dialect = asked.dialect
        holder = await self._keyring.holder(sent.key) if sent.key else None
        if holder is None:
            return dialect.trouble(Trouble.NO_KEY, "there is no such key" if sent.key else "the request has no key")
        wait = holder.wait(len(sent), time.monotonic())
        if wait:
            return await _aside(large, dialect.limited, sent, holder.rate or 0.0, wait)
        now = time.time_ns() // 1000
        if sent.records:  # what is made of them; of usual events it is counted already
            share.take(2 * len(unpacked) + _EVENT * len(sent.records))
        taken = await _aside(large, dialect.take, sent, dialect.sender(request, sent, holder.team_id, now), now)
        if isinstance(taken, Answer):
            return taken
        return await self._kept(request, dialect, sent, holder, taken, len(unpacked), now)

    async def _kept(
        self, request: Request, dialect: Dialect, sent: Sent, holder: Holder, taken: Taken, size: int, now: int
    ) -> Answer:
        def rejects() -> list[dict[str, Any]]:
            return taken.rejects(dialect.name, self._source(dialect.name, holder.team_id), sent.key or "")

        try:
            await self._committer.commit(holder.id, taken, rejects, len(sent), size)
        except Revoked:
            self._keyring.forget(holder.id)
            return dialect.trouble(Trouble.NO_KEY, "the key was revoked")
        except Failed:
            return dialect.trouble(Trouble.FAILED, "the events cannot be kept; the server's log says why")
        if taken.refused:
            for code, count in collections.Counter(why.code for _, why in taken.refused).items():
                self._metrics.refused.labels(code).inc(count)
        return dialect.ok(request, sent, size, now)


async def _aside(large: bool, work: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
    """The outcome of this work, which is done by a thread if it is much."""
    return await asyncio.to_thread(work, *given, **named) if large else work(*given, **named)


class _Asked:
    """A request, and the API that it is answered by: what came to `/batch` may turn out to be Amplitude's."""

    __slots__ = ("_is_read", "_receive", "dialect", "request", "start")
    _receive: Receive

    def __init__(self, request: Request, dialect: Dialect) -> None:
        self.request, self.dialect = request, dialect
        self.start: bytes | None = None  # the first part of the body, at least
        self._is_read = False

    def note(self) -> None:
        """Keep the first part of a body, which may not come as a whole."""
        self._receive, self.request.receive = self.request.receive, self._noted

    async def _noted(self) -> MutableMapping[str, Any]:
        message = await self._receive()
        if self.start is None:
            self.start = message.get("body", b"")
        return message

    def read(self, body: bytes) -> None:
        """Settle it by the whole body."""
        self._is_read = True
        if self.request.path in posthog.BATCH and posthog.is_amplitudes(body):
            self._is_amplitudes()

    def _is_amplitudes(self) -> None:
        self.dialect = AMPLITUDE
        self.request.scope[API] = AMPLITUDE.name

    async def settled(self) -> Dialect:
        """The API, as far as what is there of the body tells it."""
        if self.request.path in posthog.BATCH and not self._is_read:
            if self.start is None:  # it was refused by its length alone
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.request.receive(), _FIRST_SECONDS)
            if posthog.begins_as_amplitudes(bodies.start(self.start or b"")):
                self._is_amplitudes()
        return self.dialect


def _is_lz64(request: Request) -> bool:
    return request.query.get("compression") == "lz64"


def _plain(request: Request, dialect: Dialect, body: bytes, most: int, share: Share) -> bytes:
    packed = request.headers.get(b"content-encoding", b"").lower()
    if packed not in {b"", b"identity", b"gzip"}:
        raise Unreadable(f"the encoding {packed.decode('latin-1')[:20]} is not taken: send gzip, or nothing")
    if dialect is not POSTHOG:
        return bodies.inflated(body, most, share).strip()
    form = request.headers.get(b"content-type", b"").startswith(b"application/x-www-form-urlencoded")
    # Some send JSON, or gzip, and call it a form.
    form = form and body[:1] not in _OPEN
    return bodies.plain(body, most, share, form=form, lz64=_is_lz64(request))


def _read(asked: _Asked, body: bytes, share: Share) -> Sent:
    """What a body says; at `/batch` it may be Amplitude's."""
    if asked.dialect is POSTHOG:
        passing = 0
        if len(body) <= posthog.MOST_QUICK:
            passing = len(body) + _PLAIN_EVENT * body.count(b"{")  # if each brace were an event
            share.take(len(body) + passing)
        sent = POSTHOG.quick(asked.request, body)
        if sent is not None:
            share.give(passing)  # columns are made: the commit is waited for with these alone
            return sent
        asked.read(body)
    share.take(_RECORD * body.count(b","))  # if each part were a record
    return asked.dialect.read(asked.request, body)
