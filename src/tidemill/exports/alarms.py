"""What people are told of an export: why, what happens next by itself, and what they can do."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

from tidemill.errors import TidemillError
from tidemill.schedules import telling
from tidemill.schedules.calendar import Schedule
from tidemill.store.records_notify import Alarm, Cause

PASSES_WITHIN, OF_RUNS = telling.PASSES_WITHIN, telling.OF_RUNS
#: A stream that stands still is told after so long: it is tried again each minute.
STANDS_STILL = dt.timedelta(minutes=3)


def failed(name: str, error: TidemillError, again_at: dt.datetime, number: int, schedule: Schedule) -> Alarm:
    """A run of the schedule, for the `number`th time, so that somebody has to do something."""
    then = telling.until_pause(_again(again_at), number, schedule.pause_after)
    commands = (telling.command("export show", name), telling.command("export run", name))
    return Alarm(Cause.FAILED, error.code, error.message, error.hint, then, commands, _permission(error))


def waits(name: str, error: TidemillError, again_at: dt.datetime) -> Alarm:
    """A run of the schedule, for a reason that should pass by itself."""
    then = f"It should pass by itself. {_again(again_at)}"
    commands = (telling.command("export show", name), "tidemill doctor")
    return Alarm(Cause.FAILED, error.code, error.message, error.hint, then, commands, patience=PASSES_WITHIN)


def paused(name: str, error: TidemillError, failures: int) -> Alarm:
    """An export, after so many failures."""
    then = (
        "Nothing of it runs until somebody unpauses it, and its backfill is cancelled if there was one. "
        "What comes meanwhile is kept, and exported then."
    )
    message = f"It failed {failures} times. {error.message}"
    commands = (telling.command("export show", name), telling.command("export unpause", name))
    return Alarm(Cause.PAUSED, error.code, message, error.hint, then, commands, _permission(error))


def overdue(name: str, since: dt.datetime) -> Alarm:
    """Nobody has begun a run that was due then."""
    return Alarm(
        Cause.OVERDUE,
        "overdue",
        f"A run should have begun at {telling.at(since)}, and nobody has begun it.",
        telling.OVERDUE_HINT,
        "It begins when a worker is free. No interval is left out.",
        ("tidemill doctor", telling.command("export show", name)),
    )


def missing(name: str, start: dt.datetime, end: dt.datetime) -> Alarm:
    """No run was made of a span of time."""
    return Alarm(
        Cause.MISSING,
        "interval_missing",
        f"No run was made of {telling.at(start)} to {telling.at(end)}.",
        "This is a bug in Tidemill: please report it.",
        "The next run holds its rows.",
        (telling.command("export show", name), telling.command("export verify", name)),
    )


def rejects(name: str, rows: int, rejected: int, share: float, reasons: Sequence[tuple[str, int]]) -> Alarm | None:
    """Of so many rows that were to go in, some were set aside; None if that is not more than the share. `reasons`:
    codes, and of how many rows."""
    if not rejected or rejected <= share * rows:
        return None
    why = ", ".join(f"{count:,} with {code}" for code, count in reasons)
    said = f"{rejected:,} of {rows:,} rows were set aside: {telling.share_text(rejected / rows)}"
    most = f"more than {telling.share_text(share)}" if share else "and none should be"
    return Alarm(
        Cause.REJECTS,
        "rows_set_aside",
        f"{said}, {most}.{f' {why}.' if why else ''}",
        "Look at them and their reasons; what is mended can be sent again.",
        "They are kept, and are not in the table. Other rows go on.",
        (
            telling.command("export rejects list", name),
            telling.command("export rejects retry", name),
            f"{telling.command('export edit', name)} --reject-share 5%",
        ),
    )


def stream(name: str, trouble: Mapping[str, str]) -> Alarm:
    """A stream stands still."""
    return Alarm(
        Cause.STREAM,
        trouble["code"],
        trouble["message"],
        trouble["hint"],
        "It is tried again each minute. Events wait in the event store, and none is lost.",
        (telling.command("export show", name),),
        telling.permission(trouble["code"], trouble["message"]),
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
        ("tidemill doctor", telling.command("export stream", name)),
        patience=STANDS_STILL,
    )


def _again(again_at: dt.datetime) -> str:
    return f"It is tried again at {telling.at(again_at)}. The intervals behind it wait, and nothing is lost."


def _permission(error: TidemillError) -> str | None:
    return telling.permission(error.code, error.message)
