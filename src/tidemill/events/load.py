"""Loads a file into the event store: read → parse → commit, one batch being committed while the next is parsed.

Killed at any point and started again, it ends complete: the ledger in the store says up to which record of the file
everything is committed, in the same transaction as the events. Rejects are saved before the commit that passes them.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import datetime as dt
import gc
import hashlib
import itertools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tidemill.errors import ConfigError, RowError
from tidemill.events.files import Reader, Record, Source
from tidemill.events.formats import registry
from tidemill.events.formats.event import Event, Format, derive_uuid
from tidemill.events.formats.generic import Mapping
from tidemill.events.lake import BATCH_COLUMNS, Appended, Lake, Place

if TYPE_CHECKING:
    import pyarrow as pa

    from tidemill.settings import Settings

#: How much of a refused text is kept, so that it can be mended and tried again.
MAX_KEPT = 1_000_000
#: By how many records it is tried to tell the format.
_FIRST_RECORDS = 20
_PROGRESS_EVERY_SECONDS = 0.1
#: The team of events that name none, if the load names none either.
DEFAULT_TEAM = 1


@dataclasses.dataclass(frozen=True)
class LoadProgress:
    """How far a load is. `rows` are committed."""

    file: str
    bytes_read: int
    bytes_total: int
    rows: int
    seconds: float


@dataclasses.dataclass(frozen=True)
class Refused:
    """A text that could not be taken. `part` names its place in the file."""

    part: str
    place: str
    code: str
    message: str
    raw: bytes
    whole: bool


@dataclasses.dataclass(frozen=True)
class Result:
    """What a load did."""

    file: str
    format: str
    rows: int
    duplicates: int
    rejects: int
    seconds: float
    already_loaded: bool = False
    notes: tuple[str, ...] = ()


@dataclasses.dataclass
class _Batch:
    """Events on their way into a commit."""

    events: list[Event] = dataclasses.field(default_factory=list)
    refused: list[Refused] = dataclasses.field(default_factory=list)
    bytes: int = 0
    last_ordinal: int = 0


class Loading:
    """One file on its way into the store."""

    def __init__(
        self,
        settings: Settings,
        lake: Lake,
        source: Source,
        format_name: str,
        team_id: int | None,
        mapping: Mapping,
        refuse: Callable[[str, Sequence[Refused]], int],
    ) -> None:
        """`team_id`: of all events; None: each event's own, if it names one.

        `refuse(file_key, refused)` saves what could not be taken, and tells how much of it is new.
        """
        self._settings, self._lake, self._source = settings, lake, source
        self._format_name, self._mapping = format_name, mapping
        self._team_given, self._team_id = team_id is not None, DEFAULT_TEAM if team_id is None else team_id
        self._refuse = refuse
        self._format: Format | None = None
        self._unclear: list[ConfigError] = []
        self.format_found = format_name
        self.notes: list[str] = []
        how = json.dumps([format_name, team_id, mapping.model_dump(exclude_none=True)], sort_keys=True)
        self.key = hashlib.blake2b(f"{source.key}|{how}".encode(), digest_size=16).hexdigest()

    def run(self, progress: Callable[[LoadProgress], None]) -> Result:
        """Load what is not loaded yet.

        Raises
        ------
        ConfigError
            The file cannot be read (to its end), or it cannot be told how. What came before is loaded.
        """
        with _no_collector():
            return self._run(progress)

    def _run(self, progress: Callable[[LoadProgress], None]) -> Result:
        began = time.monotonic()
        after = self._lake.resume_after(self.key)
        if after:
            self.notes.append(f"An earlier load stopped after record {after:,}: going on from there.")
        reader = Reader(self._source, self._settings.max_event_bytes)
        rows = duplicates = rejects = 0
        shown = 0.0
        with concurrent.futures.ThreadPoolExecutor(1) as committer:
            waiting: concurrent.futures.Future[tuple[Appended, int]] | None = None
            broken: ConfigError | None = None
            batches = self._batches(reader, after)
            while True:
                try:
                    batch = next(batches, None)
                except ConfigError as error:
                    batch, broken = None, error
                if waiting is not None:
                    appended, refused = waiting.result()
                    rows, duplicates = rows + appended.rows, duplicates + appended.duplicates
                    rejects += refused
                if batch is None:
                    break
                waiting = committer.submit(self._commit, batch)
                if time.monotonic() - shown > _PROGRESS_EVERY_SECONDS:
                    shown = time.monotonic()
                    seconds = shown - began
                    progress(LoadProgress(self._source.name, reader.position, self._source.size, rows, seconds))
        if broken is not None:
            raise broken
        seconds = time.monotonic() - began
        progress(LoadProgress(self._source.name, self._source.size, self._source.size, rows, seconds))
        return Result(self._source.name, self.format_found, rows, duplicates, rejects, seconds, notes=tuple(self.notes))

    def _commit(self, batch: _Batch) -> tuple[Appended, int]:
        refused = self._refuse(self.key, batch.refused) if batch.refused else 0
        table = to_arrow(batch.events, self._team_id)
        return self._lake.append(table, Place(self.key, batch.last_ordinal)), refused

    def _batches(self, reader: Reader, after: int) -> Iterator[_Batch]:
        """Batches of parsed records; what was read before the file broke off is still handed over."""
        now = int(dt.datetime.now(dt.UTC).timestamp() * 1_000_000)
        batch = _Batch()
        broken: ConfigError | None = None
        max_rows, max_bytes = self._settings.commit_rows, self._settings.commit_bytes
        with contextlib.closing(iter(reader)) as records:
            for ordinal in itertools.count(1):
                try:
                    record = next(records, None)
                except ConfigError as error:
                    record, broken = None, error
                if record is None:
                    break
                if self._format is None and record.error is None:
                    self._choose(record, reader.rows)
                if ordinal <= after:
                    continue
                self._parse(record, ordinal, now, batch)
                if len(batch.events) >= max_rows or batch.bytes >= max_bytes or len(batch.refused) >= max_rows:
                    yield batch
                    batch = _Batch()
        if self._format is None and self._unclear:
            raise self._unclear[0]
        if batch.last_ordinal:
            yield batch
        if broken is not None:
            raise broken

    def _choose(self, record: Record, rows: str | None) -> None:
        """Choose the format by this record; if it is bad, the next one tells (the first of a cut log is often half)."""
        try:
            chosen = registry.get(self._format_name, self._mapping, record.data, rows=rows)
        except ConfigError as error:
            if error.code != "format_unclear" or len(self._unclear) >= _FIRST_RECORDS:
                raise
            self._unclear.append(error)
            return
        self._format, self.format_found, told = chosen
        if told:
            self.notes.append(told)

    def _parse(self, record: Record, ordinal: int, now: int, batch: _Batch) -> None:
        batch.last_ordinal = ordinal
        batch.bytes += len(record.data)
        try:
            if record.error is not None or self._format is None:
                raise record.error or RowError("format_unclear", self._unclear[-1].message)
            parsed = self._format.parse(record.data, now)
        except RowError as error:
            batch.refused.append(self._refused(record, f"{ordinal}", error))
            return
        for index, event in enumerate(parsed):
            if isinstance(event, RowError):
                batch.refused.append(self._refused(record, f"{ordinal}.{index}", event))
                continue
            if self._team_given:
                event.team_id = self._team_id
            if not event.uuid:
                team = event.team_id if event.team_id is not None else self._team_id
                event.uuid = derive_uuid(team, record.data, ordinal, index, self._source.key, has_time=event.has_time)
            batch.events.append(event)

    def _refused(self, record: Record, part: str, error: RowError) -> Refused:
        member = f"{record.member}, " if record.member else ""
        place = f"{self._source.name}, {member}line {record.line}"
        whole = record.error is None and len(record.data) <= MAX_KEPT
        return Refused(part, place, error.code, error.message, record.data[:MAX_KEPT], whole)


@contextlib.contextmanager
def _no_collector() -> Iterator[None]:
    """Without Python's cycle collector: events form no cycles, and looking for some takes a third of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def to_arrow(events: Sequence[Event], team_id: int) -> pa.Table:
    """A batch for Lake.append: BATCH_COLUMNS. `team_id`: of events that name none."""
    import pyarrow as pa  # 50 ms

    types = {"team_id": pa.int64(), "timestamp": pa.timestamp("us", "UTC")}
    columns: dict[str, Any] = {}
    for name in BATCH_COLUMNS:
        values: list[Any] = [getattr(event, name) for event in events]  # a column at a time: one list is held
        if name == "team_id":
            values = [team_id if value is None else value for value in values]
        columns[name] = pa.array(values, types.get(name, pa.string()))
    return pa.table(columns)
