"""Proposes a mapping, by the names of columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tidemill.errors import ConfigError
from tidemill.reverse_etl.mapping.language import compile as compiled

if TYPE_CHECKING:
    from tidemill.destinations.port import Field


def suggest(fields: Sequence[Field], columns: Sequence[str]) -> dict[str, Any]:
    """A mapping for fields of an action: for each, the column that has its name, or one of its other names; else what
    the destination proposes, if the row has what that reads. Where any names will do, each column as it is called.

    Names are the same that differ in case, underscores, hyphens and spaces; one that does not differ goes first.
    """
    exact = set(columns)
    if not fields:
        return {column: {"@path": f"$.{column}"} for column in columns}
    alike = {_plain(column): column for column in sorted(exact, reverse=True)}
    found: dict[str, Any] = {}
    for field in fields:
        columns_of = (_column(name, exact, alike) for name in (field.name, *field.names))
        column = next((column for column in columns_of if column is not None), None)
        if column is not None:
            found[field.name] = {"@path": f"$.{column}"}
        elif field.mapping is not None and _readable(field.mapping, exact):
            found[field.name] = field.mapping
    return found


def _column(name: str, exact: set[str], alike: dict[str, str]) -> str | None:
    return name if name in exact else alike.get(_plain(name))


def _plain(name: str) -> str:
    return "".join(character for character in name.casefold() if character not in "_- ")


def _readable(mapping: Any, columns: set[str]) -> bool:
    try:
        return not compiled({"field": mapping}).unknown(columns)
    except ConfigError:
        return False
