"""Does what is in the queues: takes something, sees that its run is completed, and takes the next.

What a worker has is known by its name, and whether that lives. If it is gone, another one takes what it had over; a run
that it had begun goes on at its last finished step.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from tidemill.engine.port import Engine
from tidemill.errors import TidemillError, UnavailableError
from tidemill.settings import Settings
from tidemill.store.postgres import open_postgres

_log = logging.getLogger(__name__)
#: How often is looked for what is due; and for that of workers that are gone.
_LOOKS_EVERY_SECONDS, _MISSES_EVERY_SECONDS = 1.0, 5.0
#: While it is at work: a look at a long queue costs the database as much as a small run does, and may bring several.
_LOOKS_AT_WORK_EVERY_SECONDS, _ENDS_TOGETHER_SECONDS = 0.2, 0.02
_STOPS_WITHIN_SECONDS, _PRUNES_EVERY_SECONDS = 0.1, 60.0
#: The code of the error of a worker that is known as dead.
LOST = "worker_lost"

Item = TypeVar("Item")


class Queue(Protocol[Item]):
    """What workers do: intervals of schedules, or of backfills."""

    def any_due(self) -> bool:
        """Whether there may be something to take."""

    @property
    def leaves(self) -> int:
        """How many of a worker's places are left to others, if it has more than that."""

    def take(self, worker: str, limit: int) -> Sequence[Item]:
        """Have that worker take up to so many."""

    def perform(self, item: Item) -> None:
        """Do it, and write down what became of it. Raises nothing."""

    def workers(self) -> list[str]:
        """Who has some."""

    def abandon(self, worker: str) -> int:
        """What a dead worker had is for anybody. Gives how many that were."""

    def release(self, worker: str, at_work: Sequence[Item]) -> None:
        """What a worker has, and is not at work on, is for anybody."""


class Worker:
    """See the module. One a process."""

    def __init__(self, settings: Settings, engine: Engine, queues: Sequence[Queue[Any]]) -> None:
        """`queues`: the first comes first."""
        self._settings, self._engine, self._queues = settings, engine, queues
        self._active: dict[threading.Thread, tuple[Queue[Any], Any]] = {}
        self._missed_at, self._pruned_at = 0.0, 0.0
        self._launched = self._more = False
        self._full: set[int] = set()  # queues that gave as much as there was room for: they have more, most likely
        #: Whether it begins nothing more.
        self.stopping = False
        self._ended = threading.Event()

    def run(self, stopping: Callable[[], bool]) -> None:
        """Take what is due until it is told to stop, and wait for what it has begun.

        Raises
        ------
        UnavailableError
            This worker is known as dead: another process is to take its place.
        """
        while not stopping():
            try:
                self.look()
            except UnavailableError as error:
                if error.code == LOST:
                    raise
                _log.warning("the queue waits: %s %s", error.message, error.hint)
                with contextlib.suppress(TidemillError):  # the embedded one is begun again, if it was killed
                    open_postgres(self._settings)
            self._wait(stopping)
        self.stopping = True
        self.drain()

    def _wait(self, stopping: Callable[[], bool]) -> None:
        """Until the next look: soon when something that it did is over, and there may be more to do."""
        began = time.monotonic()
        end = began + _LOOKS_EVERY_SECONDS
        while not stopping() and (left := end - time.monotonic()) > 0:
            pause = min(left, _STOPS_WITHIN_SECONDS)
            early = began + _LOOKS_AT_WORK_EVERY_SECONDS - time.monotonic()
            if not self._more:
                time.sleep(pause)
            elif self._active and early > 0:
                if self._ended.wait(min(pause, early)):
                    time.sleep(min(_ENDS_TOGETHER_SECONDS, early))
            elif self._ended.wait(pause):
                return

    def drain(self) -> None:
        """Wait for what it has begun."""
        for thread in list(self._active):
            thread.join()

    def look(self) -> int:
        """Take what is due and begin it, as far as there is room. Gives how many that were."""
        if time.monotonic() - self._missed_at >= _MISSES_EVERY_SECONDS:
            self._missed_at = time.monotonic()
            self._assert_alive()
            self._take_over()
        if self._launched and time.monotonic() - self._pruned_at >= _PRUNES_EVERY_SECONDS:
            self._pruned_at = time.monotonic()
            self._engine.prune()
        self._ended.clear()
        due = [queue for queue in self._queues if id(queue) in self._full or queue.any_due()]
        self._more = bool(due)
        return sum(self._take(queue) for queue in due)

    def _take(self, queue: Queue[Any]) -> int:
        places = self._settings.worker_runs
        room = min(places - len(self._active), max(1, places - queue.leaves) - len(self._at_work(queue)))
        if room <= 0:
            return 0
        self._engine.launch()
        self._launched = True
        taken = queue.take(self._engine.worker, room)
        (self._full.add if len(taken) == room else self._full.discard)(id(queue))
        for item in taken:
            thread = threading.Thread(target=self._perform, args=(queue, item), daemon=True)
            self._active[thread] = (queue, item)
            thread.start()
        return len(taken)

    def _at_work(self, queue: Queue[Any]) -> list[Any]:
        return [item for whose, item in list(self._active.values()) if whose is queue]

    def _perform(self, queue: Queue[Any], item: Any) -> None:
        try:
            queue.perform(item)
        finally:
            self._active.pop(threading.current_thread(), None)
            self._ended.set()

    def _assert_alive(self) -> None:
        if self._launched and not self._engine.alive(self._engine.worker):
            raise UnavailableError(LOST, "This worker has lost its session of the database.")

    def _take_over(self) -> None:
        """What dead workers had is for anybody."""
        for queue in self._queues:
            for worker in queue.workers():
                if worker == self._engine.worker:
                    queue.release(worker, self._at_work(queue))
                elif self._engine.bury(worker):
                    _log.warning("worker %s is gone; what it had (%d) is taken over", worker[:8], queue.abandon(worker))
