"""Lines that runs have told, as they are asked for and printed."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import typer

from tidemill.cli import output

if TYPE_CHECKING:
    from tidemill.schedules.lines import LineView

LEVEL = typer.Option(None, help="Only lines of this weight, or more: debug, info, warning or error.")
SEARCH = typer.Option(None, help="Only lines in which this text is, such as a job id or an error's code.")
SINCE = typer.Option(None, help="Only since then: 15m, 1d, or a time (UTC) such as 2026-01-31T06:00.")
LIMIT = typer.Option(1_000, min=1, callback=output.held, help="How many, the newest.")
FOLLOW = typer.Option(False, "--follow", "-f", help="Go on with lines as they come. Ctrl-C ends it.")
_COLORS = {"error": "bold red", "warning": "yellow", "debug": "dim"}


def show(lines: list[LineView], as_json: bool, *, runs: bool) -> None:
    """All of them."""
    if as_json:
        output.print_json(lines)
        return
    for line in lines:
        _print(line, runs=runs)
    if not lines:
        output.say("No lines. A run that had nothing to move tells nothing; others are kept for TIDEMILL_LOGS_DAYS.")


def follow(lines: Iterable[LineView], as_json: bool, *, runs: bool) -> None:
    """Each as it comes."""
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
