"""Rows that are streamed in (tabledata.insertAll): checked as BigQuery does, since the emulator fails as a whole."""

from __future__ import annotations

import datetime as dt
from typing import Any


def check(body: dict[str, Any], fields: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The `insertErrors` for a request, empty if every row is good. With a bad row, the good ones are `stopped`."""
    known = {field["name"].lower(): field for field in fields}
    bad: dict[int, dict[str, Any]] = {}
    given = body.get("rows", [])
    for index, row in enumerate(given):
        problem = _problem(row.get("json") or {}, known, ignore=bool(body.get("ignoreUnknownValues")))
        if problem:
            bad[index] = problem
    if not bad:
        return []
    stopped = {"reason": "stopped", "location": "", "debugInfo": "", "message": ""}
    return [{"index": index, "errors": [bad.get(index, stopped)]} for index in range(len(given))]


def _problem(row: dict[str, Any], known: dict[str, dict[str, Any]], *, ignore: bool) -> dict[str, Any] | None:
    for name, value in row.items():
        field = known.get(name.lower())
        if field is None:
            if not ignore:
                return _invalid(name, f"no such field: {name}.")
        elif value is not None and not _fits(value, field):
            return _invalid(name, f"Cannot convert value to {field['type'].lower()}: {str(value)[:50]}")
    required = [f["name"] for f in known.values() if f.get("mode") == "REQUIRED"]
    missing = [name for name in required if name not in row]
    return _invalid(missing[0], f"Missing required field: {missing[0]}.") if missing else None


def _invalid(name: str, message: str) -> dict[str, Any]:
    return {"reason": "invalid", "location": name, "debugInfo": "", "message": message}


def _fits(value: Any, field: dict[str, Any]) -> bool:
    if field.get("mode") == "REPEATED":
        return isinstance(value, list) and all(_fits(item, {**field, "mode": ""}) for item in value)
    try:
        match field["type"]:
            case "INT64" | "INTEGER":
                int(value)
            case "FLOAT64" | "FLOAT" | "NUMERIC" | "BIGNUMERIC":
                float(value)
            case "BOOL" | "BOOLEAN":
                return isinstance(value, bool) or str(value).lower() in {"true", "false"}
            case "TIMESTAMP":
                if isinstance(value, str):
                    dt.datetime.fromisoformat(value.replace(" UTC", "+00:00"))
            case "STRING":
                return isinstance(value, str | int | float | bool)
    except (TypeError, ValueError):
        return False
    return True
