"""How all stands: what runs, what failed, how fresh tables are, how much went, and what needs a decision."""

from __future__ import annotations

import dataclasses
import datetime as dt
import threading
from collections.abc import Callable
from typing import Any

from tidemill.store.overview import Overview as Repository

_HOUR = dt.timedelta(hours=1)
#: A run that ended at the end of an hour is written down some moments later.
_SETTLED = dt.timedelta(minutes=5)


@dataclasses.dataclass(frozen=True)
class Running:
    """A run at work. `kind`: export, stream, sync, import; `planned`: None if it is not known."""

    name: str
    kind: str
    id: str
    number: int
    planned: int | None
    done: int
    since: dt.datetime


@dataclasses.dataclass(frozen=True)
class Failed:
    """An export or a sync whose last run failed."""

    name: str
    kind: str
    id: str | None
    at: dt.datetime | None
    code: str | None
    message: str | None
    hint: str | None


@dataclasses.dataclass(frozen=True)
class Fresh:
    """A table. `covered_until`: all that was acknowledged before is in it; None: nothing is yet."""

    name: str
    table: str
    connection: str
    mode: str | None
    status: str
    covered_until: dt.datetime | None
    rows: int | None
    paused: bool


@dataclasses.dataclass(frozen=True)
class Decision:
    """Something that somebody has to decide, as it does not pass by itself."""

    name: str
    kind: str
    cause: str
    since: dt.datetime
    message: str
    hint: str


@dataclasses.dataclass(frozen=True)
class Hour:
    """Rows that went in the hour that begins then."""

    start: dt.datetime
    exported: int
    delivered: int


@dataclasses.dataclass(frozen=True)
class State:
    """All of it; the lists hold the first few. `counts`: of connections, exports, syncs, imports, keys, loads, and of
    what is queued, set_aside, not_delivered, failed."""

    counts: dict[str, int]
    running: tuple[Running, ...]
    failed: tuple[Failed, ...]
    fresh: tuple[Fresh, ...]
    decisions: tuple[Decision, ...]
    hours: tuple[Hour, ...]

    @property
    def is_empty(self) -> bool:
        """Whether nothing was begun here yet."""
        return not any(self.counts[what] for what in ("connections", "exports", "syncs", "imports", "keys", "loads"))


class OverviewService:
    """See the module. Hours that are over are asked for once."""

    def __init__(
        self, repository: Repository, now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC)
    ) -> None:
        self._repository, self._now = repository, now
        self._known: dict[dt.datetime, tuple[int, int]] = {}
        self._guard = threading.Lock()

    def look(self, *, most: int = 8, hours: int = 24) -> State:
        """How all stands now; `most`: of each list; `hours`: up to now."""
        found = self._repository
        return State(
            found.counts(),
            tuple(Running(**row) for row in found.running(most)),
            tuple(Failed(**row) for row in found.failed(most)),
            tuple(Fresh(**row) for row in found.freshness(most)),
            tuple(map(_decision, found.troubles(most))),
            tuple(self._hours(hours)),
        )

    def _hours(self, number: int) -> list[Hour]:
        now = self._now()
        here = now.replace(minute=0, second=0, microsecond=0)
        wanted = [here - _HOUR * back for back in reversed(range(number))]
        with self._guard:
            missing = [hour for hour in wanted if hour not in self._known]
        sums: dict[dt.datetime, dict[str, int]] = {hour: {} for hour in missing}
        if missing:
            for row in self._repository.rows_by_hour(missing[0], here + _HOUR):
                sums.setdefault(row["hour"], {})[row["kind"]] = row["rows"]
        fresh = {hour: (found.get("exported", 0), found.get("delivered", 0)) for hour, found in sums.items()}
        with self._guard:
            self._known = {hour: value for hour, value in self._known.items() if hour >= wanted[0]}
            self._known |= {hour: value for hour, value in fresh.items() if hour + _HOUR + _SETTLED <= now}
            known = self._known | fresh
        return [Hour(hour, *known.get(hour, (0, 0))) for hour in wanted]


def _decision(row: dict[str, Any]) -> Decision:
    facts = row["facts"] or {}
    return Decision(
        row["name"], row["kind"], row["cause"], row["since"], str(facts.get("message", "")), str(facts.get("hint", ""))
    )
