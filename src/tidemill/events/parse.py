"""Parses the records of a file into batches: the usual ones quickly, the others one by one, the bad ones set aside."""

from __future__ import annotations

import bisect
import dataclasses
import datetime as dt
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tidemill.errors import ConfigError, RowError
from tidemill.events.files import Block, Record, Source
from tidemill.events.formats import registry
from tidemill.events.formats.event import Event, Format, Row, derive_uuid
from tidemill.events.formats.generic import Mapping
from tidemill.events.lake import BATCH_COLUMNS

if TYPE_CHECKING:
    import pyarrow as pa

#: How much of a refused text is kept, so that it can be mended and tried again.
MAX_KEPT = 1_000_000
#: By how many records it is tried to tell the format, and which columns there are.
_FIRST_RECORDS, _COLUMN_RECORDS = 20, 100


@dataclasses.dataclass(frozen=True)
class Refused:
    """A text that could not be taken. `part` names its place in the file."""

    part: str
    place: str
    code: str
    message: str
    raw: bytes
    whole: bool


@dataclasses.dataclass
class Batch:
    """Events on their way into a commit: of all records up to `last_ordinal`, which counts from 1."""

    max_rows: int
    max_bytes: int
    tables: list[pa.RecordBatch] = dataclasses.field(default_factory=list)
    refused: list[Refused] = dataclasses.field(default_factory=list)
    rows: int = 0
    size: int = 0
    last_ordinal: int = 0

    @property
    def full(self) -> bool:
        """Whether it is to be committed."""
        return self.size >= self.max_bytes or max(self.rows, len(self.refused)) >= self.max_rows

    def take(self, texts: list[bytes], start: int) -> int:
        """Count the size of these texts, up to where there is room for them, which is told; at least of the first."""
        room = max(1, self.max_rows - max(self.rows, len(self.refused)))
        sizes = list(itertools.accumulate(map(len, texts[start : start + room])))
        end = min(start + bisect.bisect_left(sizes, self.max_bytes - self.size) + 1, start + len(sizes))
        self.size += sizes[end - start - 1]
        return end


class Parser:
    """Parses one file."""

    def __init__(self, source: Source, format_name: str, mapping: Mapping, team_id: int, *, team_given: bool) -> None:
        """`team_given`: `team_id` is that of all events, else of those that name none."""
        self._source, self._given_format, self._mapping = source, format_name, mapping
        self._team_id, self._team_given = team_id, team_given
        self._format: Format | None = None
        self._unclear: list[ConfigError] = []
        self._now = int(dt.datetime.now(dt.UTC).timestamp() * 1_000_000)
        self.format_name = format_name
        self.notes: list[str] = []

    @property
    def chosen(self) -> bool:
        """Whether it knows how to read the file."""
        return self._format is not None

    def fill(self, batch: Batch, block: Block, start: int, before: int, kind: str | None) -> int:
        """Parse the block's records from `start` on until the batch is full; gives the index of the next one.

        `before`: the number of records before the block; `kind`: csv or parquet, if it is one of these.
        """
        if self._format is None:
            self.choose(block, start, kind)
        end = batch.take(block.texts if self._format else block.texts[: start + 1], start)
        quick = self._format.quick if self._format and block.utf8 and not block.errors else None
        rows: list[Row] = []
        for index, text in enumerate(block.texts[start:end], start):
            row = quick(text) if quick else None
            if row is None:
                rows += self._parse(block.record(index), before + index + 1, batch.refused)
            else:
                rows.append(row)
        if rows:
            batch.tables.append(to_arrow(rows, self._team_id, overrule=self._team_given))
        batch.rows += len(rows)
        batch.last_ordinal = before + end
        return end

    def choose(self, block: Block, index: int, kind: str | None) -> None:
        """Choose the format by this record; if it is bad, the next one tells (the first of a cut log is often half)."""
        if index in block.errors:
            return
        first, *more = block.texts[index : index + _COLUMN_RECORDS]
        try:
            chosen = registry.get(self._given_format, self._mapping, first, rows=kind, more=more)
        except ConfigError as error:
            if error.code != "format_unclear" or len(self._unclear) >= _FIRST_RECORDS:
                raise
            self._unclear.append(error)
            return
        self._format, self.format_name, told = chosen
        if told:
            self.notes.append(told)

    def finish(self) -> None:
        """Raise ConfigError if no record told the format."""
        if self._format is None and self._unclear:
            raise self._unclear[0]

    def _parse(self, record: Record, ordinal: int, refused: list[Refused]) -> list[Row]:
        try:
            if record.error is not None or self._format is None:
                raise record.error or RowError("format_unclear", self._unclear[-1].message)
            parsed = self._format.parse(record.data, self._now)
        except RowError as error:
            refused.append(self._refused(record, f"{ordinal}", error))
            return []
        rows = []
        for index, event in enumerate(parsed):
            if isinstance(event, RowError):
                refused.append(self._refused(record, f"{ordinal}.{index}", event))
                continue
            if self._team_given or event.team_id is None:
                event.team_id = self._team_id
            if not event.uuid:
                event.uuid = derive_uuid(
                    event.team_id, record.data, ordinal, index, self._source.key, has_time=event.has_time
                )
            rows.append(row_of(event))
        return rows

    def _refused(self, record: Record, part: str, error: RowError) -> Refused:
        member = f"{record.member}, " if record.member else ""
        place = f"{self._source.name}, {member}line {record.line}"
        whole = record.error is None and len(record.data) <= MAX_KEPT
        return Refused(part, place, error.code, error.message, record.data[:MAX_KEPT], whole)


def row_of(event: Event) -> Row:
    """An event as a batch has it."""
    return (
        event.uuid,
        event.event,
        event.properties,
        event.distinct_id,
        event.team_id,
        event.ip,
        event.timestamp,
        event.set,
        event.set_once,
        event.elements,
        event.kind,
        event.envelope,
    )


def to_arrow(rows: Sequence[Row], team_id: int, *, overrule: bool = False) -> pa.RecordBatch:
    """A batch for Lake.append: BATCH_COLUMNS. `team_id`: of events that name none; or, to overrule them, of all."""
    import pyarrow as pa  # 50 ms

    # Texts are UTF-8 by contract, so they are not looked at again.
    types = {"team_id": pa.int64(), "timestamp": pa.timestamp("us", "UTC")}
    columns = dict(zip(BATCH_COLUMNS, zip(*rows, strict=True), strict=True)) if rows else {}
    arrays = {}
    for name in BATCH_COLUMNS:
        values = columns.get(name, ())
        if name == "team_id":
            values = tuple(team_id if overrule or value is None else value for value in values)
        arrays[name] = pa.array(values, types[name]) if name in types else pa.array(values, pa.binary()).view("string")
    return pa.record_batch(arrays)
