"""Parses the records of a file into batches: the usual ones quickly, the others one by one, the bad ones set aside."""

from __future__ import annotations

import bisect
import dataclasses
import datetime as dt
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tidemill.errors import ConfigError, RowError
from tidemill.events.blocks import Block, Record
from tidemill.events.catalog import BATCH_COLUMNS
from tidemill.events.formats import registry, sessions
from tidemill.events.formats.event import Columns, Event, Format, Row, settle_uuid
from tidemill.events.formats.generic import Mapping
from tidemill.events.opening import Source

if TYPE_CHECKING:
    import pyarrow as pa

#: How much of a refused text is kept, so that it can be mended and tried again.
MAX_KEPT = 1_000_000
#: By how many records it is tried to tell the format, and which columns there are.
_FIRST_RECORDS, _COLUMN_RECORDS = 20, 100
#: How many are tried to be read quickly at once.
_QUICK_RECORDS = 1024


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

    def add(self, events: pa.RecordBatch) -> None:
        """Take these in."""
        self.tables.append(events)
        self.rows += events.num_rows

    @property
    def full(self) -> bool:
        """Whether it is to be committed."""
        return self.size >= self.max_bytes or max(self.rows, len(self.refused)) >= self.max_rows

    def has_room(self, rows: int, size: int) -> bool:
        """Whether so many events in so many bytes may be added."""
        return max(self.rows, len(self.refused)) + rows <= self.max_rows and self.size + size <= self.max_bytes

    def take(self, texts: Sequence[bytes], start: int) -> int:
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
        if start == 0 and self._take_lines(batch, block):
            batch.last_ordinal = before + len(block)
            return len(block)
        end = batch.take(block.texts if self._format else block.texts[: start + 1], start)
        for first in range(start, end, _QUICK_RECORDS):
            self._take(batch, block, first, min(first + _QUICK_RECORDS, end), before)
        batch.last_ordinal = before + end
        return end

    def _take_lines(self, batch: Batch, block: Block) -> bool:
        """Parse a whole block of lines at once, if all of its records are usual and the batch has room for them."""
        if self._format is None or self._format.quick_lines is None or block.lines is None:
            return False
        if not batch.has_room(len(block), len(block.lines.text)):
            return False
        columns = self._format.quick_lines(block.lines)
        if columns is None:
            return False
        batch.add(self._table(columns, len(block)))
        batch.size += len(block.lines.text)
        return True

    def _take(self, batch: Batch, block: Block, start: int, end: int, before: int) -> None:
        """Parse these records: the usual ones all at once, the others one by one. Their order stays."""
        quick = self._format.quick if self._format and block.utf8 and not block.errors else None
        columns, unusual = quick(block.texts[start:end]) if quick else (Columns(), range(end - start))
        rows: list[Row] = []
        places: list[int] = []
        for index in unusual:
            found = self._parse(block.record(start + index), before + start + index + 1, batch.refused)
            rows += found
            places += [index] * len(found)
        usual = end - start - len(unusual)
        tables = [self._table(columns, usual)] if usual else []
        tables += [to_arrow(columns_of(rows), len(rows), self._team_id)] if rows else []
        if len(tables) == 2:
            others = set(unusual)
            places = [index for index in range(end - start) if index not in others] + places
            batch.add(_concatenated(tables).take(sorted(range(len(places)), key=places.__getitem__)))
        elif tables:
            batch.add(tables[0])

    def _table(self, columns: Columns, rows: int) -> pa.RecordBatch:
        """Usual records, each of the team that it names, unless the load names one for all."""
        teams = columns.pop("team_id", None)
        if teams and not self._team_given:
            columns["team_id"] = [self._team_id if team is None else team for team in teams]
        return to_arrow(columns, rows, self._team_id)

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
            settle_uuid(event, event.team_id, record.data, ordinal, index, self._source.key)
            rows.append(row_of(event))
        return rows

    def _refused(self, record: Record, part: str, error: RowError) -> Refused:
        member = f"{record.member}, " if record.member else ""
        place = f"{self._source.name}, {member}line {record.line}"
        whole = record.error is None and len(record.data) <= MAX_KEPT
        return Refused(part, place, error.code, error.message, record.data[:MAX_KEPT], whole)


def _concatenated(tables: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    import pyarrow as pa  # 50 ms

    return pa.concat_batches(tables)


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
        sessions.session_of(event.properties),
    )


def columns_of(rows: Sequence[Row]) -> Columns:
    """Rows as columns."""
    return dict(zip(BATCH_COLUMNS, zip(*rows, strict=True), strict=True))


def to_arrow(columns: Columns, rows: int, team_id: int) -> pa.RecordBatch:
    """A batch for Lake.append: BATCH_COLUMNS. Events that say neither are of this team, and of the kind "capture"."""
    import pyarrow as pa  # 50 ms

    types = {"team_id": pa.int64(), "timestamp": pa.timestamp("us", "UTC")}
    given = {"team_id": pa.repeat(team_id, rows), "kind": pa.repeat("capture", rows), **columns}
    arrays = {}
    for name in BATCH_COLUMNS:
        values = given.get(name)
        if values is None:
            arrays[name] = pa.nulls(rows, pa.string())
        elif isinstance(values, pa.Array):
            arrays[name] = values
        elif name in types:
            arrays[name] = pa.array(values, types[name])
        else:  # texts are UTF-8 by contract, so they are not looked at again
            arrays[name] = pa.array(values, pa.binary()).view("string")
    return pa.record_batch(arrays)
