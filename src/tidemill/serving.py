"""Puts together what takes events over HTTP, for the processes of a server."""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.app import App
from tidemill.errors import UnavailableError
from tidemill.settings import Settings

if TYPE_CHECKING:
    from tidemill.capture.intake import Intake
    from tidemill.capture.keeper import Keeper
    from tidemill.capture.metrics import Metrics
    from tidemill.capture.server import Application, Server
    from tidemill.capture.writer import Writer

    #: Makes the API of an installation that is open.
    MakeApi = Callable[[App], Application]


def share_metrics(folder: Path) -> None:
    """Have the processes that this one begins count together, in this folder."""
    from tidemill.capture import metrics

    metrics.shared_by_processes(folder)


def capture_server(settings: Settings, processes: int, writer: Path, api: MakeApi | None = None) -> Server:
    """One of so many processes that take events over HTTP. It opens the installation when it begins.

    `writer`: the socket of the process that keeps events for all of them; `api`: makes what answers below /api/, if
    this server does.
    """
    from tidemill.capture.metrics import Metrics
    from tidemill.capture.server import Server

    app, closing = App(settings.with_threads(1)), contextlib.ExitStack()

    def figures() -> bytes:  # by when it is open
        return app.figures()

    metrics = Metrics(figures)

    def opened() -> Intake:
        closing.enter_context(app)
        return _intake(app, _remote(writer, closing), metrics, processes, closing)

    return Server(opened, closing.close, metrics, settings.metrics_token, api=_made(api, app))


def api_server(settings: Settings, api: MakeApi) -> Server:
    """One that takes no events: it has the API, and tells of its health, of exports and syncs."""
    from tidemill.capture.metrics import Metrics
    from tidemill.capture.server import Server

    app, closing = App(settings.with_threads(1)), contextlib.ExitStack()

    def opened() -> None:
        closing.enter_context(app)

    def look() -> None:
        app.database.server()

    def figures() -> bytes:  # by when it is open
        return app.figures()

    return Server(opened, closing.close, Metrics(figures), settings.metrics_token, look, _made(api, app))


def _made(api: MakeApi | None, app: App) -> Callable[[], Application] | None:
    return None if api is None else functools.partial(api, app)


def capture_writer(settings: Settings, path: Path) -> contextlib.AbstractContextManager[Writer]:
    """The process that keeps events for those of a server, at a socket, for the time of the block."""
    from tidemill.capture.writer import Writer

    @contextlib.contextmanager
    def opened() -> Iterator[Writer]:
        with App(settings.with_threads(1)) as app, contextlib.ExitStack() as closing:
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
