"""Processes of the server that were forked at its beginning, and wait until they are told what to be.

A process that is begun anew has the interpreter and all modules for itself, some 45 MB; forked ones share them with the
server's first process. Only that one can fork, and only before it has threads and connections: so they are forked then,
and one that takes the place of another later is begun anew.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from typing import IO, Any, NoReturn

import setproctitle

#: What all of them use.
_SHARED = ("tidemill.app", "tidemill.store.database", "tidemill.store.books", "tidemill.api.child", "logging")
_LOOKS_EVERY_SECONDS = 0.02
_waiting: list[Spare] = []


class Spare:
    """A forked process, as `subprocess.Popen` has one."""

    def __init__(self, pid: int, stdin: IO[bytes], stdout: IO[bytes]) -> None:
        self.pid, self.stdin, self.stdout = pid, stdin, stdout
        self.returncode: int | None = None

    def begin(self, command: Sequence[str]) -> None:
        """Have it do what ``python -m MODULE ARGUMENTS`` would."""
        self.stdin.write(json.dumps({"command": list(command), "environment": dict(os.environ)}).encode() + b"\n")
        self.stdin.flush()

    def poll(self) -> int | None:
        """Its exit code, if it has ended."""
        self._look(os.WNOHANG)
        return self.returncode

    def _look(self, how: int) -> None:
        if self.returncode is None:
            # Of several threads that wait the system tells one, which says it to the others.
            with contextlib.suppress(ChildProcessError):
                pid, status = os.waitpid(self.pid, how)
                if pid:
                    self.returncode = os.waitstatus_to_exitcode(status)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end. Raises subprocess.TimeoutExpired."""
        if timeout is None:
            self._look(0)
        end = time.monotonic() + (timeout or 0)
        while self.poll() is None:
            if timeout is not None and time.monotonic() >= end:
                raise subprocess.TimeoutExpired("tidemill", timeout or 0)
            time.sleep(_LOOKS_EVERY_SECONDS)
        return int(self.returncode or 0)

    def kill(self) -> None:
        """End it."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)


def prepare(number: int) -> None:
    """Fork so many, where that is sound. To be called before there are threads, connections or locks."""
    if sys.platform != "linux":  # the libraries of others do not bear it
        return
    for name in _SHARED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # or their first collection would write to each page that they share
    while len(_waiting) < number:
        spare = _forked()
        _waiting.append(spare)


def _forked() -> Spare:
    told, tell = os.pipe()
    heard, say = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        for other in _waiting:  # or it would not see that the server has closed it
            other.stdin.close()
            other.stdout.close()
        os.close(tell)
        os.close(heard)
        os.dup2(told, 0)
        os.dup2(say, 1)
        os.close(told)
        os.close(say)
        _wait()
    os.close(told)
    os.close(say)
    return Spare(pid, os.fdopen(tell, "wb"), os.fdopen(heard, "rb"))


def _wait() -> NoReturn:
    """In the forked process: be what is told, and end."""
    code = 1
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # the server tells it when to end
        sys.stdin, sys.stdout = os.fdopen(0), os.fdopen(1, "w")
        line = sys.stdin.readline()
        code = _be(json.loads(line)) if line else 0
    except SystemExit as stopped:
        code = stopped.code if isinstance(stopped.code, int) else 1
    except BaseException:  # noqa: BLE001 - it is the outermost there is
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _be(told: dict[str, Any]) -> int:
    command, environment = told["command"], told["environment"]
    setproctitle.setproctitle(" ".join(command))  # before the environment moves, beside which the name lies
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = command[2:]
    importlib.import_module(command[2]).main()
    return 0


def take() -> Spare | None:
    """One that waits, if there is one."""
    while _waiting:
        found = _waiting.pop()
        if found.poll() is None:
            return found
    return None


def dismiss() -> None:
    """End those that were not needed."""
    while _waiting:
        spare = _waiting.pop()
        spare.stdin.close()
        spare.stdout.close()
        spare.wait()
