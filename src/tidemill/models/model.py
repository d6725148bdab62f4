"""What a model is: columns, key, versions and how its table is laid out."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from tidemill.models.types import Type, arrow_type

if TYPE_CHECKING:
    import pyarrow as pa


@dataclasses.dataclass(frozen=True)
class Column:
    """One column of a model, as BigQuery sees it. `json` marks a column that may be STRING or JSON, by choice."""

    name: str
    type: Type
    description: str
    json: bool = False
    repeated: bool = False

    def resolved(self, *, json_type: bool) -> Column:
        """This column with its type settled: JSON if it may be and `json_type` was chosen."""
        return dataclasses.replace(self, type=Type.JSON) if self.json and json_type else self


@dataclasses.dataclass(frozen=True)
class Model:
    """The definition of one thing that moves. `key` and `versions` are column names; no versions means immutable."""

    name: str
    title: str
    description: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    versions: tuple[str, ...] = ()
    partition_by: str | None = None
    cluster_by: tuple[str, ...] = ()

    def columns_for(self, *, json_type: bool) -> tuple[Column, ...]:
        """The columns with their types settled."""
        return tuple(column.resolved(json_type=json_type) for column in self.columns)

    def column(self, name: str) -> Column:
        """The column of that name. Raises KeyError."""
        return {column.name: column for column in self.columns}[name]

    def arrow_schema(self) -> pa.Schema:
        """Arrow schema of the rows; JSON columns travel as text."""
        import pyarrow as pa  # heavy, see arrow_type

        def field_type(column: Column) -> pa.DataType:
            plain = arrow_type(column.type)
            return pa.list_(plain) if column.repeated else plain

        return pa.schema([(column.name, field_type(column)) for column in self.columns])
