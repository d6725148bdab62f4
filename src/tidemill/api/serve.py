"""`tidemill serve`: the server's processes."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import gc
import json
import logging
import multiprocessing
import os
import resource
import selectors
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.api import background, child, folders, spares, write
from tidemill.api.child import Child
from tidemill.api.roles import BACKGROUND, Role
from tidemill.errors import ConfigError, ConflictError, UnavailableError
from tidemill.settings import Settings, current

if TYPE_CHECKING:
    from tidemill.capture.server import Server
    from tidemill.serving import MakePart

_log = logging.getLogger(__name__)
#: If the web app does not begin, it is tried again after so long, if somebody is there still.
_AGAIN_SECONDS = 5.0
#: By which the server's first process tells the others how many there are, and where the writer is.
_PROCESSES, _WRITER = "TIDEMILL_SERVE_PROCESSES", "TIDEMILL_SERVE_WRITER"
#: By which it tells them that they have the API.
_API = "TIDEMILL_SERVE_API"
#: How long requests are waited for that have begun, when the server is to stop.
_STOP_SECONDS = 30
_BACKLOG = 2048
_DESCRIPTORS = 65_536
#: Turns of Python's threads: the one that commits needs the interpreter often, and each time for a moment.
_THREAD_TURN_SECONDS = 0.005
#: Requests form no cycles to speak of, and to look for some takes long.
_GC = (200_000, 50, 50)


def application() -> Server:
    """The application, made in each process of the server."""
    from tidemill import serving
    from tidemill.api.part import api

    _end_with_parent()
    _allow_connections()
    sys.setswitchinterval(_THREAD_TURN_SECONDS)
    gc.set_threshold(*_GC)
    child.log()
    parts: list[MakePart] = [api] if _API in os.environ else []
    if _WRITER in os.environ:
        parts.append(serving.sdks(int(os.environ.get(_PROCESSES, "1")), Path(os.environ[_WRITER])))
    return serving.server(current(), *parts)


def _end_with_parent() -> None:
    """If the server's first process is killed, its others stop: nobody would look after them."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


@contextlib.contextmanager
def _counting_together() -> Iterator[None]:
    """The processes' counters lie in mapped files: in memory, if that may be. A full disk would end a process."""
    from tidemill.serving import share_metrics

    in_memory = Path("/dev/shm")  # noqa: S108 - a folder of our own in it  # nosec B108
    with folders.folder(in_memory if in_memory.is_dir() else None) as folder:
        share_metrics(folder)
        yield


def _allow_connections() -> None:
    """A connection takes a file descriptor, of which a shell allows few: as many as may be had without asking."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@dataclasses.dataclass(frozen=True)
class Tls:
    """Files by which the server speaks TLS itself: its certificate (with those above it), and its private key."""

    certificate: Path
    key: Path

    def assert_usable(self) -> None:
        """Raise ConfigError, if they are none, or do not belong together."""
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self.certificate, self.key, password="")
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                "tls_unusable",
                f"{self.certificate} and {self.key} cannot be used for TLS: {error.strerror or error}.",
                hint="Give a certificate and its private key, without a passphrase, as PEM files.",
            ) from None


def bind(host: str, port: int, option: str = "--port") -> socket.socket:
    """A socket for the server; of port 0 a free one. `option`: by which another port is chosen.

    Raises
    ------
    ConflictError
        The address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host, port))
        found.listen(_BACKLOG)  # who comes before the server has begun waits for it
    except (OSError, OverflowError) as error:
        found.close()
        raise _unusable(host, port, option, error) from None
    return found


def _unusable(host: str, port: int, option: str, error: Exception) -> ConflictError:
    """Why the server cannot listen there."""
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        another = f"Choose another port: {option} {port + 1}, or " if port < 65_535 else "Choose a free port: "
        return ConflictError(
            "address_taken",
            f"The server cannot listen at {host}, port {port}: the port is taken.",
            hint=f"Does another tidemill serve run here? {another}{option} 0 for a free one.",
        )
    why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return ConflictError(
        "address_unusable",
        f"The server cannot listen at {host}, port {port}: {why}.",
        hint="Choose an address of this machine: --host 127.0.0.1, or --host 0.0.0.0 for all of them.",
    )


def beside(roles: Collection[Role], settings: Settings) -> int:
    """How many processes a server of these roles has beside the one that answers."""
    return background.processes(roles, settings) + (Role.CAPTURE in roles)


def run(
    settings: Settings,
    listener: socket.socket | None,
    processes: int,
    proxies: str,
    roles: Collection[Role],
    *,
    web: socket.socket | None = None,
    tls: Tls | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT; what was begun is finished then.

    `listener`: of a server that answers by HTTP; `proxies`: addresses of those who are believed about whom they ask
    for; `web`: where the web app listens, if it is to.
    """
    with contextlib.ExitStack() as stack:
        stack.callback(spares.dismiss)
        if others := BACKGROUND.intersection(roles):
            stack.enter_context(background.working(others, settings))
        if web is not None:
            stack.enter_context(_web_app(web, proxies, tls))
        if listener is None:
            _until_told()
            return
        if Role.CAPTURE in roles:
            os.environ[_WRITER] = str(stack.enter_context(write.writing()))
        else:
            os.environ.pop(_WRITER, None)
        if Role.API in roles:
            os.environ[_API] = "1"
        else:
            os.environ.pop(_API, None)
        _answer(settings, listener, processes, proxies, tls)


@contextlib.contextmanager
def _web_app(listener: socket.socket, proxies: str, tls: Tls | None) -> Iterator[None]:
    """The web app, for the time of the block. Who comes while its process is begun anew waits at the socket.

    It is begun when the first visitor comes: it takes some 100 MB, and an idle server is to use little.
    """
    told = {
        "listener": listener.fileno(),
        "proxies": proxies,
        "certificate": str(tls.certificate) if tls else None,
        "key": str(tls.key) if tls else None,
    }
    process = Child("web app", "tidemill.web.process", [json.dumps(told)], inherits=[listener.fileno()])
    ended, end = socket.socketpair()
    thread = threading.Thread(target=_at_first_visit, args=(process, listener, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        end.close()
        thread.join()
        ended.close()
        process.stop()


def _at_first_visit(process: Child, listener: socket.socket, ended: socket.socket) -> None:
    """Begin the process as soon as somebody comes, unless the server ends before."""
    with selectors.DefaultSelector() as waiting, selectors.DefaultSelector() as stopping:
        for one in (listener, ended):
            waiting.register(one, selectors.EVENT_READ)
        stopping.register(ended, selectors.EVENT_READ)
        while not any(key.fileobj is ended for key, _ in waiting.select()):
            try:
                process.start()
                return
            except (OSError, UnavailableError) as error:
                _log.error("the web app does not begin: %s", error)
            if stopping.select(_AGAIN_SECONDS):
                return


def _until_told() -> None:
    """Wait for SIGTERM or SIGINT."""
    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())
    told.wait()


def _answer(settings: Settings, listener: socket.socket, processes: int, proxies: str, tls: Tls | None) -> None:
    """Answer by HTTP, until SIGTERM or SIGINT."""
    import uvicorn
    from uvicorn.supervisors import Multiprocess

    class Single(uvicorn.Server):
        """uvicorn would have the signal kill it, after it has ended well."""

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
            yield
            for number, handler in before.items():
                signal.signal(number, handler)

    if processes > 1:
        os.environ[_PROCESSES] = str(processes)
    config = uvicorn.Config(
        "tidemill.api.serve:application",
        factory=True,
        workers=processes,
        http="tidemill.capture.protocol:Protocol",
        ws="none",
        lifespan="on",
        access_log=False,
        server_header=False,
        date_header=False,
        backlog=_BACKLOG,
        limit_concurrency=settings.capture_connections,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=_STOP_SECONDS,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=proxies or None,
        ssl_certfile=tls.certificate if tls else None,
        ssl_keyfile=tls.key if tls else None,
        log_level="warning",
    )
    if processes > 1:
        with _counting_together():
            Multiprocess(config, sockets=[listener]).run()
    else:
        Single(config).run(sockets=[listener])
