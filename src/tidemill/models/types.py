"""The one table that maps BigQuery's column types to Arrow's.

Sources: BigQuery "Loading Parquet data" (only microsecond timestamps map to TIMESTAMP) and
"JSON data" (JSON columns take CSV, Avro and JSON Lines, never Parquet).
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


class Type(enum.StrEnum):
    """A BigQuery column type by its GoogleSQL name."""

    STRING = "STRING"
    INT64 = "INT64"
    FLOAT64 = "FLOAT64"
    BOOL = "BOOL"
    TIMESTAMP = "TIMESTAMP"
    JSON = "JSON"


#: The names that BigQuery's REST API (``tables.get``) uses for the same types (legacy SQL names).
REST_NAMES = {"INTEGER": Type.INT64, "FLOAT": Type.FLOAT64, "BOOLEAN": Type.BOOL}


def from_rest(name: str) -> str:
    """The GoogleSQL name of a type as the REST API writes it; an unknown type comes back unchanged."""
    return str(REST_NAMES.get(name, name))


def arrow_type(kind: Type) -> pa.DataType:
    """The Arrow type in which rows of this BigQuery type travel. JSON travels as its text."""
    import pyarrow as pa  # costs 50 ms, only needed where rows move

    return {
        Type.STRING: pa.string(),
        Type.INT64: pa.int64(),
        Type.FLOAT64: pa.float64(),
        Type.BOOL: pa.bool_(),
        Type.TIMESTAMP: pa.timestamp("us", tz="UTC"),
        Type.JSON: pa.string(),
    }[kind]
