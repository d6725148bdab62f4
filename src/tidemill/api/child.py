"""A process that the server keeps running beside it. It ends when its standard input does: when the server closes it,
or is gone. If it is killed, another one takes its place.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import ParamSpec

from tidemill.api import spares
from tidemill.api.spares import Spare
from tidemill.errors import TidemillError, UnavailableError

P = ParamSpec("P")

_log = logging.getLogger(__name__)
#: Another one is begun after so long; each time after twice that, up to a bound, as long as none lives for a minute.
_AGAIN_SECONDS, _AGAIN_AT_MOST, _LIVES_SECONDS = 0.2, 30.0, 60.0
#: One that does not end within this is killed: what it was told is kept, or will be told again.
_STOP_SECONDS = 60.0


class Child:
    """Keeps ``python -m MODULE ARGUMENTS`` running. `title`: what people call it; `patience`: so many seconds more it
    has to end; `inherits`: numbers of files, or sockets, that it shares with this process."""

    def __init__(
        self,
        title: str,
        module: str,
        arguments: Sequence[str] = (),
        patience: float = 0,
        inherits: Sequence[int] = (),
    ) -> None:
        self._title, self._command, self._inherits = title, [sys.executable, "-m", module, *arguments], tuple(inherits)
        self._stop_seconds = _STOP_SECONDS + patience
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | Spare | None = None
        self._guard = threading.Lock()  # of who begins one, and who ends it
        self._watching = threading.Thread(target=self._watch, daemon=True)

    def start(self) -> None:
        """Begin; it is ready when this returns.

        Raises
        ------
        UnavailableError
            It does not begin.
        """
        if not self._begin():
            self._ended()
            raise UnavailableError("child_failed", f"The server's {self._title} did not start; see above.")
        self._watching.start()

    def stop(self) -> None:
        """Let it finish what it has begun, and end. If it hangs, for want of a database perhaps, it is killed."""
        with self._guard:
            self._stopping.set()
            if self._process is not None and self._process.stdin is not None:
                self._process.stdin.close()
        if self._process is not None:
            try:
                self._process.wait(self._stop_seconds)
            except subprocess.TimeoutExpired:
                _log.error("the %s does not end, and is killed", self._title)
                self._process.kill()
        if self._watching.ident is not None:  # it was begun
            self._watching.join()
        self._ended()

    def _ended(self) -> None:
        """Wait until it has, and close what led to it."""
        process = self._process
        if process is not None:
            process.wait()
            with self._guard:
                for pipe in (process.stdin, process.stdout):
                    if pipe is not None:
                        pipe.close()

    def _begin(self) -> bool:
        """Whether it says that it is ready."""
        with self._guard:
            if self._stopping.is_set():
                return False
            process = self._process = self._begun()
        return bool(process.stdout and process.stdout.readline())

    def _begun(self) -> subprocess.Popen[bytes] | Spare:
        spare = None if self._inherits else spares.take()  # which was forked before there was anything to share
        if spare is None:
            pipe = subprocess.PIPE
            return subprocess.Popen(self._command, stdin=pipe, stdout=pipe, pass_fds=self._inherits)  # noqa: S603 - ours
        spare.begin(self._command)
        return spare

    def _watch(self) -> None:
        pause = _AGAIN_SECONDS
        while self._process is not None:
            began = time.monotonic()
            self._ended()
            if time.monotonic() - began >= _LIVES_SECONDS:
                pause = _AGAIN_SECONDS
            if self._stopping.wait(pause):
                return
            pause = min(2 * pause, _AGAIN_AT_MOST)
            _log.error("the %s has ended; another one takes its place", self._title)
            try:
                self._begin()
            except OSError:  # no memory, no file descriptors: later, maybe
                _log.exception("no %s could be started", self._title)


def enter() -> None:
    """Called by the child when it begins. Signals that are for all processes of the server do not end it: it finishes
    what the others have begun."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    log()


def log() -> None:
    """What the process says goes to standard error. Addresses that are asked may be secrets: webhooks have their key in
    them."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    for client in ("httpx", "httpcore"):
        logging.getLogger(client).setLevel(logging.WARNING)


@contextlib.contextmanager
def told() -> Iterator[None]:
    """An error that a user can meet is told in two lines, and ends the process."""
    try:
        yield
    except TidemillError as error:
        sys.stderr.write(f"Error: {error}\n" + (f"What to do: {error.hint}\n" if error.hint else ""))
        sys.exit(error.exit_code)


def vital(function: Callable[P, None]) -> Callable[P, None]:
    """The function, without which the child is of no use: if it raises, the process ends, and another one begins."""

    def kept(*arguments: P.args, **named: P.kwargs) -> None:
        try:
            function(*arguments, **named)
        except TidemillError as error:
            _log.error("the process cannot go on: %s", error.message)
            os._exit(1)
        except BaseException:  # noqa: BLE001 - whatever it is
            _log.exception("the process cannot go on")
            os._exit(1)

    return kept


def ready() -> None:
    """Called by the child: it is ready. Returns when it is to end."""
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.buffer.read()
