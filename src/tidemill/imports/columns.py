"""Finds the values that an import names in the columns of rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tidemill.errors import ConfigError


def values(columns: Mapping[str, Sequence[Any]], name: str) -> Sequence[Any]:
    """A column, or a field of a STRUCT by its path (`address.city`), if no column has that very name. A field that a
    value does not have is null.

    Raises
    ------
    ConfigError
        ``column_unknown``: the model has no such column any more. Nulls would be wrong.
    """
    found = columns.get(name)
    if found is not None:
        return found
    root, *path = name.split(".")
    while root not in columns:  # names of columns may have dots, too
        if not path:
            raise ConfigError(
                "column_unknown",
                f"The rows have no column {name!r}.",
                hint="Name another, or give the model its column back.",
            )
        root = f"{root}.{path.pop(0)}"
    found = columns[root]
    for part in path:
        found = [value.get(part) if isinstance(value, dict) else None for value in found]
    return found
