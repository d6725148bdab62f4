"""@lookup: a value by another, from a table."""

from __future__ import annotations

from typing import Any

from tidemill.reverse_etl.mapping.compiler import Compiler, Place, nothing
from tidemill.reverse_etl.mapping.values import MISSING, Reader, text, told


def lookup(compiler: Compiler, argument: Any, place: Place) -> Reader:
    """@lookup: what the table has for a value; of a list, for each item.

    Numbers and booleans are looked up as text. What the table does not have, null and what is missing are the default,
    or nothing.
    """
    options = compiler.options("@lookup", argument, place, ("value", "table", "default"))
    if options is None:
        return nothing
    table = options.get("table", MISSING)
    if not isinstance(table, dict):
        return compiler.wrong(place, f"@lookup.table is {told(table)}; it is an object of values, by what is looked up")
    if "value" not in options:
        return compiler.wrong(place, "@lookup has no value")
    child = compiler.node(options["value"], place.below("@lookup.value"))
    known = {key: compiler.node(part, place.below(f"@lookup.table.{key}")) for key, part in table.items()}
    default = compiler.node(options["default"], place.below("@lookup.default")) if "default" in options else nothing

    def one(value: Any, row: Any) -> Any:
        if isinstance(value, str | int | float):
            return known.get(text(value), default)(row)
        return default(row)

    def looked_up(row: Any) -> Any:
        found = child(row)
        if isinstance(found, list):
            made = [one(item, row) for item in found]
            return [item for item in made if item is not MISSING]
        return one(found, row)

    return looked_up
