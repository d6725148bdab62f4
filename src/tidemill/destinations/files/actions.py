"""What rows become in a file, and which of them share one."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from tidemill.destinations.files import formats, places
from tidemill.destinations.port import WRITTEN, Action, Field, Kind, Limits, Mode, Outcome, Record, Sending, rejected

if TYPE_CHECKING:
    from tidemill.destinations.files.client import FilesClient

_IDS = uuid.UUID("4b0d6f0a-4f0e-4d0c-8f53-7d0f1b8a6c11")
_encoder = msgspec.json.Encoder()
_LIMITS = Limits(rows=20_000, bytes=64_000_000, row_bytes=16_000_000, at_once=2)
_MODES = (Mode.UPSERT, Mode.MIRROR, Mode.INSERT, Mode.UPDATE, Mode.DELETE)

_COLUMNS = Field(
    "columns",
    "Columns",
    "The file's columns, with their values.",
    kind=Kind.OBJECT,
    required=True,
    on_delete=True,
)
_FOLDER = Field("folder", "Folder", "Below the destination's place: customers, or exports/customers.")


def _row(record: Record) -> dict[str, Any]:
    """What is mapped, and what tells of which row this is, and of when."""
    return {
        **record.fields["columns"],
        formats.IDENTITY: record.identity,
        formats.KEY: record.row_key,
        formats.OP: record.op.value,
        formats.SENT_AT: dt.datetime.now(dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
    }


def _as_json(record: Record) -> bytes:
    return _encoder.encode(_row(record))


def _as_csv(record: Record) -> bytes:
    return formats.csv_line(list(_row(record).values()))


def _check(record: Record) -> Outcome | None:
    folder = record.fields.get("folder")
    if folder is not None and not places.is_folder(folder):
        return rejected("folder_name", f"{folder!r} is no name of a folder: letters, digits, and any of _ . = + @ -.")
    own = [name for name in formats.OWN if name in record.fields["columns"]]
    if own:
        return rejected("column_name", f"{own[0]} is a column that each file has: choose another name.")
    return None


def _check_types(record: Record) -> Outcome | None:
    columns = record.fields["columns"]
    for name, kind in (record.fields.get("types") or {}).items():
        if not isinstance(kind, str) or kind not in formats.READERS:
            return rejected("column_type", f"{kind!r} is no type: one of {', '.join(formats.READERS)}.")
        if columns.get(name) is None:
            continue
        try:
            formats.READERS[kind](columns[name])
        except (ValueError, TypeError, OverflowError):
            return rejected("column_value", f"{name} holds a value that is no {kind}.")
    return _check(record)


def _of_folder(record: Record) -> Hashable:
    return record.fields.get("folder")


def _of_columns(record: Record) -> Hashable:
    """The first line names the columns of all."""
    return record.fields.get("folder"), tuple(record.fields["columns"])


def _of_types(record: Record) -> Hashable:
    return record.fields.get("folder"), _encoder.encode(record.fields.get("types"))


def _jsonl(batch: Sequence[Sending]) -> bytes:
    return b"\n".join([*(sending.body for sending in batch), b""])


def _csv(batch: Sequence[Sending]) -> bytes:
    head = formats.csv_line([*batch[0].record.fields["columns"], *formats.OWN])
    return head + b"".join(sending.body for sending in batch)


def _parquet(batch: Sequence[Sending]) -> bytes:
    rows: list[Mapping[str, Any]] = [_row(sending.record) for sending in batch]
    return formats.parquet(rows, batch[0].record.fields.get("types") or {})


def _sending(ending: str, made: Callable[[Sequence[Sending]], bytes]) -> Callable[..., Sequence[Outcome]]:
    """What writes a batch as one file. Its name is made of the rows' identities: the same rows overwrite it."""

    def send(client: FilesClient, batch: Sequence[Sending]) -> Sequence[Outcome]:
        folder = batch[0].record.fields.get("folder")
        own = uuid.uuid5(_IDS, ",".join(sending.record.identity for sending in batch))
        client.put(f"{folder}/{own}.{ending}" if folder else f"{own}.{ending}", made(batch))
        return [WRITTEN] * len(batch)

    return send


PARQUET = Action(
    name="parquet",
    title="Write Parquet",
    description="Rows as Parquet files (zstd).",
    fields=(
        _COLUMNS,
        _FOLDER,
        Field(
            "types",
            "Types",
            'Of columns, as {"born": "date"}: text, integer, number, boolean, date, timestamp or json.',
            kind=Kind.OBJECT,
        ),
    ),
    modes=_MODES,
    limits=_LIMITS,
    encode=_as_json,
    send=_sending("parquet", _parquet),
    check=_check_types,
    group=_of_types,
)

CSV = Action(
    name="csv",
    title="Write CSV",
    description="Rows as CSV files, whose first line names the columns.",
    fields=(_COLUMNS, _FOLDER),
    modes=_MODES,
    limits=_LIMITS,
    encode=_as_csv,
    send=_sending("csv", _csv),
    check=_check,
    group=_of_columns,
)

JSONL = Action(
    name="jsonl",
    title="Write JSON lines",
    description="Rows as files with one JSON object a line.",
    fields=(_COLUMNS, _FOLDER),
    modes=_MODES,
    limits=_LIMITS,
    encode=_as_json,
    send=_sending("jsonl", _jsonl),
    check=_check,
    group=_of_folder,
)
