"""Puts together what answers over HTTP, and what keeps events, for the processes of a server."""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.app import App
from tidemill.errors import UnavailableError
from tidemill.foundation import STARTING_SECONDS
from tidemill.settings import Settings

if TYPE_CHECKING:
    from tidemill.capture.intake import Intake
    from tidemill.capture.keeper import Keeper
    from tidemill.capture.metrics import Metrics
    from tidemill.capture.server import Part, Server
    from tidemill.capture.writer import Writer

    #: Makes a part of a server, of an installation that is open. What is to be done at its end is put on the stack.
    MakePart = Callable[[App, Metrics, contextlib.ExitStack], Part]


def share_metrics(folder: Path) -> None:
    """Have the processes that this one begins count together, in this folder."""
    from tidemill.capture import metrics

    metrics.shared_by_processes(folder)


def server(settings: Settings, *makes: MakePart) -> Server:
    """One of the processes that answer by HTTP. It opens the installation when it begins; its parts are made then."""
    from tidemill.capture.metrics import Metrics
    from tidemill.capture.server import Server

    app, closing = App(settings.with_threads(1), patience=STARTING_SECONDS), contextlib.ExitStack()

    def figures() -> bytes:  # by when it is open
        return app.figures()

    metrics = Metrics(figures)

    def opened() -> list[Part]:
        closing.enter_context(app)
        return [make(app, metrics, closing) for make in makes]

    return Server(opened, closing.close, metrics, settings.metrics_token)


def sdks(processes: int, writer: Path) -> MakePart:
    """What takes events over HTTP, in each of so many processes. `writer`: the socket of the one that keeps them."""

    def made(app: App, metrics: Metrics, closing: contextlib.ExitStack) -> Part:
        from tidemill.capture.sdks import Sdks

        return Sdks(_intake(app, _remote(writer, closing), metrics, processes, closing))

    return made


def capture_writer(settings: Settings, path: Path) -> contextlib.AbstractContextManager[Writer]:
    """The process that keeps events for those of a server, at a socket, for the time of the block."""
    from tidemill.capture.writer import Writer

    @contextlib.contextmanager
    def opened() -> Iterator[Writer]:
        with App(settings.with_threads(1), patience=STARTING_SECONDS) as app, contextlib.ExitStack() as closing:
            writer = Writer(path, _keeper(app, closing))
            closing.callback(writer.stop)
            yield writer

    return opened()


def _keeper(app: App, closing: contextlib.ExitStack) -> Keeper:
    """Keeps events from this process, and joins small files."""
    from tidemill.capture.keeper import StoreKeeper
    from tidemill.capture.tidying import Tidying
    from tidemill.store.keys import Keys
    from tidemill.store.loads import Rejects

    revoked, revive = Keys(app.database).revoked, app.revive
    within = dt.timedelta(days=app.settings.capture_duplicate_days)
    keeper = StoreKeeper(app.lake, Rejects(app.database), revoked, revive, within)
    if app.keys.find():  # the store is opened now, or who sends much at once is told to come again until it is
        with contextlib.suppress(UnavailableError):  # it may be there soon
            app.lake.look()
    tidying = Tidying(app.lake)
    tidying.start()
    closing.callback(tidying.stop)
    return keeper


def _remote(writer: Path, closing: contextlib.ExitStack) -> Keeper:
    from tidemill.capture.writer import RemoteKeeper

    keeper = RemoteKeeper(writer)
    closing.callback(keeper.close)
    return keeper


def _intake(app: App, keeper: Keeper, metrics: Metrics, processes: int, closing: contextlib.ExitStack) -> Intake:
    from tidemill.capture.bodies import Room
    from tidemill.capture.committer import Bounds, Committer
    from tidemill.capture.intake import Intake
    from tidemill.capture.keyring import Keyring
    from tidemill.store.keys import Keys

    settings = app.settings
    bounds = Bounds(settings.capture_commit_rows, settings.capture_commit_bytes, settings.capture_commit_seconds)
    committer = Committer(keeper, bounds, metrics)
    committer.start()
    closing.callback(committer.stop)
    keyring = Keyring(Keys(app.database).by_hash, processes)
    room = Room(settings.capture_held_bytes)
    seconds = settings.capture_body_seconds
    source = functools.lru_cache(1000)(app.events.captured)  # once made, it stays
    return Intake(keyring, committer, metrics, room, seconds, source, keeper.look)
