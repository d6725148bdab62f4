"""Programs that are asked for something, for so long and no longer: with all that they have started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

#: Of what a program says, so much is kept in memory.
_MOST_SAID = 1_000_000


def run(
    words: Sequence[str], environment: Mapping[str, str], seconds: float, *, folder: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end, whatever that is. Of what it says, the beginning is kept: the rest may have no end.

    Raises
    ------
    OSError
        It cannot be started.
    subprocess.TimeoutExpired
        It was not done in time; it and its children are gone.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as wrong:
        process = subprocess.Popen(  # noqa: S603 - no word of it is a shell's
            list(words),
            env=dict(environment),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=wrong,
            start_new_session=True,
        )
        try:
            process.wait(timeout=seconds)
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        said = []
        for file in (out, wrong):
            file.seek(0)
            said.append(file.read(_MOST_SAID))
    return subprocess.CompletedProcess(process.args, process.returncode, *said)
