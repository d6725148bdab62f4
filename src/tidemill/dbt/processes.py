"""Programs that are asked for something, for so long and no longer: with all that they have started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


def run(
    words: Sequence[str], environment: Mapping[str, str], seconds: float, *, folder: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end, whatever that is.

    Raises
    ------
    OSError
        It cannot be started.
    subprocess.TimeoutExpired
        It was not done in time; it and its children are gone.
    """
    process = subprocess.Popen(  # noqa: S603 - no word of it is a shell's
        list(words),
        env=dict(environment),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        out, wrong = process.communicate(timeout=seconds)
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()
    return subprocess.CompletedProcess(process.args, process.returncode, out, wrong)
