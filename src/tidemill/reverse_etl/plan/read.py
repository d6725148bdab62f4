"""Rows of a plan, from what was read of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tidemill.bigquery import plan_reads
from tidemill.bigquery.tables import Field
from tidemill.destinations.port import Op
from tidemill.reverse_etl.plan import values
from tidemill.reverse_etl.plan.port import InvalidRow, PlanRows

if TYPE_CHECKING:
    import pyarrow as pa


def plan_rows(
    heads: Sequence[tuple[Any, ...]],
    columns: Sequence[list[Any]],
    fields: Sequence[Field],
    key: Sequence[str],
) -> PlanRows:
    """Rows that are to be delivered, by key. `heads`: see `plan_reads.ROW`; `columns`: as JSON has their values."""
    key_fields = [next(field for field in fields if field.name == name) for name in key]
    parts: list[Sequence[Any]] = list(zip(*heads, strict=True)) or [()] * len(plan_reads.ROW)
    order = sorted(range(len(heads)), key=parts[0].__getitem__)
    if order != list(range(len(heads))):
        parts = [[part[place] for place in order] for part in parts]
        columns = [[column[place] for place in order] for column in columns]
    keys, hashes, kinds, since = parts
    ops = {kind: Op(kind) for kind in set(kinds)}
    return PlanRows(
        keys=keys,
        hashes=hashes,
        ops=[ops[kind] for kind in kinds],
        since=since,
        columns={field.name: column for field, column in zip(fields, columns, strict=True)},
        of_key=lambda row_key: values.of_keys(row_key, key_fields),
    )


def of_arrow(table: pa.Table, fields: Sequence[Field]) -> tuple[list[tuple[Any, ...]], list[list[Any]]]:
    """Of each row what it is, and the columns. By key already: Arrow sorts faster, and UTF-8 as Python does texts."""
    table = table.sort_by("row_key")
    heads = [table.column(name).to_pylist() for name in plan_reads.ROW]
    columns = [values.of_arrow(table.column(f"c{number}"), field) for number, field in enumerate(fields)]
    return list(zip(*heads, strict=True)), columns


def invalid_rows(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[list[Any]], fields: Sequence[Field]
) -> list[InvalidRow]:
    """Rows that cannot be delivered. `rows`: see `plan_reads.invalid`."""
    names = [field.name for field in fields]
    return [
        InvalidRow(
            key=row["row_key"],
            code=str(row["kind"]),
            hash=str(row["row_hash"]),
            count=int(row["row_count"]),
            row=dict(zip(names, content, strict=True)) if row["shown"] else None,
        )
        for row, content in zip(rows, zip(*columns, strict=True), strict=True)
    ]


def of_query(rows: Sequence[Mapping[str, Any]], fields: Sequence[Field]) -> list[list[Any]]:
    """The columns of rows that a query gave, as JSON has their values."""
    made = []
    for number, field in enumerate(fields):
        as_text = field.type == "JSON" and field.mode != "REPEATED"
        made.append(values.of_column([row[f"c{number}"] for row in rows], field, parsed=not as_text))
    return made


def heads(rows: Iterable[Mapping[str, Any]]) -> list[tuple[Any, ...]]:
    """What is read of each row before its columns."""
    return [tuple(row[name] for name in plan_reads.ROW) for row in rows]
