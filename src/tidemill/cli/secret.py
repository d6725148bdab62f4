"""Secrets that a user gives: in a file, by standard input, in the environment, or when asked; not in a command."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import typer

from tidemill.cli import texts

if TYPE_CHECKING:
    from pydantic import SecretStr


def secret(
    source: str | None, asking: str | None = None, variable: str | None = None, *, option: str = ""
) -> SecretStr | None:
    """A secret of a file, or - for standard input; or, if nothing is said, of the environment, or asked for. None, if
    nothing is said there, and nobody is to be asked. `option`: by which the file is named.

    Raises
    ------
    ConfigError
        It cannot be read, or there is nobody who could be asked.
    """
    from tidemill.errors import ConfigError

    found = os.environ.get(variable) if variable else None
    if source is not None or (asking is None and found is None):
        return named(source, option=option)
    if found is not None:
        return _secret(found)
    if sys.stdin.isatty():
        return _secret(typer.prompt(str(asking), hide_input=True, err=True))
    raise ConfigError(
        "secret_missing",
        f"{asking}: it is not given.",
        hint="Name a file with it, or - for standard input" + (f"; or set {variable}." if variable else "."),
    )


def named(source: str | None, *, option: str = "") -> SecretStr | None:
    """A secret of a file, or - for standard input; None: nothing is said. Raises ConfigError as `secret` does."""
    return _secret(_read(source, option)) if source is not None else None


def _secret(text: str) -> SecretStr:
    from pydantic import SecretStr

    from tidemill.errors import ConfigError

    if not text.strip():
        raise ConfigError("secret_missing", "The secret is empty.", hint="Look at what you gave.")
    return SecretStr(text.strip("\r\n"))


def _read(source: str, option: str) -> str:
    from tidemill.errors import ConfigError

    which = f"that {option} names" if option else "that was named"
    is_address = source.lower().startswith(("https://", "http://"))

    def refused(reason: str) -> ConfigError:
        path = "Give the path of a file that holds it, or - for standard input: others can see what is typed."
        return ConfigError(
            "secret_file",
            f"The file {which} cannot be read: {reason}.",  # what was given may be the secret: it is not quoted
            hint="An address is a secret here: put it in a file, and give the path of that." if is_address else path,
        )

    return texts.read(source, "Paste it", refused)
