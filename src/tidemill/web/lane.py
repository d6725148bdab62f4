"""Threads of which nobody has all: of each user some things are at work at once, some wait for these, and no more."""

from __future__ import annotations

import asyncio
import concurrent.futures
import dataclasses
import functools
from collections.abc import Callable, Hashable
from typing import TypeVar

from tidemill.errors import ConflictError

T = TypeVar("T")


@dataclasses.dataclass(eq=False)
class _User:
    """`number`: things that are at work, or wait; `turns`: of those at work."""

    turns: asyncio.Semaphore
    number: int = 0


class Lane:
    """See the module. It is used by one event loop."""

    def __init__(self, threads: int, of_one: int, waiting: int, name: str = "lane") -> None:
        """Of one user `of_one` things are at work at once, and `waiting` more may wait. `name`: of the threads."""
        self._pool, self._free = concurrent.futures.ThreadPoolExecutor(threads, name), threads
        self._of_one, self._waiting = of_one, waiting
        self._users: dict[Hashable, _User] = {}

    async def run(self, user: Hashable, work: Callable[[], T], waits: Callable[[str], None] = lambda _: None) -> T:
        """Do it in a thread, when it is its turn; `waits` is told why that is not now. What has begun is done to its
        end, also if nobody waits for it any more.

        Raises
        ------
        ConflictError
            Too much of this user waits already.
        """
        mine = self._users.setdefault(user, _User(asyncio.Semaphore(self._of_one)))
        if mine.number >= self._of_one + self._waiting:
            raise ConflictError(
                "still_at_work",
                f"{mine.number} things that you began are still at work, or wait.",
                hint="Wait until one of them is done, and do this again.",
            )
        mine.number += 1
        if mine.number > self._of_one:
            waits("It begins when one of the things is done that you began before.")
        try:
            await mine.turns.acquire()
        except BaseException:
            self._left(user, mine)
            raise
        if self._free <= 0:
            waits("It begins when something is done that others have begun.")
        self._free -= 1
        loop, begun = asyncio.get_running_loop(), self._pool.submit(work)
        begun.add_done_callback(lambda _: _tell(loop, functools.partial(self._over, user, mine)))
        return await asyncio.wrap_future(begun)

    def _over(self, user: Hashable, mine: _User) -> None:
        self._free += 1
        mine.turns.release()
        self._left(user, mine)

    def _left(self, user: Hashable, mine: _User) -> None:
        mine.number -= 1
        if not mine.number:
            self._users.pop(user, None)


def _tell(loop: asyncio.AbstractEventLoop, what: Callable[[], None]) -> None:
    if not loop.is_closed():  # the process ends
        loop.call_soon_threadsafe(what)
