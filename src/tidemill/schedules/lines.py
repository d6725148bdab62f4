"""Lines that runs have told, as people look for them and follow them: the same of exports and of syncs."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import time
from collections.abc import Callable, Iterator
from typing import Any

from tidemill.errors import ConfigError
from tidemill.logbook import LEVELS
from tidemill.schedules import calendar, said
from tidemill.store.records import RunLine
from tidemill.store.run_lines import Wanted

_LOOKS_EVERY_SECONDS = 1.0
#: A line may come so much later than others that were told after it: each process keeps its own, a while later.
_LATE = dt.timedelta(seconds=60)
#: After a run is over, its last lines come within so many looks.
_LAST_LOOKS = 3


@dataclasses.dataclass(frozen=True)
class LineView:
    """A line. `run`: the short id of the run of an export that told it, or the number of that of a sync; None if it is
    of the export, between two runs.

    `fields`: numbers and ids; what they are is in their names: `rows`, `bytes`, `job`, `seconds` (since the step, or
    the run, began), `code` and `hint` (of an error), `tries`, `wait` (seconds until the next).
    """

    id: int
    at: dt.datetime
    run: str | None
    attempt: int | None
    level: str
    step: str
    message: str
    fields: dict[str, Any]
    process: str


@dataclasses.dataclass(frozen=True)
class Found:
    """How lines are looked for, and whether more may come."""

    look: Callable[[Wanted], list[RunLine]]
    is_over: Callable[[], bool]


def followed(found: Found, wanted: Wanted) -> Iterator[LineView]:
    """Lines as they come, until it is over."""
    known: set[int] = set()
    looks = _LAST_LOOKS
    while True:
        looks = looks - 1 if found.is_over() else _LAST_LOOKS  # asked first: what was told until then is found
        now = dt.datetime.now(dt.UTC)
        for line in found.look(wanted):
            if line.id not in known:
                known.add(line.id)
                yield view(line)
        if not looks:
            return
        wanted = dataclasses.replace(wanted, since=max(wanted.since or now - _LATE, now - _LATE), limit=_MOST)
        time.sleep(_LOOKS_EVERY_SECONDS)


_MOST = 10_000


def wanted(
    *,
    level: str | None = None,
    step: str | None = None,
    search: str | None = None,
    since: str | None = None,
    limit: int = 1_000,
) -> Wanted:
    """`level`: this, and what matters more; `since`: a time, or how long ago; `limit`: so many, the newest."""
    if level is not None and level not in LEVELS:
        raise ConfigError("log_level", f"{level!r} is no level.", hint=f"One of: {', '.join(LEVELS)}.")
    return Wanted(level or "debug", step, search, _moment(since) if since else None, limit)


def _moment(text: str) -> dt.datetime:
    """A time, or how long ago: ``15m``, ``2026-01-31T06:00``."""
    try:
        return dt.datetime.now(dt.UTC) - dt.timedelta(seconds=calendar.parse_seconds(text))
    except OverflowError:
        return dt.datetime.min.replace(tzinfo=dt.UTC)
    except ConfigError:
        found = None
    with contextlib.suppress(ConfigError):
        found = said.parse_moment(text, "UTC")
    if found is None:
        raise ConfigError("log_since", f"{text!r} is no time.", hint="Write 15m, 1d, or 2026-01-31T06:00.")
    return found


def view(line: RunLine) -> LineView:
    """A line of a run of an export."""
    return LineView(
        id=line.id,
        at=line.at,
        run=line.run_id.hex[:8] if line.run_id else None,
        attempt=line.attempt,
        level=line.level,
        step=line.step,
        message=line.message,
        fields=line.fields,
        process=line.process,
    )
