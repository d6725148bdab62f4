"""Joins the small files that commits leave, now and then, beside them."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from tidemill.errors import TidemillError
from tidemill.events import maintenance

if TYPE_CHECKING:
    from tidemill.events.lake import Lake

_log = logging.getLogger(__name__)
#: It is looked so often, and joined if there are so many; and each so many looks in any case: the smallest commits lie
#: in the catalog first, and make no files. Each so many looks, what processes that died have left is removed.
_EVERY_SECONDS, _FILES, _LOOKS, _SWEEPS = 15.0, 100, 40, 1440


class Tidying:
    """A thread that does it, from `start` to `stop`."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tidy", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, after what is being joined."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        looks = 0
        while not self._over.wait(_EVERY_SECONDS):
            if not self._lake.is_open:  # nothing was kept yet
                continue
            looks += 1
            self._tidy(_FILES if looks % _LOOKS else 0, sweep=not looks % _SWEEPS)

    def _tidy(self, many: int, *, sweep: bool) -> None:
        import duckdb  # takes memory, too

        try:
            maintenance.tidy(self._lake, many)
            if sweep:
                maintenance.sweep(self._lake)
        except (TidemillError, duckdb.Error) as error:  # another time; nobody waits for it
            _log.warning("small files were not joined: %s", error)
