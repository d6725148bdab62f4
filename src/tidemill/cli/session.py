"""Opens the installation for one command: `with session.app() as app:`. Everything heavy is imported here, late."""

from __future__ import annotations

import contextlib
import getpass
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.errors import ConfigError

if TYPE_CHECKING:
    from tidemill.app import App
    from tidemill.settings import Settings


@contextlib.contextmanager
def app(*, threads: int | None = None, patience: float = 0) -> Iterator[App]:
    """The installation in the home directory; made if there is none. `threads`: see Settings.with_threads; `patience`:
    see Foundation."""
    from tidemill.access.actor import shell
    from tidemill.acting import acting  # the command line's --help must not pay for it
    from tidemill.app import App
    from tidemill.cli import output
    from tidemill.settings import current

    settings = current()
    if not settings.home_path.exists():
        output.note(f"Making a new installation in {settings.home_path} (tidemill init does only that).")
    with App(settings.with_threads(threads) if threads else settings, patience=patience) as opened:
        yield acting(opened, shell(user()))


def settings() -> Settings:
    """The settings of this process."""
    from tidemill.settings import current

    return current()


def exists() -> bool:
    """Whether there is an installation in the home directory."""
    from tidemill.settings import current

    return current().home_path.exists()


def user() -> str:
    """Who is asking: $TIDEMILL_USER, or the name of the account."""
    try:
        return os.environ.get("TIDEMILL_USER") or getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def is_file(given: str) -> bool:
    """Whether there is a file of that name."""
    try:
        return Path(given).expanduser().is_file()
    except (OSError, RuntimeError):  # it is too long for a name; or ~ somebody who is not there
        return False


def text(given: str) -> str:
    """What was typed; of @FILE, what is in the file.

    Raises
    ------
    ConfigError
        It cannot be read.
    """
    if not given.startswith("@"):
        return given
    try:
        return Path(given[1:]).expanduser().read_text("utf-8")
    except (OSError, RuntimeError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is not a text file"
        raise ConfigError("file_unreadable", f"{given[1:]} cannot be read: {reason}.", hint="Check the path.") from None
