"""The composition root: the only place that picks implementations and puts them together.

What all features stand on is in foundation.py; what there is of events is in event_parts.py. Each part is opened when
it is first needed, so that a command pays only for what it uses.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from tidemill.event_parts import EventParts
from tidemill.foundation import part
from tidemill.health import Check
from tidemill.settings import Settings

if TYPE_CHECKING:
    from tidemill.bigquery.client import Client
    from tidemill.bigquery.local.service import LocalBigQuery
    from tidemill.connection_users import ConnectionUsers
    from tidemill.connections.service import ConnectionService
    from tidemill.copies.service import Copies
    from tidemill.dbt.service import DbtService
    from tidemill.dbt.webhooks import Webhooks
    from tidemill.dbt_models import DbtModels
    from tidemill.exports.lookout import Lookout
    from tidemill.exports.schedules.scheduler import Scheduler
    from tidemill.exports.seeing import Seeing
    from tidemill.exports.service import ExportService
    from tidemill.health import Health
    from tidemill.imports.service import ImportService
    from tidemill.imports.taking import Taking
    from tidemill.jobs import JobService
    from tidemill.notify.service import NotifyService
    from tidemill.operations.service import OperationService
    from tidemill.overview import OverviewService
    from tidemill.reverse_etl.figures import SyncMetrics
    from tidemill.reverse_etl.lookout import SyncLookout
    from tidemill.reverse_etl.service import ReverseEtl
    from tidemill.reverse_etl.triggers import TriggerService
    from tidemill.schedules.worker import Worker
    from tidemill.store.books import Books
    from tidemill.store.operations import Operations
    from tidemill.store.records import Connection
    from tidemill.store.sync_books import SyncBooks


class App(EventParts):
    """One installation, open for use: ``with App(settings) as app: app.exports.run(…)``."""

    @part
    def connections(self) -> ConnectionService:
        """Connections."""
        from tidemill.connections.service import ConnectionService
        from tidemill.store.connections import Connections

        return ConnectionService(self.settings, Connections(self.database), self.secrets)

    @part
    def connection_users(self) -> ConnectionUsers:
        """What uses connections, and is deleted with them."""
        from tidemill.connection_users import ConnectionUsers
        from tidemill.store.connection_pages import ConnectionPages
        from tidemill.store.connections import Connections
        from tidemill.store.dbt_projects import DbtProjects
        from tidemill.store.exports import Exports

        return ConnectionUsers(
            Connections(self.database),
            ConnectionPages(self.database),
            Exports(self.database),
            self._sync_books,
            DbtProjects(self.database),
            self._locks,
            self.connections,
            lambda: self.exports.ending,
            lambda: self.reverse_etl.ending(self.engine.bury),
        )

    @part
    def exports(self) -> ExportService:
        """Exports and runs."""
        from tidemill.events.erasure import PersonEvents
        from tidemill.events.sources.custom import CustomSource
        from tidemill.exports.assembly import Assembly
        from tidemill.exports.service import ExportService

        made = Assembly(
            self.settings,
            self.lake,
            self.identity,
            functools.partial(CustomSource, self.lake),
            self.sources,
            self.engine,
            self.books,
            self.scheduler,
            self.seeing,
            PersonEvents(self.lake, self._metadata),
            self._locks,
            self._client,
            self.connections.auth,
        )
        return ExportService(made)

    @part
    def seeing(self) -> Seeing:
        """Logs of runs, and figures."""
        from tidemill.exports.seeing import Seeing

        seeing = Seeing(self.settings, self.database, lambda: self.lake)
        self._closing.callback(seeing.close)
        return seeing

    @part
    def scheduler(self) -> Scheduler:
        """Says which runs are due. It needs no event store."""
        from tidemill.exports.schedules.scheduler import Scheduler

        return Scheduler(self.books.schedules)

    @part
    def books(self) -> Books:
        """What is kept of exports, their runs and queues."""
        from tidemill.store.books import Books

        return Books.of(self.database)

    def any_work(self) -> bool:
        """Whether there is something in the queues of workers."""
        books = self.books
        queues = (books.tasks, books.pieces, books.triggers, self._operations, self._sync_books.syncs, self._uploads)
        return any(queue.any() for queue in queues)

    @part
    def worker(self) -> Worker:
        """Does what is in the queues: of operations, of schedules, of backfills, of syncs, of files."""
        from tidemill.events.upload_queue import UploadQueue
        from tidemill.operations.queue import OperationQueue
        from tidemill.reverse_etl.queue import SyncQueue
        from tidemill.schedules.worker import Worker

        def stopping() -> bool:
            return self.worker.stopping

        services = (lambda: self.imports, lambda: self.exports, lambda: self.reverse_etl)
        operations = OperationQueue(self._operations, *services, stopping)
        syncs = SyncQueue(self._sync_books, lambda: self.reverse_etl.syncs, stopping)
        loads = UploadQueue(self._uploads, self._upload_files, lambda: self.events, stopping)
        return Worker(self.settings, self.engine, [operations, *self.exports.queues, syncs, loads])

    @part
    def _operations(self) -> Operations:
        from tidemill.store.operations import Operations

        return Operations(self.database)

    @part
    def operations(self) -> OperationService:
        """What takes long, and is done by workers to its end."""
        from tidemill.operations.service import OperationService

        services = (lambda: self.imports, lambda: self.exports, lambda: self.reverse_etl)
        return OperationService(self._operations, *services)

    @part
    def _sync_books(self) -> SyncBooks:
        from tidemill.store.sync_books import SyncBooks

        return SyncBooks.of(self.database)

    @part
    def reverse_etl(self) -> ReverseEtl:
        """Reverse ETL: sources, models, destinations and syncs."""
        from tidemill.reverse_etl.service import ReverseEtl

        return ReverseEtl(
            self.settings,
            self._sync_books,
            self.secrets,
            self._locks,
            self.connections.auth,
            lambda: self.event_data.objects,
            self._taking.opened,
            lambda: self.seeing.book,
            lambda: self.seeing.lines,
        )

    @part
    def _taking(self) -> Taking:
        from tidemill.imports.taking import Taking

        return Taking(self._sync_books, lambda: self.lake, lambda: self.identity)

    @part
    def imports(self) -> ImportService:
        """Imports: rows of BigQuery that become people and events here."""
        from tidemill.imports.service import ImportService

        return ImportService(self.settings, self.reverse_etl, self._sync_books, self._taking, self.exports)

    @part
    def dbt(self) -> DbtService:
        """dbt projects."""
        from tidemill.bigquery import stored
        from tidemill.dbt.service import DbtService
        from tidemill.dbt_models import DbtConsumers
        from tidemill.store.connections import Connections
        from tidemill.store.dbt_projects import DbtProjects

        return DbtService(
            self.settings,
            DbtProjects(self.database),
            Connections(self.database),
            self.secrets,
            DbtConsumers(self._sync_books, lambda: self.reverse_etl),
            lambda connection, bucket, name: stored.read(self.connections.client(connection), bucket, name),
        )

    @part
    def dbt_webhooks(self) -> Webhooks:
        """What dbt Cloud tells of its runs. It takes little memory, and is asked by who is not known yet."""
        from tidemill.dbt.webhooks import Webhooks
        from tidemill.store.dbt_cloud_runs import DbtCloudRuns
        from tidemill.store.dbt_projects import DbtProjects

        return Webhooks(self.settings, DbtProjects(self.database), DbtCloudRuns(self.database), self.secrets)

    def any_cloud_run_due(self) -> bool:
        """Whether there is a run of dbt Cloud about which nothing was done yet."""
        from tidemill.store.dbt_cloud_runs import DbtCloudRuns

        return DbtCloudRuns(self.database).any_due()

    def any_dbt_due(self) -> bool:
        """Whether a dbt project is to be read anew. Who asks does not open what reads it."""
        from tidemill.store.dbt_projects import DbtProjects

        return DbtProjects(self.database).any_due()

    @part
    def dbt_models(self) -> DbtModels:
        """Source models of dbt projects."""
        from tidemill.dbt_models import DbtModels

        return DbtModels(self.dbt, self.dbt_webhooks, self._sync_books, self.sync_triggers)

    @part
    def sync_triggers(self) -> TriggerService:
        """Runs of syncs that somebody wants. It takes little memory, unlike what runs them."""
        from tidemill.reverse_etl.triggers import TriggerService

        return TriggerService(self._sync_books, self._locks)

    @part
    def _sync_metrics(self) -> SyncMetrics:
        from tidemill.reverse_etl.figures import SyncMetrics
        from tidemill.store import sync_totals

        return SyncMetrics(functools.partial(sync_totals.read, self.database))

    def figures(self) -> bytes:
        """What `/metrics` tells of exports and syncs, as Prometheus reads it."""
        return self.seeing.metrics.text() + self._sync_metrics.text()

    @part
    def notify(self) -> NotifyService:
        """Channels by which people are told."""
        from tidemill.notify.service import NotifyService

        settings = self.settings
        return NotifyService.of(self.database, self.secrets, str(settings.home_path), settings.outbound_allow)

    def any_channels(self) -> bool:
        """Whether anybody is to be told what is wrong."""
        from tidemill.store.channels import Channels

        return Channels(self.database).any()

    @part
    def lookout(self) -> Lookout:
        """Finds what nobody does that should be done. It needs no event store."""
        from tidemill.exports.lookout import Lookout

        return Lookout.of(self.database)

    @functools.cached_property
    def sync_lookout(self) -> SyncLookout:
        """The same of syncs."""
        from tidemill.reverse_etl.lookout import SyncLookout

        return SyncLookout.of(self.database)

    def any_streams(self) -> bool:
        """Whether there is a streaming export."""
        from tidemill.store.exports import Exports

        return Exports(self.database).any_of("stream")

    def _client(self, connection: Connection, project: str) -> Client:
        return self.connections.client(connection, project)

    @property
    def local(self) -> LocalBigQuery:
        """The embedded BigQuery."""
        return local_bigquery(self.settings)

    @part
    def overview(self) -> OverviewService:
        """How all stands, for the first page of the web app."""
        from tidemill.overview import OverviewService
        from tidemill.store.overview import Overview

        return OverviewService(Overview(self.database))

    @part
    def jobs(self) -> JobService:
        """Runs of everything."""
        from tidemill.jobs import JobService
        from tidemill.store.job_pages import JobPages

        return JobService(JobPages(self.database), lambda: self.exports.listed)

    @part
    def health(self) -> Health:
        """How the installation is."""
        from tidemill.health import Health

        return Health(self)

    def doctor(self) -> list[Check]:
        """Look at every part and say how it is."""
        from tidemill import health

        return health.examine(self)


def local_bigquery(settings: Settings) -> LocalBigQuery:
    """The embedded BigQuery of an installation; needs no database."""
    from tidemill.bigquery.local.service import LocalBigQuery

    return LocalBigQuery(settings.home_path / "bigquery")


def copies(settings: Settings) -> Copies:
    """Backups of an installation, and its moves. It is opened when it must be."""
    from tidemill.copies.service import Copies

    return Copies(settings, App)
