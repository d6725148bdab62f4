"""Counters of all processes of a server, also of those that are no more."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def say(folder: Path, code: str) -> str:
    """What a process of the server prints."""
    command = [sys.executable, "-c", f"import os; from tidemill.capture.metrics import Metrics; {code}"]
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)}
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout


@pytest.mark.parametrize("end", ["os._exit(0)", "pass"])
def test_a_process_that_is_gone_holds_nothing(tmp_path: Path, end: str) -> None:
    say(tmp_path, f"m = Metrics(); m.held.set(7); m.committed(3, 1, 0.1); {end}")
    text = say(tmp_path, "m = Metrics(); m.held.set(2); print(m.text().decode())")
    assert "tidemill_capture_events_total 3.0" in text
    assert "tidemill_capture_held_bytes 2.0" in text
