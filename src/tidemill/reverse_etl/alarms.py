"""What people are told of a sync: why, what happens next by itself, and what they can do."""

from __future__ import annotations

import datetime as dt
import statistics
from collections.abc import Mapping, Sequence

from tidemill.schedules import telling
from tidemill.store.records_notify import Alarm, Cause

#: Runs of which the rows are held against those of a new one; and how many there are to be at least: the first run
#: delivers all rows.
RUNS, LEAST_RUNS = 10, 5
#: Most reasons that are told of rows that were refused.
_REASONS = 3
_KEPT = "What was not delivered comes with the next run."


def failed(
    sync: telling.About, error: Mapping[str, str], again_at: dt.datetime | None, number: int, pause_after: int | None
) -> Alarm:
    """A run by itself, for the `number`th time in a row, so that somebody has to do something."""
    then = telling.until_pause(f"{_again(again_at)} {_KEPT}", number, pause_after)
    commands = (telling.of(sync, "show"), telling.of(sync, "run"))
    return _of_error(Cause.FAILED, error, then, commands)


def waits(sync: telling.About, error: Mapping[str, str], again_at: dt.datetime) -> Alarm:
    """A run by itself, for a reason that should pass."""
    then = f"It should pass by itself. {_again(again_at)} {_KEPT}"
    commands = (telling.of(sync, "show"), "tidemill doctor")
    return _of_error(Cause.FAILED, error, then, commands, telling.PASSES_WITHIN)


def paused(sync: telling.About, error: Mapping[str, str] | None, failures: int) -> Alarm:
    """A sync, after so many failures in a row."""
    said = dict(error or {})
    said["message"] = f"It failed {telling.times(failures)}. {said.get('message', '')}".strip()
    then = "It does not run by itself until somebody unpauses it. What changes meanwhile is delivered then."
    commands = (telling.of(sync, "show"), telling.of(sync, "unpause"))
    return _of_error(Cause.PAUSED, said, then, commands)


def model_changed(sync: telling.About, error: Mapping[str, str]) -> Alarm:
    """A sync was paused, for its model is not what it was any more."""
    then = "It does not run until somebody unpauses it. Nothing was sent of what changed."
    commands = (telling.of(sync, "show"), telling.of(sync, "unpause"))
    return _of_error(Cause.PAUSED, error, then, commands)


def _of_error(
    cause: Cause,
    error: Mapping[str, str],
    then: str,
    commands: tuple[str, ...],
    patience: dt.timedelta = dt.timedelta(),
) -> Alarm:
    code, message = error.get("code", ""), error.get("message", "")
    permission = telling.permission(code, message)
    return Alarm(cause, code, message, error.get("hint", ""), then, commands, permission, patience)


def overdue(sync: telling.About, since: dt.datetime) -> Alarm:
    """Nobody has begun a run that was due then."""
    return Alarm(
        Cause.OVERDUE,
        "overdue",
        f"A run should have begun at {telling.at(since)}, and nobody has begun it.",
        telling.OVERDUE_HINT,
        "It begins when a worker is free. Nothing is left out.",
        ("tidemill doctor", telling.of(sync, "show")),
    )


def rejects(sync: telling.About, rows: int, share: float, reasons: Sequence[tuple[str, str, int]]) -> Alarm | None:
    """Of so many rows that were to be delivered for the first time, some were refused; None if that is not more than
    the share. `reasons`: codes, each with a message and how many rows."""
    refused = sum(number for *_, number in reasons)
    if not refused or refused <= share * rows:
        return None
    why = " ".join(f"{number:,} with {code}: {_sentence(said)}" for code, said, number in reasons[:_REASONS])
    most = f"more than {telling.share_text(share)}" if share else "and none should be"
    return Alarm(
        Cause.REJECTS,
        "rows_refused",
        f"{refused:,} of {rows:,} rows were refused: {telling.share_text(refused / rows)}, {most}. {why}",
        "Look at them and their reasons. Mend them in the model or the mapping, or what the destination does not take.",
        "They are not delivered. Each comes again with the next run, as it is then. Other rows go on.",
        (
            telling.of(sync, "rejects list"),
            telling.of(sync, "rejects retry"),
            f"{telling.of(sync, 'edit')} --reject-share 5%",
        ),
    )


def deviation(sync: telling.About, rows: int, usual: Sequence[int], share: float) -> Alarm | None:
    """A run had so many rows to deliver; None if that is not further from the median of the last ones than the share of
    it, or if they are too few to say."""
    if len(usual) < LEAST_RUNS:
        return None
    median = statistics.median(usual)
    if abs(rows - median) <= share * median:
        return None
    found = f"The run had {rows:,} rows to deliver. The median of the last {len(usual)} runs is {median:,.10g}"
    by = f": {telling.share_text(abs(rows - median) / median)} {'more' if rows > median else 'less'}" if median else ""
    return Alarm(
        Cause.DEVIATION,
        "rows_unusual",
        f"{found}{by}, and more than {telling.share_text(share)} is told.",
        "Look whether the model gives what it should: a table may be empty, loaded twice, or changed as a whole.",
        "The rows are delivered. The next run is held against the last ones again.",
        (
            telling.of(sync, "runs"),
            telling.of(sync, "preview"),
            f"{telling.of(sync, 'edit')} --deviation none",
        ),
    )


def _again(again_at: dt.datetime | None) -> str:
    return f"It is run again at {telling.at(again_at)}." if again_at else "It is not run again by itself."


def _sentence(said: str) -> str:
    return said if said.endswith((".", "!", "?")) else f"{said}."
