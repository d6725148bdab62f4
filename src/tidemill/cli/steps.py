"""Shows the steps of a test as they end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tidemill.cli import output

_MARKS = {"passed": "[green]✓[/]", "failed": "[red]✗[/]", "skipped": "[dim]-[/]", "warning": "[yellow]![/]"}


def show(
    steps: Iterable[Any],
    *,
    as_json: bool = False,
    aside: bool = False,
    more: Callable[[], Mapping[str, Any]] = dict,
) -> bool:
    """Show each step as it ends; `aside`: standard output is for something else; `more`: what is told with them as
    JSON. True if none failed.

    A step has title, status, message, hint and raw.
    """
    from rich.markup import escape

    seen = []
    console = output.err if aside else output.out
    for step in steps:
        seen.append(step)
        if as_json:
            continue
        message = f" [dim]{escape(step.message)}[/]" if step.message else ""
        console.print(f"{_MARKS[step.status]} {escape(step.title)}{message}")
        if step.hint and step.status in {"failed", "warning"}:
            console.print(f"    {escape(step.hint).replace(chr(10), chr(10) + '    ')}")
        if step.raw and output.verbose():
            console.print(f"    [dim]{escape(step.raw)}[/]")
    good = all(step.status != "failed" for step in seen)
    if as_json:
        output.print_json({"passed": good, "steps": seen, **more()})
    return good
