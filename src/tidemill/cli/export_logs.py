"""`tidemill export run logs` and `tidemill export logs`: what runs tell of themselves."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import typer

from tidemill.cli import output, session

if TYPE_CHECKING:
    from tidemill.exports.logs import LineView

_LEVEL = typer.Option(None, help="Only lines of this weight, or more: debug, info, warning or error.")
_STEP = typer.Option(None, help="Only of this step: plan, prepare, move, send, commit, merge, log, complete, …")
_SEARCH = typer.Option(None, help="Only lines in which this text is, such as a job id or an error's code.")
_SINCE = typer.Option(None, help="Only since then: 15m, 1d, or a time (UTC) such as 2026-01-31T06:00.")
_LIMIT = typer.Option(1_000, min=1, callback=output.held, help="How many, the newest.")
_FOLLOW = typer.Option(False, "--follow", "-f", help="Go on with lines as they come. Ctrl-C ends it.")
_COLORS = {"error": "bold red", "warning": "yellow", "debug": "dim"}


def of_run(
    run_id: str = typer.Argument(help="Id of the run, or its beginning."),
    level: str = _LEVEL,
    step: str = _STEP,
    search: str = _SEARCH,
    since: str = _SINCE,
    limit: int = _LIMIT,
    follow: bool = _FOLLOW,
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Show what a run told while it was at work: its steps with rows, bytes and BigQuery jobs, retries, waits, errors.

    Followed, it ends with the run; with --json a line is an object then.
    """
    wanted = {"level": level, "step": step, "search": search, "since": since, "limit": limit}
    with session.app() as opened:
        if follow:
            _follow(opened.exports.logs.follow_run(run_id, **wanted), as_json, runs=False)
        else:
            _show(opened.exports.logs.of_run(run_id, **wanted), as_json, runs=False)


def of_export(
    name: str = typer.Argument(help="Name of the export."),
    level: str = _LEVEL,
    step: str = _STEP,
    search: str = _SEARCH,
    since: str = _SINCE,
    limit: int = _LIMIT,
    follow: bool = _FOLLOW,
    as_json: bool = output.JSON_OPTION,
) -> None:
    """Show what the last run of an export told that had something to do, and what was told since of no run.

    Followed, it goes on with the runs that come; with --json a line is an object then.
    """
    wanted = {"level": level, "step": step, "search": search, "since": since, "limit": limit}
    with session.app() as opened:
        if follow:
            _follow(opened.exports.logs.follow_export(name, **wanted), as_json, runs=True)
        else:
            _show(opened.exports.logs.of_export(name, **wanted), as_json, runs=True)


def _show(lines: list[LineView], as_json: bool, *, runs: bool) -> None:
    if as_json:
        output.print_json(lines)
        return
    for line in lines:
        _print(line, runs=runs)
    if not lines:
        output.say("No lines. A run that had nothing to move tells nothing; others are kept for TIDEMILL_LOGS_DAYS.")


def _follow(lines: Iterable[LineView], as_json: bool, *, runs: bool) -> None:
    try:
        for line in lines:
            if as_json:
                output.out.out(json.dumps(output.plain(line)), highlight=False)
            else:
                _print(line, runs=runs)
    except KeyboardInterrupt:
        return


def _print(line: LineView, *, runs: bool) -> None:
    time = f"{line.at.astimezone():%Y-%m-%d %H:%M:%S.%f}"[:-3]
    run = f"{line.run or '-':<8}  " if runs else ""
    color = _COLORS.get(line.level)
    level = f"[{color}]{line.level:<7}[/]" if color else f"{line.level:<7}"
    fields = "  ".join(f"{name}={_value(value)}" for name, value in line.fields.items())
    more = f"  [dim]{output.safe(fields)}[/]" if fields else ""
    output.out.print(f"{time}  {run}{level}  {line.step:<8}  {output.safe(line.message)}{more}")


def _value(value: Any) -> str:
    """As it can be read, and told from the next one."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        text = str(value)
        return json.dumps(text, ensure_ascii=False) if " " in text or not text else text
    return f"{value:,}"
