"""Groups what requests bring into commits of the event store. Who sent something is answered when it is durable.

One thread gathers a group and makes its columns, others have it kept: two of them, so that the one who keeps prepares
a group while it commits the one before. So the busier it is, the larger the groups are, and the cheaper each event.
When it is quiet, an event does not wait at all.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import functools
import logging
import queue
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from tidemill.capture.deadlines import Deadlines
from tidemill.capture.keeper import Bundle, Keeper, Revoked
from tidemill.capture.taken import Taken, settled
from tidemill.errors import UnavailableError

if TYPE_CHECKING:
    from tidemill.capture.metrics import Metrics

_log = logging.getLogger(__name__)
_KEEPING = 2
#: Commits are as far apart as they take, and half of that again.
_GAP = 1.5
#: By how much the last one counts for how long they take.
_PACE_SHARE = 0.1


class Failed(Exception):  # noqa: N818
    """The events cannot be kept: a bug, that would meet them again."""


@dataclasses.dataclass(slots=True, eq=False)
class Parcel:
    """What one request brings. `rejects`: what could not be taken, as Rejects has it."""

    key: uuid.UUID
    taken: Taken
    rejects: Callable[[], list[dict[str, Any]]]
    rows: int
    size: int
    loop: asyncio.AbstractEventLoop
    answered: asyncio.Future[None]

    def settle(self, error: Exception | None) -> None:
        """Tell who waits for it."""
        if not self.answered.done():
            if error is None:
                self.answered.set_result(None)
            else:
                self.answered.set_exception(error)


@dataclasses.dataclass(frozen=True)
class Bounds:
    """When a group is committed: it has so many events or bytes, or the last one was taken so many seconds ago, or less
    where commits take less.

    `answer`: how many seconds are waited at most until a commit is durable.
    """

    rows: int
    bytes: int
    seconds: float
    answer: float = 30.0


class Committer:
    """One a process. `start` it, then `commit`; `stop` commits what is left."""

    def __init__(self, keeper: Keeper, bounds: Bounds, metrics: Metrics) -> None:
        self._keeper, self._bounds, self._metrics = keeper, bounds, metrics
        self._deadlines = Deadlines(bounds.answer)
        self._waiting: collections.deque[Parcel] = collections.deque()
        self._rows = self._bytes = 0
        self._takes, self._gap = bounds.seconds, bounds.seconds
        self._last = 0.0  # when the last group was taken
        self._changed = threading.Condition()
        self._ready: queue.Queue[tuple[list[Parcel], Bundle | None] | None] = queue.Queue(1)
        self._stopping = False
        self._threads = [
            threading.Thread(target=self._gather_all, name="gather", daemon=True),
            *(threading.Thread(target=self._keep_all, name="keep", daemon=True) for _ in range(_KEEPING)),
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Commit what is waiting, and end."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        for thread in self._threads:
            thread.join()

    async def commit(
        self, key: uuid.UUID, taken: Taken, rejects: Callable[[], list[dict[str, Any]]], rows: int, size: int
    ) -> None:
        """Keep these, of about so many events and bytes: they are durable when this returns.

        Raises
        ------
        Revoked
            The key was, meanwhile.
        UnavailableError
            They could not be kept now. To send them again is safe.
        Failed
            They cannot be kept.
        """
        loop = asyncio.get_running_loop()
        parcel = Parcel(key, taken, rejects, rows, size, loop, loop.create_future())
        with self._changed:
            if self._stopping:
                raise UnavailableError("stopping", "The server is stopping.")
            self._waiting.append(parcel)
            self._rows, self._bytes = self._rows + rows, self._bytes + size
            if len(self._waiting) == 1 or self._full:
                self._changed.notify()
        deadline = self._deadlines.add(functools.partial(self._give_up, parcel))
        try:
            await parcel.answered
        finally:
            deadline.met()

    def _give_up(self, parcel: Parcel) -> None:
        """It is not waited for any longer. What has been taken may still be committed: to send it again is safe."""
        with self._changed:
            if parcel in self._waiting:
                self._waiting.remove(parcel)
                self._rows, self._bytes = self._rows - parcel.rows, self._bytes - parcel.size
        self._metrics.failed("store_slow")
        parcel.settle(UnavailableError("store_slow", "The event store did not answer in time."))

    @property
    def _full(self) -> bool:
        return self._rows >= self._bounds.rows or self._bytes >= self._bounds.bytes

    def _gather(self) -> list[Parcel]:
        """The next group; none at the end."""
        with self._changed:
            while True:
                while not self._waiting and not self._stopping:
                    self._changed.wait()
                while not self._full and not self._stopping:
                    left = self._last + self._gap - time.monotonic()
                    if left <= 0 or not self._changed.wait(left):
                        break
                group = self._taken()
                if group or self._stopping:  # else all of them were given up meanwhile
                    return group

    def _taken(self) -> list[Parcel]:
        """As many of those that wait as fit into a commit, one at least."""
        if self._waiting:
            self._last = time.monotonic()
        group: list[Parcel] = []
        rows = size = 0
        while self._waiting:
            parcel = self._waiting[0]
            if group and (rows + parcel.rows > self._bounds.rows or size + parcel.size > self._bounds.bytes):
                break
            group.append(self._waiting.popleft())
            rows, size = rows + parcel.rows, size + parcel.size
        self._rows, self._bytes = self._rows - rows, self._bytes - size
        return group

    def _gather_all(self) -> None:
        while group := self._gather():
            bundle = None
            with contextlib.suppress(Exception):  # it meets who keeps it again, who tells whoever waits
                bundle = _bundle(group)
            self._ready.put((group, bundle))
        for _ in range(_KEEPING):
            self._ready.put(None)

    def _keep_all(self) -> None:
        while (made := self._ready.get()) is not None:
            self._keep(*made)

    def _keep(self, group: Sequence[Parcel], bundle: Bundle | None = None) -> None:
        """Have a group kept, and tell those who wait for it."""
        try:
            kept = self._keeper.keep(_bundle(group) if bundle is None else bundle)
        except Revoked as error:
            _settle([parcel for parcel in group if parcel.key in error.keys], Revoked())
            left = [parcel for parcel in group if parcel.key not in error.keys]
            if left:
                self._keep(left)
        except Exception as error:  # noqa: BLE001 - whoever waits is told
            self._failed(group, error)
        else:
            if kept.seconds:  # else nothing but what was refused
                self._metrics.committed(kept.rows, kept.duplicates, kept.seconds)
                self._pace(kept.seconds)
            _settle(group, None)

    def _pace(self, seconds: float) -> None:
        """Groups are further apart where commits take long: else what each costs, however small, takes all the time."""
        self._takes += _PACE_SHARE * (seconds - self._takes)
        self._gap = min(self._bounds.seconds, _GAP * self._takes)

    def _failed(self, group: Sequence[Parcel], error: Exception) -> None:
        """After a group met an error: if it was for want of something, they are told so; else one of them is bad."""
        if isinstance(error, UnavailableError):
            self._metrics.failed(error.code)
            _settle(group, error)
        elif len(group) > 1:
            half = len(group) // 2
            self._keep(group[:half])
            self._keep(group[half:])
        else:
            _log.error("events could not be kept", exc_info=error)
            self._metrics.failed("bug")
            _settle(group, Failed())


def _bundle(group: Sequence[Parcel]) -> Bundle:
    tables = settled([parcel.taken for parcel in group])
    refused = [item for parcel in group if parcel.taken.refused for item in parcel.rejects()]
    return Bundle(frozenset(parcel.key for parcel in group), tables, refused)


def _settle(group: Sequence[Parcel], error: Exception | None) -> None:
    """Tell those who wait, each loop once."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Parcel]] = {}
    for parcel in group:
        by_loop.setdefault(parcel.loop, []).append(parcel)

    def tell(parcels: Sequence[Parcel]) -> None:
        for parcel in parcels:
            parcel.settle(error)

    for loop, parcels in by_loop.items():
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(tell, parcels)
