"""The statements by which rows are written. Each takes a batch as one JSON document: PostgreSQL itself makes of each
value what its column holds, and a batch is one way there and back.

Sources: the documentation of PostgreSQL, "JSON Functions" (json_to_recordset) and "INSERT" (ON CONFLICT).
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable, Mapping
from typing import Any

from tidemill.destinations.postgresql.names import full, quoted

#: The columns of a table with their types; $1 is its name.
DESCRIBE = """
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped
"""
#: Tables are made by one at a time; $1 is the name.
LOCK = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))"
#: For the transaction alone: a pool between us and the server may give the session to others.
BEGIN = "SET LOCAL TimeZone = 'UTC'; SET LOCAL statement_timeout = '170s'; SET LOCAL lock_timeout = '60s'"
#: The name of a row's number in its batch: no column of the user's has it, for nobody begins one so.
_NUMBER = '" number"'
_BIGGEST = 2**63


class Verb(enum.Enum):
    """What is done with rows."""

    UPSERT = enum.auto()
    UPDATE = enum.auto()
    DELETE = enum.auto()
    APPEND = enum.auto()


@dataclasses.dataclass(frozen=True, slots=True)
class Shape:
    """What a statement is made of. `types`: of columns that are made."""

    verb: Verb
    table: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    types: tuple[tuple[str, str], ...] = ()


def write(shape: Shape, types: Mapping[str, str]) -> str:
    """The statement that writes a batch. `types`: of the table's columns. That of an update gives the numbers, from 1,
    of rows that are there."""
    table = full(shape.table)
    rows = _rows(shape.columns, types)
    others = [name for name in shape.columns if name not in shape.key]
    same = " AND ".join(f"t.{quoted(name)} = {_value(name, types)}" for name in shape.key)
    match shape.verb:
        case Verb.DELETE:
            return f"DELETE FROM {table} AS t USING {rows} WHERE {same}"
        case Verb.UPDATE if others:
            sets = ", ".join(f"{quoted(name)} = {_value(name, types)}" for name in others)
            return f"UPDATE {table} AS t SET {sets} FROM {rows} WHERE {same} RETURNING x.{_NUMBER}"
        case Verb.UPDATE:
            return f"SELECT x.{_NUMBER} FROM {table} AS t, {rows} WHERE {same}"
    into = ", ".join(quoted(name) for name in shape.columns)
    values = ", ".join(_value(name, types) for name in shape.columns)
    then = "DO NOTHING"
    if shape.verb is Verb.UPSERT and others:
        then = "DO UPDATE SET " + ", ".join(f"{quoted(name)} = EXCLUDED.{quoted(name)}" for name in others)
    by = ", ".join(quoted(name) for name in shape.key)
    return f"INSERT INTO {table} ({into}) SELECT {values} FROM {rows} ON CONFLICT ({by}) {then}"


def create(shape: Shape, rows: Iterable[Mapping[str, Any]]) -> str:
    """The statement that makes the table, for rows like these."""
    kinds = guessed(shape, rows)
    columns = ", ".join(f"{quoted(name)} {kinds[name]}" for name in shape.columns)
    key = ", ".join(quoted(name) for name in shape.key)
    return f"CREATE TABLE IF NOT EXISTS {full(shape.table)} ({columns}, PRIMARY KEY ({key}))"


def add(shape: Shape, lacking: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """The statement that makes columns that the table lacks."""
    kinds = guessed(shape, rows)
    added = ", ".join(f"ADD COLUMN IF NOT EXISTS {quoted(name)} {kinds[name]}" for name in lacking)
    return f"ALTER TABLE {full(shape.table)} {added}"


def guessed(shape: Shape, rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """A type for each column: as it was said, or by the values. Texts stay texts, whatever they look like."""
    seen: dict[str, set[str]] = {name: set() for name in shape.columns}
    for row in rows:
        for name, value in row.items():
            if value is not None:
                seen[name].add(_kind(value))
    return {name: _common(kinds) for name, kinds in seen.items()} | dict(shape.types)


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "bigint" if -_BIGGEST <= value < _BIGGEST else "numeric"
    if isinstance(value, float):
        return "double precision"
    return "text" if isinstance(value, str) else "jsonb"


def _common(kinds: set[str]) -> str:
    if len(kinds) <= 1:
        return next(iter(kinds), "text")
    if kinds == {"bigint", "double precision"}:
        return "double precision"
    return "numeric" if kinds <= {"bigint", "numeric", "double precision"} else "text"


def _rows(columns: Iterable[str], types: Mapping[str, str]) -> str:
    """The batch as a table x, with the number of each row."""
    names = list(columns)
    typed = ", ".join(f"{quoted(name)} {'text' if types[name] == 'bytea' else types[name]}" for name in names)
    aliases = ", ".join([*map(quoted, names), _NUMBER])
    return f"ROWS FROM (json_to_recordset($1::json) AS ({typed})) WITH ORDINALITY AS x ({aliases})"


def _value(name: str, types: Mapping[str, str]) -> str:
    """A column of the batch. Bytes are base64, as they are in a row; or hexadecimal, as PostgreSQL writes them."""
    found = f"x.{quoted(name)}"
    if types[name] != "bytea":
        return found
    return f"CASE WHEN starts_with({found}, '\\x') THEN {found}::bytea ELSE decode({found}, 'base64') END"
