"""Questions before what cannot be undone."""

from __future__ import annotations

import sys

import typer


def confirm(question: str, *, err: bool = False) -> None:
    """Go on if the answer is yes. Who calls it has --yes.

    Raises
    ------
    typer.Abort
        The answer is no.
    ConfigError
        Nobody is there to answer, as in a script: that names --yes.
    """
    from tidemill.errors import ConfigError

    nobody = ConfigError(
        "answer_missing", f"Nobody is there to answer: {question}", hint="Nothing is done. If it is meant, add --yes."
    )
    if sys.stdin is None:
        raise nobody
    try:
        answer = typer.confirm(question, err=err)
    except typer.Abort as stopped:
        if isinstance(stopped.__context__, EOFError) and not sys.stdin.isatty():
            sys.stderr.write("\n")
            raise nobody from None
        raise
    if not answer:
        raise typer.Abort
