"""The audit log: who did what, when, from where; before and after, without secrets."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from tidemill.paging import Page, Wanted
    from tidemill.store.audit import AuditBook, Record

_COLUMNS = (
    *("id", "at", "actor", "actor_kind", "address", "action", "kind", "name", "outcome", "code"),
    *("details", "before", "after"),
)
#: So a spreadsheet takes a value for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


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

    def export(self, form: Literal["json", "csv"], **wanted: Any) -> Iterator[str]:
        """All records, as lines of JSON or as CSV, the newest first; see `find`."""
        if form == "csv":
            yield _line(_COLUMNS)
        for record in self._book.every(**wanted):
            fields = {name: getattr(record, name) for name in _COLUMNS}
            if form == "json":
                yield json.dumps(fields, ensure_ascii=False, default=str) + "\n"
            else:
                yield _line([_cell(fields[name]) for name in _COLUMNS])


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _line(cells: Any) -> str:
    out = io.StringIO()
    csv.writer(out).writerow(cells)
    return out.getvalue()
