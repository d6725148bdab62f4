"""The composition root: the only place that picks implementations and puts them together.

Each part is opened when it is first needed, so that a command pays only for what it uses.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from tidemill.health import Check
from tidemill.settings import Settings

if TYPE_CHECKING:
    from tidemill.bigquery.client import Client
    from tidemill.bigquery.local.service import LocalBigQuery
    from tidemill.capture.intake import Intake
    from tidemill.capture.keeper import Keeper
    from tidemill.capture.metrics import Metrics
    from tidemill.capture.server import Server
    from tidemill.capture.service import KeyService
    from tidemill.capture.writer import Writer
    from tidemill.connections.service import ConnectionService
    from tidemill.engine.port import Engine
    from tidemill.events.identity.service import IdentityService
    from tidemill.events.lake import Lake
    from tidemill.events.service import EventService
    from tidemill.events.sources.metadata import Metadata
    from tidemill.events.sources.source import Source
    from tidemill.exports.lookout import Lookout
    from tidemill.exports.schedules.scheduler import Scheduler
    from tidemill.exports.service import ExportService
    from tidemill.notify.service import NotifyService
    from tidemill.store.database import Database
    from tidemill.store.locks import Locks
    from tidemill.store.postgres import Postgres
    from tidemill.store.records import Connection
    from tidemill.store.secrets import Secrets
    from tidemill.store.tasks import Tasks


class App:
    """One installation, open for use: ``with App(settings) as app: app.exports.run(…)``."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._closing = contextlib.ExitStack()

    def __enter__(self) -> App:
        """Open the database: it is made if there is none."""
        if not self.database.any_secret():
            self.secrets.ensure()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.close()

    @functools.cached_property
    def postgres(self) -> Postgres:
        """The running PostgreSQL."""
        from tidemill.store.postgres import open_postgres

        return open_postgres(self.settings)

    @functools.cached_property
    def database(self) -> Database:
        """The metadata database, up to date."""
        from tidemill.store.database import Database

        database = Database(self.postgres)
        self._closing.callback(database.close)
        database.migrate()
        return database

    @functools.cached_property
    def secrets(self) -> Secrets:
        """Encryption of what is kept secret."""
        from tidemill.store.secrets import Secrets

        return Secrets(self.settings)

    @functools.cached_property
    def lake(self) -> Lake:
        """The event store."""
        from tidemill.events.lake import Lake

        lake = Lake(self.settings, self.postgres.dsn, self._locks)
        self._closing.callback(lake.close)
        return lake

    @functools.cached_property
    def _locks(self) -> Locks:
        from tidemill.store.locks import Locks

        locks = Locks(self.postgres)
        self._closing.callback(locks.close)
        return locks

    @functools.cached_property
    def engine(self) -> Engine:
        """The durable engine. It begins with the first workflow."""
        from tidemill.engine.lazy import LazyEngine

        engine = LazyEngine(self.postgres.dsn, self.postgres.url)
        self._closing.callback(engine.close)
        return engine

    @functools.cached_property
    def connections(self) -> ConnectionService:
        """Connections."""
        from tidemill.connections.service import ConnectionService
        from tidemill.store.connections import Connections

        return ConnectionService(self.settings, Connections(self.database), self.secrets)

    @functools.cached_property
    def events(self) -> EventService:
        """Events and rejects."""
        from tidemill.events.service import EventService
        from tidemill.store.loads import Loads, Rejects

        return EventService(self.settings, self.lake, Loads(self.database), Rejects(self.database))

    @functools.cached_property
    def identity(self) -> IdentityService:
        """Who is who."""
        from tidemill.events.identity.service import IdentityService
        from tidemill.store.people import PeopleBook

        return IdentityService(self.lake, PeopleBook(self.database))

    @functools.cached_property
    def sources(self) -> Mapping[str, Source]:
        """Where the rows of each model come from."""
        from tidemill.events.sources.amplitude_events import AmplitudeEventSource
        from tidemill.events.sources.events import EventSource
        from tidemill.events.sources.merge_ids import MergeIdSource
        from tidemill.events.sources.persons import PersonSource
        from tidemill.events.sources.sessions import SessionSource

        metadata = self._metadata
        return {
            "events": EventSource(self.lake),
            "persons": PersonSource(self.lake, self.identity, metadata),
            "sessions": SessionSource(self.lake),
            "amplitude_events": AmplitudeEventSource(self.lake, self.identity, metadata),
            "merge_ids": MergeIdSource(self.lake, self.identity, metadata),
        }

    @functools.cached_property
    def _metadata(self) -> Metadata:
        from tidemill.events.sources.metadata import Metadata
        from tidemill.store.tables import SCHEMA

        return Metadata(SCHEMA)

    @functools.cached_property
    def exports(self) -> ExportService:
        """Exports and runs."""
        from tidemill.events.erasure import PersonEvents
        from tidemill.events.sources.custom import CustomSource
        from tidemill.exports.service import ExportService
        from tidemill.store.backfills import Backfills
        from tidemill.store.connections import Connections
        from tidemill.store.erasures import Erasures
        from tidemill.store.exports import Exports
        from tidemill.store.loads import Rejects
        from tidemill.store.modifications import Modifications
        from tidemill.store.runs import Runs
        from tidemill.store.schedules import Schedules
        from tidemill.store.streams import Streams
        from tidemill.store.verifications import Verifications

        return ExportService(
            self.settings,
            self.lake,
            self.identity,
            functools.partial(CustomSource, self.lake),
            self.sources,
            self.engine,
            Connections(self.database),
            Exports(self.database),
            Runs(self.database),
            Rejects(self.database),
            Backfills(self.database),
            Verifications(self.database),
            Erasures(self.database),
            Streams(self.database),
            Schedules(self.database),
            self.tasks,
            self.scheduler,
            Modifications(self.database),
            PersonEvents(self.lake, self._metadata),
            self._locks,
            self._client,
        )

    @functools.cached_property
    def scheduler(self) -> Scheduler:
        """Says which runs are due. It needs no event store."""
        from tidemill.exports.schedules.scheduler import Scheduler
        from tidemill.store.exports import Exports
        from tidemill.store.schedules import Schedules

        return Scheduler(Exports(self.database), Schedules(self.database), self.tasks)

    @functools.cached_property
    def tasks(self) -> Tasks:
        """The queue of runs that are due."""
        from tidemill.store.tasks import Tasks

        return Tasks(self.database)

    @functools.cached_property
    def notify(self) -> NotifyService:
        """Channels by which people are told."""
        from tidemill.notify.service import NotifyService

        return NotifyService.of(self.database, self.secrets, str(self.settings.home_path))

    def any_channels(self) -> bool:
        """Whether anybody is to be told what is wrong."""
        from tidemill.store.channels import Channels

        return Channels(self.database).any()

    @functools.cached_property
    def lookout(self) -> Lookout:
        """Finds what nobody does that should be done. It needs no event store."""
        from tidemill.exports.lookout import Lookout

        return Lookout.of(self.database)

    def any_streams(self) -> bool:
        """Whether there is a streaming export."""
        from tidemill.store.exports import Exports

        return Exports(self.database).any_of("stream")

    def revive(self) -> None:
        """Start the embedded PostgreSQL again, if it was killed, or ended when the disk was full."""
        from tidemill.store.postgres import open_postgres

        open_postgres(self.settings)

    @functools.cached_property
    def keys(self) -> KeyService:
        """Keys by which SDKs send events."""
        from tidemill.capture.service import KeyService
        from tidemill.store.keys import Keys

        return KeyService(Keys(self.database))

    def _client(self, connection: Connection, project: str) -> Client:
        return self.connections.client(connection, project)

    @property
    def local(self) -> LocalBigQuery:
        """The embedded BigQuery."""
        return local_bigquery(self.settings)

    def doctor(self) -> list[Check]:
        """Look at every part and say how it is."""
        from tidemill import health

        return health.examine(self)


def local_bigquery(settings: Settings) -> LocalBigQuery:
    """The embedded BigQuery of an installation; needs no database."""
    from tidemill.bigquery.local.service import LocalBigQuery

    return LocalBigQuery(settings.home_path / "bigquery")


def share_metrics(folder: Path) -> None:
    """Have the processes that this one begins count together, in this folder."""
    from tidemill.capture import metrics

    metrics.shared_by_processes(folder)


def capture_server(settings: Settings, processes: int, writer: Path) -> Server:
    """One of so many processes that take events over HTTP. It opens the installation when it begins.

    `writer`: the socket of the process that keeps events for all of them.
    """
    from tidemill.capture.metrics import Metrics
    from tidemill.capture.server import Server

    app, metrics, closing = App(settings.with_threads(1)), Metrics(), contextlib.ExitStack()

    def opened() -> Intake:
        closing.enter_context(app)
        return _intake(app, _remote(writer, closing), metrics, processes, closing)

    return Server(opened, closing.close, metrics, settings.metrics_token)


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
        keeper.look()
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
