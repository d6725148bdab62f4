"""What is said in the same words of all that runs by itself, when people are told that something is wrong with it."""

from __future__ import annotations

import datetime as dt
import re
import shlex
from collections.abc import Sequence
from typing import Protocol

from tidemill.store.records_notify import Cause

#: What passes by itself is told if it has not, after so long.
PASSES_WITHIN = dt.timedelta(minutes=30)
#: What was due so long ago, and is not begun, is told: twice of what `doctor` allows, for a server may be restarted.
LATE = dt.timedelta(minutes=10)
#: What keeps runs from being completed: all of it is over when one is.
OF_RUNS = (Cause.FAILED, Cause.PAUSED, Cause.OVERDUE)
OVERDUE_HINT = (
    "Look whether tidemill serve runs with the roles scheduler and worker, and at its log. If its workers have too "
    "much to do: more of them, or greater TIDEMILL_WORKER_RUNS and TIDEMILL_CONNECTION_RUNS."
)
_PERMISSION = re.compile(r"\b(?:bigquery|iam)\.[A-Za-z]+\.[A-Za-z]+\b")
_MISSING = "permission_missing"


class About(Protocol):
    """Something that runs by itself: its name, and the group of commands that are about it."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def group(self) -> str:
        """sync, import."""


def permission(code: str, message: str) -> str | None:
    """The permission that an error says is missing."""
    found = _PERMISSION.search(message) if code == _MISSING else None
    return found[0] if found else None


def until_pause(then: str, number: int, pause_after: int | None) -> str:
    """What happens next, after so many failures."""
    left = pause_after - number if pause_after is not None else None
    if left is None:
        return then
    if left <= 0:
        return "It is paused now."
    return f"{then} After {left} more {'failure' if left == 1 else 'failures'} it is paused."


def times(number: int) -> str:
    """How often."""
    return "once" if number == 1 else f"{number} times"


def share_text(share: float) -> str:
    """A share, in percent."""
    return f"{100 * share:.3g}%"


def at(moment: dt.datetime) -> str:
    """A moment, as people read it."""
    return f"{moment.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC"


def command(words: str, name: str) -> str:
    """A command about something of that name."""
    return f"tidemill {words} {shlex.quote(name)}"


def of(about: About, words: str) -> str:
    """A command about it, of its group."""
    return command(f"{about.group} {words}", about.name)


def commands(words: str, names: Sequence[str]) -> str:
    """Commands about things of these names: the first three, and that there are more."""
    return ", ".join(command(words, name) for name in names[:3]) + (", …" if len(names) > 3 else "")
