"""Names and types that become part of a statement."""

from __future__ import annotations

import functools
import re

#: PostgreSQL cuts off what is longer, and two names could become one.
_LONGEST = 63
_TYPE = re.compile(
    r"(smallint|integer|bigint|real|double precision|boolean|text|bytea|date|time|timetz|timestamp|timestamptz|uuid"
    r"|jsonb?|inet|interval|(numeric|decimal)(\(\d{1,4}(,\d{1,4})?\))?|(varchar|char)(\(\d{1,7}\))?)(\[\])?"
)


@functools.lru_cache(maxsize=1_000)
def parts(table: str) -> tuple[str, str] | None:
    """Schema and table of a name. None: it is none."""
    schema, dot, name = table.partition(".")
    found = (schema, name) if dot else ("public", schema)
    return found if all(part and len(part.encode()) <= _LONGEST and "\0" not in part for part in found) else None


def is_type(text: str) -> bool:
    """Whether a column can be made with it."""
    return _TYPE.fullmatch(text.lower()) is not None


def quoted(name: str) -> str:
    """A name, as it stands in a statement."""
    return '"' + name.replace('"', '""') + '"'


def full(table: str) -> str:
    """A table's name, as it stands in a statement."""
    found = parts(table)
    assert found is not None  # noqa: S101 - it was checked before
    return ".".join(quoted(part) for part in found)
