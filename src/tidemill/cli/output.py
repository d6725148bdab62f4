"""How the command line speaks: tables and sentences for people, JSON for programs, errors with what to do."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import io
import json
import os
import re
import shlex
import sys
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tidemill.errors import Cancelled, TidemillError

for _name in ("stdout", "stderr"):
    if getattr(sys, _name) is None:  # closed by who called us: what is said goes nowhere
        setattr(sys, _name, Path(os.devnull).open("w"))  # noqa: SIM115 - open to the end of the process
    _stream = getattr(sys, _name)
    if isinstance(_stream, io.TextIOWrapper):
        _stream.reconfigure(errors="backslashreplace")  # names from elsewhere may not fit a terminal's encoding

#: For people who read along. Data goes to standard output, everything else to standard error.
#: Into a pipe or a file, a row of a table is a line, however long.
out = Console(
    highlight=False,
    emoji=False,
    soft_wrap=True,
    width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 10_000,
)
err = Console(stderr=True, highlight=False, emoji=False, soft_wrap=True)

#: Control characters: ESC and the like begin commands to a terminal.
_STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
#: The greatest number that the databases hold.
_MOST = 2**63 - 1
JSON_OPTION = typer.Option(False, "--json", help="Print JSON to standard output and nothing else.")


def safe(text: str) -> str:
    """Text of somebody else's, for a terminal: characters that would steer it are written out, markup is no markup."""
    return escape(_STEERING.sub(lambda match: f"\\x{ord(match[0]):02x}", text))


def say(text: str) -> None:
    """One line for the person, on standard error so that it never mixes with data."""
    err.print(text)


def note(text: str) -> None:
    """A remark about something that was done for the user, or that they may want to know."""
    err.print(f"[yellow]Note:[/] {safe(text)}")


def done(text: str) -> None:
    """A thing that was done."""
    err.print(f"[green]✓[/] {safe(text)}")


def print_json(data: Any) -> None:
    """`data` as JSON on standard output."""
    utf8 = sys.stdout.encoding.lower().replace("-", "") == "utf8"
    sys.stdout.write(json.dumps(plain(data), indent=2, ensure_ascii=not utf8) + "\n")


def plain(value: Any) -> Any:
    """`value` as JSON has it."""
    match value:
        case enum.Enum():
            return value.value
        case dt.datetime() | dt.date():
            return value.isoformat()
        case uuid.UUID() | Path():
            return str(value)
        case bytes():
            return value.decode("utf-8", "replace")
        case Mapping():
            return {str(key): plain(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [plain(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if hasattr(value, "model_dump"):
        return plain(value.model_dump())
    return value


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, empty: str) -> None:
    """A table on standard output, or the sentence `empty` on standard error."""
    rows = list(rows)
    if not rows:
        say(empty)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")  # a name that is cut off cannot be copied
    for row in rows:
        table.add_row(*(safe(text(cell)).replace("\n", "\\n") for cell in row))
    out.print(table)


def print_fields(fields: Mapping[str, Any]) -> None:
    """Names and values, one a line, on standard output."""
    width = max(len(name) for name in fields)
    for name, value in fields.items():
        out.print(f"[bold]{name.ljust(width)}[/]  {safe(text(value))}")


def text(value: Any) -> str:
    """A value as a person reads it: local times without fractions, numbers with separators."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case dt.datetime():
            return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
        case int():
            return f"{value:,}"
        case float():
            return f"{value:,.2f}"
        case enum.Enum():
            return str(value.value)
        case list() | tuple():
            return ", ".join(map(text, value)) or "-"
    return str(value)


def held(value: Any) -> Any:
    """What was given for an option, if the databases can hold such numbers."""
    for given in value if isinstance(value, list) else [value]:
        if given is not None and given > _MOST:
            raise typer.BadParameter(f"{given} is too large a number.")
    return value


def number(count: int, thing: str) -> str:
    """So many of a thing: 1 row, 2,000 rows."""
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"


def command(words: str, name: str) -> str:
    """A command about something of that name, as a shell takes it."""
    return f"tidemill {words} {shlex.quote(name)}"


def size(count: float) -> str:
    """Bytes as a person reads them (1 MB is 1,000,000)."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def verbose() -> bool:
    """Whether the original texts of errors are wanted."""
    return bool(os.environ.get("TIDEMILL_VERBOSE"))


def print_error(error: TidemillError, *, as_json: bool = False) -> None:
    """What is wrong, and what to do; the cause's own words only when asked for."""
    if as_json:
        print_json({"error": {"code": error.code, "message": error.message, "hint": error.hint}})
    if isinstance(error, Cancelled):
        err.print(f"[yellow]{safe(error.message)}[/]")
    else:
        err.print(f"[bold red]Error:[/] {safe(error.message)} [dim]\\[{error.code}][/]")
    if error.hint:
        err.print(f"[bold]What to do:[/] {safe(error.hint)}")
    if verbose() and error.raw:
        err.print(f"[dim]{safe(error.raw)}[/]")
