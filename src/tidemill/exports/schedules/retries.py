"""What becomes of a task whose try has failed: by what the error says about what happens next."""

from __future__ import annotations

import dataclasses
import datetime as dt
import random

from tidemill.errors import RetryableError, TidemillError, UnavailableError
from tidemill.exports.dispatch import ELSEWHERE
from tidemill.schedules.calendar import Schedule
from tidemill.store.records import Task

#: Seconds until the second try of what may pass by itself; each time after twice that, up to a bound. A try of its own
#: waits for BigQuery already (TIDEMILL_RETRY_DEADLINE_SECONDS), so there is no hurry.
_FIRST_SECONDS, _MOST_SECONDS, _LONGEST_SECONDS = 5.0, 3600.0, 25 * 3600.0
#: What says that another process is at it: it is looked again soon.
ELSEWHERE_AFTER = dt.timedelta(seconds=15)
#: Without a calendar to go by.
_LASTING_SECONDS = 3600.0
#: The code of the error of a run that took too long.
TOOK_LONG = "run_took_long"
#: Workers that may end at a task before that counts as a failure of the export.
_DEATHS = 3


def killed(task: Task) -> TidemillError | None:
    """What is said of a task whose worker is gone, if that has happened again and again."""
    if task.tries < _DEATHS:
        return None
    return TidemillError(
        "worker_died",
        f"The process that ran it has ended {task.tries} times.",
        hint="It may need more memory than there is: look at the server's log.",
    )


@dataclasses.dataclass(frozen=True)
class Verdict:
    """When it is tried again; whether it counts as a failure of the export, for somebody has to do something; and how
    many tries count for what it waits the next time."""

    again_at: dt.datetime
    counts: bool
    tries: int


def judged(error: TidemillError, tries: int, schedule: Schedule, now: dt.datetime) -> Verdict:
    """Of an error in that try (1 is the first)."""
    if error.code in ELSEWHERE:
        return Verdict(now + ELSEWHERE_AFTER, counts=False, tries=tries - 1)
    if isinstance(error, RetryableError | UnavailableError) or error.code == TOOK_LONG:
        return Verdict(now + pause(error, tries), counts=error.code == TOOK_LONG, tries=tries)
    # It will not pass by itself: it is looked at again when the next interval ends, and those behind it wait.
    soon = schedule.end_after(now) or now + dt.timedelta(seconds=_LASTING_SECONDS)
    return Verdict(soon, counts=True, tries=0)


def pause(error: TidemillError, tries: int) -> dt.timedelta:
    """How long is waited after so many tries that ended by an error which passes."""
    seconds = min(_FIRST_SECONDS * 2 ** min(tries - 1, 20), _MOST_SECONDS) * random.uniform(0.5, 1)  # noqa: S311
    after = min(getattr(error, "after", None) or 0.0, _LONGEST_SECONDS)  # whoever asks for more is asked again
    return dt.timedelta(seconds=max(seconds, after))


def limit(schedule: Schedule, tries: int) -> dt.timedelta:
    """How long a run may take in that try: each time twice as long, for one that merges begins anew."""
    return schedule.run_limit * int(2 ** min(tries - 1, 10))
