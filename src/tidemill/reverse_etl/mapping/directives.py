"""All directives, by name. The first thirteen are Segment's, with its results."""

from __future__ import annotations

from tidemill.reverse_etl.mapping import dates, hashes, liquids, lookups, numbers, shapes, texts
from tidemill.reverse_etl.mapping.compiler import Builder

DIRECTIVES: dict[str, Builder] = {
    "@path": shapes.path,
    "@template": texts.template,
    "@literal": shapes.literal,
    "@if": shapes.branch,
    "@case": texts.case,
    "@replace": texts.replace,
    "@arrayPath": shapes.array_path,
    "@flatten": shapes.flatten,
    "@json": texts.as_json,
    "@merge": shapes.merge,
    "@transform": shapes.transform,
    "@excludeWhenNull": shapes.exclude_when_null,
    "@liquid": liquids.liquid,
    "@hash": hashes.hashed,
    "@date": dates.date,
    "@number": numbers.number,
    "@lookup": lookups.lookup,
}
