"""bqemulator 1.4.0, in this process: started, asked, and reached into where its API does not say what we need."""

from __future__ import annotations

import datetime as dt
import json
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import duckdb
import httpx
from bqemulator.config import LogLevel, PersistenceMode, Settings
from bqemulator.server import EmulatorServer
from bqemulator.storage.sql_identifiers import quoted_table_ref
from duckdb_extensions import import_extension
from starlette.requests import Request
from starlette.responses import Response

from tidemill.bigquery.local.answers import Refusal
from tidemill.bigquery.local.loads import duckdb_type
from tidemill.bigquery.local.permissions import Place


class Emulator:
    """The emulator; its REST port is on loopback, drawn at random, and only the gate asks it."""

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
        self._http: httpx.AsyncClient | None = None
        self._expires: dict[tuple[str, str, str], str] = {}

    async def start(self) -> None:
        """Start it."""
        await self._server.start()
        self._http = httpx.AsyncClient(base_url=self._server.rest_url, timeout=600)
        self.connection.execute("CREATE SCHEMA IF NOT EXISTS tidemill_gate")
        self.connection.execute("CREATE TABLE IF NOT EXISTS tidemill_gate.expirations (name VARCHAR, expires VARCHAR)")

    async def stop(self) -> None:
        """Stop it."""
        if self._http:
            await self._http.aclose()
        await self._server.stop()

    @property
    def grpc_port(self) -> int:
        """Port of the Storage Read and Write APIs, on loopback."""
        return int(self._server.grpc_port)

    @property
    def _context(self) -> Any:
        return self._server._context

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """The emulator's only DuckDB connection; take a cursor of it."""
        connection: duckdb.DuckDBPyConnection = self._context.engine.connection
        return connection

    def writing(self) -> AbstractAsyncContextManager[None]:
        """The emulator's own lock on all changes."""
        lock: AbstractAsyncContextManager[None] = self._context.engine.write_lock()
        return lock

    def location(self, project: str, dataset: str) -> str | None:
        """Where a dataset is; None if there is none."""
        found = self._context.catalog.get_dataset(project, dataset)
        return str(found.location) if found else None

    def fields(self, at: Place) -> list[dict[str, Any]] | None:
        """The columns of a table, as REST names them; None if there is none."""
        found = self._context.catalog.get_table(at.project, at.dataset, at.table)
        if found is None:
            return None
        return [{"name": f.name, "type": str(f.type), "mode": str(f.mode)} for f in found.schema_.fields]

    def quoted(self, at: Place) -> str:
        """The table's name in DuckDB."""
        return str(quoted_table_ref(at.project, str(at.dataset), str(at.table)))

    async def create_for_load(self, at: Place, load: dict[str, Any]) -> list[dict[str, Any]] | None:
        """Make the table that a load job brings the schema for. Called while `writing`."""
        body = {
            "tableReference": {"projectId": at.project, "datasetId": at.dataset, "tableId": at.table},
            "schema": load.get("schema") or {"fields": []},
        }
        for name in ("timePartitioning", "clustering"):
            if load.get(name):
                body[name] = load[name]
        if not body["schema"].get("fields"):
            return None
        # The emulator takes the same lock for this: give it up for the moment.
        engine = self._context.engine
        engine._write_lock.release()
        try:
            path = f"/bigquery/v2/projects/{at.project}/datasets/{at.dataset}/tables"
            await self.send("POST", path, body)
        finally:
            await engine._write_lock.acquire()
        return self.fields(at)

    async def send(
        self, method: str, path: str, body: dict[str, Any] | None, *, location: str | None = None
    ) -> Response:
        """Ask the emulator."""
        assert self._http is not None  # noqa: S101 - started
        answer = await self._http.request(method, path, json=body)
        return _answer(answer, location)

    async def forward(self, request: Request, *, location: str | None = None) -> Response:
        """Ask the emulator the same."""
        assert self._http is not None  # noqa: S101 - started
        body = await request.body()
        answer = await self._http.request(
            request.method,
            request.url.path,
            params=[(name, value) for name, value in request.query_params.multi_items() if name != "location"],
            content=body or None,
            headers={"content-type": request.headers.get("content-type", "application/json")},
        )
        return _answer(answer, location)

    async def table_request(self, request: Request, at: Place) -> Response:
        """Ask the emulator, and put right what it does not keep of a table: the number of rows, when it expires."""
        name = f"{at.project}.{at.dataset}.{at.table}"
        if request.method == "DELETE" and at.table:
            self.connection.cursor().execute("DELETE FROM tidemill_gate.expirations WHERE name = ?", [name])
        response = await self.forward(request)
        if response.status_code != 200 or at.rest or not response.body:
            return response
        if not (at.table or (request.method == "POST" and request.url.path.endswith("/tables"))):
            return response
        table = json.loads(bytes(response.body))
        reference = table.get("tableReference")
        if not reference:
            return response
        at = Place(reference["projectId"], reference["datasetId"], reference["tableId"], "")
        if request.method in {"PATCH", "PUT"}:
            self._add_columns(at)
        self._keep_expiration(await request.body(), f"{at.project}.{at.dataset}.{at.table}")
        self._complete(table, at)
        return Response(json.dumps(table), 200, media_type="application/json")

    def _add_columns(self, at: Place) -> None:
        """The emulator notes columns that are added to a table, but does not add them."""
        cursor = self.connection.cursor()
        known = {row[0].lower() for row in cursor.execute(f"DESCRIBE {self.quoted(at)}").fetchall()}
        for field in self.fields(at) or ():
            if field["name"].lower() not in known:
                column = f'"{field["name"]}" {duckdb_type(field)}'
                cursor.execute(f"ALTER TABLE {self.quoted(at)} ADD COLUMN {column}")

    def _keep_expiration(self, body: bytes, name: str) -> None:
        expires = json.loads(body).get("expirationTime") if body[:1] == b"{" else None
        if expires:
            cursor = self.connection.cursor()
            cursor.execute("DELETE FROM tidemill_gate.expirations WHERE name = ?", [name])
            cursor.execute("INSERT INTO tidemill_gate.expirations VALUES (?, ?)", [name, str(expires)])

    def _complete(self, table: dict[str, Any], at: Place) -> None:
        cursor = self.connection.cursor()
        if table.get("type", "TABLE") == "TABLE":
            counted = cursor.execute(f"SELECT count(*) FROM {self.quoted(at)}").fetchone()
            table["numRows"] = str(counted[0] if counted else 0)
        name = f"{at.project}.{at.dataset}.{at.table}"
        found = cursor.execute("SELECT expires FROM tidemill_gate.expirations WHERE name = ?", [name]).fetchone()
        if found:
            table["expirationTime"] = found[0]

    async def remove_expired(self) -> None:
        """Delete the tables whose time is over."""
        now = dt.datetime.now(dt.UTC).timestamp() * 1000
        cursor = self.connection.cursor()
        for name, at in cursor.execute("SELECT name, expires FROM tidemill_gate.expirations").fetchall():
            if float(at) < now:
                project, dataset, table = name.split(".", 2)
                await self.send("DELETE", f"/bigquery/v2/projects/{project}/datasets/{dataset}/tables/{table}", None)
                cursor.execute("DELETE FROM tidemill_gate.expirations WHERE name = ?", [name])


def allow_spatial() -> None:
    """Let the emulator find the DuckDB extension that it insists on: from its wheel, not from the network."""
    with duckdb.connect() as connection:
        import_extension("spatial", con=connection)


def _answer(answer: httpx.Response, location: str | None) -> Response:
    content = answer.content
    if answer.status_code >= 500:
        raise Refusal(400, "invalidQuery", _message(content))
    if location and content[:1] == b"{":
        body = json.loads(content)
        if isinstance(body.get("jobReference"), dict):
            body["jobReference"]["location"] = location
            content = json.dumps(body).encode()
    return Response(content, answer.status_code, media_type=answer.headers.get("content-type"))


def _message(content: bytes) -> str:
    try:
        return str(json.loads(content)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return content.decode("utf-8", "replace")[:500]
