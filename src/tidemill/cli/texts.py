"""Texts that a user names: by the path of a file, or - for standard input."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.cli import output

if TYPE_CHECKING:
    from tidemill.errors import ConfigError


def read(source: str, what_to_do: str, refused: Callable[[str], ConfigError]) -> str:
    """What is in a file, or comes by standard input: who sits at a terminal is told what to do.

    `refused`: the error that is raised, by the reason for which the file cannot be read.
    """
    if source == "-":
        if sys.stdin.isatty():
            output.say(f"{what_to_do}, then press Ctrl-D:")
        return sys.stdin.read()
    try:
        return Path(source).expanduser().read_text(encoding="utf-8")
    except (OSError, ValueError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is not a text file"
        raise refused(reason) from None
