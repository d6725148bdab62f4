"""What people are told of an export: why, what happens next by itself, and what they can do."""

from __future__ import annotations

import datetime as dt
import re
import shlex
from collections.abc import Mapping, Sequence

from tidemill.errors import TidemillError
from tidemill.schedules.calendar import Schedule
from tidemill.store.records_notify import Alarm, Cause

#: What passes by itself is told if it has not, after so long.
PASSES_WITHIN = dt.timedelta(minutes=30)
#: A stream that stands still is told after so long: it is tried again each minute.
STANDS_STILL = dt.timedelta(minutes=3)
#: What keeps runs from being completed: all of it is over when one is.
OF_RUNS = (Cause.FAILED, Cause.PAUSED, Cause.OVERDUE)
_PERMISSION = re.compile(r"\b(?:bigquery|iam)\.[A-Za-z]+\.[A-Za-z]+\b")
_MISSING = "permission_missing"


def failed(name: str, error: TidemillError, again_at: dt.datetime, number: int, schedule: Schedule) -> Alarm:
    """A run of the schedule, for the `number`th time, so that somebody has to do something."""
    left = schedule.pause_after - number if schedule.pause_after is not None else None
    then = "It is paused now." if left is not None and left <= 0 else _again(again_at)
    if left is not None and left > 0:
        then += f" After {left} more {'failure' if left == 1 else 'failures'} it is paused."
    commands = (_command("export show", name), _command("export run", name))
    return Alarm(Cause.FAILED, error.code, error.message, error.hint, then, commands, _permission(error))


def waits(name: str, error: TidemillError, again_at: dt.datetime) -> Alarm:
    """A run of the schedule, for a reason that should pass by itself."""
    then = f"It should pass by itself. {_again(again_at)}"
    commands = (_command("export show", name), "tidemill doctor")
    return Alarm(Cause.FAILED, error.code, error.message, error.hint, then, commands, patience=PASSES_WITHIN)


def paused(name: str, error: TidemillError, failures: int) -> Alarm:
    """An export, after so many failures."""
    then = (
        "Nothing of it runs until somebody unpauses it, and its backfill is cancelled if there was one. "
        "What comes meanwhile is kept, and exported then."
    )
    message = f"It failed {failures} times. {error.message}"
    commands = (_command("export show", name), _command("export unpause", name))
    return Alarm(Cause.PAUSED, error.code, message, error.hint, then, commands, _permission(error))


def overdue(name: str, since: dt.datetime) -> Alarm:
    """Nobody has begun a run that was due then."""
    return Alarm(
        Cause.OVERDUE,
        "overdue",
        f"A run should have begun at {_at(since)}, and nobody has begun it.",
        "Look whether tidemill serve runs with the roles scheduler and worker, and at its log. If its workers have too "
        "much to do: more of them, or greater TIDEMILL_WORKER_RUNS and TIDEMILL_CONNECTION_RUNS.",
        "It begins when a worker is free. No interval is left out.",
        ("tidemill doctor", _command("export show", name)),
    )


def missing(name: str, start: dt.datetime, end: dt.datetime) -> Alarm:
    """No run was made of a span of time."""
    return Alarm(
        Cause.MISSING,
        "interval_missing",
        f"No run was made of {_at(start)} to {_at(end)}.",
        "This is a bug in Tidemill: please report it.",
        "The next run holds its rows.",
        (_command("export show", name), _command("export verify", name)),
    )


def rejects(name: str, rows: int, rejected: int, share: float, reasons: Sequence[tuple[str, int]]) -> Alarm | None:
    """Of so many rows that were to go in, some were set aside; None if that is not more than the share. `reasons`:
    codes, and of how many rows."""
    if not rejected or rejected <= share * rows:
        return None
    why = ", ".join(f"{count:,} with {code}" for code, count in reasons)
    said = f"{rejected:,} of {rows:,} rows were set aside: {share_text(rejected / rows)}"
    most = f"more than {share_text(share)}" if share else "and none should be"
    return Alarm(
        Cause.REJECTS,
        "rows_set_aside",
        f"{said}, {most}.{f' {why}.' if why else ''}",
        "Look at them and their reasons; what is mended can be sent again.",
        "They are kept, and are not in the table. Other rows go on.",
        (
            _command("export rejects list", name),
            _command("export rejects retry", name),
            f"{_command('export edit', name)} --reject-share 5%",
        ),
    )


def stream(name: str, trouble: Mapping[str, str]) -> Alarm:
    """A stream stands still."""
    found = _PERMISSION.search(trouble["message"]) if trouble["code"] == _MISSING else None
    return Alarm(
        Cause.STREAM,
        trouble["code"],
        trouble["message"],
        trouble["hint"],
        "It is tried again each minute. Events wait in the event store, and none is lost.",
        (_command("export show", name),),
        found[0] if found else None,
        STANDS_STILL,
    )


def unmoved(name: str) -> Alarm:
    """No process moves a stream that a server has moved before."""
    return Alarm(
        Cause.STREAM,
        "stream_not_moved",
        "No process moves the stream.",
        "Look whether tidemill serve runs with the role worker, and at its log.",
        "Events wait in the event store, and none is lost.",
        ("tidemill doctor", _command("export stream", name)),
        patience=STANDS_STILL,
    )


def share_text(share: float) -> str:
    """A share, in percent."""
    return f"{100 * share:.3g}%"


def _again(again_at: dt.datetime) -> str:
    return f"It is tried again at {_at(again_at)}. The intervals behind it wait, and nothing is lost."


def _at(moment: dt.datetime) -> str:
    return f"{moment.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC"


def _permission(error: TidemillError) -> str | None:
    found = _PERMISSION.search(error.message) if error.code == _MISSING else None
    return found[0] if found else None


def _command(words: str, name: str) -> str:
    return f"tidemill {words} {shlex.quote(name)}"
