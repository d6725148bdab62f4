"""What a user can do with reverse ETL: sources, models of them, destinations, and syncs from the ones to the others.

This is the door: who parses and renders imports what it needs from here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from tidemill.bigquery.credentials import Auth
from tidemill.reverse_etl.accounts import AccountService, AccountView, secret_field
from tidemill.reverse_etl.drafts import mapping_of
from tidemill.reverse_etl.ending import Ending
from tidemill.reverse_etl.listing import ACCOUNT_SORTS, MODEL_SORTS, SYNC_SORTS, Listing
from tidemill.reverse_etl.model_check import Inspection, Keys
from tidemill.reverse_etl.models import Preview, SourceModelService, SourceModelView
from tidemill.reverse_etl.plan.port import Planner
from tidemill.reverse_etl.rejects import SyncRejectService
from tidemill.reverse_etl.sources import SourceService, SourceView
from tidemill.reverse_etl.spec import NAME_RULE, CursorUnit, Extraction, ModelSpec, SourceSpec, SyncSpec
from tidemill.reverse_etl.syncs import RESETS, SyncService
from tidemill.reverse_etl.trials import Trials
from tidemill.reverse_etl.triggers import RunState, Triggered
from tidemill.reverse_etl.unsaved import Unsaved
from tidemill.reverse_etl.views import Estimate, RunView, SyncView, Tried, counted
from tidemill.reverse_etl.watch import Watch
from tidemill.reverse_etl.work import Job, Locks, Parts
from tidemill.settings import Settings
from tidemill.store.records import Connection
from tidemill.store.records_sync import Source, Sync
from tidemill.store.secrets import Secrets
from tidemill.store.sync_books import SyncBooks

if TYPE_CHECKING:
    from tidemill.bigquery.client import Client
    from tidemill.events.data.objects import Objects
    from tidemill.logbook import Book
    from tidemill.outbound.client import Http
    from tidemill.reverse_etl.journal import Way
    from tidemill.reverse_etl.logs import SyncLogs
    from tidemill.store.run_lines import RunLines

__all__ = [
    "ACCOUNT_SORTS",
    "MODEL_SORTS",
    "NAME_RULE",
    "RESETS",
    "SYNC_SORTS",
    "AccountView",
    "CursorUnit",
    "Estimate",
    "Extraction",
    "Inspection",
    "Keys",
    "ModelSpec",
    "Preview",
    "ReverseEtl",
    "RunState",
    "RunView",
    "SourceModelView",
    "SourceService",
    "SourceSpec",
    "SourceView",
    "SyncSpec",
    "SyncView",
    "Tried",
    "Triggered",
    "Watch",
    "counted",
    "mapping_of",
    "secret_field",
]


class ReverseEtl:
    """Reverse ETL of an installation."""

    def __init__(
        self,
        settings: Settings,
        books: SyncBooks,
        secrets: Secrets,
        locks: Locks,
        auth: Callable[[Connection], Auth],
        objects: Callable[[], Objects],
        inward: Callable[[Job, Watch], contextlib.AbstractContextManager[Way]],
        book: Callable[[], Book],
        lines: Callable[[], RunLines],
    ) -> None:
        """`auth`: the credential of a connection; `objects`: where what sources that may only be read need is kept;
        `inward`: the way of rows that stay here; `book`, `lines`: where runs tell what they do, and what they have
        told."""
        self._settings, self._objects, self._books, self._lines = settings, objects, books, lines
        self.sources = SourceService(settings, books, auth)
        self.models = SourceModelService(settings, books, self.sources)
        self.destinations = AccountService(books, secrets, self._http)
        parts = Parts(settings, books, secrets, locks, self.sources.client, self._planner, self._http, inward, book)
        self._parts = parts
        self.syncs = SyncService(parts, self.models.columns)
        self.listed = Listing(books)
        self.trials = Trials(parts, self.syncs)
        self.rejects = SyncRejectService(parts, self.syncs)
        self.unsaved = Unsaved(settings, books, self.sources)

    @property
    def logs(self) -> SyncLogs:
        """What runs have told."""
        from tidemill.reverse_etl.logs import SyncLogs

        return SyncLogs(self._books, self._lines())

    def ending(self, bury: Callable[[str], bool]) -> Ending:
        """For who deletes a connection. `bury`: whether a worker is dead, for who wants its work."""
        return Ending(self._parts, bury)

    @contextlib.contextmanager
    def _http(self) -> Iterator[Http]:
        """What makes requests to destinations."""
        from tidemill.outbound.client import Http
        from tidemill.outbound.guard import Guard

        http = Http(Guard(self._settings.outbound_allow.split(",")))
        try:
            yield http
        finally:
            http.close()

    def _planner(self, client: Client, source: Source, sync: Sync) -> Planner:
        if source.state_dataset is None:
            from tidemill.reverse_etl.plan.local import LocalPlanner

            return LocalPlanner(client, self._objects(), self._settings, sync.id)
        from tidemill.reverse_etl.plan.warehouse import WarehousePlanner

        return WarehousePlanner(client, source.state_dataset, sync.id)
