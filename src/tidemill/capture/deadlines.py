"""Deadlines that are all of the same length: the loop's own timers cost more than what most requests need besides."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Deadline:
    """One of them. `passed`: it was, before it was met."""

    __slots__ = ("_all", "late", "passed", "when")

    def __init__(self, when: float, late: Callable[[], object], others: dict[Deadline, None]) -> None:
        self.when, self.late, self.passed, self._all = when, late, False, others

    def met(self) -> None:
        """Nothing is to be done any more."""
        self._all.pop(self, None)


class Deadlines:
    """Those of one event loop at a time, and to be used by its thread; `seconds` each."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: dict[Deadline, None] = {}  # in the order of their time
        self._looking = False

    def add(self, late: Callable[[], object]) -> Deadline:
        """From now on; `late` is called if it is not met."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # the last one has ended, and with it its timers
            self._loop, self._waiting, self._looking = loop, {}, False
        deadline = Deadline(loop.time() + self.seconds, late, self._waiting)
        self._waiting[deadline] = None
        if not self._looking:
            self._looking = True
            loop.call_at(deadline.when, self._look, loop)
        return deadline

    def end_first(self) -> None:
        """As if the time of the first one that waits were over."""
        first = next(iter(self._waiting), None)
        if first is not None:
            first.met()
            first.passed = True
            first.late()

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        passed = []
        for deadline in self._waiting:
            if deadline.when > now:
                break
            passed.append(deadline)
        for deadline in passed:
            if self._waiting.pop(deadline, deadline) is None:  # else it was met by what another one did
                deadline.passed = True
                deadline.late()
        first = next(iter(self._waiting), None)
        self._looking = first is not None
        if first is not None:
            loop.call_at(first.when, self._look, loop)
