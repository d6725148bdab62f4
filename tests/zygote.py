"""A process that has imported nearly all, and forks for each command: to import takes longer than most commands do.

    python -m tests.zygote SOCKET

A command is as it is in a process of its own: it gets its arguments, environment, folder and pipes, and ends with its
own code. Each request is a connection, over which the arguments come, and the code goes back.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import io
import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_MOST = 1_000_000


def serve(path: str) -> None:
    """Fork for each request, for ever."""
    # DuckDB is left out: it has threads as soon as it is imported, and a fork of it ends with SIGABRT.
    import psycopg  # noqa: F401
    import pyarrow.dataset
    import pyarrow.parquet  # noqa: F401

    import tidemill.app
    import tidemill.bigquery.client
    import tidemill.cli.main
    import tidemill.connections.service
    import tidemill.engine.dbos_engine
    import tidemill.events.known
    import tidemill.exports.service
    import tidemill.store.database  # noqa: F401

    gc.collect()
    gc.freeze()  # or each command would look through all that, and have pages of its own for it
    signal.signal(signal.SIGCHLD, lambda *_: _bury())
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(16)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            asked, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                _mind(asked)
                return
            asked.close()


def _bury() -> None:
    """Nobody else waits for who waits for a command; what it took is counted so."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _mind(asked: socket.socket) -> None:
    """Run the command in another process, and say how it ended."""
    said, pipes, _, _ = socket.recv_fds(asked, _MOST, 3)
    while not said.endswith(b"\n"):
        said += asked.recv(_MOST)
    child = os.fork()
    if child == 0:
        asked.close()
        _become(json.loads(said), pipes)
        return
    for pipe in pipes:
        os.close(pipe)
    asked.sendall(f"{child}\n".encode())
    _, status = os.waitpid(child, 0)
    with contextlib.suppress(OSError):
        asked.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _become(command: dict[str, object], pipes: Sequence[int]) -> None:
    from tidemill.cli.main import run

    for number, pipe in enumerate(pipes):
        os.dup2(pipe, number)
        os.close(pipe)
    sys.stdin, sys.stdout, sys.stderr = (
        io.TextIOWrapper(os.fdopen(number, mode, closefd=False), "utf-8", errors, line_buffering=number == 2)
        for number, mode, errors in ((0, "rb", "strict"), (1, "wb", "strict"), (2, "wb", "backslashreplace"))
    )
    os.environ.clear()
    os.environ.update({str(name): str(value) for name, value in dict(command["env"]).items()})  # type: ignore[call-overload]
    os.chdir(str(command["cwd"]))
    sys.argv = ["tidemill", *map(str, command["arguments"])]  # type: ignore[call-overload]
    run()


class Zygote:
    """It, as tests use it."""

    def __init__(self) -> None:
        self._folder = tempfile.mkdtemp()
        self._path = str(Path(self._folder) / "socket")
        words = [sys.executable, "-m", "tests.zygote", self._path]
        root = Path(__file__).parents[1]
        environment = {**os.environ, "COLUMNS": "200"}
        self._process = subprocess.Popen(words, cwd=root, env=environment, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"

    def run(
        self,
        arguments: Sequence[str],
        env: Mapping[str, str],
        timeout: float,
        began: Callable[[int], None] = lambda _: None,
    ) -> subprocess.CompletedProcess[str]:
        """Run the command to its end. `began`: is told the id of its process, which may be killed."""
        ours, theirs = zip(*(os.pipe() for _ in range(2)), strict=True)
        command = json.dumps({"arguments": list(arguments), "env": dict(env), "cwd": str(Path.cwd())})
        with socket.socket(socket.AF_UNIX) as asking, Path(os.devnull).open("rb") as nothing:
            asking.connect(self._path)
            socket.send_fds(asking, [b" "], [nothing.fileno(), *theirs])
            asking.sendall(command.encode() + b"\n")
            for pipe in theirs:
                os.close(pipe)
            answers = asking.makefile("rb")
            pid = int(answers.readline())
            began(pid)
            out, err = _read(ours, pid, time.monotonic() + timeout)
            code = int(answers.readline() or -signal.SIGKILL)
        return subprocess.CompletedProcess(list(arguments), code, out, err)

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()
        shutil.rmtree(self._folder, ignore_errors=True)


def _read(pipes: Sequence[int], pid: int, until: float) -> list[str]:
    """All that comes of each."""
    found: dict[int, list[bytes]] = {pipe: [] for pipe in pipes}
    with selectors.DefaultSelector() as selector:
        for pipe in pipes:
            selector.register(pipe, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(until - time.monotonic())
            if not ready:
                os.kill(pid, signal.SIGKILL)
                raise TimeoutError(str({key: b"".join(blocks) for key, blocks in found.items()}))
            for key, _ in ready:
                if block := os.read(key.fd, 65_536):
                    found[key.fd].append(block)
                else:
                    selector.unregister(key.fd)
                    os.close(key.fd)
    return [io.TextIOWrapper(io.BytesIO(b"".join(blocks)), "utf-8").read() for blocks in found.values()]


@functools.cache
def zygote() -> Zygote:
    """The one of this test process."""
    made = Zygote()
    atexit.register(made.stop)
    return made


if __name__ == "__main__":
    serve(sys.argv[1])
