"""Files that a user names."""

from __future__ import annotations

from pathlib import Path

from tidemill.errors import ConfigError


def read(file: str, hint: str = "Check the path.") -> bytes:
    """What is in a file; ConfigError if it cannot be read."""
    try:
        return Path(file).expanduser().read_bytes()
    except (OSError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError("file", f"The file {file} cannot be read: {reason}.", hint=hint) from None
