"""Runs one export and kills itself, and its PostgreSQL, at a given step: what a machine does that loses its power.

    python -m tests.crash_worker STEP before|after

Settings come from the environment, as for the command line. Ends with code 0 if the run was over before that step.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

import psutil

from tidemill.app import App
from tidemill.settings import Settings


def power_off(home: str) -> None:
    for process in psutil.process_iter(["name", "cmdline"]):
        if process.info["name"] == "postgres" and home in " ".join(process.info["cmdline"] or ()):
            process.send_signal(signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def main(fatal: int, when: str) -> None:
    settings = Settings()
    with App(settings) as app:
        engine = app.engine
        original: Callable[..., Any] = engine.step
        count, guard = 0, threading.Lock()

        def step(name: str, function: Callable[..., Any], *arguments: Any) -> Any:
            nonlocal count
            with guard:
                number = count
                count += 1
            if number == fatal and when == "before":
                power_off(str(settings.home_path))
            result = original(name, function, *arguments)
            if number == fatal and when == "after":
                power_off(str(settings.home_path))
            return result

        vars(engine)["step"] = step
        app.exports.run("daily", by="tester")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
