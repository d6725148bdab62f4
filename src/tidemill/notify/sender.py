"""Sends what is due, in the background of a server: each channel that has something to send has a thread for it.

So one that hangs holds up no other, and nothing but itself.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
import time
import uuid
from collections.abc import Iterator, Sequence

from tidemill.errors import TidemillError
from tidemill.notify import channel as channels
from tidemill.notify import message as messages
from tidemill.notify import retries
from tidemill.notify.http import REFUSED
from tidemill.outbound.guard import Guard
from tidemill.store.outbox import Outbox
from tidemill.store.records_notify import Channel, Delivery
from tidemill.store.secrets import Secrets

_log = logging.getLogger(__name__)
#: For so long it is kept what was told; and how often what is older is forgotten.
_KEPT = dt.timedelta(days=30)
_FORGETS_EVERY_SECONDS = 3600.0


class Sender:
    """See the module. Any number of processes may have one."""

    def __init__(self, outbox: Outbox, secrets: Secrets, home: str, guard: Guard) -> None:
        """`home`: of the installation, which is told in messages; `guard`: says which servers may be reached."""
        self._outbox, self._secrets, self._home, self._guard = outbox, secrets, home, guard
        self._busy: dict[uuid.UUID, threading.Thread] = {}
        self._forgets_at = time.monotonic()

    def look(self) -> int:
        """Begin to send what is due. Gives by how many channels."""
        for key in [key for key, thread in self._busy.items() if not thread.is_alive()]:
            del self._busy[key]
        begun = 0
        while self._outbox.any_due() and (channel := self._outbox.take(list(self._busy))) is not None:
            thread = threading.Thread(target=self._work, args=(channel,), name="tidemill-notify", daemon=True)
            self._busy[channel.id] = thread
            thread.start()
            begun += 1
        if time.monotonic() > self._forgets_at:
            self._forgets_at = time.monotonic() + _FORGETS_EVERY_SECONDS
            self._outbox.forget(_KEPT)
        return begun

    def drain(self, seconds: float | None = None) -> None:
        """Wait for what has begun; so long, at most."""
        end = None if seconds is None else time.monotonic() + seconds
        for thread in list(self._busy.values()):
            thread.join(None if end is None else max(0.0, end - time.monotonic()))

    def _work(self, channel: Channel) -> None:
        """Send what is due by one channel."""
        try:
            most = channels.TOGETHER[channel.kind]
            while deliveries := self._outbox.next(channel, most):
                if not all(self._deliver(channel, together) for together in _grouped(deliveries)):
                    break
            self._outbox.release(channel)
        except TidemillError as error:  # the database is away: another one goes on when the lease has ended
            _log.warning("messages of the channel %s wait: %s", channel.name, error.message)
        except Exception:  # noqa: BLE001 - a bug, which is told; others go on
            _log.exception("messages of the channel %s wait", channel.name)

    def _deliver(self, channel: Channel, together: Sequence[Delivery]) -> bool:
        """Send these as one, and write down what became of it. Whether others may fare better."""
        left = together[0].left
        try:
            made = channels.opened(channel, self._secrets)
            rest = channels.send(made, [messages.of(one) for one in together], self._home, left, guard=self._guard)
        except TidemillError as error:
            return self._failed(channel, together, error, left)
        if rest is not None:
            self._failed(channel, together, rest.error, rest.recipients)
            return True
        self._outbox.sent(channel, [one.number for one in together])
        _log.info("the channel %s has taken a message", channel.name)
        return True

    def _failed(
        self, channel: Channel, together: Sequence[Delivery], error: TidemillError, left: Sequence[str] | None
    ) -> bool:
        """Whether others may fare better."""
        said = {"code": error.code, "message": error.message, "hint": error.hint}
        others = True
        for old in (True, False):
            these = [one for one in together if (one.age >= retries.GIVEN_UP_AFTER) is old]
            if not these:
                continue
            verdict = retries.judged(error, max(one.tries for one in these), max(one.age for one in these))
            others = verdict.others and left == together[0].left
            numbers = [one.number for one in these]
            self._outbox.failed(channel, numbers, said, verdict.pause, others=others, left=left)
            what = f"tried again in {verdict.pause.total_seconds():.0f} s" if verdict.pause else "given up"
            _log.error("the channel %s does not take a message; it is %s: %s", channel.name, what, error.message)
        return not others


def _grouped(deliveries: Sequence[Delivery]) -> Iterator[list[Delivery]]:
    """Those that go together. By itself goes what has to reach some recipients only, and what was refused."""
    alone = [one for one in deliveries if one.left is not None or (one.error or {}).get("code") == REFUSED]
    if whole := [one for one in deliveries if one not in alone]:
        yield whole
    yield from ([one] for one in alone)
