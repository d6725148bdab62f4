"""What is shown once, when it is made, and never again: keys and tokens. It alone goes to standard output."""

from __future__ import annotations

import sys

from tidemill.cli import output


def show(said: str, secret: str) -> None:
    """`said`: what it is good for, a sentence."""
    where = "It is not shown again:" if sys.stdout.isatty() else "It went to standard output, and is not shown again."
    output.done(f"{said} {where}")
    sys.stdout.write(f"{secret}\n")
    sys.stdout.flush()
