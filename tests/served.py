"""`tidemill serve` as a process that does what is due, without taking events."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from pathlib import Path

import psutil
from tests.installation import Installation


class Server:
    """`tidemill serve` without capture, as a process; what it says goes into a file."""

    def __init__(self, installation: Installation, log: Path) -> None:
        self._installation, self._log = installation, log
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *words: str, **settings: str) -> None:
        """Begin."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                self._installation.command("serve", *(words or ("--role", "worker", "--role", "scheduler"))),
                env={**self._installation.environment, **settings},
                stdout=log,
                stderr=log,
            )

    def background(self) -> psutil.Process | None:
        """The process that does the work, if there is one."""
        return next(iter(self.backgrounds()), None)

    def backgrounds(self) -> list[psutil.Process]:
        """All such processes."""
        assert self.process is not None
        with contextlib.suppress(psutil.Error):
            children = psutil.Process(self.process.pid).children()
            return [child for child in children if "tidemill.api.background" in " ".join(child.cmdline())]
        return []

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Tell it to stop, and wait. Gives its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(120)

    def kill(self) -> None:
        """`kill -9` of all its processes."""
        if self.process is not None and self.process.poll() is None:
            found = self.background()
            self.process.kill()
            self.process.wait()
            with contextlib.suppress(psutil.Error):
                if found is not None:
                    found.kill()

    @property
    def said(self) -> str:
        """All that it has said."""
        return self._log.read_text()
