"""Requests on datasets, tables and rows: checked, done by the emulator, and completed with what it does not keep."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tidemill.bigquery.local import permissions, rows, schemas
from tidemill.bigquery.local.answers import Refusal, not_found
from tidemill.bigquery.local.bodies import read_json
from tidemill.bigquery.local.emulator import Emulator
from tidemill.bigquery.local.permissions import Place

#: What the emulator forgets of a table.
_KEPT = ("expirationTime", "requirePartitionFilter")
_TABLE = "tidemill_gate.tables"
#: Where the emulator says that results are; dbt counts their rows there.
_RESULTS = "_bqemu_anonymous"


class Tables:
    """Datasets and tables. What the emulator forgets of a table is kept with the moment at which it was made."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._cursor = emulator.connection.cursor()
        self._cursor.execute("CREATE SCHEMA IF NOT EXISTS tidemill_gate")
        self._cursor.execute(f"CREATE TABLE IF NOT EXISTS {_TABLE} (name VARCHAR, created BIGINT, kept VARCHAR)")

    async def request(self, request: Request, at: Place, granted: frozenset[str]) -> Response:
        """Answer a request on a dataset, a table or its rows."""
        method, path = request.method, request.url.path
        if at.rest == ":testIamPermissions":
            asked = (await read_json(request)).get("permissions", [])
            if self._emulator.fields(at) is None:
                return JSONResponse({})
            return JSONResponse({"permissions": [name for name in asked if permissions.has(granted, name, at)]})
        if at.dataset == _RESULTS and method == "GET" and not at.rest:
            return await self._emulator.forward(request)  # whoever knows its name has made it
        if permission := permissions.needed(method, path, at):
            on = Place(at.project, at.dataset, None, "") if permission.endswith(".create") else at
            permissions.check(granted, permission, on)
        if at.dataset and self._emulator.location(at.project, at.dataset) is None:
            raise not_found(f"Dataset {at.project}:{at.dataset}")
        if at.table and self._emulator.fields(at) is None:
            raise not_found(f"Table {at.project}:{at.dataset}.{at.table}")
        if path.endswith("/datasets") and method == "GET" and "bigquery.datasets.get" not in granted:
            return JSONResponse({"kind": "bigquery#datasetList"})
        if method == "GET":
            return self._completed(await self._emulator.forward(request), at)
        async with self._emulator.changing():
            return await self._change(request, at)

    async def _change(self, request: Request, at: Place) -> Response:
        if at.rest == "/insertAll":
            return await self._insert_all(await read_json(request), at)
        if at.table and request.method in {"PATCH", "PUT"}:
            body = await read_json(request)
            response = await self.alter(request.method, at, body)
            return self._completed(response, at)
        response = await self._emulator.forward(request)
        if request.method == "POST" and request.url.path.endswith("/tables") and response.status_code == 200:
            body = await read_json(request)
            at = Place(at.project, at.dataset, body["tableReference"]["tableId"], "")
            self.made(at, body)
        return self._completed(response, at)

    def made(self, at: Place, body: dict[str, Any] | None = None) -> None:
        """A table was made: what the emulator does not do for it. `body`: its resource as it was asked for."""
        created, fields = self._emulator.created(at), self._emulator.fields(at)
        if created is None or fields is None or self._emulator.is_view(at) or self._kept(at) is not None:
            return
        for alteration in schemas.required(fields):
            self._cursor.execute(f"ALTER TABLE {self._emulator.quoted(at)} {alteration}")
        kept = {name: body[name] for name in _KEPT if body.get(name)} if body else {}
        if ((body or {}).get("timePartitioning") or {}).get("requirePartitionFilter"):
            kept["requirePartitionFilter"] = True
        default = self._emulator.default_expiration(at.project, str(at.dataset))
        if default and "expirationTime" not in kept:
            kept["expirationTime"] = str(created + default)
        self._keep(at, kept)

    async def create(self, at: Place, body: dict[str, Any]) -> None:
        """Make a table. Raises Refusal."""
        reference = {"projectId": at.project, "datasetId": at.dataset, "tableId": at.table}
        path = f"/bigquery/v2/projects/{at.project}/datasets/{at.dataset}/tables"
        response = await self._emulator.send("POST", path, {**body, "tableReference": reference})
        if response.status_code != 200:
            raise Refusal(400, "invalid", bytes(response.body).decode())
        self.made(at, body)

    async def drop(self, at: Place) -> None:
        """Delete a table."""
        await self._emulator.send("DELETE", _path(at), None)

    async def alter(self, method: str, at: Place, body: dict[str, Any]) -> Response:
        """Change a table. Raises Refusal (400) for a schema that it cannot have."""
        old = self._emulator.fields(at) or []
        if new := (body.get("schema") or {}).get("fields"):
            try:
                body = {**body, "schema": {"fields": schemas.evolved(old, new, at)}}
            except schemas.SchemaError as error:
                raise Refusal(400, "invalid", str(error)) from None
        response = await self._emulator.send(method, _path(at), body)
        if response.status_code == 200:
            for alteration in schemas.alterations(old, self._emulator.fields(at) or []):
                self._cursor.execute(f"ALTER TABLE {self._emulator.quoted(at)} {alteration}")
            changed = {name: body[name] for name in _KEPT if name in body}
            kept = {**(self._kept(at) or {}), **changed}
            self._keep(at, {name: value for name, value in kept.items() if value not in {None, False, "0"}})
        return response

    async def restore(self, at: Place, fields: list[dict[str, Any]]) -> None:
        """Give a table the columns back that it had before a load that failed."""
        now = self._emulator.fields(at) or []
        await self._emulator.send("PATCH", _path(at), {"schema": {"fields": fields}})
        back = [*schemas.alterations(now, fields), *schemas.required(fields)]
        for alteration in back:
            self._cursor.execute(f"ALTER TABLE {self._emulator.quoted(at)} {alteration}")

    async def read_columns(self, at: Place) -> None:
        """Note the columns that a table has after ALTER TABLE, of which the emulator takes no note; and of one that was
        made, which columns are JSON or GEOGRAPHY: it takes them for text."""
        known = self._emulator.fields(at)
        if known is None or self._emulator.is_view(at):
            return
        described = self._cursor.execute(f"DESCRIBE {self._emulator.quoted(at)}").fetchall()
        before = {field["name"]: field for field in known}
        fields = []
        for name, kind, nullable, *_ in described:
            field = before.get(name)
            if field is None or schemas.is_no_text(kind):
                field = schemas.of_duckdb(name, kind)
            if field.get("mode") != "REPEATED":
                field = {**field, "mode": "NULLABLE" if nullable == "YES" else "REQUIRED"}
            fields.append(field)
        if fields != known:
            await self._emulator.send("PATCH", _path(at), {"schema": {"fields": fields}})

    async def _insert_all(self, body: dict[str, Any], at: Place) -> Response:
        fields = self._emulator.fields(at) or []
        good, errors = rows.check(body, fields)
        if good:
            async with self._emulator.writing():
                cursor = self._emulator.connection.cursor()
                await asyncio.to_thread(rows.insert, cursor, self._emulator.quoted(at), good, fields)
            self._emulator.touch(at)
        answer: dict[str, Any] = {"kind": "bigquery#tableDataInsertAllResponse"}
        return JSONResponse({**answer, "insertErrors": errors} if errors else answer)

    def _completed(self, response: Response, at: Place) -> Response:
        if response.status_code != 200 or at.rest or not at.table or not response.body:
            return response
        table = json.loads(bytes(response.body))
        table["location"] = self._emulator.location(at.project, str(at.dataset))
        if not self._emulator.is_view(at):
            counted = self._cursor.execute(f"SELECT count(*) FROM {self._emulator.quoted(at)}").fetchone()
            table["numRows"] = str(counted[0] if counted else 0)
            table["lastModifiedTime"] = str(max(int(table.get("lastModifiedTime") or 0), self._emulator.modified(at)))
        if "schema" in table:
            table["schema"]["fields"] = schemas.as_told(table["schema"]["fields"])
        table |= self._kept(at) or {}
        return JSONResponse(table)

    def _kept(self, at: Place) -> dict[str, Any] | None:
        query = f"SELECT kept FROM {_TABLE} WHERE name = ? AND created = ?"
        found = self._cursor.execute(query, [_name(at), self._emulator.created(at)]).fetchone()
        return json.loads(found[0]) if found else None

    def _keep(self, at: Place, kept: dict[str, Any]) -> None:
        self._cursor.execute(f"DELETE FROM {_TABLE} WHERE name = ?", [_name(at)])
        values = [_name(at), self._emulator.created(at), json.dumps(kept)]
        self._cursor.execute(f"INSERT INTO {_TABLE} VALUES (?, ?, ?)", values)

    async def remove_expired(self) -> None:
        """Delete the tables whose time is over, and forget those that are gone."""
        now = dt.datetime.now(dt.UTC).timestamp() * 1000
        for name, created, kept in self._cursor.execute(f"SELECT name, created, kept FROM {_TABLE}").fetchall():
            project, dataset, table = name.split(".", 2)
            at = Place(project, dataset, table, "")
            async with self._emulator.changing():
                is_it = self._emulator.created(at) == created
                if is_it and float(json.loads(kept).get("expirationTime", "inf")) < now:
                    await self.drop(at)
                    is_it = False
                if not is_it:
                    self._cursor.execute(f"DELETE FROM {_TABLE} WHERE name = ? AND created = ?", [name, created])


def _name(at: Place) -> str:
    return f"{at.project}.{at.dataset}.{at.table}"


def _path(at: Place) -> str:
    return f"/bigquery/v2/projects/{at.project}/datasets/{at.dataset}/tables/{at.table}"
