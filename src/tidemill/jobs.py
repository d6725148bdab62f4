"""All jobs: runs of exports, of syncs and of imports, as one list."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tidemill.paging import Page, Wanted, assert_known
from tidemill.store.job_pages import EXPORT, KINDS, SORTS, STATUSES, Chosen, JobPages, JobRow

if TYPE_CHECKING:
    from tidemill.exports.listing import Listing, RunItem

__all__ = ["KINDS", "SORTS", "STATUSES", "Job", "JobService"]


@dataclasses.dataclass(frozen=True)
class Job:
    """A run of something. `kind`: one of KINDS; `rows`: that were written so far; `planned`: None if that is not known;
    `rejected`: that were set aside, or refused; `message`: why it failed."""

    kind: str
    name: str
    id: uuid.UUID
    number: int
    status: str
    began_at: dt.datetime
    finished_at: dt.datetime | None
    rows: int
    planned: int | None
    rejected: int
    bytes_billed: int
    message: str | None


class JobService:
    """See the module."""

    def __init__(self, pages: JobPages, exports: Callable[[], Listing]) -> None:
        """`exports`: says how their runs stand; it is opened when there are some."""
        self._pages, self._exports = pages, exports

    def page(
        self,
        *,
        kind: str | None = None,
        status: str | None = None,
        search: str | None = None,
        wanted: Wanted = Wanted(),  # noqa: B008 - it is frozen
    ) -> Page[Job]:
        """Jobs by pages, newest first, or by one of SORTS. `kind`: one of KINDS; `status`: one of STATUSES; `search`:
        in the name of what was run."""
        assert_known("kind", kind, KINDS)
        assert_known("status", status, STATUSES)
        page = self._pages.find(Chosen(kind, status, search), wanted)
        exported = [row.id for row in page.items if row.kind == EXPORT]
        found = self._exports().progress(exported) if exported else {}
        return page.map(lambda row: _of_export(row, run) if (run := found.get(row.id)) else _of(row))


def _of(row: JobRow) -> Job:
    known = {field.name: getattr(row, field.name) for field in dataclasses.fields(JobRow)}
    return Job(**{**known, "rows": row.rows or 0, "rejected": row.rejected or 0, "planned": None})


def _of_export(row: JobRow, run: RunItem) -> Job:
    counts: dict[str, Any] = {"rows": run.rows_done, "planned": run.rows_planned, "rejected": run.rows_rejected}
    return dataclasses.replace(_of(row), status=run.status, **counts)
