"""Who may send: keys as this process knows them, and how much each has sent lately."""

from __future__ import annotations

import asyncio
import dataclasses
import time
import uuid
from collections.abc import Callable
from typing import Any

from tidemill.bearer import KEY, digest

#: How long a key is believed to be good, and an unknown text to be none. That a key was revoked is seen with each
#: commit, so nothing that it sends is taken meanwhile; and a key may have been made just now.
_KNOWN_SECONDS, _UNKNOWN_SECONDS = 60.0, 1.0
_MOST_UNKNOWN = 10_000
#: What is sent beyond the rate is to be waited for so long at most: a key in a page is anybody's.
_DEBT_SECONDS = 10.0


@dataclasses.dataclass(slots=True)
class Holder:
    """A key that may send. `team_id`: of its events; `rate`: events a second, None for any number."""

    id: uuid.UUID
    team_id: int
    rate: float | None
    until: float
    left: float = 0.0
    counted_at: float = 0.0

    def wait(self, events: int, now: float) -> int:
        """Count so many events. If they are more than it may send: the seconds until it may send again, else 0.

        It may save up what it may send in two seconds, and then send any number at once, if it pays for that after.
        """
        if self.rate is None:
            return 0
        self.left = min(2 * self.rate, self.left + (now - self.counted_at) * self.rate)
        self.counted_at = now
        if self.left <= 0:
            return max(1, round(-self.left / self.rate + 0.5))
        self.left = max(self.left - events, -_DEBT_SECONDS * self.rate)
        return 0


class Keyring:
    """See the module."""

    def __init__(self, find: Callable[[bytes], Any], processes: int) -> None:
        """`find`: the key with a hash, or None. `processes`: of this server; each grants its part of a rate."""
        self._find, self._processes = find, processes
        self._known: dict[bytes, Holder] = {}
        self._unknown: dict[bytes, float] = {}

    async def holder(self, key: str) -> Holder | None:
        """The holder of this key; None if it is none.

        Raises
        ------
        UnavailableError
            The database does not answer.
        """
        if not KEY.looks_like(key):
            return None
        hashed, now = digest(key), time.monotonic()
        known = self._known.get(hashed)
        if known is not None and now < known.until:
            return known
        if now < self._unknown.get(hashed, 0.0):
            return None
        found = await asyncio.to_thread(self._find, hashed)
        if found is None:
            self._known.pop(hashed, None)
            if len(self._unknown) >= _MOST_UNKNOWN:
                self._unknown.clear()
            self._unknown[hashed] = now + _UNKNOWN_SECONDS
            return None
        if known is None:
            known = Holder(found.id, found.team_id, None, 0.0, counted_at=now)
            self._known[hashed] = known
            known.left = 2.0 * (found.events_per_second or 0) / self._processes
        known.rate = found.events_per_second / self._processes if found.events_per_second else None
        known.until = now + _KNOWN_SECONDS
        return known

    def forget(self, key_id: uuid.UUID) -> None:
        """It was revoked."""
        self._known = {hashed: holder for hashed, holder in self._known.items() if holder.id != key_id}
