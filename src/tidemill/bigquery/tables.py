"""Tables as we see them, and whether a model's columns fit into one."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tidemill.bigquery import sql
from tidemill.errors import ConfigError
from tidemill.models.model import Column
from tidemill.models.types import Type, from_rest

if TYPE_CHECKING:
    from google.cloud import bigquery


#: The kinds of tables that take no rows, as BigQuery calls them ("REST: Table", type).
_KINDS = {
    "VIEW": "a view",
    "MATERIALIZED_VIEW": "a materialized view",
    "EXTERNAL": "an external table",
    "SNAPSHOT": "a table snapshot",
}


@dataclasses.dataclass(frozen=True)
class Field:
    """A column of an existing table; `type` is GoogleSQL's name. `fields`: of a STRUCT."""

    name: str
    type: str
    mode: str = "NULLABLE"
    has_default: bool = False
    fields: tuple[Field, ...] = ()


@dataclasses.dataclass(frozen=True)
class Table:
    """An existing table. `partition` is (column, HOUR|DAY|MONTH|YEAR); `kind` is the API's: TABLE, VIEW, EXTERNAL, …

    `expires`: when it vanishes; `partition_expires`: so long after its end a partition does. `buffered`: rows were
    streamed into it lately, which `rows` does not count.
    """

    fields: tuple[Field, ...]
    rows: int
    partition: tuple[str, str] | None = None
    cluster_by: tuple[str, ...] = ()
    kind: str = "TABLE"
    expires: dt.datetime | None = None
    partition_expires: dt.timedelta | None = None
    buffered: bool = False


@dataclasses.dataclass(frozen=True)
class Layout:
    """How a new table is made.

    `expires_seconds`: from now on, for a table that is not to stay. `partition_expires`: after each partition's end.
    """

    columns: tuple[Column, ...]
    partition: tuple[str, str] | None = None
    cluster_by: tuple[str, ...] = ()
    description: str = ""
    expires_seconds: int | None = None
    partition_expires: dt.timedelta | None = None
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Match:
    """Which columns of a model go into a table, and which it lacks."""

    columns: tuple[Column, ...]
    missing: tuple[str, ...]


def match(columns: Sequence[Column], table: Table, name: str) -> Match:
    """Hold a model's columns against an existing table's.

    Raises
    ------
    ConfigError
        If it is no table that takes rows, a type does not fit, or it wants a value that we do not have.
    """
    if table.kind != "TABLE":
        raise ConfigError(
            "table_kind",
            f"{name} is {_KINDS.get(table.kind, table.kind)}, and no table that rows can be loaded into.",
            hint="Export into another table: one that is not there yet is made. Nothing was loaded.",
        )
    fields = {field.name.lower(): field for field in table.fields}
    used, missing, wrong, required = [], [], [], []
    for column in columns:
        field = fields.pop(column.name.lower(), None)
        if field is None:
            missing.append(column.name)
        elif field.type != column.type or (field.mode == "REPEATED") != column.repeated:
            wrong.append(f"{field.name} is {field.type}{_mode(field)}, and the export has {column.type}")
        else:
            used.append(column)
            # A load says NULLABLE of its columns, and BigQuery takes that for an attempt to change the table.
            required += [field.name] if field.mode == "REQUIRED" else []
    if wrong:
        json_hint = " An export's JSON type is chosen with --json-type." if "JSON" in " ".join(wrong) else ""
        raise ConfigError(
            "column_type",
            f"The table {name} does not fit: {'; '.join(wrong)}.",
            hint=f"Export into another table, or change the columns.{json_hint} Nothing was loaded.",
        )
    required += [field.name for field in fields.values() if field.mode == "REQUIRED" and not field.has_default]
    if required:
        raise ConfigError(
            "column_required",
            f"The table {name} requires values for {', '.join(required)}, which exports cannot promise.",
            hint=f"{sql.nullable(name, required[0])} Or export into another table.",
        )
    if not used:
        raise ConfigError("no_columns", f"The table {name} has none of the model's columns.", hint="Check its name.")
    return Match(tuple(used), tuple(missing))


def _mode(field: Field) -> str:
    return " REPEATED" if field.mode == "REPEATED" else ""


def schema(columns: Sequence[Column]) -> list[bigquery.SchemaField]:
    """Google's schema of these columns."""
    from google.cloud import bigquery  # heavy

    modes = {True: "REPEATED", False: "NULLABLE"}
    return [
        bigquery.SchemaField(
            column.name, column.type.value, mode=modes[column.repeated], description=column.description
        )
        for column in columns
    ]


def from_google(table: bigquery.Table) -> Table:
    """Our view of Google's table."""
    partition = table.time_partitioning
    expires = partition.expiration_ms if partition else None
    return Table(
        fields=fields(table.schema),
        rows=int(table.num_rows or 0),
        partition=(partition.field, partition.type_) if partition and partition.field else None,
        cluster_by=tuple(table.clustering_fields or ()),
        kind=str(table.table_type or "TABLE"),
        expires=table.expires,
        partition_expires=dt.timedelta(milliseconds=int(expires)) if expires else None,
        buffered=table.streaming_buffer is not None,
    )


def fields(schema: Sequence[bigquery.SchemaField]) -> tuple[Field, ...]:
    """Our view of Google's schema."""
    return tuple(
        Field(
            f.name,
            from_rest(f.field_type),
            f.mode or "NULLABLE",
            f.default_value_expression is not None,
            fields(f.fields),
        )
        for f in schema
    )


def scratch_columns() -> tuple[Column, ...]:
    """The one column of the table that the connection test makes."""
    return (Column("event", Type.STRING, "Written by Tidemill's connection test; can be deleted."),)
