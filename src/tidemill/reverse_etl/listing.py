"""Syncs, imports, source models and destinations by pages: what lists show of them, by a few queries for each page."""

from __future__ import annotations

import dataclasses
from typing import Any

from tidemill.destinations import registry
from tidemill.paging import Page, Wanted, assert_known
from tidemill.reverse_etl.accounts import AccountView
from tidemill.reverse_etl.models import SourceModelView
from tidemill.reverse_etl.syncs import LATE
from tidemill.reverse_etl.views import RunView, SyncView
from tidemill.store.sync_books import SyncBooks
from tidemill.store.sync_pages import ACCOUNT_SORTS, IMPORT_SORTS, MODEL_SORTS, SYNC_SORTS, Chosen, SyncRow
from tidemill.store.sync_states import HEALTHS

__all__ = ["ACCOUNT_SORTS", "HEALTHS", "IMPORT_SORTS", "MODEL_SORTS", "SYNC_SORTS", "Listing"]

#: By what a list of syncs, and one of source models, can be chosen.
STATUSES = ("ready", "running", "paused", "trouble")
MODEL_KINDS = ("sql", "table", "dbt")


@dataclasses.dataclass(frozen=True)
class ImportItem:
    """An import in a list, as the sync that it is. `told`: its last run that had something to do."""

    sync: SyncView
    connection: str
    told: RunView | None
    max_bytes_billed: int | None


class Listing:
    """See the module."""

    def __init__(self, books: SyncBooks) -> None:
        self._pages = books.pages

    def syncs(
        self,
        *,
        search: str | None = None,
        model: str | None = None,
        destination: str | None = None,
        connection: str | None = None,
        status: str | None = None,
        wanted: Wanted = Wanted(),  # noqa: B008 - it is frozen
    ) -> Page[SyncView]:
        """Syncs to other tools, by one of SYNC_SORTS. `search`: in the name, or in that of the model or destination;
        `status`: one of STATUSES; trouble: beside how it stands."""
        assert_known("status", status, STATUSES)
        chosen = Chosen(
            search=search,
            model=model,
            destination=destination,
            connection=connection,
            status=(status,) if status else (),
        )
        page = self._pages.syncs(chosen, LATE, wanted)
        more = self._more(page)
        return page.map(lambda row: _view(row, more))

    def imports(self, wanted: Wanted, **chosen: Any) -> Page[ImportItem]:
        """Imports, by one of IMPORT_SORTS. `chosen`: fields of `Chosen`."""
        page = self._pages.syncs(Chosen(imports=True, **chosen), LATE, wanted)
        more, told = self._more(page), self._pages.last_runs([row.sync.id for row in page.items], telling=True)

        def item(row: SyncRow) -> ImportItem:
            run = told.get(row.sync.id)
            last = RunView.of(run, row.sync.name) if run else None
            return ImportItem(_view(row, more), row.connection, last, row.model_spec.get("max_bytes_billed"))

        return page.map(item)

    def models(
        self,
        *,
        search: str | None = None,
        connection: str | None = None,
        kind: str | None = None,
        wanted: Wanted = Wanted(),  # noqa: B008 - it is frozen
    ) -> Page[SourceModelView]:
        """Source models, by one of MODEL_SORTS. `search`: in the name; `kind`: one of MODEL_KINDS."""
        assert_known("kind", kind, MODEL_KINDS)
        page = self._pages.models(search, connection, kind, wanted)
        syncs = self._pages.of_models([saved.id for saved, _ in page.items])
        return page.map(lambda found: SourceModelView.of(*found, syncs.get(found[0].id, ())))

    def destinations(
        self,
        *,
        search: str | None = None,
        kind: str | None = None,
        wanted: Wanted = Wanted(),  # noqa: B008 - it is frozen
    ) -> Page[AccountView]:
        """Accounts of other tools, by one of ACCOUNT_SORTS. `search`: in the name; `kind`: of such a tool."""
        by_title = wanted.sort.removeprefix("-") == "title"
        titles = {name: one.title for name, one in registry.everything().items()} if by_title else {}
        page = self._pages.accounts(search, kind, titles, wanted)
        syncs = self._pages.of_accounts([saved.id for saved in page.items])
        return page.map(lambda saved: AccountView.of(saved, syncs.get(saved.id, ())))

    def _more(self, page: Page[SyncRow]) -> _More:
        ids = [row.sync.id for row in page.items]
        return _More(self._pages.last_runs(ids), self._pages.rejects(ids), self._pages.troubles(ids))


@dataclasses.dataclass(frozen=True)
class _More:
    """What is told of the syncs of a page, by their ids."""

    last: Any
    rejects: Any
    troubles: Any


def _view(row: SyncRow, more: _More) -> SyncView:
    own = row.sync.id
    return SyncView.of(
        row.sync,
        model=row.model,
        destination=row.destination,
        kind=row.kind,
        late=row.late,
        last=more.last.get(own),
        rejects=more.rejects.get(own, {}),
        troubles=more.troubles.get(own, ()),
    )
