"""Shows plans: what is made, changed and deleted, field by field."""

from __future__ import annotations

import difflib
import itertools
import json
from typing import TYPE_CHECKING, Any

from tidemill.cli import output, steps

if TYPE_CHECKING:
    from rich.console import Console

    from tidemill.configuration.service import Applied, Plan, Step

_MARKS = {"create": "[green]+[/]", "change": "[yellow]~[/]", "delete": "[red]-[/]"}
_DONE = {"create": "made", "change": "changed", "delete": "deleted"}


def print_plan(plan: Plan, *, aside: bool = False) -> None:
    """A plan, for people; `aside`: on standard error."""
    console = output.err if aside else output.out
    for section, found in itertools.groupby(plan.steps, lambda step: step.section):
        console.print(f"[bold]{section}[/]")
        for step in found:
            console.print(f"  {_MARKS[step.act]} {output.safe(step.name)}")
            for field in step.fields:
                _print_field(console, step, field)
    if plan.resets:
        names = ", ".join(plan.resets)
        output.note(f"A mapping changes of what has run: {names}. Apply it with --resend, or with --leave.")
    console.print(_counts(plan))


def _print_field(console: Console, step: Step, field: Any) -> None:
    before, after = _text(field.before), _text(field.after)
    name = output.safe(field.name)
    if "\n" in before or "\n" in after:
        console.print(f"      {name}:")
        for line in _lines(before if field.before is not None else "", after if field.after is not None else ""):
            console.print(f"        {output.safe(line)}")
    elif step.act == "create":
        console.print(f"      {name}: {output.safe(after)}")
    else:
        console.print(f"      {name}: {output.safe(before)} → {output.safe(after)}")


def _lines(before: str, after: str) -> list[str]:
    """Lines that go and come, with two around them."""
    found = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=2)
    return [line for line in found if not line.startswith(("---", "+++", "@@"))]


def _text(value: Any) -> str:
    return "(none)" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _counts(plan: Plan) -> str:
    said = [f"{plan.count(act):,} to {act}" for act in _MARKS]
    others = f" {output.number(plan.others, 'other')} not in the file." if plan.others else ""
    if not plan.steps:
        return f"Nothing would change: {plan.unchanged:,} as the file says.{others}"
    return f"{', '.join(said)}; {plan.unchanged:,} unchanged.{others}"


def say_tested(step: Any) -> None:
    """A step of a test, as it ends."""
    steps.show([step], aside=True)


def say_done(step: Step) -> None:
    """A step that was done."""
    output.done(f"The {step.title} is {_DONE[step.act]}.")


def say_applied(applied: Applied) -> None:
    """What was done, and what was not."""
    if applied.failed is None:
        output.done(f"Applied: {output.number(len(applied.done), 'step')}.")
        return
    output.say(f"Stopped at the {output.safe(applied.failed.title)}. Done: {_named(applied.done)}")
    output.say(f"Not done: {_named((applied.failed, *applied.left))}")


def _named(found: tuple[Step, ...]) -> str:
    return output.safe(", ".join(f"{step.act} {step.title}" for step in found) or "nothing") + "."
