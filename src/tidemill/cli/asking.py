"""Questions before what cannot be undone."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

import typer

Answer = TypeVar("Answer")


def confirm(question: str, *, err: bool = False) -> None:
    """Go on if the answer is yes. Who calls it has --yes.

    Raises
    ------
    typer.Abort
        The answer is no.
    ConfigError
        Nobody is there to answer, as in a script: that names --yes.
    """
    if not _answer(question, lambda: typer.confirm(question, err=err)):
        raise typer.Abort


def confirm_name(question: str, name: str) -> None:
    """Go on if the name is typed, whatever its case. Who calls it has --yes.

    Raises
    ------
    ConfigError
        Something else was typed; or nobody is there to answer.
    """
    from tidemill.errors import ConfigError

    answer = _answer(question, lambda: str(typer.prompt(question, err=True)))
    if answer.strip().lower() != name.lower():
        raise ConfigError("answer_other", f"That is not {name}: nothing is done.", hint="Type the name, or add --yes.")


def _answer(question: str, ask: Callable[[], Answer]) -> Answer:
    from tidemill.errors import ConfigError

    nobody = ConfigError(
        "answer_missing", f"Nobody is there to answer: {question}", hint="Nothing is done. If it is meant, add --yes."
    )
    if sys.stdin is None:
        raise nobody
    try:
        return ask()
    except typer.Abort as stopped:
        if isinstance(stopped.__context__, EOFError) and not sys.stdin.isatty():
            sys.stderr.write("\n")
            raise nobody from None
        raise
