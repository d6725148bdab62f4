"""Threads for what costs much and anybody may ask for: to look at a password takes a tenth of a second of a core.

A few are looked at at once, a few wait, and who comes then is told to come again; of one address at most half of them.
"""

from __future__ import annotations

import asyncio
import collections
import concurrent.futures
from collections.abc import Callable
from typing import TypeVar

from tidemill.errors import RetryableError

T = TypeVar("T")

BUSY = "sign_in_busy"
_AFTER_SECONDS = 5
_THREADS, _MOST, _OF_ONE = 2, 20, 10


class Turns:
    """See the module. It is used by one event loop."""

    def __init__(self) -> None:
        self._pool = concurrent.futures.ThreadPoolExecutor(_THREADS, "sign-in")
        self._all = 0
        self._of: collections.Counter[str] = collections.Counter()

    async def run(self, address: str, work: Callable[[], T]) -> T:
        """Do it in a thread, when it is its turn. It counts until it is done, also if nobody waits for it any more.

        Raises
        ------
        RetryableError
            Too much waits already.
        """
        if self._all >= _MOST or self._of[address] >= _OF_ONE:
            raise RetryableError(
                BUSY,
                "Too many people sign in at this moment.",
                hint=f"Try again in {_AFTER_SECONDS} seconds.",
                after=_AFTER_SECONDS,
            )
        self._all += 1
        self._of[address] += 1
        loop, begun = asyncio.get_running_loop(), self._pool.submit(work)
        begun.add_done_callback(lambda _: loop.is_closed() or loop.call_soon_threadsafe(self._over, address))
        return await asyncio.wrap_future(begun)

    def _over(self, address: str) -> None:
        self._all -= 1
        self._of[address] -= 1
        if not self._of[address]:
            del self._of[address]
