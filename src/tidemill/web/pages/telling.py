"""What long work tells while it is at it: services call from their threads, and the page shows it at once."""

from __future__ import annotations

import asyncio
import time

from markupsafe import Markup

from tidemill.reverse_etl.service import Watch
from tidemill.web import marks
from tidemill.web.region import Region


class Progress:
    """How far a service is that reports to a Watch. Stopping is asked for by `stop`."""

    def __init__(self) -> None:
        self._loop, self._began, self._stopped = asyncio.get_running_loop(), time.monotonic(), False
        self._region = Region().props('role="status" aria-live="polite"')
        self.watch = Watch(self._reported, lambda: self._stopped)
        self._show("Beginning", 0, 0)

    def stop(self) -> None:
        """Have it end as soon as it can."""
        self._stopped = True

    def end(self) -> None:
        """It is over."""
        if not self._region.is_deleted:
            self._region.show("")

    def _reported(self, what: str, done: int, total: int) -> None:
        self._loop.call_soon_threadsafe(self._show, what, done, total)

    def _show(self, what: str, done: int, total: int) -> None:
        if self._region.is_deleted:
            return
        took = time.monotonic() - self._began
        rate = done / took if done and took > 1 else None
        self._region.show(
            Markup("<p>{}</p>{}").format(what, marks.progress(done, total or None, rate=rate))
            if total or done
            else Markup('<p><span class="spinner"></span> {} …</p>').format(what[:1].upper() + what[1:])
        )
