"""INFORMATION_SCHEMA.JOBS, which the emulator lacks: the gate puts its book of jobs into the statement."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from typing import Any

_VIEW = re.compile(
    r"(?:`?[\w\-]+`?\.)?(?:`region-[\w\-]+`\.)?(?:`[\w\-.]*INFORMATION_SCHEMA\.JOBS(?:_BY_\w+)?`|"
    r"INFORMATION_SCHEMA\.JOBS(?:_BY_\w+)?)",
    re.IGNORECASE,
)
_TARGET = {"project_id": "projectId", "dataset_id": "datasetId", "table_id": "tableId"}


def replaced(sql: str, jobs: Callable[[], list[dict[str, Any]]]) -> str:
    """The statement, with a subquery in place of INFORMATION_SCHEMA.JOBS wherever it is named."""
    if "INFORMATION_SCHEMA.JOBS" not in sql.upper():
        return sql
    return _VIEW.sub(lambda _: _subquery(jobs()), sql)


def _subquery(jobs: list[dict[str, Any]]) -> str:
    rows = [_row(job) for job in jobs]
    empty = _row(None)
    union = " UNION ALL ".join(f"SELECT {row}" for row in rows) if rows else f"SELECT {empty} LIMIT 0"
    return f"({union})"


def _row(job: dict[str, Any] | None) -> str:
    configuration = job["configuration"] if job else {}
    kind = str(configuration.get("jobType", "QUERY"))
    inner = configuration.get(kind.lower(), {})
    target = inner.get("destinationTable") or {}
    if str(target.get("datasetId", "")).startswith("_"):  # the emulator's name for the rows of a SELECT
        target = {}
    statistics = job["statistics"] if job else {}
    labels = ", ".join(
        f"STRUCT({_text(name)} AS key, {_text(value)} AS value)"
        for name, value in configuration.get("labels", {}).items()
    )
    error = (job or {}).get("status", {}).get("errorResult") or {}
    fields = {
        "job_id": _text(job["jobReference"]["jobId"] if job else ""),
        "project_id": _text(job["jobReference"]["projectId"] if job else ""),
        "user_email": _text(job["user_email"] if job else ""),
        "job_type": _text(kind),
        "statement_type": _text(statistics.get("query", {}).get("statementType")),
        "state": _text(job["status"]["state"] if job else ""),
        "creation_time": _moment(statistics.get("creationTime", "0")),
        "start_time": _moment(statistics.get("startTime", "0")),
        "end_time": _moment(statistics.get("endTime", "0")),
        "query": _text(inner.get("query")),
        "labels": f"[{labels}]" if labels else "CAST([] AS ARRAY<STRUCT<key STRING, value STRING>>)",
        "error_result": _struct({"reason": error.get("reason"), "message": error.get("message")}),
        "destination_table": _struct({name: target.get(key) for name, key in _TARGET.items()}),
        "total_bytes_billed": "0",
    }
    return ", ".join(f"{value} AS {name}" for name, value in fields.items())


def _struct(values: dict[str, Any]) -> str:
    """A STRUCT, or a NULL of its type if it has no value."""
    if not any(values.values()):
        return f"CAST(NULL AS STRUCT<{', '.join(f'{name} STRING' for name in values)}>)"
    return f"STRUCT({', '.join(f'{_text(value)} AS {name}' for name, value in values.items())})"


def _text(value: object) -> str:
    if value is None or value == "":
        return "CAST(NULL AS STRING)"
    return "'" + str(value).replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n") + "'"


def _moment(milliseconds: str) -> str:
    moment = dt.datetime.fromtimestamp(int(milliseconds) / 1000, dt.UTC)
    return f"TIMESTAMP '{moment:%Y-%m-%d %H:%M:%S.%f}+00:00'"
