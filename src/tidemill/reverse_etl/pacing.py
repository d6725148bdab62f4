"""Keeps to what an account of a destination allows, together with all other workers."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Callable, Iterator
from typing import Protocol

from tidemill.destinations.port import Pace

#: So many calls are taken at once of what is allowed in a second, so that the database is asked some twenty times a
#: second, and not for each call.
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
        self._calls = self._rows = 0

    @contextlib.contextmanager
    def __call__(self, rows: int) -> Iterator[None]:
        """Hold a call of so many rows until it may be made."""
        with self._place():
            self._wait(rows)
            yield

    def hold(self, seconds: float) -> None:
        """The destination asked to wait: nobody calls for so long."""
        self._budget.hold(self._account, seconds)

    def _wait(self, rows: int) -> None:
        pace = self._pace
        if pace.calls is None and pace.rows is None:
            return
        while True:
            with self._lock:
                if self._calls >= 1 and (pace.rows is None or self._rows >= rows):
                    self._calls, self._rows = self._calls - 1, self._rows - rows
                    return
                calls, more = self._share(rows)
                wait = self._budget.take(
                    self._account,
                    calls=calls,
                    rows=more,
                    most_calls=pace.calls,
                    most_rows=pace.rows,
                    seconds=pace.seconds,
                )
                if not wait:
                    self._calls, self._rows = calls, max(more, rows)
                    continue
            self._sleep(min(wait, _LONGEST_SECONDS))

    def _share(self, rows: int) -> tuple[int, int]:
        """How many calls and rows are asked for at once, with this one."""
        pace = self._pace
        calls = max(1, int((pace.calls or 0) / pace.seconds / _ASKS_A_SECOND)) if pace.calls else _ASKS_A_SECOND
        if pace.rows is None:
            return calls, 0
        most = max(rows, int(pace.rows / pace.seconds / _ASKS_A_SECOND))
        return min(calls, max(1, most // max(rows, 1))), most

    @contextlib.contextmanager
    def _place(self) -> Iterator[None]:
        """One of the calls that the account may have at once."""
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
