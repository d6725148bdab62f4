"""One request from its body to its answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from tidemill.capture import bodies
from tidemill.capture.bodies import Room, Share
from tidemill.capture.committer import Committer, Failed
from tidemill.capture.deadlines import Deadlines
from tidemill.capture.dialects import amplitude, posthog, segment
from tidemill.capture.dialects.dialect import Dialect, Sent, Trouble, Unreadable
from tidemill.capture.http import Answer, Request
from tidemill.capture.keeper import Revoked
from tidemill.capture.keyring import Holder, Keyring
from tidemill.capture.metrics import Metrics
from tidemill.capture.taken import MOST_BAD, Taken, TooManyBad
from tidemill.errors import UnavailableError

P = ParamSpec("P")
T = TypeVar("T")
POSTHOG, SEGMENT, AMPLITUDE = posthog.PostHog(), segment.Segment(), amplitude.Amplitude()
DIALECTS: dict[str, Dialect] = {
    **dict.fromkeys(posthog.PATHS | posthog.BATCH, POSTHOG),
    **dict.fromkeys(segment.PATHS, SEGMENT),
    **dict.fromkeys(amplitude.PATHS, AMPLITUDE),
}
#: A larger body is read by a thread, and does not hold up the others.
_LARGE, _LARGE_PACKED = 1024 * 1024, 256 * 1024
#: When to come again, if it is too much now.
AGAIN_SECONDS = 1
#: So many parts take as long as a large body; and the bytes that a record takes beside its text.
_MANY, _RECORD = 50_000, 64
_TELLS_SECONDS = 0.2
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
        try:
            with self._room.share() as share:
                return await self._taken_in(request, dialect, share)
        except bodies.TooLarge:
            most = dialect.most(request.path)
            return dialect.trouble(Trouble.TOO_LARGE, f"the body may have {most:,} bytes")
        except TooManyBad:
            said = f"more than {MOST_BAD:,} of its events cannot be taken"
            return dialect.trouble(Trouble.UNREADABLE, said)
        except (bodies.Undecodable, Unreadable) as error:
            return dialect.trouble(Trouble.UNREADABLE, str(error))
        except bodies.TooSlow:
            said = f"the body was not here within {self._deadlines.seconds:g} seconds"
            return dialect.trouble(Trouble.BUSY, said).later(AGAIN_SECONDS)
        except bodies.Overloaded:
            return dialect.trouble(Trouble.BUSY, "too much at once").later(AGAIN_SECONDS)
        except UnavailableError as error:
            return dialect.trouble(Trouble.BUSY, error.message).later(AGAIN_SECONDS)
        except bodies.Gone:
            return None

    def _tell(self, loop: asyncio.AbstractEventLoop) -> None:
        """Of what is held, until it is nothing: with each request it would be a part of what that costs."""
        self._metrics.held.set(self._room.taken)
        self._telling = self._room.taken > 0
        if self._telling:
            loop.call_later(_TELLS_SECONDS, self._tell, loop)

    async def _taken_in(self, request: Request, dialect: Dialect, share: Share) -> Answer:
        most = dialect.most(request.path)
        body = dialect.body(request, await bodies.read(request, share, most, self._deadlines))
        if not body:
            raise Unreadable("the request has no body")
        large = len(body) > _LARGE_PACKED
        unpacked = await _aside(large, self._plain, request, dialect, body, most, share)
        large = len(unpacked) > _LARGE or (len(unpacked) > _MANY and unpacked.count(b",") > _MANY)
        dialect, sent = await _aside(large, _read, request, dialect, unpacked, share)
        holder = await self._keyring.holder(sent.key) if sent.key else None
        if holder is None:
            return dialect.trouble(Trouble.NO_KEY, "there is no such key" if sent.key else "the request has no key")
        wait = holder.wait(len(sent), time.monotonic())
        if wait:
            return dialect.trouble(Trouble.LIMITED, f"more than {holder.rate:g} events a second").later(wait)
        now = time.time_ns() // 1000
        share.take(2 * len(unpacked))  # what is made of it
        taken = await _aside(large, dialect.take, sent, dialect.sender(request, sent, holder.team_id, now), now)
        if isinstance(taken, Answer):
            return taken
        return await self._kept(request, dialect, sent, holder, taken, len(unpacked), now)

    def _plain(self, request: Request, dialect: Dialect, body: bytes, most: int, share: Share) -> bytes:
        packed = request.headers.get(b"content-encoding", b"").lower()
        if packed not in {b"", b"identity", b"gzip"}:
            raise Unreadable(f"the encoding {packed.decode('latin-1')[:20]} is not taken: send gzip, or nothing")
        if dialect is not POSTHOG:
            return bodies.inflated(body, most, share).strip()
        form = request.headers.get(b"content-type", b"").startswith(b"application/x-www-form-urlencoded")
        # Some send JSON, or gzip, and call it a form.
        return bodies.plain(body, most, share, form=form and body[:1] not in {b"{", b"[", b"\x1f"})

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
        for _, error in taken.refused:
            self._metrics.refused.labels(error.code).inc()
        return dialect.ok(request, sent, size, now)


async def _aside(large: bool, work: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
    """The outcome of this work, which is done by a thread if it is much."""
    return await asyncio.to_thread(work, *given, **named) if large else work(*given, **named)


def _read(request: Request, dialect: Dialect, body: bytes, share: Share) -> tuple[Dialect, Sent]:
    """What a body says; at `/batch` it may be Amplitude's."""
    if dialect is POSTHOG:
        sent = POSTHOG.quick(request, body)
        if sent is not None:
            return dialect, sent
        if request.path in posthog.BATCH and posthog.is_amplitudes(body):
            dialect = AMPLITUDE
    share.take(_RECORD * body.count(b","))  # if each part were a record
    return dialect, dialect.read(request, body)
