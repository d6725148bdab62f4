"""What a user can do with source models: add, see, change, delete, look at their rows and check them."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tidemill.bigquery import ga4
from tidemill.bigquery.client import Client
from tidemill.errors import ConfigError, ConflictError
from tidemill.models import registry
from tidemill.reverse_etl import model_check, spec
from tidemill.reverse_etl.model_check import Inspection, Keys
from tidemill.reverse_etl.sources import SourceService
from tidemill.reverse_etl.spec import Ga4Origin, ModelSpec
from tidemill.schedules import telling
from tidemill.settings import Settings
from tidemill.store.records import Connection
from tidemill.store.records_sync import Source, SourceModel
from tidemill.store.sync_books import SyncBooks

PREVIEW_ROWS = 10


@dataclasses.dataclass(frozen=True)
class SourceModelView:
    """A source model. `dbt`: the unique id of the model of a dbt project that it is made of; `ga4`: the export of
    Google Analytics 4 that it reads; `syncs`: names of those that deliver its rows."""

    id: uuid.UUID
    name: str
    connection: str
    sql: str | None
    table: str | None
    key: tuple[str, ...]
    description: str
    max_bytes_billed: int | None
    dbt: str | None
    syncs: tuple[str, ...]
    made_at: dt.datetime
    made_by: str
    updated_at: dt.datetime
    ga4: Ga4Origin | None = None

    @classmethod
    def of(cls, saved: SourceModel, connection: str, syncs: Iterable[str]) -> SourceModelView:
        """The view of a source model of that connection, whose rows these deliver."""
        made = ModelSpec.model_validate(saved.spec)
        return cls(
            id=saved.id,
            name=saved.name,
            connection=connection,
            sql=made.sql,
            table=made.table,
            key=made.key,
            description=made.description,
            max_bytes_billed=made.max_bytes_billed,
            dbt=made.dbt.model if made.dbt else None,
            syncs=tuple(syncs),
            made_at=saved.made_at,
            made_by=saved.made_by,
            updated_at=saved.updated_at,
            ga4=made.ga4,
        )


@dataclasses.dataclass(frozen=True)
class Preview:
    """The first rows of a model, as JSON has them."""

    columns: tuple[str, ...]
    rows: tuple[dict[str, Any], ...]
    bytes_billed: int


@dataclasses.dataclass(frozen=True)
class _Opened:
    """A model with what belongs to it."""

    spec: ModelSpec
    connection: Connection
    source: Source


class SourceModelService:
    """Source models of an installation."""

    def __init__(self, settings: Settings, books: SyncBooks, sources: SourceService) -> None:
        self._settings, self._books, self._sources = settings, books, sources

    def of_ga4(self, connection: str, dataset: str, since: dt.date | None, intraday: bool = True) -> dict[str, Any]:
        """Fields of a source model of an export of Google Analytics 4. `intraday`: also of days that are not over.

        Raises
        ------
        ConfigError
            The dataset has no tables of one; or the connection is no source.
        """
        connected = self._books.connections.usable(connection)
        with self._sources.client(connected, self._books.sources.of(connected)) as client:
            columns = ga4.columns_of(client, dataset, intraday=intraday)
        sql, key = ga4.model(connected.project, dataset, since, columns, intraday=intraday)
        origin = {"dataset": dataset, "columns": tuple(columns), "since": since, "intraday": intraday}
        return {"sql": sql, "key": key, "ga4": origin}

    def add(self, connection: str, fields: Mapping[str, Any], *, by: str) -> tuple[SourceModelView, Inspection]:
        """Save a new one, after BigQuery has looked at it.

        Raises
        ------
        ConfigError
            Its statement or its key is wrong; or the connection is no source.
        ConflictError
            The name is taken.
        """
        given = {field: value for field, value in fields.items() if value is not None}
        made = self._made(given)
        opened = self._opened(made, self._books.connections.usable(connection))
        found = self._look(opened)
        kept = made.model_copy(update={"key": found.key})
        saved = self._books.models.add(
            name=made.name, connection_id=opened.connection.id, spec=kept.model_dump(mode="json"), made_by=by
        )
        return self._view(saved), found

    def _made(self, fields: Mapping[str, Any]) -> ModelSpec:
        """A new model of these fields, whose name is free."""
        made: ModelSpec = spec.make(ModelSpec, "source_model", dict(fields))
        self._assert_free(made.name)
        return made

    def _assert_free(self, name: str) -> None:
        if name.lower() in {known.lower() for known in registry.MODELS}:
            raise ConflictError(
                "source_model_exists",
                f"{name} is a model that is exported.",
                hint="Choose another name. What is exported: tidemill model list",
            )
        self._books.models.assert_free(name)

    def edit(self, name: str, fields: Mapping[str, Any]) -> tuple[SourceModelView, Inspection | None]:
        """Change one. What is not named stays; `max_bytes_billed` may be named as none. BigQuery looks at it if its
        statement or its key is changed.

        Raises
        ------
        ConfigError
            Nothing is named, or what comes of it is wrong.
        ConflictError
            Its name is taken; or syncs need what it would not have any more.
        """
        saved = self._books.models.get(name)
        if not fields:
            raise ConfigError("nothing_to_change", "Nothing to change was named.", hint="tidemill model edit --help")
        before = dict(saved.spec)
        if "sql" in fields or "table" in fields:
            before |= {"sql": None, "table": None, "dbt": None, "ga4": None}
        made: ModelSpec = spec.make(ModelSpec, "source_model", {**before, **fields})
        if made.name.lower() != saved.name.lower():
            self._assert_free(made.name)
        found = None
        if {"sql", "table", "key"} & set(fields):
            found = self._look(self._opened(made, self._books.connections.by_id(saved.connection_id)))
            self._assert_kept(saved, found)
            made = made.model_copy(update={"key": found.key})
        changed = self._books.models.change(saved.id, name=made.name, spec=made.model_dump(mode="json"))
        return self._view(changed), found

    def _assert_kept(self, saved: SourceModel, found: Inspection) -> None:
        """Raise ConflictError if syncs know rows by another key, or deliver columns that are gone."""
        syncs = self._books.syncs.of_model(saved.id)
        if syncs and [name.lower() for name in found.key] != [str(name).lower() for name in saved.spec["key"]]:
            raise ConflictError(
                "source_model_in_use",
                f"Syncs know rows of {saved.name} by {', '.join(saved.spec['key'])}: "
                f"{', '.join(sync.name for sync in syncs)}.",
                hint="Make another model with that key, and syncs of it: tidemill model add --help",
            )
        columns = {column.name.lower() for column in found.columns}
        for sync in syncs:
            gone = [name for name in sync.columns or () if name.lower() not in columns]
            if gone:
                raise ConflictError(
                    "source_model_in_use",
                    f"The sync {sync.name} delivers {', '.join(gone)}, which the statement does not give any more.",
                    hint=f"Change its mapping first: {telling.of(sync, 'edit' if sync.group == 'sync' else 'map')}",
                )

    def get(self, name: str) -> SourceModelView:
        """The one of that name; NotFoundError if there is none."""
        return self._view(self._books.models.get(name))

    def find(self) -> list[SourceModelView]:
        """All, by name."""
        return [self._view(saved) for saved in self._books.models.find()]

    def delete(self, name: str) -> None:
        """Delete one.

        Raises
        ------
        ConflictError
            Syncs use it.
        """
        view = self.get(name)
        if view.syncs:
            raise ConflictError(
                "source_model_in_use",
                f"Syncs deliver rows of {view.name}: {', '.join(view.syncs)}.",
                hint=f"Delete them first: {telling.commands('sync delete', view.syncs)}",
            )
        self._books.models.delete(view.id)

    def look(self, name: str) -> Inspection:
        """What BigQuery sees in a model, without running it: columns, bytes, costs. Raises as `add`."""
        return self._look(self._saved(name))

    def columns(self, saved: SourceModel) -> list[str]:
        """Names of the columns that a model gives now. Raises as `add`."""
        made = ModelSpec.model_validate(saved.spec)
        found = self._look(self._opened(made, self._books.connections.by_id(saved.connection_id)))
        return [column.name for column in found.columns]

    def preview(self, name: str, number: int = PREVIEW_ROWS) -> Preview:
        """The first rows. The whole statement is run, and billed, whatever `number` is: `look` says what that costs.

        Raises
        ------
        ConfigError
            It would be billed for more than the model's limit; or raises as `add`.
        """
        opened = self._saved(name)
        with self._client(opened) as client:
            found = self._found(client, opened)
            model_check.assert_within(found, opened.spec.max_bytes_billed)
            rows, billed = model_check.first_rows(client, found, number, opened.spec.max_bytes_billed)
        return Preview(tuple(column.name for column in found.columns), tuple(rows), billed)

    def check(self, name: str) -> Keys:
        """Count the rows, and those whose key is none, by one statement that reads the key. Raises as `preview`."""
        opened = self._saved(name)
        with self._client(opened) as client:
            return model_check.keys(client, self._found(client, opened), opened.spec.max_bytes_billed)

    def _saved(self, name: str) -> _Opened:
        saved = self._books.models.get(name)
        return self._opened(ModelSpec.model_validate(saved.spec), self._books.connections.by_id(saved.connection_id))

    def _opened(self, made: ModelSpec, connection: Connection) -> _Opened:
        return _Opened(made, connection, self._books.sources.of(connection))

    @contextlib.contextmanager
    def _client(self, opened: _Opened) -> Iterator[Client]:
        with self._sources.client(opened.connection, opened.source) as client:
            yield client

    def _look(self, opened: _Opened) -> Inspection:
        with self._client(opened) as client:
            return self._found(client, opened)

    def _found(self, client: Client, opened: _Opened) -> Inspection:
        return model_check.look(client, opened.source, opened.spec, self._settings.price_query_tib)

    def _view(self, saved: SourceModel) -> SourceModelView:
        connection = self._books.connections.by_id(saved.connection_id).name
        return SourceModelView.of(saved, connection, [sync.name for sync in self._books.syncs.of_model(saved.id)])
