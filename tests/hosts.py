"""Machines of their own, as far as the network goes: each a network namespace with ways to what it may reach.

In such a host 127.0.0.1 is its own, so what all hosts reach at one address (PostgreSQL, BigQuery, an object store) can
be cut off from one of them: refused, or silent.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_ROOT = Path(__file__).parents[1]
_ENTER = ("unshare", "--net", "--", "sh", "-c", 'ip link set lo up && exec "$@"', "host")


def possible() -> bool:
    """Whether this machine lets us make network namespaces."""
    if not (shutil.which("unshare") and shutil.which("ip")):
        return False
    return subprocess.run([*_ENTER, "true"], capture_output=True, check=False).returncode == 0


class Host:
    """One machine. `ways`: by port, where the connections of that port go: ``tcp:PORT`` or ``unix:PATH``."""

    def __init__(self, folder: Path, ways: Mapping[str, tuple[int, str]]) -> None:
        """`ways`: by a name, the port, and what is behind it."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._ways = folder, ways
        self._outside: dict[str, subprocess.Popen[bytes]] = {}
        # The namespace lives as long as a process that is in it.
        self._keeper = subprocess.Popen([*_ENTER, "sh", "-c", "echo ready; exec sleep 1000000"], stdout=subprocess.PIPE)
        _ready(self._keeper)
        for name in ways:
            self.mend(name)
        self._inside = [self._way(f"tcp:{port}", f"unix:{self._socket(name)}") for name, (port, _) in ways.items()]
        self.process: subprocess.Popen[bytes] | None = None

    def _socket(self, name: str) -> Path:
        return self._folder / name

    def _enter(self, words: Sequence[str]) -> list[str]:
        return ["nsenter", f"--net=/proc/{self._keeper.pid}/ns/net", "--", *words]

    def _way(self, origin: str, to: str) -> subprocess.Popen[bytes]:
        words = self._enter([sys.executable, "-m", "tests.way", origin, to])
        return _ready(subprocess.Popen(words, cwd=_ROOT, stdout=subprocess.PIPE))

    def start(self, words: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        """Run a command there; what it says goes into a file."""
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                self._enter(words), env=dict(environment), stdout=file, stderr=file, start_new_session=True
            )

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Tell the command to stop, and wait. Gives its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(120)

    def kill(self) -> None:
        """`kill -9` of all that runs there, but for the ways."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def silence(self, name: str) -> None:
        """What it says that way is not heard, and nothing comes back, until `mend`."""
        self._outside[name].send_signal(signal.SIGSTOP)

    def cut(self, name: str) -> None:
        """Its connections that way end, and new ones are refused, until `mend`."""
        self._outside[name].kill()
        self._outside[name].communicate()

    def mend(self, name: str) -> None:
        """The way is open."""
        way = self._outside.get(name)
        if way is not None and way.poll() is None:
            way.send_signal(signal.SIGCONT)
            return
        self._socket(name).unlink(missing_ok=True)
        words = [sys.executable, "-m", "tests.way", f"unix:{self._socket(name)}", self._ways[name][1]]
        self._outside[name] = _ready(subprocess.Popen(words, cwd=_ROOT, stdout=subprocess.PIPE))

    def close(self) -> None:
        """End all of it."""
        self.kill()
        for process in [*self._inside, *self._outside.values(), self._keeper]:
            process.kill()
            process.communicate()


def _ready(process: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process
