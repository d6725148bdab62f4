"""What a server does beside taking events, as a process: ``python -m tidemill.api.background FILE ROLES``.

A worker moves streams, and runs whose interval has ended; a scheduler puts those into the queue.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import os
import sys
import threading
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.api import child, folders
from tidemill.api.child import Child
from tidemill.api.roles import Role
from tidemill.api.stream import Streams
from tidemill.errors import UnavailableError
from tidemill.settings import current

if TYPE_CHECKING:
    from tidemill.exports.schedules.scheduler import Scheduler

_log = logging.getLogger(__name__)
_LOOKS_EVERY_SECONDS = 1.0


def main() -> None:
    """Entry point of the process."""
    from tidemill.app import App

    child.enter()
    file, roles = Path(sys.argv[1]), {Role(name) for name in sys.argv[2].split(",")}
    with App(current().with_threads(1)) as app:
        exports, stopping = app.exports, threading.Event()
        threads, streams = [], None
        if Role.WORKER in roles:
            streams = Streams(exports.streaming, file, stopping)
            streams.start()
            threads.append(
                threading.Thread(target=child.vital(exports.worker.run), args=(stopping.is_set,), daemon=True)
            )
        if Role.SCHEDULER in roles:
            scheduling = child.vital(_keep_scheduling)
            threads.append(threading.Thread(target=scheduling, args=(exports.scheduler, stopping), daemon=True))
        for thread in threads:
            thread.start()
        child.ready()
        stopping.set()
        for thread in threads:
            thread.join(app.settings.stop_seconds)
        if streams is not None:
            streams.join()
        if any(thread.is_alive() for thread in threads):
            _log.warning("runs are left in the middle; the next server goes on with them")
            os._exit(0)


def _keep_scheduling(scheduler: Scheduler, stopping: threading.Event) -> None:
    while not stopping.is_set():
        try:
            scheduler.look(dt.datetime.now(dt.UTC))
        except UnavailableError:
            _log.warning("schedules cannot be read: the database does not answer")
        stopping.wait(_LOOKS_EVERY_SECONDS)


@contextlib.contextmanager
def working(roles: Collection[Role]) -> Iterator[None]:
    """What these roles do is done, for the time of the block."""
    from tidemill.capture.metrics import STREAMS

    with folders.folder() as folder:
        file = folder / "streams.json"
        arguments = [str(file), ",".join(sorted(roles))]
        process = Child("background process", "tidemill.api.background", arguments, current().stop_seconds)
        os.environ[STREAMS] = str(file)
        process.start()
        try:
            yield
        finally:
            process.stop()
            del os.environ[STREAMS]


if __name__ == "__main__":
    main()
