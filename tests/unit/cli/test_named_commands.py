"""Commands that are named to users, in messages, hints, examples and documents, are there, and have these options."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from tidemill.cli.groups import StartGroup
from tidemill.cli.main import app

ROOT = Path(__file__).parents[3]
_NAMED = re.compile(r"(?<![\w./-])tidemill((?: +[a-z][a-z-]+)+)")
_OPTIONS = re.compile(r"(?<![\w-])--[a-z](?:[a-z-]*[a-z])?(?![\w{-])")
#: What goes on behind a command is of another one, or none of it.
_ENDS = re.compile(r"[|;`\"#&]|, |\. |: ")
_TELLING = re.compile(r"(?:telling|output)\.command\([\"']([a-z][a-z -]+)[\"']")
#: Words behind `tidemill` that begin no command, in sentences and other languages.
_OTHERS = frozenset({"account", "at", "dbt-bigquery", "exec", "import"})


@pytest.fixture(scope="module")
def root() -> Any:
    return typer.main.get_command(app)


def resolved(root: Any, words: list[str]) -> tuple[Any, list[str]]:
    """The command that these words begin with, and the words that are left. None: its commands are made of what is
    installed, or saved."""
    found, left = root, list(words)
    while hasattr(found, "commands"):
        if not found.commands:
            return None, []
        known = found.commands.get(left[0]) if left else None
        if known is not None:
            found, left = known, left[1:]
        elif isinstance(found, StartGroup) and left:
            found = found.commands["start"]
        else:
            break
    return found, left


def wrong(root: Any, text: str) -> Iterator[str]:
    """What is named there and is not."""
    for match in _NAMED.finditer(text):
        words = match[1].split()
        if words[0] in _OTHERS:
            continue
        command, left = resolved(root, words)
        if command is None:
            continue
        if hasattr(command, "commands"):
            yield from [f"tidemill {' '.join(words)}"] if left else []
            continue
        rest = text[match.end() :].split("\n", 1)[0]
        rest = rest[: end.start()] if (end := _ENDS.search(rest)) else rest
        has = {"--help", "--verbose", *(name for one in command.params for name in (*one.opts, *one.secondary_opts))}
        yield from (f"tidemill {' '.join(words)} {option}" for option in _OPTIONS.findall(rest) if option not in has)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("Begin one: tidemill sync run crm --allow-deletes", 0),
        ("Begin one: tidemill sync rnu crm", 1),
        ("Begin one: tidemill sync run crm --allow-all", 1),
        ("tidemill nothing", 1),
        ("tidemill sync run crm, and then grep --none", 0),
    ],
)
def test_what_is_not_there_is_found(root: Any, text: str, number: int) -> None:
    assert len(list(wrong(root, text))) == number


@pytest.mark.parametrize("kind", ["docs/**/*.md", "src/**/*.py", "README.md"])
def test_commands_that_are_named_are_there(root: Any, kind: str) -> None:
    found = {
        f"{path.relative_to(ROOT)}: {said}" for path in ROOT.glob(kind) for said in wrong(root, path.read_text("utf-8"))
    }
    assert not sorted(found)


def test_commands_of_alarms_are_there(root: Any) -> None:
    for path in (ROOT / "src").rglob("*.py"):
        for words in _TELLING.findall(path.read_text("utf-8")):
            command, left = resolved(root, words.split())
            assert not left, f"{path}: {words}"
            assert command is not root
