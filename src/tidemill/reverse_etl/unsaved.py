"""What is looked at while somebody still writes it: a model that is not saved, and a mapping."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tidemill.bigquery.client import Client
from tidemill.reverse_etl import drafts, model_check, spec
from tidemill.reverse_etl.model_check import Inspection, Keys
from tidemill.reverse_etl.models import PREVIEW_ROWS, Preview
from tidemill.reverse_etl.sources import SourceService
from tidemill.reverse_etl.spec import ModelSpec
from tidemill.settings import Settings
from tidemill.store.sync_books import SyncBooks

#: Stands for what a model is called that has no name yet.
_NAME = "unsaved"


class Unsaved:
    """Of an installation. Nothing of what it does is remembered."""

    def __init__(self, settings: Settings, books: SyncBooks, sources: SourceService) -> None:
        self._settings, self._books, self._sources = settings, books, sources

    def look(self, connection: str, fields: Mapping[str, Any]) -> Inspection:
        """What BigQuery sees in a model, without running it: columns, bytes, costs. Its name and its key may be
        missing. Raises as `SourceModelService.add`."""
        with self._client(connection) as client:
            return self._looked(client, connection, _model(fields))

    def preview(self, connection: str, fields: Mapping[str, Any], number: int = PREVIEW_ROWS) -> Preview:
        """The first rows. The whole statement is run, and billed. Raises as `SourceModelService.preview`."""
        made = _model(fields)
        with self._client(connection) as client:
            found = self._looked(client, connection, made)
            model_check.assert_within(found, made.max_bytes_billed)
            rows, billed = model_check.first_rows(client, found, number, made.max_bytes_billed)
        return Preview(tuple(column.name for column in found.columns), tuple(rows), billed)

    def check(self, connection: str, fields: Mapping[str, Any]) -> Keys:
        """Count the rows, and those whose key is none. Raises as `SourceModelService.check`."""
        made: ModelSpec = spec.make(ModelSpec, "source_model", {"name": _NAME, **_given(fields)})
        with self._client(connection) as client:
            return model_check.keys(client, self._looked(client, connection, made), made.max_bytes_billed)

    def problems(
        self, destination: str, action: str, mapping: Mapping[str, Any], columns: Sequence[str]
    ) -> dict[str, str]:
        """What is wrong with a mapping of a row with these columns, by the field; what is of no field, by an empty
        name."""
        account = self._books.accounts.get(destination)
        return drafts.problems(drafts.action_of(account, action), mapping, columns)

    @contextlib.contextmanager
    def _client(self, connection: str) -> Iterator[Client]:
        connected = self._books.connections.usable(connection)
        with self._sources.client(connected, self._books.sources.of(connected)) as client:
            yield client

    def _looked(self, client: Client, connection: str, made: ModelSpec) -> Inspection:
        source = self._books.sources.of(self._books.connections.get(connection))
        return model_check.look(client, source, made, self._settings.price_query_tib)


def _given(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _model(fields: Mapping[str, Any]) -> ModelSpec:
    """A model of these fields, of which the key is not asked for yet."""
    given = _given(fields)
    key = tuple(given.get("key", ()))
    checked: ModelSpec = spec.make(ModelSpec, "source_model", {"name": _NAME, **given, "key": key or (_NAME,)})
    return checked if key else checked.model_copy(update={"key": ()})
