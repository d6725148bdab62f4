"""Keeps to what an account of a destination allows, together with all other workers."""

from __future__ import annotations

import contextlib
import dataclasses
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from tidemill.destinations.port import Pace

#: So much of what is allowed in a second is taken at once that the database is asked some twenty times in it, not for
#: each request.
_ASKS_A_SECOND = 20
_PAUSE_SECONDS, _LONGEST_SECONDS = 0.05, 5.0
#: Of what is allowed in a time, that share may come at once. The rest comes evenly, so that whichever stretch of that
#: length is looked at has no more than is allowed: a bucket that is full at first would else give twice of it.
_AT_ONCE = 0.1


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


@dataclasses.dataclass(frozen=True)
class Bucket:
    """A pace as a token bucket: so many calls and rows at most at once, filled again in so many seconds."""

    calls: int | None
    rows: int | None
    seconds: float

    @classmethod
    def of(cls, pace: Pace) -> Bucket:
        """That of a pace."""
        given = [most for most in (pace.calls, pace.rows) if most is not None]
        # Of a few there is no share of one: then one comes at once, and the others evenly.
        few = min(given, default=1) * _AT_ONCE < 1
        seconds = pace.seconds / min(given, default=1) if few else pace.seconds * _AT_ONCE / (1 - _AT_ONCE)
        share = 1 / min(given, default=1) if few else _AT_ONCE
        calls, rows = (None if most is None else max(1, int(most * share)) for most in (pace.calls, pace.rows))
        return cls(calls, rows, seconds)


class Pacer:
    """Of one account, for one run. May be used by several threads."""

    def __init__(
        self,
        account: str,
        pace: Pace,
        budget: Budget,
        attempt: Attempt,
        sleep: Callable[[float], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`sleep` waits, and raises Cancelled when it is to stop."""
        self._account, self._pace, self._budget = account, pace, budget
        self._attempt, self._sleep, self._clock = attempt, sleep, clock
        self._bucket = Bucket.of(pace)
        self._lanes = {
            name: Pacer(f"{account}/{name}", of_lane, budget, attempt, sleep, clock)
            for name, of_lane in pace.lanes.items()
        }
        self._lock = threading.Lock()
        self._stock = {"calls": 0, "rows": 0}
        self._asks_at = 0.0

    @contextlib.contextmanager
    def __call__(self, rows: int) -> Iterator[None]:
        """Hold a batch of so many rows until it may be sent."""
        with self._place():
            self._take("rows", rows, self._bucket.rows)
            yield

    def turn(self, lane: str = "") -> None:
        """Hold a request until it may be made: a batch may take several. `lane`: of those that are counted apart."""
        pacer = self._lanes.get(lane, self)
        pacer._take("calls", 1, pacer._bucket.calls)

    def hold(self, seconds: float) -> None:
        """The destination asked to wait: nobody calls for so long, whatever was taken before."""
        with self._lock:
            self._stock = {"calls": 0, "rows": 0}
            self._asks_at = 0.0
            self._budget.hold(self._account, seconds)
        for pacer in self._lanes.values():
            pacer.hold(seconds)

    def _take(self, what: str, number: int, most: int | None) -> None:
        """Wait until so many of what the account allows are ours, and the destination wants to be called. More than
        there can be at once are taken one bucket after the other."""
        while True:
            with self._lock:
                part = number if most is None else min(number, most)
                wait = self._free() if most is None else self._taken(what, part, most)
            if wait:
                self._sleep(min(wait, _LONGEST_SECONDS))
                continue
            number -= part
            if number <= 0:
                return

    def _taken(self, what: str, number: int, most: int) -> float:
        """Take so many of the stock, which is filled if it must be. Gives the seconds to wait; 0 if they were taken."""
        if self._stock[what] < number:
            share = max(number, min(most, round(most / self._bucket.seconds / _ASKS_A_SECOND)))
            wait = self._asked({"calls": 0, "rows": 0, what: share})
            if wait:
                return wait
            self._stock[what] += share
        self._stock[what] -= number
        return 0.0

    def _free(self) -> float:
        """Seconds to wait for a destination that allows any number: it may have asked another worker for peace. That is
        looked up some times a second, too."""
        now = self._clock()
        if now < self._asks_at:
            return 0.0
        wait = self._asked({"calls": 0, "rows": 0})
        if not wait:
            self._asks_at = now + 1 / _ASKS_A_SECOND
        return wait

    def _asked(self, wanted: Mapping[str, int]) -> float:
        bucket = self._bucket
        return self._budget.take(
            self._account, most_calls=bucket.calls, most_rows=bucket.rows, seconds=bucket.seconds, **wanted
        )

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
