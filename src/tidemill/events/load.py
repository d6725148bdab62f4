"""Loads a file into the event store: read → parse → prepare → commit, each in a thread of its own.

Killed at any point and started again, it ends complete: the ledger in the store says up to which record of the file
everything is committed, in the same transaction as the events. Rejects are saved before the commit that passes them.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import dataclasses
import gc
import hashlib
import json
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from tidemill.errors import ConfigError
from tidemill.events.files import Reader
from tidemill.events.formats.generic import Mapping
from tidemill.events.lake import Lake, Place, Prepared
from tidemill.events.opening import Source
from tidemill.events.parse import Batch, Parser, Refused

if TYPE_CHECKING:
    from tidemill.settings import Settings

T = TypeVar("T")

_PROGRESS_EVERY_SECONDS = 0.1
_THREAD_TURN_SECONDS = 0.0005
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
        self._settings, self._lake, self._source, self._refuse = settings, lake, source, refuse
        team = DEFAULT_TEAM if team_id is None else team_id
        self._parser = Parser(source, format_name, mapping, team, team_given=team_id is not None)
        how = json.dumps([format_name, team_id, mapping.model_dump(exclude_none=True)], sort_keys=True)
        self.key = hashlib.blake2b(f"{source.key}|{how}".encode(), digest_size=16).hexdigest()

    def run(self, progress: Callable[[LoadProgress], None]) -> Result:
        """Load what is not loaded yet.

        Raises
        ------
        ConfigError
            The file cannot be read (to its end), or it cannot be told how. What came before is loaded.
        """
        with _interpreter_tuned():
            return self._run(progress)

    def _run(self, progress: Callable[[LoadProgress], None]) -> Result:
        began = time.monotonic()
        after = self._lake.resume_after(self.key)
        reader = Reader(self._source, self._settings.max_event_bytes)
        rows = duplicates = rejects = 0
        shown = 0.0
        parsed = _ahead(self._batches(reader, after), 1)
        with contextlib.closing(_ahead(self._prepared(parsed), 1)) as batches:
            for batch, prepared in batches:
                reader.assert_same()
                rejects += self._refuse(self.key, batch.refused) if batch.refused else 0
                appended = self._lake.append(prepared, Place(self.key, batch.last_ordinal))
                rows, duplicates = rows + appended.rows, duplicates + appended.duplicates
                if time.monotonic() - shown > _PROGRESS_EVERY_SECONDS:
                    shown = time.monotonic()
                    seconds = shown - began
                    progress(LoadProgress(self._source.name, reader.position, self._source.size, rows, seconds))
        seconds = time.monotonic() - began
        progress(LoadProgress(self._source.name, self._source.size, self._source.size, rows, seconds))
        resumed = [f"An earlier load stopped after record {after:,}: going on from there."] if after else []
        notes = (*resumed, *self._parser.notes)
        return Result(self._source.name, self._parser.format_name, rows, duplicates, rejects, seconds, notes=notes)

    def _prepared(self, batches: Generator[Batch, None, None]) -> Generator[tuple[Batch, Prepared], None, None]:
        with contextlib.closing(batches):
            for batch in batches:
                prepared = self._lake.prepare(batch.tables)
                batch.tables.clear()
                yield batch, prepared

    def _batches(self, reader: Reader, after: int) -> Generator[Batch, None, None]:
        """Batches of parsed records; what was read before the file broke off is still handed over."""
        batch, before = self._batch(), 0
        broken: ConfigError | None = None
        blocks = _ahead(iter(reader), 2)
        with contextlib.closing(blocks):
            while True:
                try:
                    block = next(blocks, None)
                except ConfigError as error:
                    block, broken = None, error
                if block is None:
                    break
                index = min(max(0, after - before), len(block))
                for passed in range(index):  # what is committed already may tell the format
                    if self._parser.chosen:
                        break
                    self._parser.choose(block, passed, reader.rows)
                while index < len(block):
                    index = self._parser.fill(batch, block, index, before, reader.rows)
                    if batch.full:
                        yield batch
                        batch = self._batch()
                before += len(block)
        self._parser.finish()
        if batch.last_ordinal:
            yield batch
        if broken is not None:
            raise broken

    def _batch(self) -> Batch:
        return Batch(self._settings.commit_rows, self._settings.commit_bytes)


def _ahead(items: Generator[T, None, None], count: int) -> Generator[T, None, None]:
    """The same items, the next ones of which, so many, are made in a thread meanwhile."""
    with contextlib.closing(items), concurrent.futures.ThreadPoolExecutor(1) as making:
        waiting = collections.deque(making.submit(next, items, None) for _ in range(count))
        try:
            while (item := waiting.popleft().result()) is not None:
                waiting.append(making.submit(next, items, None))
                yield item
        finally:
            making.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _interpreter_tuned() -> Iterator[None]:
    """Without Python's cycle collector: events form no cycles, and looking for some takes a third of the time.

    And with shorter turns of its threads: the one that commits needs the interpreter often, and each time for a moment.
    """
    enabled, turn = gc.isenabled(), sys.getswitchinterval()
    gc.disable()
    sys.setswitchinterval(_THREAD_TURN_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(turn)
        if enabled:
            gc.enable()
