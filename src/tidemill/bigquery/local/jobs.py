"""The gate's own book of jobs, in the emulator's DuckDB: a load and its entry are one transaction.

The emulator would run a job id twice, drop labels and forget where a job ran; BigQuery does none of that.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import duckdb

from tidemill.bigquery.local.answers import Refusal, not_found

_TABLE = "tidemill_gate.jobs"


class Jobs:
    """Jobs by project and id, as the REST resources that clients get."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection.cursor()
        self._guard = threading.Lock()
        self._connection.execute("CREATE SCHEMA IF NOT EXISTS tidemill_gate")
        self._connection.execute(
            f"CREATE TABLE IF NOT EXISTS {_TABLE} (project VARCHAR, id VARCHAR, created DOUBLE, resource VARCHAR)"
        )
        self._running: dict[tuple[str, str], dict[str, Any]] = {}

    @contextlib.contextmanager
    def running(self, job: dict[str, Any]) -> Iterator[None]:
        """The job runs, and its id is taken, for the time of the block; it is to be saved in it.

        Raises Refusal (409) if the id was taken before. If the block raises, the job never was.
        """
        reference = job["jobReference"]
        key = (reference["projectId"], reference["jobId"])
        with self._guard:
            if self._read(*key):
                said = f"Already Exists: Job {key[0]}:{reference['location']}.{key[1]}"
                raise Refusal(409, "duplicate", said)
            self._running[key] = {**job, "status": {"state": "RUNNING"}}
        try:
            yield
        finally:
            with self._guard:
                del self._running[key]

    def get(self, project: str, job_id: str, location: str | None) -> dict[str, Any]:
        """The job. Raises Refusal (404) if there is none, or not in that location."""
        with self._guard:
            found = self._read(project, job_id)
        if found is None or (location and location.lower() != found["jobReference"]["location"].lower()):
            raise not_found(f"Job {project}:{location + '.' if location else ''}{job_id}")
        return found

    def _read(self, project: str, job_id: str) -> dict[str, Any] | None:
        if running := self._running.get((project, job_id)):
            return running
        query = f"SELECT resource FROM {_TABLE} WHERE project = ? AND id = ?"
        found = self._connection.execute(query, [project, job_id]).fetchone()
        return json.loads(found[0]) if found else None

    def save(self, cursor: duckdb.DuckDBPyConnection, resource: dict[str, Any]) -> None:
        """Enter a job that is done, by a cursor that may be in a transaction."""
        reference = resource["jobReference"]
        cursor.execute(
            f"INSERT INTO {_TABLE} VALUES (?, ?, ?, ?)",
            [reference["projectId"], reference["jobId"], time.time(), json.dumps(resource)],
        )

    def save_alone(self, resource: dict[str, Any]) -> None:
        """Enter a job that is done and changed nothing, or was done by the emulator."""
        with self._guard:
            self.save(self._connection, resource)

    def list(self, project: str, limit: int) -> list[dict[str, Any]]:
        """The newest jobs of a project."""
        query = f"SELECT resource FROM {_TABLE} WHERE project = ? ORDER BY created DESC LIMIT {limit}"
        with self._guard:
            return [json.loads(row[0]) for row in self._connection.execute(query, [project]).fetchall()]


def resource(
    project: str,
    job_id: str,
    location: str,
    configuration: dict[str, Any],
    account: str,
    began: float,
    *,
    statistics: dict[str, Any] | None = None,
    error: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """A job that is done, as `jobs.get` gives it."""
    status: dict[str, Any] = {"state": "DONE"}
    if error:
        status |= {"errorResult": error, "errors": [error]}
    milliseconds = str(int(began * 1000))
    kind = next((name for name in ("load", "query", "copy", "extract") if name in configuration), "query")
    return {
        "kind": "bigquery#job",
        "id": f"{project}:{location}.{job_id}",
        "jobReference": {"projectId": project, "jobId": job_id, "location": location},
        "configuration": {**configuration, "jobType": kind.upper()},
        "status": status,
        "statistics": {
            "creationTime": milliseconds,
            "startTime": milliseconds,
            "endTime": str(int(time.time() * 1000)),
            **(statistics or {}),
        },
        "user_email": account,
    }


def information_schema(jobs: list[dict[str, Any]]) -> str:
    """A subquery that answers as INFORMATION_SCHEMA.JOBS does."""
    rows = [_row(job) for job in jobs]
    empty = _row(None)
    union = " UNION ALL ".join(f"SELECT {row}" for row in rows) if rows else f"SELECT {empty} LIMIT 0"
    return f"({union})"


def _row(job: dict[str, Any] | None) -> str:
    configuration = job["configuration"] if job else {}
    kind = str(configuration.get("jobType", "QUERY"))
    inner = configuration.get(kind.lower(), {})
    target = inner.get("destinationTable") or {}
    statistics = job["statistics"] if job else {}
    labels = ", ".join(
        f"STRUCT({_text(name)} AS key, {_text(value)} AS value)"
        for name, value in configuration.get("labels", {}).items()
    )
    error = (job or {}).get("status", {}).get("errorResult")
    fields = {
        "job_id": _text(job["jobReference"]["jobId"] if job else ""),
        "project_id": _text(job["jobReference"]["projectId"] if job else ""),
        "user_email": _text(job["user_email"] if job else ""),
        "job_type": _text(kind),
        "statement_type": _text(statistics.get("query", {}).get("statementType", "")),
        "state": "'DONE'",
        "creation_time": _moment(statistics.get("creationTime", "0")),
        "start_time": _moment(statistics.get("startTime", "0")),
        "end_time": _moment(statistics.get("endTime", "0")),
        "query": _text(inner.get("query", "")),
        "labels": f"[{labels}]" if labels else "[STRUCT('' AS key, '' AS value)]",
        "error_result": f"STRUCT({_text((error or {}).get('reason', ''))} AS reason, "
        f"{_text((error or {}).get('message', ''))} AS message)",
        "destination_table": f"STRUCT({_text(target.get('projectId', ''))} AS project_id, "
        f"{_text(target.get('datasetId', ''))} AS dataset_id, {_text(target.get('tableId', ''))} AS table_id)",
        "total_bytes_billed": "0",
    }
    return ", ".join(f"{value} AS {name}" for name, value in fields.items())


def _text(value: object) -> str:
    return "'" + str(value).replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n") + "'"


def _moment(milliseconds: str) -> str:
    moment = dt.datetime.fromtimestamp(int(milliseconds) / 1000, dt.UTC)
    return f"TIMESTAMP '{moment:%Y-%m-%d %H:%M:%S.%f}+00:00'"
