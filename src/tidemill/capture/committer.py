"""Groups what requests bring into commits of the event store. Who sent something is answered when it is durable.

Two threads: while one commits a group, the other prepares the next, and meanwhile a third gathers. So the busier it is,
the larger the groups are, and the cheaper each event. When it is quiet, an event does not wait at all.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import logging
import queue
import threading
import time
import uuid
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from tidemill.capture.taken import Taken, settled
from tidemill.errors import UnavailableError
from tidemill.events.lake import Place

if TYPE_CHECKING:
    from tidemill.capture.metrics import Metrics
    from tidemill.events.lake import Lake, Prepared

_log = logging.getLogger(__name__)


class Revoked(Exception):  # noqa: N818 - it is answered, not raised at a user
    """The key was revoked."""


class Failed(Exception):  # noqa: N818
    """The events cannot be kept: a bug, that would meet them again."""


class Rejects(Protocol):
    """Where what cannot be taken is kept."""

    def add(self, items: Sequence[dict[str, Any]]) -> int:
        """Save them; tells how many were new."""


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
    """When a group is committed: it has so many events or bytes, or the last one was taken so long ago."""

    rows: int
    bytes: int
    seconds: float


class Committer:
    """One a process. `start` it, then `commit`; `stop` commits what is left."""

    def __init__(
        self,
        lake: Lake,
        rejects: Rejects,
        revoked: Callable[[Collection[uuid.UUID]], set[uuid.UUID]],
        bounds: Bounds,
        metrics: Metrics,
    ) -> None:
        """`revoked`: those of these keys that are."""
        self._lake, self._rejects, self._revoked, self._bounds, self._metrics = lake, rejects, revoked, bounds, metrics
        self._waiting: collections.deque[Parcel] = collections.deque()
        self._rows = self._bytes = 0
        self._last = 0.0  # when the last group was taken
        self._changed = threading.Condition()
        self._ready: queue.Queue[tuple[list[Parcel], Prepared] | None] = queue.Queue(1)
        self._stopping = False
        self._name = f"capture-{uuid.uuid4().hex}"
        self._number = 0
        self._threads = [
            threading.Thread(target=self._prepare_all, name="prepare", daemon=True),
            threading.Thread(target=self._commit_all, name="commit", daemon=True),
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
        await parcel.answered

    @property
    def _full(self) -> bool:
        return self._rows >= self._bounds.rows or self._bytes >= self._bounds.bytes

    def _gather(self) -> list[Parcel]:
        """The next group; none at the end."""
        with self._changed:
            while not self._waiting and not self._stopping:
                self._changed.wait()
            while not self._full and not self._stopping:
                left = self._last + self._bounds.seconds - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    break
            return self._taken()

    def _taken(self) -> list[Parcel]:
        """As many of those that wait as fit into a commit, one at least."""
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

    def _prepare_all(self) -> None:
        while group := self._gather():
            try:
                group = self._still_allowed(group)
                if group:
                    self._ready.put((group, self._lake.prepare(settled([parcel.taken for parcel in group]))))
            except Exception as error:  # noqa: BLE001 - whoever waits is told
                self._each_alone(group, error)
        self._ready.put(None)

    def _still_allowed(self, group: list[Parcel]) -> list[Parcel]:
        revoked = self._revoked({parcel.key for parcel in group})
        if not revoked:
            return group
        _settle([parcel for parcel in group if parcel.key in revoked], Revoked())
        return [parcel for parcel in group if parcel.key not in revoked]

    def _commit_all(self) -> None:
        while (made := self._ready.get()) is not None:
            group, prepared = made
            try:
                self._commit(group, prepared)
            except Exception as error:  # noqa: BLE001 - whoever waits is told
                self._each_alone(group, error)
            else:
                _settle(group, None)

    def _commit(self, group: Sequence[Parcel], prepared: Prepared) -> None:
        began = time.perf_counter()
        refused = [item for parcel in group if parcel.taken.refused for item in parcel.rejects()]
        if refused:
            self._rejects.add(refused)
        if prepared.rows:
            self._number += 1
            appended = self._lake.append(prepared, Place(self._name, self._number))
            self._metrics.committed(appended.rows, appended.duplicates, time.perf_counter() - began)

    def _each_alone(self, group: Sequence[Parcel], error: Exception) -> None:
        """After a group met an error: if it was for want of something, they are told so; else one of them is bad."""
        if isinstance(error, UnavailableError):
            self._metrics.failed(error.code)
            _settle(group, error)
            return
        if len(group) == 1:
            _log.error("events could not be kept", exc_info=error)
            self._metrics.failed("bug")
            _settle(group, Failed())
            return
        for parcel in group:
            try:
                self._commit([parcel], self._lake.prepare(settled([parcel.taken])))
            except Exception as again:  # noqa: BLE001 - whoever waits is told
                self._each_alone([parcel], again)
            else:
                _settle([parcel], None)


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
