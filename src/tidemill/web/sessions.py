"""Who is signed in: looked up by the cookie, and remembered for a moment, so that files of a page cost one look."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

#: A session that was ended elsewhere (another device, an administrator) is let in for so long at most.
_REMEMBERED_SECONDS, _MOST = 2.0, 10_000


class Sessions:
    """`look` finds the session of a text, or nothing."""

    def __init__(self, look: Callable[[str], Any], clock: Callable[[], float] = time.monotonic) -> None:
        self._look, self._clock = look, clock
        self._known: dict[str, tuple[float, Any]] = {}
        self._guard = threading.Lock()

    def remembered(self, text: str) -> Any:
        """The session, if it was looked up a moment ago; None if not."""
        with self._guard:
            found = self._known.get(text)
        return found[1] if found is not None and self._clock() - found[0] < _REMEMBERED_SECONDS else None

    def find(self, text: str) -> Any:
        """The session, if it is one; it may take a look into the database."""
        if not text:
            return None
        session = self.remembered(text)
        if session is None and (session := self._look(text)) is not None:
            with self._guard:
                if len(self._known) >= _MOST:
                    self._known.clear()
                self._known[text] = (self._clock(), session)
        return session

    def forget(self, text: str) -> None:
        """It was ended here."""
        with self._guard:
            self._known.pop(text, None)
