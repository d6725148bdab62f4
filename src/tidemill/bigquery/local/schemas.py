"""Columns of tables as REST names them: what may become of them, and what that is in DuckDB."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from bqemulator.storage.type_map import bq_schema_to_duckdb_columns, duckdb_type_to_bq_field

from tidemill.bigquery.local import values
from tidemill.bigquery.local.permissions import Place

_LEGACY = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN", "STRUCT": "RECORD"}

#: What Parquet files have and BigQuery has not.
_NEAREST = {
    "UTINYINT": "BIGINT",
    "USMALLINT": "BIGINT",
    "UINTEGER": "BIGINT",
    "UBIGINT": "BIGINT",
    "TINYINT": "BIGINT",
    "SMALLINT": "BIGINT",
    "INTEGER": "BIGINT",
    "FLOAT": "DOUBLE",
    "TIMESTAMP_NS": "TIMESTAMP",
    "TIMESTAMP_MS": "TIMESTAMP",
    "TIMESTAMP_S": "TIMESTAMP",
}


class SchemaError(ValueError):
    """A schema that a table cannot have, in BigQuery's words."""


def evolved(
    old: Sequence[values.Field], new: Sequence[values.Field], at: Place, *, whole: bool = True
) -> list[dict[str, Any]]:
    """The columns that a table has if it is given the schema `new`: as it had them, then what is added.

    `whole`: what `new` lacks would be dropped; without it, `new` says what there is to add or to relax.

    Raises
    ------
    SchemaError
        BigQuery does not do that: a column is dropped, changes its type, becomes or is added as REQUIRED.
    """
    mismatch = f"Provided Schema does not match Table {at.project}:{at.dataset}.{at.table}."
    given = {field["name"].lower(): field for field in new}
    made = []
    for field in old:
        asked = given.pop(field["name"].lower(), None)
        if asked is None:
            if whole:
                raise SchemaError(f"{mismatch} Field {field['name']} is missing in new schema")
            made.append(dict(field))
            continue
        made.append(_changed(field, asked, at, mismatch, whole=whole))
    for field in given.values():
        if _mode(field) == "REQUIRED":
            raise SchemaError(f"{mismatch} Cannot add required fields to an existing schema. (field: {field['name']})")
        made.append(dict(field))
    return made


def _changed(field: values.Field, asked: values.Field, at: Place, mismatch: str, *, whole: bool) -> dict[str, Any]:
    name, before, after = field["name"], values.kind(field), values.kind(asked)
    if before != after:
        said = f"Field {name} has changed type from {_LEGACY.get(before, before)} to {_LEGACY.get(after, after)}"
        raise SchemaError(f"{mismatch} {said}")
    if _mode(field) != _mode(asked) and (_mode(field), _mode(asked)) != ("REQUIRED", "NULLABLE"):
        raise SchemaError(f"{mismatch} Field {name} has changed mode from {_mode(field)} to {_mode(asked)}")
    made = {**field, **asked, "name": name, "type": field["type"]}
    if before == "STRUCT":
        made["fields"] = evolved(field.get("fields", ()), asked.get("fields", ()), at, whole=whole)
    return made


def _mode(field: values.Field) -> str:
    return str(field.get("mode") or "NULLABLE").upper()


def added(old: Sequence[values.Field], new: Sequence[values.Field]) -> list[str]:
    """Names of the columns, at any depth, that `new` has and `old` has not."""
    return [path for path, field in _flat(new).items() if path not in _flat(old) and field]


def relaxed(old: Sequence[values.Field], new: Sequence[values.Field]) -> list[str]:
    """Names of the columns that are no more REQUIRED."""
    before = _flat(old)
    return [
        path
        for path, field in _flat(new).items()
        if path in before and _mode(before[path]) == "REQUIRED" and _mode(field) == "NULLABLE"
    ]


def _flat(fields: Sequence[values.Field], above: str = "") -> dict[str, values.Field]:
    found: dict[str, values.Field] = {}
    for field in fields:
        path = f"{above}{field['name']}"
        found[path] = field
        inner = ".element." if _mode(field) == "REPEATED" else "."
        found |= _flat(field.get("fields", ()), f"{path}{inner}")
    return found


def alterations(old: Sequence[values.Field], new: Sequence[values.Field]) -> list[str]:
    """What follows ALTER TABLE in DuckDB to get from one to the other. Columns that are gone are dropped."""
    before, after = _flat(old), _flat(new)
    new_paths = added(old, new)
    outermost = [path for path in new_paths if not any(path.startswith(f"{above}.") for above in new_paths)]
    done = [f"ADD COLUMN {_quoted(path)} {duckdb_type(after[path])}" for path in outermost]
    done += [f"DROP COLUMN {_quoted(path)}" for path in before if path not in after]
    done += [f"ALTER COLUMN {_quoted(path)} DROP NOT NULL" for path in relaxed(old, new) if "." not in path]
    return done


def required(fields: Sequence[values.Field]) -> list[str]:
    """What follows ALTER TABLE in DuckDB to have it refuse NULLs in REQUIRED columns."""
    return [f"ALTER COLUMN {_quoted(field['name'])} SET NOT NULL" for field in fields if _mode(field) == "REQUIRED"]


def _quoted(path: str) -> str:
    return ".".join('"' + part.replace('"', '""') + '"' for part in path.split("."))


def duckdb_type(field: values.Field) -> str:
    """DuckDB's type for a column."""
    return str(bq_schema_to_duckdb_columns([dict(field)])[0][1])


def as_told(fields: Sequence[values.Field]) -> list[dict[str, Any]]:
    """The columns as `tables.get` tells them: by the second names of their types, INTEGER and not INT64."""
    return [
        {
            **field,
            "type": _LEGACY.get(values.kind(field), values.kind(field)),
            **({"fields": as_told(field["fields"])} if field.get("fields") else {}),
        }
        for field in fields
    ]


def of_duckdb(name: str, kind: str) -> dict[str, Any]:
    """The column that a DuckDB type makes. Types that BigQuery has not become the nearest that it has."""
    plain = kind.removesuffix("[]")
    near = _NEAREST.get(plain, plain) + kind[len(plain) :]
    return dict(duckdb_type_to_bq_field(name, near))


def is_no_text(kind: str) -> bool:
    """Whether a DuckDB type is, or has in it, what Arrow has as text or bytes, and BigQuery as a type of its own."""
    return re.search(r"\b(JSON|GEOMETRY|INTERVAL)\b", kind) is not None
