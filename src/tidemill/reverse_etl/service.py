"""What a user can do with reverse ETL."""

from __future__ import annotations

from collections.abc import Callable

from tidemill.bigquery.credentials import Auth
from tidemill.reverse_etl.models import SourceModelService
from tidemill.reverse_etl.sources import SourceService
from tidemill.settings import Settings
from tidemill.store.records import Connection
from tidemill.store.sync_books import SyncBooks


class ReverseEtl:
    """Reverse ETL of an installation: sources, and models of them."""

    def __init__(self, settings: Settings, books: SyncBooks, auth: Callable[[Connection], Auth]) -> None:
        """`auth`: the credential of a connection."""
        self.sources = SourceService(settings, books, auth)
        self.models = SourceModelService(settings, books, self.sources)
