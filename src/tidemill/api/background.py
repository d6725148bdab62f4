"""What a server does beside taking events, as a process: ``python -m tidemill.api.background FILE ROLES``.

A worker moves streams, and runs whose interval has ended; a scheduler puts those into the queue. Either tells people
what is wrong. A server may have more processes that move runs, and do nothing else: Python uses one core a process.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.api import child, folders, upkeep
from tidemill.api.child import Child
from tidemill.api.roles import BACKGROUND, Role
from tidemill.api.stream import Streams
from tidemill.errors import TidemillError, UnavailableError
from tidemill.settings import Settings, current

if TYPE_CHECKING:
    from tidemill.app import App

_log = logging.getLogger(__name__)
#: What a process does that a server has beside its first one.
_MORE = "more"
_LOOKS_EVERY_SECONDS = 1.0
#: How often is looked for messages that are due; and how long those that are on their way are waited for at the end.
_TELLS_EVERY_SECONDS, _TELLS_WITHIN_SECONDS = 5.0, 10.0


def main() -> None:
    """Entry point of the process."""
    child.enter()
    file, roles = Path(sys.argv[1]), set(sys.argv[2].split(","))
    stopping = threading.Event()
    working = threading.Thread(target=child.vital(_work), args=(file, roles, stopping), daemon=True)
    working.start()
    child.ready()
    stopping.set()
    working.join()


def _work(file: Path, roles: Collection[str], stopping: threading.Event) -> None:
    """Do what the roles do, each in a thread, until it is told to stop."""
    with contextlib.ExitStack() as closing:
        app = _opened(closing, stopping)
        if app is None:
            return
        threads = [
            threading.Thread(target=child.vital(function), args=arguments, daemon=True)
            for role, function, arguments in (
                (Role.SCHEDULER, _keep_scheduling, (app, stopping)),
                (Role.WORKER, _keep_working, (app, stopping)),
                (_MORE, _keep_working, (app, stopping)),
                (Role.WORKER, _keep_streaming, (app, stopping, file)),
                (Role.SCHEDULER, upkeep.keep_pruning, (app, stopping)),
                (Role.SCHEDULER, upkeep.keep_reading, (app, stopping)),
                (Role.WORKER, upkeep.keep_measuring, (app, stopping)),
            )
            if role in roles
        ]
        if _MORE not in roles:
            threads.append(threading.Thread(target=child.vital(_keep_telling), args=(app, stopping), daemon=True))
        for thread in threads:
            thread.start()
        stopping.wait()
        until = time.monotonic() + app.settings.stop_seconds
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        if any(thread.is_alive() for thread in threads):
            _log.warning("runs are left in the middle; the next server goes on with them")
            app.seeing.close()
            os._exit(0)


def _opened(closing: contextlib.ExitStack, stopping: threading.Event) -> App | None:
    """The installation, once its database answers; None if it is to stop before that."""
    from tidemill.app import App

    while not stopping.is_set():
        try:
            return closing.enter_context(App(current().with_threads(1)))
        except UnavailableError as error:
            _log.warning("it waits: %s", error.message)
        stopping.wait(_LOOKS_EVERY_SECONDS)
    return None


def _keep_scheduling(app: App, stopping: threading.Event) -> None:
    while not stopping.is_set():
        with _patience(app):
            app.scheduler.look(app.scheduler.now())
        stopping.wait(_LOOKS_EVERY_SECONDS)


def _keep_working(app: App, stopping: threading.Event) -> None:
    if _waited(app, stopping, app.any_work):
        app.worker.run(stopping.is_set)


def _keep_streaming(app: App, stopping: threading.Event, file: Path) -> None:
    if _waited(app, stopping, app.any_streams):
        streams = Streams(app.exports.streaming, file, stopping)
        streams.start()
        stopping.wait()
        streams.join()


def _keep_telling(app: App, stopping: threading.Event) -> None:
    """Have people told what is wrong. Each process of a server may: of each trouble they are told once."""
    if not _waited(app, stopping, app.any_channels, _TELLS_EVERY_SECONDS):
        return
    while not stopping.is_set():
        with _patience(app):
            app.lookout.look_now_and_then()
            app.sync_lookout.look_now_and_then()
            app.notify.sender.look()
        stopping.wait(_TELLS_EVERY_SECONDS)
    app.notify.sender.drain(_TELLS_WITHIN_SECONDS)


def _waited(
    app: App, stopping: threading.Event, needed: Callable[[], bool], seconds: float = _LOOKS_EVERY_SECONDS
) -> bool:
    """Wait until there is something to do: what does it takes memory, of which an idle server is to use little."""
    while not stopping.is_set():
        with _patience(app):
            if needed():
                return True
        stopping.wait(seconds)
    return False


@contextlib.contextmanager
def _patience(app: App) -> Iterator[None]:
    """While the database is away, nothing is done. The embedded one is begun again, if it was killed."""
    try:
        yield
    except UnavailableError:
        _log.warning("the database does not answer")
        with contextlib.suppress(TidemillError):
            app.revive()


def processes(roles: Collection[Role], settings: Settings) -> int:
    """How many processes a server of these roles has for what is done in the background."""
    return (settings.worker_processes if Role.WORKER in roles else 1) if BACKGROUND.intersection(roles) else 0


@contextlib.contextmanager
def working(roles: Collection[Role], settings: Settings) -> Iterator[None]:
    """What these roles do is done, for the time of the block."""
    from tidemill.capture.metrics import STREAMS

    with folders.folder() as folder, contextlib.ExitStack() as stack:
        file = folder / "streams.json"
        os.environ[STREAMS] = str(file)
        stack.callback(os.environ.pop, STREAMS)
        for number in range(processes(roles, settings)):
            arguments = [str(file), ",".join(sorted(roles)) if not number else _MORE]
            process = Child("background process", "tidemill.api.background", arguments, settings.stop_seconds)
            process.start()
            stack.callback(process.stop)
        yield


if __name__ == "__main__":
    main()
