"""Files that a user names."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import IO

from tidemill.errors import ConfigError

_HINT = "Check the path."


def read(file: str, hint: str = _HINT) -> bytes:
    """What is in a file; ConfigError if it cannot be read."""
    try:
        return Path(file).expanduser().read_bytes()
    except (OSError, RuntimeError) as error:
        raise _unreadable(file, error, hint) from None


def opened(file: str) -> IO[bytes]:
    """A file that can be read several times, though it may be a pipe; ConfigError if it cannot be read."""
    try:
        found: IO[bytes] = Path(file).expanduser().open("rb")
        if found.seekable():
            return found
        with found:
            copy = tempfile.TemporaryFile()  # noqa: SIM115 - who asks reads it
            shutil.copyfileobj(found, copy)
        copy.seek(0)
        return copy
    except (OSError, RuntimeError) as error:
        raise _unreadable(file, error, _HINT) from None


def _unreadable(file: str, error: OSError | RuntimeError, hint: str) -> ConfigError:
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return ConfigError("file", f"The file {file} cannot be read: {reason}.", hint=hint)
