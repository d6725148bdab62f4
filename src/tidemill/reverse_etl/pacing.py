"""Keeps to what an account of a destination allows, together with all other workers."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Callable, Iterator
from typing import Protocol

from tidemill.destinations.port import Pace

#: So much of what is allowed in a second is taken at once that the database is asked some twenty times in it, not for
#: each request.
_ASKS_A_SECOND = 20
_PAUSE_SECONDS, _LONGEST_SECONDS = 0.05, 5.0


class Budget(Protocol):
    """What is left of an account, for all workers. See store.paces."""

    def take(
        self, account: str, *, calls: int, rows: int, most_calls: int | None, most_rows: int | None, seconds: float
    ) -> float:
        """Seconds to wait; 0 if it was taken."""

    def hold(self, account: str, seconds: float) -> None:
        """Nobody calls for so long."""


#: Tries to hold a lock by a name that all processes see, and tells whether it is held.
Attempt = Callable[[str], contextlib.AbstractContextManager[bool]]


class Pacer:
    """Of one account, for one run. May be used by several threads."""

    def __init__(
        self, account: str, pace: Pace, budget: Budget, attempt: Attempt, sleep: Callable[[float], None]
    ) -> None:
        """`sleep` waits, and raises Cancelled when it is to stop."""
        self._account, self._pace, self._budget = account, pace, budget
        self._attempt, self._sleep = attempt, sleep
        self._lock = threading.Lock()
        self._stock = {"calls": 0, "rows": 0}

    @contextlib.contextmanager
    def __call__(self, rows: int) -> Iterator[None]:
        """Hold a batch of so many rows until it may be sent."""
        with self._place():
            self._take("rows", rows, self._pace.rows)
            yield

    def turn(self) -> None:
        """Hold a request until it may be made: a batch may take several."""
        self._take("calls", 1, self._pace.calls)

    def hold(self, seconds: float) -> None:
        """The destination asked to wait: nobody calls for so long."""
        self._budget.hold(self._account, seconds)

    def _take(self, what: str, number: int, most: int | None) -> None:
        """Wait until so many of what the account allows are ours."""
        pace = self._pace
        if most is None:
            return
        share = max(number, int(most / pace.seconds / _ASKS_A_SECOND))
        while True:
            with self._lock:
                if self._stock[what] >= number:
                    self._stock[what] -= number
                    return
                asked = {"calls": 0, "rows": 0, what: share}
                wait = self._budget.take(
                    self._account, most_calls=pace.calls, most_rows=pace.rows, seconds=pace.seconds, **asked
                )
                if not wait:
                    self._stock[what] += share
                    continue
            self._sleep(min(wait, _LONGEST_SECONDS))

    @contextlib.contextmanager
    def _place(self) -> Iterator[None]:
        """One of the batches that the account may have at once."""
        most = self._pace.at_once
        if most is None:
            yield
            return
        while True:
            first = random.randrange(most)  # noqa: S311 - so that not all ask for the same one
            for index in range(most):
                with self._attempt(f"call:{self._account}:{(first + index) % most}") as held:
                    if held:
                        yield
                        return
            self._sleep(_PAUSE_SECONDS)
