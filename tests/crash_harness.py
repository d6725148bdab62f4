"""Processes that tests talk to and kill: they say a line when they are where the test wants them; nothing sleeps."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

LIMIT_SECONDS = 90


class Child:
    """A Python process that runs a piece of code, with `say(text)` and `wait()` (for the test's word) at hand."""

    def __init__(self, code: str, *arguments: object, environment: dict[str, str] | None = None) -> None:
        talk = "import sys\ndef say(text): print(text, flush=True)\ndef wait(): sys.stdin.readline()\n"
        self.process: subprocess.Popen[str] = subprocess.Popen(
            [sys.executable, "-c", talk + textwrap.dedent(code), *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **(environment or {})},
        )

    def heard(self) -> str:
        """The next line that it says; "" if it ended."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def go_on(self) -> None:
        """Let it go on from its `wait()`."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        """`kill -9`."""
        self.process.kill()
        self.process.communicate()

    def end(self) -> str:
        """Let it run to its good end. Gives what it said since."""
        out, err = self.process.communicate("\n", timeout=LIMIT_SECONDS)
        assert self.process.returncode == 0, err
        return out.strip()
