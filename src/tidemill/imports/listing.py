"""Imports by pages: what lists show of them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection

from tidemill.imports.spec import Kind
from tidemill.imports.views import STATUSES, ImportView
from tidemill.paging import Page, Wanted, assert_known
from tidemill.reverse_etl.listing import HEALTHS, IMPORT_SORTS
from tidemill.reverse_etl.service import ReverseEtl

__all__ = ["HEALTHS", "IMPORT_SORTS", "STATUSES", "Listing"]


class Listing:
    """See the module."""

    def __init__(self, reverse_etl: ReverseEtl) -> None:
        self._syncs = reverse_etl.listed

    def imports(
        self,
        *,
        search: str | None = None,
        connection: str | None = None,
        status: Collection[str] = (),
        kind: str | None = None,
        health: str | None = None,
        created_by: str | None = None,
        created_after: dt.datetime | None = None,
        created_before: dt.datetime | None = None,
        days: int | None = None,
        wanted: Wanted = Wanted(),  # noqa: B008 - it is frozen
    ) -> Page[ImportView]:
        """Imports, by one of IMPORT_SORTS. `search`: in the name; `status`: some of STATUSES; `health`: one of HEALTHS;
        `days`: made in so many days before now."""
        for one in status:
            assert_known("status", one, STATUSES)
        assert_known("kind", kind, list(Kind))
        assert_known("health", health, HEALTHS)
        page = self._syncs.imports(
            wanted,
            search=search,
            connection=connection,
            status=tuple(status),
            kind=kind,
            health=health,
            made_by=created_by,
            made_after=created_after,
            made_before=created_before,
            days=days,
        )
        return page.map(lambda one: ImportView.of(one.sync, one.connection, one.told, one.max_bytes_billed))
