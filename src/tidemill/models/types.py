"""BigQuery's column types. In Parquet, only microsecond timestamps become TIMESTAMP ("Loading Parquet data")."""

from __future__ import annotations

import enum


class Type(enum.StrEnum):
    """A BigQuery column type by its GoogleSQL name."""

    STRING = "STRING"
    INT64 = "INT64"
    FLOAT64 = "FLOAT64"
    NUMERIC = "NUMERIC"
    BIGNUMERIC = "BIGNUMERIC"
    BOOL = "BOOL"
    TIMESTAMP = "TIMESTAMP"
    DATE = "DATE"
    DATETIME = "DATETIME"
    JSON = "JSON"


#: The names that BigQuery's REST API (``tables.get``) uses for the same types (legacy SQL names).
REST_NAMES = {"INTEGER": Type.INT64, "FLOAT": Type.FLOAT64, "BOOLEAN": Type.BOOL}


def from_rest(name: str) -> str:
    """The GoogleSQL name of a type as the REST API writes it; an unknown type comes back unchanged."""
    return str(REST_NAMES.get(name, name))
