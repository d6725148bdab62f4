"""What syncs have done, by pages, for who looks through it: their runs, and the rows that were not delivered."""

from __future__ import annotations

from tidemill import paging
from tidemill.paging import Page
from tidemill.reverse_etl.views import RunView
from tidemill.store.records_sync import Reject
from tidemill.store.sync_books import SyncBooks


class Listed:
    """Of all syncs of an installation."""

    def __init__(self, books: SyncBooks) -> None:
        self._books = books

    def runs(self, name: str, place: paging.Wanted, *, status: str | None = None) -> Page[RunView]:
        """The runs of a sync, the newest first; only those of that status."""
        sync = self._books.syncs.get(name)
        return self._books.runs.page(sync.id, place, status).map(lambda run: RunView.of(run, sync.name))

    def rejects(self, name: str, place: paging.Wanted, *, text: str | None = None) -> Page[Reject]:
        """The rows of a sync that were not delivered, by key; only with that text in key or message."""
        return self._books.rejects.page(self._books.syncs.get(name).id, place, text=text)
