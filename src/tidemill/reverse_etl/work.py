"""What a run of a sync works with."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol

from tidemill.bigquery import ga4
from tidemill.bigquery.client import Client
from tidemill.destinations import fields, registry
from tidemill.destinations.port import Action, Destination, Settings
from tidemill.logbook import Book
from tidemill.outbound.client import Http
from tidemill.reverse_etl import mapping as mappings
from tidemill.reverse_etl import statement
from tidemill.reverse_etl.mapping import Mapping
from tidemill.reverse_etl.plan.port import Planner, Wanted
from tidemill.reverse_etl.spec import CursorUnit, Extraction, ModelSpec, SyncSpec
from tidemill.settings import Settings as Installation
from tidemill.store.paces import Paces
from tidemill.store.records import Connection
from tidemill.store.records_sync import Account, Source, Sync, SyncRun
from tidemill.store.secrets import Secrets
from tidemill.store.sync_books import SyncBooks
from tidemill.store.sync_rejects import key_of

if TYPE_CHECKING:
    from tidemill.reverse_etl.journal import Way
    from tidemill.reverse_etl.watch import Watch


class Locks(Protocol):
    """Locks that all processes see, by name."""

    def attempt(self, name: str) -> contextlib.AbstractContextManager[bool]:
        """Hold one for the time of the block, unless somebody else does; tells whether it is held."""


@dataclasses.dataclass(frozen=True)
class Job:
    """A sync with all that belongs to it, as it was when its run began."""

    sync: Sync
    run: SyncRun
    connection: Connection
    source: Source
    account: Account

    @functools.cached_property
    def spec(self) -> SyncSpec:
        """What the user said of the sync."""
        return SyncSpec.model_validate(self.run.spec["sync"])

    @functools.cached_property
    def model(self) -> ModelSpec:
        """What the user said of its model."""
        return ModelSpec.model_validate(self.run.spec["model"])

    @functools.cached_property
    def destination(self) -> Destination:
        """Where rows go."""
        return registry.get(self.account.kind)

    @functools.cached_property
    def action(self) -> Action:
        """What is done with them."""
        return self.destination.action(self.spec.action)

    @functools.cached_property
    def mapping(self) -> Mapping:
        """What is made of a row."""
        return mappings.compile(self.spec.mapping)

    @functools.cached_property
    def check(self) -> fields.Check:
        """Checks what was made of one."""
        return fields.checker(self.action)

    @property
    def writes_back(self) -> bool:
        """Whether what it did is to be written into the state dataset."""
        return self.spec.write_back_days is not None and self.source.state_dataset is not None

    @property
    def _position(self) -> str | None:
        """Up to where days of an export of Google Analytics 4 are through."""
        through = self.spec.extraction is Extraction.CURSOR and self.spec.cursor == ga4.CURSOR and not self.is_of_some
        return self.sync.position if through else None

    @property
    def is_of_some(self) -> bool:
        """Whether it looks at rows that somebody chose, wherever their cursors are."""
        return "only" in self.run.spec

    @property
    def wanted(self) -> Wanted:
        """What its plan is asked for."""
        bounds = [size for size in (self.spec.max_bytes_billed, self.model.max_bytes_billed) if size is not None]
        return Wanted(
            sync=self.sync.id,
            run=self.run.id,
            number=self.run.number,
            sql=statement.of_model(self.model, self.connection.project, self._position),
            key=self.model.key,
            columns=tuple(self.run.spec["columns"]),
            delivers=frozenset() if self.run.spec.get("adopts") == "adopt" else self.spec.mode.ops,
            leaves=self.run.spec.get("adopts") == "leave",
            extraction=self.spec.extraction,
            cursor=self.spec.cursor,
            position=self.sync.position,
            cursor_unit=None if self.spec.cursor_unit is CursorUnit.NONE else self.spec.cursor_unit.value,
            cursor_overlap=self.spec.cursor_overlap,
            max_bytes_billed=min(bounds, default=None),
            written=self.writes_back,
            since=self.run.spec.get("since"),
            only=tuple(map(key_of, self.run.spec["only"])) if self.is_of_some else None,
            order=self.spec.order,
        )


def since(last: SyncRun | None) -> int:
    """The number by which versions are known that the run after this one is the first to send. If the last one ended
    before it sent anything, it is that one's: who sent a row for a try meanwhile sent it as the same."""
    if last is None:
        return 1
    is_over = last.status != "running"
    sent = last.written + last.rejected + last.to_retry
    if is_over and (sent or last.status not in {"failed", "cancelled"}):
        return last.number + 1
    known: int = last.spec.get("since", last.number)
    return known


def opened_settings(account: Account, secrets: Secrets) -> Settings:
    """What a user said of an account, with its secrets."""
    hidden = json.loads(secrets.decrypt(account.secret)) if account.secret is not None else {}
    return registry.get(account.kind).settings(**{**account.settings, **hidden})


@dataclasses.dataclass(frozen=True)
class Parts:
    """What runs of all syncs work with. `client`: BigQuery, as a connection sees it; `planner`: of a sync's source;
    `http`: makes requests to destinations; `inward`: the way of rows that stay here (imports); `book`: where runs tell
    what they do."""

    settings: Installation
    books: SyncBooks
    secrets: Secrets
    locks: Locks
    client: Callable[[Connection, Source], contextlib.AbstractContextManager[Client]]
    planner: Callable[[Client, Source, Sync], Planner]
    http: Callable[[], contextlib.AbstractContextManager[Http]]
    inward: Callable[[Job, Watch], contextlib.AbstractContextManager[Way]]
    book: Callable[[], Book]

    @property
    def paces(self) -> Paces:
        """What accounts allow."""
        return self.books.paces

    def settings_of(self, account: Account) -> Settings:
        """What a user said of an account, with its secrets."""
        return opened_settings(account, self.secrets)

    @contextlib.contextmanager
    def planning(self, job: Job, cancelled: Callable[[], bool]) -> Iterator[Planner]:
        """The planner of a sync, for the time of the block. `cancelled`: whether BigQuery is not to be waited for."""
        with self.client(job.connection, job.source) as client:
            client.cancelled = cancelled
            yield self.planner(client, job.source, job.sync)

    def job(self, sync: Sync, run: SyncRun) -> Job:
        """A sync with all that belongs to it."""
        model = self.books.models.by_id(sync.model_id)
        connection = self.books.connections.by_id(model.connection_id)
        source = self.books.sources.of(connection)
        return Job(sync, run, connection, source, self.books.accounts.by_id(sync.destination_id))
