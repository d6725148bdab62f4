"""A process that the server keeps running beside it. It ends when its standard input does: when the server closes it,
or is gone. If it is killed, another one takes its place.
"""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence

from tidemill.errors import UnavailableError

_log = logging.getLogger(__name__)
_AGAIN_SECONDS = 0.2


class Child:
    """Keeps ``python -m MODULE ARGUMENTS`` running. `title`: what people call it."""

    def __init__(self, title: str, module: str, arguments: Sequence[str] = ()) -> None:
        self._title, self._command = title, [sys.executable, "-m", module, *arguments]
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
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
            raise UnavailableError("child_failed", f"The server's {self._title} did not start; see above.")
        self._watching.start()

    def stop(self) -> None:
        """Let it finish what it has begun, and end."""
        with self._guard:
            self._stopping.set()
            if self._process is not None and self._process.stdin is not None:
                self._process.stdin.close()
        if self._process is not None:
            self._process.wait()
        self._watching.join()

    def _begin(self) -> bool:
        """Whether it says that it is ready."""
        with self._guard:
            if self._stopping.is_set():
                return False
            process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603 - ours
            self._process = process
        return bool(process.stdout and process.stdout.readline())

    def _watch(self) -> None:
        while self._process is not None:
            self._process.wait()
            if self._stopping.wait(_AGAIN_SECONDS):
                return
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
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")


def ready() -> None:
    """Called by the child: it is ready. Returns when it is to end."""
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.buffer.read()
