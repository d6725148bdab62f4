"""What moves runs and knows how they stand, put together once: the services are doors to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tidemill.bigquery.client import Client
from tidemill.bigquery.credentials import Auth
from tidemill.engine.port import Engine
from tidemill.events.erasure import PersonEvents
from tidemill.events.identity.service import IdentityService
from tidemill.events.lake import Lake
from tidemill.events.sources.source import Source
from tidemill.exports.backfill import Backfiller
from tidemill.exports.dispatch import Dispatch
from tidemill.exports.erasure import Eraser
from tidemill.exports.estimate import Estimator
from tidemill.exports.integrity import Integrity
from tidemill.exports.plan import Planner
from tidemill.exports.rejects import RunRejects
from tidemill.exports.schedules.intervals import Intervals
from tidemill.exports.schedules.pieces import Pieces
from tidemill.exports.schedules.scheduler import Scheduler
from tidemill.exports.schedules.service import Scheduling
from tidemill.exports.seeing import Seeing
from tidemill.exports.shown import Shown
from tidemill.exports.stream.streaming import Streaming
from tidemill.exports.trial.service import TrialService
from tidemill.exports.verify import Verifier
from tidemill.exports.watch import Watches
from tidemill.exports.work import Lock, Parts, Queried
from tidemill.schedules.worker import Queue
from tidemill.settings import Settings
from tidemill.store.books import Books
from tidemill.store.records import Connection, Export


class Assembly:
    """See the module."""

    def __init__(
        self,
        settings: Settings,
        lake: Lake,
        identity: IdentityService,
        queried: Queried,
        sources: Mapping[str, Source],
        engine: Engine,
        books: Books,
        scheduler: Scheduler,
        seeing: Seeing,
        sent: PersonEvents,
        lock: Lock,
        client_for: Callable[[Connection, str], Client],
        auth_for: Callable[[Connection], Auth],
    ) -> None:
        """`queried`: the source of a query's rows; `sources`: by model; `lock`: as in Parts; `sent`: events by who sent
        them; `client_for(connection, project)`: BigQuery; `auth_for(connection)`: its credential."""
        self.books, self.seeing, self.scheduler, self._client_for = books, seeing, scheduler, client_for
        watches = Watches(books.runs, self.client)
        self.parts = parts = Parts(settings, lake, sources, queried, engine, books, watches, lock, seeing.book)
        planner = Planner(parts)
        #: Test uploads.
        self.trials = TrialService(parts, books, auth_for)
        #: Rows that runs have set aside.
        self.rejects = RunRejects(lake, books.runs, books.rejects)
        self.dispatch = Dispatch(parts, planner, self.rejects)
        self.backfiller = Backfiller(parts, planner, self.dispatch, books.backfills)
        self.estimator = Estimator(parts, planner)
        self.streaming = Streaming(parts, books.streams, self.dispatch, self.client)
        quiet = self.streaming.quiet
        self.eraser = Eraser(parts, identity, sent, books.erasures, self.dispatch, self.backfiller, self.client, quiet)
        verifier = Verifier(parts, self.rejects)
        self.integrity = Integrity(parts, verifier, self.estimator, self.backfiller, books.verifications)
        self.schedules = Scheduling(parts, books.schedules, books.tasks, scheduler, self.backfiller)
        self.shown = Shown(parts, books.connections, self.integrity, self.streaming, self.schedules, seeing.totals)
        pause = self.schedules.pause_failing
        due = Intervals(parts, self.dispatch, self.integrity, books.schedules, books.tasks, pause)
        #: What workers do.
        self.queues: Sequence[Queue[Any]] = (due, Pieces(settings, self.dispatch, self.backfiller, books.pieces))

    def client(self, export: Export) -> Client:
        """BigQuery, as an export uses it."""
        return self._client_for(self.books.connections.by_id(export.connection_id), export.project)
