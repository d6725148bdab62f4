"""`tidemill export backfill`: a range of event time, exported again without a double."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import typer

from tidemill.cli import output, progress, runs_view, session
from tidemill.cli.groups import StartGroup

if TYPE_CHECKING:
    from tidemill.app import App
    from tidemill.exports.backfill import BackfillView
    from tidemill.exports.estimate import Estimate
    from tidemill.exports.service import ExportService

app = typer.Typer(
    cls=StartGroup,
    no_args_is_help=True,
    help="Export a range of time again (tidemill export backfill NAME --from …); list, show, pause, resume, cancel it.",
)

_NAME = typer.Argument(help="Name of the export.")
_PARALLEL = typer.Option(2, min=1, max=64, help="How many intervals at once.")
_BACKGROUND = typer.Option(False, "--background", help="Have the workers of `tidemill serve` do it; do not wait.")
_MOST_HERE = 8
#: Exit codes by how it ended; another process may have paused or cancelled it, or may move it now.
_CODES = {"completed": 0, "failed": 1, "interrupted": 1, "running": 5, "paused": 130, "cancelled": 130}


@app.command("start", epilog="Example: tidemill export backfill daily --from 2026-01-01 --to 2026-02-01 --every day")
def start(
    name: str = _NAME,
    time_from: str = typer.Option(..., "--from", help="Where it begins: a date, a time, or earliest."),
    time_to: str = typer.Option(None, "--to", help="Before what it ends. Default: nowhere."),
    every: str = typer.Option(None, help="Size of the intervals, each a run. Default: the export's interval."),
    parallel: int = _PARALLEL,
    background: bool = _BACKGROUND,
    estimate: bool = typer.Option(False, "--estimate", help="Say what it would move, and stop."),
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Export rows of that event time again: what the table lacks is added, nothing comes twice.

    Ctrl-C pauses: intervals that run are cancelled, and begun again by `resume`.

    Times are UTC unless they say otherwise; with intervals of a day or a week they are dates. --to is not included.
    """
    _assert_moderate(parallel, background)
    with session.app() as opened:
        exports = opened.exports
        found = _estimate(opened, name, time_from, time_to, every)
        if estimate:
            _estimated(found, as_json)
            return
        if not as_json and found.intervals:
            output.say(_sum(found))
        by = session.user()
        if background:
            _queued(exports.backfills.begin(name, found, by=by, parallel=parallel, background=True), parallel, as_json)
            return
        move = functools.partial(exports.backfills.begin, name, found, by=by, parallel=parallel)
        _follow(exports, name, as_json, lambda report: move(progress=report))


def _assert_moderate(parallel: int, background: bool) -> None:
    from tidemill.errors import ConfigError

    if parallel > _MOST_HERE and not background:
        raise ConfigError(
            "backfill_parallel",
            f"One process moves {_MOST_HERE} intervals at once, at most.",
            hint=f"--parallel {_MOST_HERE}; or have any number of workers do it: --background",
        )


def _queued(view: BackfillView, parallel: int, as_json: bool) -> None:
    """Say that workers will do it."""
    if as_json:
        output.print_json(view)
        return
    left = output.number(view.intervals - view.intervals_done, "interval")
    output.done(f"The backfill of {view.export} is in the queue: {left}, up to {parallel} at once.")
    output.say(f"Workers of tidemill serve move it. How it stands: tidemill export backfill show {view.export}")


def _estimate(opened: App, name: str, time_from: str, time_to: str | None, every: str | None) -> Estimate:
    """What it would move; ConfigError that says so if there is nothing to export at all."""
    from tidemill.errors import ConfigError

    try:
        return opened.exports.backfills.estimate(name, time_from, time_to, every)
    except ConfigError as error:
        if error.code == "backfill_before_run" and nothing_yet(opened, name):
            raise ConfigError(
                "backfill_empty",
                f"There are no rows for {name} yet: it has exported nothing, and nothing waits.",
                hint="They come with events: tidemill events load FILE",
            ) from None
        raise


def nothing_yet(opened: App, name: str) -> bool:
    """Whether no row waits for an export, once all events are looked at."""
    source = opened.sources.get(opened.exports.get(name).model)
    if source:
        source.catch_up()
    return not opened.exports.get(name).waiting_rows


@app.command("resume", epilog="Example: tidemill export backfill resume daily")
def resume(
    name: str = _NAME,
    parallel: int = _PARALLEL,
    background: bool = _BACKGROUND,
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Go on with a backfill that was paused or interrupted, and try its failed intervals again."""
    _assert_moderate(parallel, background)
    with session.app() as opened:
        exports = opened.exports
        move = functools.partial(exports.backfills.resume, name, by=session.user(), parallel=parallel)
        if background:
            _queued(move(background=True), parallel, as_json)
            return
        _follow(exports, name, as_json, lambda report: move(progress=report))


@app.command("pause", epilog="Example: tidemill export backfill pause daily")
def pause(name: str = _NAME) -> None:
    """Begin no more intervals; those that run end."""
    with session.app() as opened:
        opened.exports.backfills.stop(name, cancel=False)
    output.done(f"The backfill of {name} is paused. Go on: tidemill export backfill resume {name}")


@app.command("cancel", epilog="Example: tidemill export backfill cancel daily")
def cancel(name: str = _NAME) -> None:
    """Cancel the backfill, its runs and their BigQuery jobs. What it has added stays."""
    with session.app() as opened:
        opened.exports.backfills.stop(name, cancel=True)
    output.done(f"The backfill of {name} is cancelled.")


@app.command("list", epilog="Example: tidemill export backfill list daily")
def list_(
    name: str = typer.Argument(None, help="Name of the export. Default: all exports."),
    limit: int = typer.Option(20, min=1, callback=output.held, help="How many, newest first."),
    as_json: bool = output.JSON_OPTION,
) -> None:
    """List backfills, newest first."""
    with session.app() as opened:
        found = opened.exports.backfills.find(name, limit=limit)
    if as_json:
        output.print_json(found)
        return
    columns = ("EXPORT", "STATUS", "FROM", "TO", "EVERY", "INTERVALS", "FAILED", "%", "ROWS", "STARTED")
    rows = [
        (
            *(b.export, b.status, _day(b.time_from), _day(b.time_to), b.every, f"{b.intervals_done} of {b.intervals}"),
            *(b.intervals_failed, b.percent, f"{b.rows_done:,} of {b.rows:,}", b.created_at),
        )
        for b in found
    ]
    output.print_table(columns, rows, empty="No backfills yet. Begin one: tidemill export backfill NAME --from …")


@app.command("show", epilog="Example: tidemill export backfill show daily")
def show(name: str = _NAME, as_json: bool = output.JSON_OPTION) -> None:
    """Show the newest backfill of an export, with its runs."""
    from tidemill.errors import NotFoundError

    with session.app() as opened:
        found = opened.exports.backfills.find(name, limit=1)
    if not found:
        raise NotFoundError("backfill_none", f"{name} has no backfill.", hint="tidemill export backfill --help")
    if as_json:
        output.print_json(found[0])
        return
    shown = {name.replace("_", " "): value for name, value in vars(found[0]).items() if name != "runs"}
    output.print_fields({name: value for name, value in shown.items() if value not in (None, "")})
    output.print_table(("INTERVAL", "RUN", "STATUS", "ERROR"), found[0].runs, empty="No interval was begun yet.")


def _follow(exports: ExportService, name: str, as_json: bool, move: Callable[[Any], BackfillView]) -> None:
    with runs_view.interruptible(exports, "Pausing the backfill"), progress.bar(f"Backfilling {name}") as bar:
        view = move(bar.filling)
    if as_json:
        output.print_json(view)
    else:
        told(view)
    end(view)


def end(view: BackfillView) -> None:
    """End the command, unless it is completed."""
    if code := _CODES[view.status]:
        raise typer.Exit(code)


def told(view: BackfillView) -> None:
    """Say how it ended."""
    intervals, rows = output.number(view.intervals, "interval"), output.number(view.rows, "row")
    done = f"{view.intervals_done:,} of {intervals}, {view.rows_done:,} of {rows}"
    if view.status == "completed":
        output.done(f"Backfill of {view.export}: {done}.")
        return
    how = "has failed" if view.status == "failed" else f"is {view.status}"
    output.say(f"The backfill of {view.export} {how}: {done}.")
    for start_, run, status, error in view.runs:
        if status in {"failed", "cancelled"}:
            output.note(f"{start_}, run {run}: {error}")
    if view.hint:
        output.say(f"What to do: {view.hint}")
    if view.status != "cancelled":
        output.say(f"Go on: tidemill export backfill resume {view.export}")


def _estimated(found: Estimate, as_json: bool) -> None:
    if as_json:
        output.print_json(found)
        return
    rows = [(_day(start_), _day(end), number) for start_, end, number in found.intervals]
    output.print_table(("FROM", "TO", "ROWS"), rows, empty="There are no rows in that range.")
    output.say(_sum(found))


def _sum(found: Estimate) -> str:
    rows, intervals = output.number(found.rows, "row"), output.number(len(found.intervals), "interval")
    have = "has" if len(found.intervals) == 1 else "have"
    return f"{rows} in {intervals} ({found.every}) that {have} some, about {output.size(found.bytes)}."


def _day(moment: Any) -> str:
    """In UTC, since the intervals are."""
    return moment.strftime("%Y-%m-%d %H:%M") if moment else "-"
