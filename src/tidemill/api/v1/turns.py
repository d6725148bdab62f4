"""Turns: so many requests are answered at once: each takes a connection to the database, of which others need some.

Of these beside the quick ones, such as wait for others: for BigQuery, for a server, or for a worker. A caller has one
of those at a time. Nobody has a turn while an answer is sent: who reads it may be slow, or never read it.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Hashable

from fastapi import Depends, Request

from tidemill.api.v1.problems import ProblemError, problem

#: Quick ones at once, slow ones, and downloads that have begun.
QUICK, SLOW, DOWNLOADS = 4, 4, 16
#: So long a request waits for a slow turn.
WAIT_SECONDS = 10.0
#: In the scope of a request: its turn.
TURN = "tidemill.turn"
_AGAIN = {"retry-after": "5"}
_ONE_EACH = problem(
    429, "slow_calls_busy", "Another slow call of this token is not over.", "Send it again when that one is answered."
)
_BUSY = problem(503, "slow_calls_busy", "Many slow calls are being answered already.", "Send it again in a moment.")


class Turns:
    """Those of a process."""

    def __init__(self) -> None:
        self.quick, self.slow = asyncio.Semaphore(QUICK), asyncio.Semaphore(SLOW)
        self.downloads = 0
        self._own: weakref.WeakValueDictionary[Hashable, asyncio.Semaphore] = weakref.WeakValueDictionary()

    def own(self, caller: Hashable) -> asyncio.Semaphore:
        """The one slow turn of a caller."""
        found = self._own.get(caller)
        if found is None:
            found = self._own[caller] = asyncio.Semaphore(1)
        return found


class Turn:
    """That a request is one of those that are answered at once. `is_slow`: of its route that is known beforehand."""

    def __init__(self, turns: Turns) -> None:
        self._turns, self.is_slow = turns, False
        self._kinds = [turns.quick]
        self._held: list[asyncio.Semaphore] = []

    async def __aenter__(self) -> None:
        """Wait for it."""
        await self.again()

    async def __aexit__(self, *_: object) -> None:
        """It is another one's."""
        self.leave()

    @property
    def is_held(self) -> bool:
        """Whether this request has it."""
        return bool(self._held)

    def leave(self) -> None:
        """It is another one's: this request goes on without, and asks the database nothing more."""
        while self._held:
            self._held.pop().release()

    async def again(self) -> None:
        """Wait for the same, after it was left."""
        for kind in self._kinds:
            await kind.acquire()
            self._held.append(kind)

    async def slow_down(self, caller: Hashable = None) -> None:
        """This one waits for others: it is one of those that do, and quick ones need not wait for it. `caller`: who has
        one of those at a time; without one, it waits for as long as it takes.

        Raises
        ------
        ProblemError
            The caller has another one, or there are too many.
        """
        self.leave()
        self._kinds = [self._turns.slow] if caller is None else [self._turns.own(caller), self._turns.slow]
        if caller is None:
            await self.again()
            return
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self.again()
        except TimeoutError:
            found = _BUSY if self._held else _ONE_EACH
            self.leave()
            raise ProblemError(found, _AGAIN) from None


async def _slowly(request: Request) -> None:
    turn: Turn = request.scope[TURN]
    turn.is_slow = True


#: Of a route that waits for BigQuery, or for somebody else. It does so once it is known who asks (`access.caller`).
SLOWLY = Depends(_slowly)
