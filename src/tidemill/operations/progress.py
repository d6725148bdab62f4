"""How far an operation is: told by whoever does it, in any thread, and written down now and then.

What is written: `what` is done at the moment; `done` and `total`, if there is a count; since when it was counted in
this try (`since`), with how many to begin with (`first`); `at`: when that was written; `places` (here: persons, events;
and tables), each with the `rows` that were changed or deleted, and the `error` if it could not be reached; `run`: the
number of that of a sync.
"""

from __future__ import annotations

import copy
import datetime as dt
import math
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from tidemill.errors import TidemillError

_WRITES_EVERY_SECONDS = 0.5
#: Places whose numbers are whole in each try; of tables each try deletes what those before have left.
_HERE = frozenset({"persons", "events"})


class Place(Protocol):
    """What was done to one place; see exports.erasure.Deleted."""

    @property
    def place(self) -> str:
        """A table; persons or events: here."""

    @property
    def rows(self) -> int:
        """How many were changed or deleted."""

    @property
    def error(self) -> TidemillError | None:
        """Why it could not be done yet."""


class Progress:
    """Of one try. `kept`: what tries before have written."""

    def __init__(self, kept: Mapping[str, Any], write: Callable[[dict[str, Any]], None]) -> None:
        self._told: dict[str, Any] = copy.deepcopy(dict(kept))
        self._before: dict[str, int] = {name: one["rows"] for name, one in self._told.get("places", {}).items()}
        self._now: dict[str, int] = {}
        self._write, self._lock, self._written_at = write, threading.Lock(), -math.inf
        for name in ("since", "first"):
            self._told.pop(name, None)

    @property
    def told(self) -> dict[str, Any]:
        """All of it, as it is written."""
        with self._lock:
            return copy.deepcopy(self._told)

    def report(self, what: str, done: int, total: int) -> None:
        """So much of what is counted is done; `total` 0: it is not known how many there are."""
        with self._lock:
            if self._told.get("what") != what or "since" not in self._told:
                self._told |= {"since": _now(), "first": done}
            self._told |= {"what": what, "done": done, "total": total or None}
        self._tell()

    def place(self, one: Place, whole: int | None = None) -> None:
        """Something was done to a place: that is written at once. `whole`: how many rows all tries have deleted there,
        if that was counted."""
        with self._lock:
            self._now[one.place] = self._now.get(one.place, 0) + one.rows
            before, now = self._before.get(one.place, 0), self._now[one.place]
            rows = max(before, now) if one.place in _HERE else before + now
            rows = rows if whole is None else whole
            self._written_at = -math.inf
            self._told.setdefault("places", {})[one.place] = {"rows": rows, "error": said(one.error)}
        self._tell()

    def run(self, number: int) -> None:
        """It is the run of that number."""
        with self._lock:
            self._told["run"] = number

    def _tell(self) -> None:
        with self._lock:
            if time.monotonic() - self._written_at < _WRITES_EVERY_SECONDS:
                return
            self._written_at = time.monotonic()
            self._told["at"] = _now()
            told = copy.deepcopy(self._told)
        self._write(told)


def said(error: TidemillError | None) -> dict[str, str] | None:
    """An error, as it is kept."""
    return {"code": error.code, "message": error.message, "hint": error.hint} if error is not None else None


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat()
