"""Columns as the Storage Read API sends them ("Arrow schema details"), and what reads them in DuckDB."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tidemill.bigquery.local import values
from tidemill.bigquery.local.grpc_answers import Failure

if TYPE_CHECKING:
    import pyarrow as pa


def chosen(fields: Sequence[dict[str, Any]], names: Sequence[str]) -> list[dict[str, Any]]:
    """The columns that are asked for, in the table's order; all, if none is named. Raises Failure."""
    wanted = {name.lower() for name in names}
    known = {str(field["name"]).lower() for field in fields}
    if missing := sorted(wanted - known):
        said = f"request failed: The following selected fields do not exist in the table schema: {', '.join(missing)}"
        raise Failure("INVALID_ARGUMENT", said, ends=True)
    return [dict(field) for field in fields if not wanted or str(field["name"]).lower() in wanted]


def statement(table: str, fields: Sequence[Mapping[str, Any]], restriction: str) -> str:
    """What reads those columns of the rows for which the restriction holds. Raises Failure if it is no condition."""
    columns = ", ".join(_column(field) for field in fields)
    return f"SELECT {columns} FROM {table}{_where(restriction)}"


def _column(field: Mapping[str, Any]) -> str:
    name = '"' + str(field["name"]).replace('"', '""') + '"'
    if values.kind(field) != "GEOGRAPHY":
        return name
    if str(field.get("mode")).upper() == "REPEATED":
        return f"list_transform({name}, lambda x: ST_AsText(x)) AS {name}"
    return f"ST_AsText({name}) AS {name}"


def _where(restriction: str) -> str:
    """A condition on columns, as a WHERE clause in DuckDB's SQL."""
    import sqlglot
    from sqlglot import exp

    if not restriction.strip():
        return ""
    read: Any = None
    try:
        (read,) = sqlglot.parse(f"SELECT 1 WHERE {restriction}", dialect="bigquery")
    except (sqlglot.errors.SqlglotError, ValueError):
        read = None
    made = read.args["where"].this if isinstance(read, exp.Select) and read.args.get("where") else None
    parts = {name for name, value in read.args.items() if value} if made is not None else set()
    if made is None or parts - {"expressions", "where"} or made.find(exp.Query) is not None:
        raise Failure("INVALID_ARGUMENT", f"request failed: Query error: {restriction!r} is no condition", ends=True)
    return f" WHERE {made.sql(dialect='duckdb')}"


def arrow(fields: Sequence[Mapping[str, Any]]) -> pa.Schema:
    """The schema of the batches."""
    import pyarrow as pa

    return pa.schema([_field(field) for field in fields])


def _field(field: Mapping[str, Any]) -> pa.Field:
    import pyarrow as pa

    kind = values.kind(field)
    plain = {**values.arrow_types(), "INTERVAL": pa.month_day_nano_interval()}
    if kind == "STRUCT":
        made = pa.struct([_field(inner) for inner in field.get("fields", ())])
    elif kind == "RANGE":
        of = plain[str((field.get("rangeElementType") or {}).get("type", "DATE"))]
        made = pa.struct([("start", of), ("end", of)])
    else:
        made = plain.get(kind, pa.string())
    return pa.field(field["name"], pa.list_(made) if str(field.get("mode")).upper() == "REPEATED" else made)


def cast(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """A batch of DuckDB's, in the types of the schema."""
    import pyarrow as pa

    columns = []
    for column, field in zip(batch.columns, schema, strict=True):
        stored = column.storage if isinstance(column, pa.ExtensionArray) else column
        columns.append(stored if stored.type == field.type else stored.cast(field.type))
    return pa.RecordBatch.from_arrays(columns, schema=schema)
