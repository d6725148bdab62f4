"""The gate's own book of jobs, in the emulator's DuckDB: a load or a DML statement and its entry are one transaction.

The emulator would run a job id twice, drop labels and forget where a job ran; BigQuery does none of that.
A statement that cannot be in one transaction with its entry (a script, DDL) is entered before it begins. If the process
is killed then, the entry says so ever after, and the id is taken: it cannot run twice.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Collection, Iterator
from typing import Any

import duckdb

from tidemill.bigquery.local.answers import Refusal, job_error, not_found

_TABLE = "tidemill_gate.jobs"
_KILLED = "The embedded BigQuery was stopped while this ran: it may be done in part, or in full."


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
        self._settle()

    def _settle(self) -> None:
        """Jobs that were running when the process was killed will never end by themselves."""
        query = f"SELECT resource FROM {_TABLE} WHERE json_extract_string(resource, '$.status.state') = 'RUNNING'"
        for (text,) in self._connection.execute(query).fetchall():
            job = json.loads(text)
            self.save_alone({**job, "status": failed("stopped", _KILLED)})

    @contextlib.contextmanager
    def running(self, job: dict[str, Any]) -> Iterator[None]:
        """The job runs, and its id is taken, for the time of the block; it is to be saved in it.

        Raises Refusal (409) if the id was taken before. If the block raises and has saved nothing, the job never was.
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

    def find(self, project: str, job_id: str) -> dict[str, Any] | None:
        """The job, wherever it runs or ran; None if there is none."""
        with self._guard:
            return self._read(project, job_id)

    def entry(self, project: str, job_id: str) -> dict[str, Any] | None:
        """What is saved of a job."""
        query = f"SELECT resource FROM {_TABLE} WHERE project = ? AND id = ?"
        with self._guard:
            found = self._connection.execute(query, [project, job_id]).fetchone()
        return json.loads(found[0]) if found else None

    def save(self, cursor: duckdb.DuckDBPyConnection, resource: dict[str, Any]) -> None:
        """Enter a job, by a cursor that is in a transaction. What was entered of it before is replaced."""
        key = _key(resource)
        cursor.execute(f"DELETE FROM {_TABLE} WHERE project = ? AND id = ?", key)
        cursor.execute(f"INSERT INTO {_TABLE} VALUES (?, ?, ?, ?)", [*key, time.time(), json.dumps(resource)])

    def save_alone(self, resource: dict[str, Any]) -> None:
        """Enter a job that changed nothing, or whose work is no part of a transaction."""
        with self._guard:
            self._connection.execute("BEGIN")
            try:
                self.save(self._connection, resource)
                self._connection.execute("COMMIT")
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise

    def begin(self, job: dict[str, Any]) -> None:
        """Enter a job before its work, so that it cannot run again even if the process is killed now."""
        self.save_alone({**job, "status": {"state": "RUNNING"}})

    def forget(self, job: dict[str, Any]) -> None:
        """Take out a job that was entered before its work, and was refused then."""
        with self._guard:
            self._connection.execute(f"DELETE FROM {_TABLE} WHERE project = ? AND id = ?", _key(job))

    def list(self, project: str, *, limit: int, skip: int = 0, states: Collection[str] = ()) -> list[dict[str, Any]]:
        """Jobs of a project, the newest first. `states`: of RUNNING and DONE; none means any."""
        with self._guard:
            running = [job for (of, _), job in self._running.items() if of == project]
            ids = {job["jobReference"]["jobId"] for job in running}
            query = f"SELECT resource FROM {_TABLE} WHERE project = ? ORDER BY created DESC LIMIT ?"
            count = limit + skip + len(ids)
            done = [json.loads(row[0]) for row in self._connection.execute(query, [project, count]).fetchall()]
        both = [*reversed(running), *(job for job in done if job["jobReference"]["jobId"] not in ids)]
        wanted = {state.upper() for state in states}
        return [job for job in both if not wanted or job["status"]["state"] in wanted][skip : skip + limit]


def _key(job: dict[str, Any]) -> list[str]:
    return [job["jobReference"]["projectId"], job["jobReference"]["jobId"]]


def failed(reason: str, message: str, *details: str) -> dict[str, Any]:
    """The `status` of a job that failed. `details`: what the first message leaves to the list of errors."""
    error = job_error(reason, message)
    return {
        "state": "DONE",
        "errorResult": error,
        "errors": [error, *(job_error(reason, detail) for detail in details)],
    }


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
