"""The audit log: who did what, when, from where; before and after, without secrets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tidemill import tabular
from tidemill.tabular import Form

if TYPE_CHECKING:
    from tidemill.paging import Page, Wanted
    from tidemill.store.audit import AuditBook, Record

_COLUMNS = (
    *("id", "at", "actor", "actor_kind", "address", "action", "kind", "name", "outcome", "code"),
    *("details", "before", "after"),
)


class AuditService:
    """See the module. It is written by guard.py."""

    def __init__(self, book: AuditBook) -> None:
        self._book = book

    def begin(self, **fields: Any) -> int:
        """See guard.Log."""
        return self._book.begin(**fields)

    def end(self, number: int, **fields: Any) -> None:
        """See guard.Log."""
        self._book.end(number, **fields)

    def find(self, *, limit: int = 50, below: int | None = None, **wanted: Any) -> list[Record]:
        """Records, the newest first. `below`: only those with a smaller number: the next page is below the last one.

        `wanted`: actor, action, kind, name, outcome as they are; after, before: times.
        """
        return self._book.find(limit=limit, below=below, **wanted)

    def page(self, place: Wanted, **wanted: Any) -> Page[Record]:
        """The same by pages, the newest first, or by `at`. `wanted`: also `days`, before now."""
        return self._book.page(place, **wanted)

    def export(self, form: Form, **wanted: Any) -> Iterator[str]:
        """All records, as lines of JSON or as CSV, the newest first; see `find`."""
        return tabular.lines(form, _COLUMNS, map(vars, self._book.every(**wanted)))
