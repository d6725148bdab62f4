"""Load jobs from uploads: who may, where, into what table; the loading itself is in loads."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tidemill.bigquery.local import jobs, loads, permissions, schemas, uploads
from tidemill.bigquery.local.answers import Refusal, denied
from tidemill.bigquery.local.bodies import read_json
from tidemill.bigquery.local.emulator import Emulator
from tidemill.bigquery.local.faults import Fault
from tidemill.bigquery.local.loads import Failed, Target
from tidemill.bigquery.local.permissions import Place
from tidemill.bigquery.local.places import job_location
from tidemill.bigquery.local.tables import Tables


class LoadJobs:
    """Uploads, and the load jobs that they lead to. `url`: the gate's address."""

    def __init__(self, emulator: Emulator, book: jobs.Jobs, tables: Tables, folder: Path, url: str) -> None:
        self._emulator, self._book, self._tables, self._url = emulator, book, tables, url
        self.uploads = uploads.Uploads(folder)

    async def upload(
        self, request: Request, project: str, account: str, granted: frozenset[str], fault: Fault | None
    ) -> Response:
        """Answer a request of an upload. `fault`: what shall become of the job that it leads to."""
        if request.method == "PUT":
            return await self._piece(request, granted, fault)
        if "bigquery.jobs.create" not in granted:
            raise denied("bigquery.jobs.create", project)
        kind = request.query_params.get("uploadType")
        if kind == "resumable":
            session = self.uploads.open(project, account, await read_json(request), fault)
            where = f"{self._url}{request.url.path}?uploadType=resumable&upload_id={session.id}"
            return Response(status_code=200, headers={"Location": where, "X-GUploader-UploadID": session.id})
        if kind != "multipart":
            raise Refusal(400, "invalid", f"Unknown uploadType: {kind}")
        body, media = self.uploads.new_file(), self.uploads.new_file()
        try:
            await uploads.save(request.stream(), body)
            content_type = request.headers.get("content-type", "")
            description = await asyncio.to_thread(uploads.split_multipart, content_type, body, media)
            body.unlink()
            return JSONResponse(await self._load(project, account, granted, description, media, fault))
        finally:
            body.unlink(missing_ok=True)
            media.unlink(missing_ok=True)

    async def _piece(self, request: Request, granted: frozenset[str], fault: Fault | None) -> Response:
        session = self.uploads.get(request.query_params.get("upload_id", ""))
        session.fault = fault or session.fault
        async with session.turn:
            if session.job is not None:
                return JSONResponse(session.job)
            whole = await uploads.receive(session, request.headers.get("content-range", ""), request.stream())
            if not whole:
                headers = {"Range": f"bytes=0-{session.received - 1}"} if session.received else {}
                return Response(status_code=308, headers=headers)
            try:
                session.job = await self._load(
                    session.project, session.account, granted, session.description, session.file, session.fault
                )
            except BaseException:
                self.uploads.close(session)
                raise
            session.file.unlink()
            return JSONResponse(session.job)

    async def _load(
        self,
        project: str,
        account: str,
        granted: frozenset[str],
        description: dict[str, Any],
        file: Path,
        fault: Fault | None,
    ) -> dict[str, Any]:
        """Run a load job over a file that is here."""
        configuration = description.get("configuration") or {}
        load = configuration.get("load") or {}
        target = load.get("destinationTable") or {}
        if not target.get("datasetId") or not target.get("tableId"):
            raise Refusal(400, "required", "Required parameter is missing: destinationTable")
        at = Place(target.get("projectId", project), target["datasetId"], target["tableId"], "")
        reference = description.get("jobReference") or {}
        location = job_location(self._emulator, reference.get("location"), [(at.project, str(at.dataset))])
        job_id = str(reference.get("jobId") or f"job_{secrets.token_hex(12)}")
        if self._emulator.fields(at) is None and load.get("createDisposition") != "CREATE_NEVER":
            permissions.check(granted, "bigquery.tables.create", Place(at.project, at.dataset, None, ""))
        permissions.check(granted, "bigquery.tables.updateData", at)
        job = jobs.resource(project, job_id, location, configuration, account, time.time())
        with self._book.running(job):
            try:
                if fault is not None:
                    raise Failed(fault.reason, fault.message)
                return await self._run(job, load, at, file)
            except Failed as error:
                job["status"] = jobs.failed(error.reason, error.message, *error.details)
                self._book.save_alone(job)
                return job

    async def _run(self, job: dict[str, Any], load: dict[str, Any], at: Place, file: Path) -> dict[str, Any]:
        async with self._emulator.changing(), contextlib.AsyncExitStack() as undo:
            before = self._emulator.fields(at)
            if before is None:
                await self._create(load, at, file)
                undo.push_async_callback(self._tables.drop, at)
            else:
                new = self._evolved(load, at, before, file)
                if new != before:
                    await self._tables.alter("PATCH", at, {"schema": {"fields": new}})
                    undo.push_async_callback(self._tables.restore, at, before)
            target = Target(at, self._emulator.quoted(at), self._emulator.fields(at) or [])
            async with self._emulator.writing():
                done = await asyncio.to_thread(loads.run, self._emulator.connection, self._book, job, target, file)
            if "errorResult" not in done["status"]:
                undo.pop_all()
            self._emulator.touch(at)
            return done

    async def _create(self, load: dict[str, Any], at: Place, file: Path) -> None:
        """Make the table that the job brings the schema for. Raises Failed."""
        if load.get("createDisposition") == "CREATE_NEVER":
            raise Failed("notFound", f"Not found: Table {at.project}:{at.dataset}.{at.table}")
        fields = (load.get("schema") or {}).get("fields")
        if not fields and load.get("sourceFormat") == "PARQUET":
            fields = await asyncio.to_thread(loads.parquet_schema, self._emulator.connection, file)
        if not fields:
            raise Failed("invalid", "No schema specified on job or table.")
        kept = ("timePartitioning", "clustering", "rangePartitioning")
        layout = {name: load[name] for name in kept if load.get(name)}
        try:
            await self._tables.create(at, {"schema": {"fields": fields}, **layout})
        except Refusal as refusal:
            raise Failed("invalid", refusal.message) from None

    def _evolved(
        self, load: dict[str, Any], at: Place, before: list[dict[str, Any]], file: Path
    ) -> list[dict[str, Any]]:
        """The table's columns as the job asks for them. Raises Failed if it may not have them so."""
        options = load.get("schemaUpdateOptions") or ()
        given = (load.get("schema") or {}).get("fields") or []
        if not given and load.get("sourceFormat") == "PARQUET" and "ALLOW_FIELD_ADDITION" in options:
            known = {field["name"].lower() for field in before}
            found = loads.parquet_schema(self._emulator.connection, file)
            given = [field for field in found if field["name"].lower() not in known]
        try:
            new = schemas.evolved(before, given, at, whole=False)
        except schemas.SchemaError as error:
            raise Failed("invalid", str(error)) from None
        mismatch = f"Provided Schema does not match Table {at.project}:{at.dataset}.{at.table}."
        added, relaxed = schemas.added(before, new), schemas.relaxed(before, new)
        if added and "ALLOW_FIELD_ADDITION" not in options:
            raise Failed("invalid", f"{mismatch} Cannot add fields (field: {added[0]})")
        if relaxed and "ALLOW_FIELD_RELAXATION" not in options:
            raise Failed("invalid", f"{mismatch} Field {relaxed[0]} has changed mode from REQUIRED to NULLABLE")
        return new if added or relaxed else before
