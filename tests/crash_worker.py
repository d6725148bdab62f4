"""Runs one export and kills itself, and its PostgreSQL, at a given point: what a machine does that loses its power.

Points are the ends of steps, of load jobs, and of what is written down of a chunk; or their beginnings.

    python -m tests.crash_worker STEP before|after

Settings come from the environment, as for the command line. Ends with code 0 if the run was over before that.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

import psutil

from tidemill.app import App
from tidemill.bigquery.client import Client
from tidemill.settings import Settings
from tidemill.store.runs import Runs


def power_off(home: str) -> None:
    for process in psutil.process_iter(["name", "cmdline"]):
        if process.info["name"] == "postgres" and home in " ".join(process.info["cmdline"] or ()):
            process.send_signal(signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def main(fatal: int, when: str) -> None:
    settings = Settings()
    count, guard = itertools.count(), threading.Lock()

    def cut(original: Callable[..., Any]) -> Callable[..., Any]:
        """The same, before or after which the power may go."""

        def called(*arguments: Any, **named: Any) -> Any:
            with guard:
                reached = next(count) == fatal
            if reached and when == "before":
                power_off(str(settings.home_path))
            result = original(*arguments, **named)
            if reached and when == "after":
                power_off(str(settings.home_path))
            return result

        return called

    with App(settings) as app:
        vars(app.engine)["step"] = cut(app.engine.step)
        for whose, name in ((Runs, "note_chunk"), (Client, "load")):  # within a step
            setattr(whose, name, cut(getattr(whose, name)))
        app.exports.run("daily", by="tester")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
