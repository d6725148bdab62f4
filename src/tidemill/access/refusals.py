"""How many refused sign-ins are written into the audit log: whoever guesses passwords does not fill it."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Mapping

#: In an hour so many of one address, and so many of all.
OF_ONE, OF_ALL = 20, 1_000
_HOUR = 3_600.0


@dataclasses.dataclass
class _Address:
    """`left_out`: how many were not written since the last one that was."""

    written: int = 0
    left_out: int = 0


class Refusals:
    """Counts those of one process. `clock`: seconds, from whenever."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._guard = clock, threading.Lock()
        self._since, self._written = clock(), 0
        self._addresses: dict[str, _Address] = {}

    def add(self, address: str) -> Mapping[str, str] | None:
        """What the record of one more says besides; None: none is written."""
        with self._guard:
            if self._clock() - self._since >= _HOUR:
                self._since, self._written = self._clock(), 0
                left_out = {name: one.left_out for name, one in self._addresses.items() if one.left_out}
                self._addresses = {name: _Address(left_out=number) for name, number in left_out.items()}
            found = self._addresses.get(address)
            if self._written >= OF_ALL or (found is not None and found.written >= OF_ONE):
                if found is not None:
                    found.left_out += 1
                return None
            found = self._addresses.setdefault(address, _Address())
            found.written += 1
            self._written += 1
            before, found.left_out = found.left_out, 0
            told = {"not_written": f"{before:,} more of this address, before"} if before else {}
            if found.written == OF_ONE:
                told["more"] = "Further ones of this address are not written within the hour."
            return told
