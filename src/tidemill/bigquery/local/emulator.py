"""bqemulator 1.4.0, in this process: started, asked, and reached into where its API does not say what we need."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import duckdb
import httpx
from bqemulator.config import LogLevel, PersistenceMode, Settings
from bqemulator.jobs import executor
from bqemulator.server import EmulatorServer
from bqemulator.sql import catalog_schema, inner_query
from bqemulator.storage import type_map
from bqemulator.storage.sql_identifiers import quoted_table_ref
from duckdb_extensions import import_extension
from starlette.requests import Request
from starlette.responses import Response

from tidemill.bigquery.local import parsing, wildcards
from tidemill.bigquery.local.answers import Refusal
from tidemill.bigquery.local.permissions import Place

#: The emulator goes through SQL by calls within calls, one for each text that is joined, and leaves the names of tables
#: as they are if these are too many: of a table with twenty columns of text no plan could be made.
sys.setrecursionlimit(10_000)
#: The emulator would have DECIMAL(76, 38), and DuckDB has no more than 38 digits: no such table could be made.
type_map._BQ_TO_DUCKDB["BIGNUMERIC"] = type_map._BQ_TO_DUCKDB["NUMERIC"]

_known_type = catalog_schema._safe_bq_to_duckdb


def _some_type(bq_type: str) -> str | None:
    """DuckDB's type for a column; of one that the emulator has none for, such as a STRUCT, that it is a text.

    It is left out otherwise, and `SELECT *` would not have it.
    """
    return _known_type(bq_type) or "VARCHAR"


catalog_schema._safe_bq_to_duckdb = _some_type

_arrow_type = executor._resolve_bq_type


def _told_type(field: Any, inner_type: Any) -> str:
    """BigQuery's type of a column of a query. GEOGRAPHY is BYTES otherwise."""
    of_duckdb = (field.metadata or {}).get(b"bqemu.duckdb_type", b"")
    return "GEOGRAPHY" if of_duckdb.startswith(b"GEOMETRY") else _arrow_type(field, inner_type)


executor._resolve_bq_type = _told_type
_rewriting: Any = inner_query
_rewriting.expand_wildcard_tables = wildcards.expanded
parsing.remember()


class Emulator:
    """The emulator. Only the gate asks it, without the network: at its own ports anybody could, so they are closed.

    Its SQL is DuckDB's, which reads and writes any file: here only those in the folders of uploads.
    """

    def __init__(self, directory: Path, project: str) -> None:
        staging = directory / "staging"
        staging.mkdir(parents=True, exist_ok=True)
        settings = Settings(
            rest_port=0,
            grpc_port=0,
            persistence_mode=PersistenceMode.PERSISTENT,
            data_dir=directory / "data",
            default_project_id=project,
            upload_staging_dir=staging,
            log_level=LogLevel.ERROR,
            metrics_enabled=False,
        )
        self._server = EmulatorServer(settings)
        self._open_folders = [staging, directory / "uploads", directory / "tmp"]
        self._http: httpx.AsyncClient | None = None
        self._turn = asyncio.Lock()
        self._changing = asyncio.Lock()
        self._began = _now()
        self._touched: dict[tuple[str, str | None, str | None], int] = {}

    async def start(self) -> None:
        """Start it."""
        await self._server.start()
        # In the same task: what statements.py knows of the job goes along.
        assert self._server._fastapi_server is not None  # noqa: S101 - started
        application: Any = self._server._fastapi_server.config.app
        transport = httpx.ASGITransport(application, raise_app_exceptions=False)
        self._http = httpx.AsyncClient(transport=transport, base_url=self._server.rest_url, timeout=600)
        for listening in self._server._fastapi_server.servers:
            listening.close()
        storage: Any = self._server._grpc_server
        await storage.stop(None)
        folders = ", ".join("'" + str(folder).replace("'", "''") + "'" for folder in self._open_folders)
        self.connection.execute(f"SET allowed_directories = [{folders}]; SET enable_external_access = false")
        self._drop_halves()

    async def stop(self) -> None:
        """Stop it."""
        if self._http:
            await self._http.aclose()
        await self._server.stop()

    @property
    def _context(self) -> Any:
        return self._server._context

    @property
    def engine(self) -> Any:
        """By which the emulator speaks to DuckDB."""
        return self._context.engine

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """The emulator's only DuckDB connection; take a cursor of it."""
        connection: duckdb.DuckDBPyConnection = self.engine.connection
        return connection

    @contextlib.asynccontextmanager
    async def changing(self) -> AsyncIterator[None]:
        """One change at a time, of tables or of rows. Take it before anything else."""
        async with self._changing:
            yield

    def writing(self) -> AbstractAsyncContextManager[None]:
        """The emulator's own lock, also on the Storage Write API. The emulator cannot be asked while it is held."""
        lock: AbstractAsyncContextManager[None] = self.engine.write_lock()
        return lock

    def location(self, project: str, dataset: str) -> str | None:
        """Where a dataset is; None if there is none."""
        found = self._context.catalog.get_dataset(project, dataset)
        return str(found.location) if found else None

    def default_expiration(self, project: str, dataset: str) -> int | None:
        """How long new tables of the dataset live, in milliseconds."""
        found = self._context.catalog.get_dataset(project, dataset)
        milliseconds = found.default_table_expiration_ms if found else None
        return int(milliseconds) if milliseconds else None

    def fields(self, at: Place) -> list[dict[str, Any]] | None:
        """The columns of a table, as REST names them; None if there is none."""
        found = self._context.catalog.get_table(at.project, at.dataset, at.table)
        return None if found is None else [_field(field) for field in found.schema_.fields]

    def partition_column(self, at: Place) -> str | None:
        """The column by which a table is partitioned, if it is."""
        found = self._context.catalog.get_table(at.project, at.dataset, at.table)
        partitioning = found.time_partitioning if found else None
        return str(partitioning.field) if partitioning and partitioning.field else None

    def created(self, at: Place) -> int | None:
        """When a table was made, in milliseconds since 1970: it tells a table from a later one of the same name."""
        found = self._context.catalog.get_table(at.project, at.dataset, at.table)
        return None if found is None else int(found.creation_time.timestamp() * 1000)

    def touch(self, at: Place) -> None:
        """Note that a table has changed now; the emulator does so of its columns alone."""
        self._touched[at.project, at.dataset, at.table] = _now()

    def modified(self, at: Place) -> int:
        """When a table changed last, in milliseconds since 1970; no earlier than this process began, which knows of no
        change before."""
        return self._touched.get((at.project, at.dataset, at.table), self._began)

    def view_query(self, at: Place) -> str:
        """The statement of a view; empty of what is none."""
        found = self._context.catalog.get_table(at.project, at.dataset, at.table)
        return str(found.view_query or "") if found is not None else ""

    def is_view(self, at: Place) -> bool:
        """Whether it is a view, and has no rows of its own."""
        found = self._context.catalog.get_table(at.project, at.dataset, at.table)
        return found is not None and "VIEW" in str(found.table_type)

    def result(self, at: Place) -> tuple[Any, list[dict[str, Any]]] | None:
        """The rows that a query gave, and their columns, if that is what the table is."""
        if at.dataset != executor._ANONYMOUS_RESULTS_DATASET:
            return None
        for job_id, rows in executor.JOB_RESULTS.items():
            if f"anon{job_id.replace('-', '')}" == at.table:
                return rows, executor.JOB_SCHEMAS[job_id]
        return None

    def quoted(self, at: Place) -> str:
        """The table's name in DuckDB."""
        return str(quoted_table_ref(at.project, str(at.dataset), str(at.table)))

    async def send(
        self, method: str, path: str, body: dict[str, Any] | None, *, params: dict[str, str] | None = None
    ) -> Response:
        """Ask the emulator. Raises Refusal (400) for what it cannot do."""
        assert self._http is not None  # noqa: S101 - started
        async with self._turn:  # it has one connection, and mixes up who asked
            return _answer(await self._http.request(method, path, json=body, params=params))

    async def forward(self, request: Request) -> Response:
        """Ask the emulator the same. Raises Refusal (400) for what it cannot do."""
        assert self._http is not None  # noqa: S101 - started
        body = await request.body()
        async with self._turn:
            answer = await self._http.request(
                request.method,
                request.url.path,
                params=[(name, value) for name, value in request.query_params.multi_items() if name != "location"],
                content=body or None,
                headers={"content-type": request.headers.get("content-type", "application/json")},
            )
        return _answer(answer)

    def _drop_halves(self) -> None:
        """The emulator makes and drops a table in two steps: if it was killed in between, undo or finish that."""
        catalog, cursor = self._context.catalog, self.connection.cursor()
        for dataset in catalog.list_all_datasets():
            schema = f"{dataset.project_id}__{dataset.dataset_id}"
            query = "SELECT table_name FROM duckdb_tables() WHERE schema_name = ?"
            there = {row[0] for row in cursor.execute(query, [schema]).fetchall()}
            tables = catalog.list_tables(dataset.project_id, dataset.dataset_id)
            known = {table.table_id: str(table.table_type) for table in tables}
            for name in there - known.keys():
                cursor.execute(f"DROP TABLE {self.quoted(Place(dataset.project_id, dataset.dataset_id, name, ''))}")
            for name, kind in known.items():
                if kind == "TABLE" and name not in there:
                    catalog.delete_table(dataset.project_id, dataset.dataset_id, name)


def _now() -> int:
    return int(time.time() * 1000)


def allow_spatial() -> None:
    """Let the emulator find the DuckDB extension that it insists on: from its wheel, not from the network."""
    with duckdb.connect() as connection:
        import_extension("spatial", con=connection)


def _field(found: Any) -> dict[str, Any]:
    made = {"name": found.name, "type": str(found.type), "mode": str(found.mode)}
    if found.description:
        made["description"] = found.description
    if found.fields:
        made["fields"] = [_field(inner) for inner in found.fields]
    if found.range_element_type is not None:
        made["rangeElementType"] = {"type": str(found.range_element_type.type)}
    return made


def _answer(answer: httpx.Response) -> Response:
    content = answer.content
    if answer.status_code >= 500:
        raise Refusal(400, "invalidQuery", _message(content))
    return Response(content, answer.status_code, media_type=answer.headers.get("content-type"))


def _message(content: bytes) -> str:
    try:
        return str(json.loads(content)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return content.decode("utf-8", "replace")[:500]
