"""A row, and what a mapping makes of it, for tests of directives."""

from __future__ import annotations

from typing import Any

from tidemill.reverse_etl import mapping

ROW: dict[str, Any] = {
    "id": 7,
    "email": "Ana@Example.com",
    "first": "Ana",
    "last": None,
    "empty": "",
    "zero": 0,
    "no": False,
    "yes": True,
    "price": 2.0,
    "half": 0.5,
    "tags": ["a", "b"],
    "none": [],
    "address": {"city": "Linz", "zip": None, "geo": {"lat": 48.3}},
    "items": [{"sku": "x", "n": 1}, {"sku": "y"}, None, 5],
    "json": '{"a":[1]}',
    "key.dot": 1,
}


def made(part: Any, row: dict[str, Any] | None = None) -> dict[str, Any]:
    """The object with that part as its only field: an empty one, if the part gives nothing."""
    return mapping.compile({"field": part}).apply(ROW if row is None else row)


NOTHING: dict[str, Any] = {}


def gives(value: Any) -> dict[str, Any]:
    """What is made, if the part gives that."""
    return {"field": value}
