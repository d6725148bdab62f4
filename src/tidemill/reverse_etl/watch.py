"""How a run is told to stop, and tells how far it is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from tidemill.errors import Cancelled

_LOOKS_EVERY_SECONDS = 1.0
_PAUSE_SECONDS = 0.2
#: (what is done, rows done, rows in all)
Report = Callable[[str, int, int], None]


class Interrupted(Cancelled):
    """This process stops; another one goes on with the run."""


class Watch:
    """Of one run in this process. `asked` says whether somebody asked for it to be cancelled; it is asked once a
    second. `say`: is told what a person should know that did not ask for it."""

    def __init__(
        self, report: Report, stopping: Callable[[], bool] = lambda: False, say: Callable[[str], None] = lambda _: None
    ) -> None:
        self.report, self.say, self._stopping = report, say, stopping
        self.asked: Callable[[], bool] = lambda: False
        self._here: Callable[[], bool] = lambda: False
        self._lock, self._looked_at = threading.Lock(), 0.0
        self._cancelled = False

    def stop_when(self, here: Callable[[], bool]) -> None:
        """It is cancelled as soon as that is so."""
        self._here = here

    def of_another(self) -> Watch:
        """The same for another run: that the last one was cancelled by somebody else says nothing of it."""
        made = Watch(self.report, self._stopping, self.say)
        made.stop_when(self._here)
        return made

    def cancelled(self) -> bool:
        """Whether it is to stop, for whatever reason."""
        return self._stopping() or self._is_asked()

    def assert_goes_on(self) -> None:
        """Raise Interrupted, if this process stops: what failed may have failed by that."""
        if self._stopping():
            raise Interrupted(code="interrupted")

    def check(self) -> None:
        """Raise Interrupted or Cancelled, if it is to stop."""
        self.assert_goes_on()
        if self._is_asked():
            raise Cancelled(hint="What was delivered is remembered.")

    def sleep(self, seconds: float) -> None:
        """Wait; raises as `check` does."""
        end = time.monotonic() + seconds
        while True:
            self.check()
            left = end - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, _PAUSE_SECONDS))

    def _is_asked(self) -> bool:
        if self._here():
            return True
        with self._lock:
            if not self._cancelled and time.monotonic() - self._looked_at >= _LOOKS_EVERY_SECONDS:
                self._looked_at = time.monotonic()
                self._cancelled = self.asked()
            return self._cancelled
