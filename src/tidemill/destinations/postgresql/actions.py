"""What rows become in a table, and what is told of each."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from tidemill.destinations.port import (
    WRITTEN,
    Action,
    Field,
    Kind,
    Limits,
    Mode,
    Op,
    Outcome,
    Record,
    Sending,
    rejected,
)
from tidemill.destinations.postgresql import names
from tidemill.destinations.postgresql.statements import Shape, Verb

if TYPE_CHECKING:
    from tidemill.destinations.postgresql.client import PostgresqlClient

_encoder = msgspec.json.Encoder()
_LIMITS = Limits(rows=5_000, bytes=8_000_000, row_bytes=4_000_000, at_once=4)

_TABLE = Field(
    "table",
    "Table",
    "The table's name: schema.table, or table for one of the schema public; small and large letters count.",
    required=True,
    on_delete=True,
)
_TYPES = Field(
    "types",
    "Types",
    'Of columns of a table that is made: {"born": "date"}. Without it they go by the values.',
    kind=Kind.OBJECT,
)


def _encode_keyed(record: Record) -> bytes:
    """The key and the columns; of a deleted row, the key."""
    key = record.fields["key"]
    if record.op is Op.DELETED:
        return _encoder.encode(key)
    return _encoder.encode({**record.fields.get("columns", {}), **key})


def _encode_appended(record: Record) -> bytes:
    """The columns and the identity."""
    return _encoder.encode({**record.fields["columns"], record.fields["identity"]: record.identity})


def _shape_keyed(record: Record) -> Shape:
    """Rows with the same one go into one statement: those that set the same columns of the same table."""
    fields = record.fields
    key = tuple(sorted(fields["key"]))
    if record.op is Op.DELETED:
        return Shape(Verb.DELETE, fields["table"], key, key)
    columns = tuple(sorted({*key, *fields.get("columns", ())}))
    verb = Verb.UPDATE if record.mode is Mode.UPDATE else Verb.UPSERT
    return Shape(verb, fields["table"], key, columns, _types(record))


def _shape_appended(record: Record) -> Shape:
    """The same of rows that are appended."""
    fields, own = record.fields, record.fields["identity"]
    columns = tuple(sorted({own, *fields["columns"]}))
    return Shape(Verb.APPEND, fields["table"], (own,), columns, ((own, "uuid"), *_types(record)))


def _types(record: Record) -> tuple[tuple[str, str], ...]:
    found = record.fields.get("types")
    return tuple(sorted(found.items())) if found else ()


def _same_key(record: Record) -> Hashable:
    return _encoder.encode(record.fields["key"])


def _check_keyed(record: Record) -> Outcome | None:
    for name, value in record.fields["key"].items():
        if value is None:  # NULL is equal to nothing: it would be inserted again and again
            return rejected("key_null", f"{name} is of the key, and is null.")
    return _check_names(record)


def _check_names(record: Record) -> Outcome | None:
    """Of the table and of types: they become part of a statement."""
    if names.parts(record.fields["table"]) is None:
        return rejected("table_name", f"{record.fields['table']!r} is no name of a table: it is schema.table.")
    for column, kind in (record.fields.get("types") or {}).items():
        if not isinstance(kind, str) or not names.is_type(kind):
            return rejected("column_type", f"{kind!r} is no type that {column} can be made with.")
    return None


def send(client: PostgresqlClient, batch: Sequence[Sending]) -> Sequence[Outcome]:
    """Write rows of one shape, in one transaction: all of them, or none."""
    record = batch[0].record
    shape = _shape_keyed(record) if "key" in record.fields else _shape_appended(record)
    body = b"[" + b",".join(sending.body for sending in batch) + b"]"
    lacking, there = client.write(shape, body, lambda: [_made(sending.body) for sending in batch])
    if lacking:
        said = f"The table {shape.table} has no column {', '.join(lacking)}."
        return [rejected("column_missing", said)] * len(batch)
    if there is None:
        return [WRITTEN] * len(batch)
    gone = rejected("row_missing", f"There is no row with that key in {shape.table}.")
    return [WRITTEN if number in there else gone for number in range(1, len(batch) + 1)]


def _made(body: bytes) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(body)
    return found


UPSERT = Action(
    name="upsert",
    title="Upsert rows",
    description="Each row is inserted, or updates the one with its key; a deleted one is deleted.",
    fields=(
        _TABLE,
        Field(
            "key",
            "Key",
            "Columns by which a row is known, with their values: those of the primary key, or of a unique index.",
            kind=Kind.OBJECT,
            required=True,
            on_delete=True,
        ),
        Field("columns", "Columns", "The other columns, with their values; null clears one.", kind=Kind.OBJECT),
        _TYPES,
    ),
    modes=(Mode.UPSERT, Mode.MIRROR, Mode.INSERT, Mode.UPDATE, Mode.DELETE),
    limits=_LIMITS,
    encode=_encode_keyed,
    send=send,
    check=_check_keyed,
    group=_shape_keyed,
    distinct=_same_key,
)

INSERT = Action(
    name="insert",
    title="Append rows",
    description="Each version of a row becomes a new row; what is there is never changed.",
    fields=(
        _TABLE,
        Field("columns", "Columns", "Columns with their values.", kind=Kind.OBJECT, required=True),
        Field(
            "identity",
            "Identity's column",
            "A column of type uuid or text with a unique index: by it a row that comes twice is taken once.",
            required=True,
            mapping="tidemill_id",
        ),
        _TYPES,
    ),
    modes=(Mode.INSERT, Mode.UPSERT, Mode.UPDATE),
    limits=_LIMITS,
    encode=_encode_appended,
    send=send,
    check=_check_names,
    group=_shape_appended,
)
