"""The writer of a server, as a process: ``python -m tidemill.api.write SOCKET``.

It ends when its standard input does: when who started it closes it, or is gone. Signals that are for all processes of
the server do not end it: it writes what the others have taken until then.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from tidemill.errors import UnavailableError
from tidemill.settings import current

_log = logging.getLogger(__name__)
_AGAIN_SECONDS = 0.2


def main() -> None:
    """Entry point of the process."""
    from tidemill.app import capture_writer

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    with capture_writer(current(), Path(sys.argv[1])) as writer:
        threading.Thread(target=writer.run, daemon=True).start()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.buffer.read()


class Writing:
    """Keeps a writer running. If it is killed, another one takes its place."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._number = folder, 0
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._watching = threading.Thread(target=self._watch, daemon=True)

    @property
    def socket(self) -> Path:
        """Where it answers: the same for all writers of this server."""
        return self._folder / "writer"

    def start(self) -> None:
        """Begin; it answers when this returns.

        Raises
        ------
        UnavailableError
            It does not begin.
        """
        if not self._begin():
            raise UnavailableError("writer_failed", "The server's writer did not start; what it said is above.")
        self._watching.start()

    def stop(self) -> None:
        """Let it write what it has, and end."""
        self._stopping.set()
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            self._process.wait()
        self._watching.join()

    def _begin(self) -> bool:
        """Whether it answers."""
        self.socket.unlink(missing_ok=True)
        command = [sys.executable, "-m", "tidemill.api.write", str(self.socket)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603 - our own module
        self._process = process
        return bool(process.stdout and process.stdout.readline())

    def _watch(self) -> None:
        while self._process is not None:
            self._process.wait()
            if self._stopping.wait(_AGAIN_SECONDS):
                return
            _log.error("the writer has ended; another one takes its place")
            try:
                self._begin()
            except OSError:  # no memory, no file descriptors: later, maybe
                _log.exception("no writer could be started")


@contextlib.contextmanager
def writing() -> Iterator[Writing]:
    """A writer, for the time of the block."""
    with tempfile.TemporaryDirectory(prefix="tidemill-") as folder:  # for its owner alone
        writer = Writing(Path(folder))
        writer.start()
        try:
            yield writer
        finally:
            writer.stop()


if __name__ == "__main__":
    main()
