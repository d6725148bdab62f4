"""What rows become in a sheet."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from tidemill.destinations.google_sheets import cells
from tidemill.destinations.port import (
    WRITTEN,
    Action,
    Field,
    Kind,
    Limits,
    Mode,
    Op,
    Outcome,
    Progress,
    Record,
    Sending,
    rejected,
)

if TYPE_CHECKING:
    from tidemill.destinations.google_sheets.client import GoogleSheetsClient

_encoder = msgspec.json.Encoder()
#: Google proposes 2 MB a request.
_LIMITS = Limits(rows=5_000, bytes=2_000_000, row_bytes=1_000_000, at_once=1)
_SHEET = Field("sheet", "Sheet", "The sheet's name, as on its tab.", required=True, on_delete=True)


def _values(record: Record) -> Mapping[str, Any]:
    """What is written of a row, by the names of columns."""
    fields = record.fields
    if "identity" in fields:
        return {**fields.get("columns", {}), fields["identity"]: record.identity}
    return {**fields.get("columns", {}), **fields["key"]}


def _key(record: Record) -> Mapping[str, Any]:
    """The columns by which a row is known, with their values."""
    fields = record.fields
    return {fields["identity"]: record.identity} if "identity" in fields else fields["key"]


def _encode(record: Record) -> bytes:
    return _encoder.encode(_key(record) if record.op is Op.DELETED else _values(record))


def _group(record: Record) -> Hashable:
    """Rows of a sheet that are known by the same columns."""
    return record.fields["sheet"], tuple(sorted(_key(record))), record.op is Op.DELETED and "key" in record.fields


def _known_by(record: Record) -> tuple[str, ...]:
    key = _key(record)
    return cells.known_by(key[name] for name in sorted(key))


def _check(record: Record) -> Outcome | None:
    if not all(_known_by(record)):
        return rejected("key_empty", "A column of the key is empty.")
    for name, value in _values(record).items():
        if not name.strip() or name != name.strip():
            return rejected("column_name", f"{name!r} is no name of a column.")
        found = cells.cell(value)
        if isinstance(found, str) and len(found) > cells.LONGEST:
            return rejected(
                "cell_too_long", f"{name} has {len(found):,} characters, and a cell holds {cells.LONGEST:,}."
            )
    return None


def send(client: GoogleSheetsClient, batch: Sequence[Sending]) -> Sequence[Outcome]:
    """Write rows: those that are there are updated, others are inserted below; or they are deleted."""
    records = [sending.record for sending in batch]
    sheet, key = records[0].fields["sheet"], sorted(_key(records[0]))
    if "key" in records[0].fields and records[0].op is Op.DELETED:
        there = client.table(sheet, key, (), makes=False).rows
        numbers = [number for record in records for number in there.get(_known_by(record), ())]
        if numbers:
            client.delete(sheet, numbers)
        return [WRITTEN] * len(records)
    columns = list(dict.fromkeys(name for record in records for name in _values(record)))
    table = client.table(sheet, key, columns, makes=True)
    outcomes, updated, added = [WRITTEN] * len(records), [], {}
    for place, record in enumerate(records):
        numbers = table.rows.get(_known_by(record), [])
        if numbers and "key" in record.fields:  # what is appended is never changed
            updated += [(number, cells.row(table.header, _values(record))) for number in numbers]
        elif not numbers and record.mode is Mode.UPDATE and "key" in record.fields:
            outcomes[place] = rejected("row_missing", f"There is no row with that key in {sheet}.")
        elif not numbers:
            added[place] = cells.row(table.header, _values(record))
    if updated:
        client.update(sheet, updated)
    with Progress({place: outcome for place, outcome in enumerate(outcomes) if place not in added}):
        if added:
            client.append(sheet, list(added.values()))
    return outcomes


UPSERT = Action(
    name="upsert",
    title="Upsert rows",
    description="Each row updates the one with its key, or is inserted below; a deleted one is deleted.",
    fields=(
        _SHEET,
        Field(
            "key",
            "Key",
            "Columns by which a row is known, by their names in row 1, with their values.",
            kind=Kind.OBJECT,
            required=True,
            on_delete=True,
        ),
        Field("columns", "Columns", "The other columns, with their values; null clears a cell.", kind=Kind.OBJECT),
    ),
    modes=(Mode.UPSERT, Mode.MIRROR, Mode.INSERT, Mode.UPDATE, Mode.DELETE),
    limits=_LIMITS,
    encode=_encode,
    send=send,
    check=_check,
    group=_group,
    distinct=_known_by,
)

APPEND = Action(
    name="append",
    title="Append rows",
    description="Each version of a row is inserted below; what is there is never changed.",
    fields=(
        _SHEET,
        Field("columns", "Columns", "By their names in row 1, with their values.", kind=Kind.OBJECT, required=True),
        Field(
            "identity",
            "Identity's column",
            "A column for the identity of each row: by it one that comes twice is taken once.",
            required=True,
            mapping="tidemill_id",
        ),
    ),
    modes=(Mode.INSERT, Mode.UPSERT, Mode.UPDATE),
    limits=_LIMITS,
    encode=_encode,
    send=send,
    check=_check,
    group=_group,
)
