"""One run as its steps see it: everything that follows from the run and its export, and nothing that changes."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from tidemill import tracing
from tidemill.bigquery import names, sql
from tidemill.engine.port import Engine
from tidemill.errors import NotFoundError
from tidemill.events.lake import Lake
from tidemill.events.sources.source import Selection, Source
from tidemill.exports import selection
from tidemill.exports.spec import Delivery, ExportSpec
from tidemill.exports.watch import Watches
from tidemill.logbook import Book
from tidemill.models.model import Column, Model
from tidemill.models.types import Type
from tidemill.settings import Settings
from tidemill.store.attempts import taken_over
from tidemill.store.books import Books
from tidemill.store.exports import Exports
from tidemill.store.loads import Rejects
from tidemill.store.records import Chunk, Export, Run
from tidemill.store.runs import Runs

#: How the rows of a stage table get into the final one, by the mode of the run. Other modes load straight into it.
MERGES = {"merge": sql.insert_missing, "upsert": sql.replace_older, "replace": sql.replace}


def model_of(export: Export) -> Model:
    """What an export is of."""
    return ExportSpec.model_validate(export.spec).definition


@dataclasses.dataclass(frozen=True)
class Work:
    """A run and its export."""

    run: Run
    export: Export

    @functools.cached_property
    def spec(self) -> ExportSpec:
        """What the user said of the export, as it was when the run was planned."""
        return ExportSpec.model_validate(self.run.spec)

    @functools.cached_property
    def model(self) -> Model:
        """What is exported."""
        return model_of(self.export)

    @property
    def max_bytes_billed(self) -> int | None:
        """What one statement may cost: as the export says now, so that a limit can be raised for a run that met it."""
        return ExportSpec.model_validate(self.export.spec).max_bytes_billed

    @property
    def storage_write(self) -> bool:
        """Whether rows go to write streams, which are committed in the end; else by files, and load jobs."""
        return self.spec.delivery is Delivery.STORAGE_WRITE

    @property
    def final(self) -> tuple[str, str, str]:
        """The table that the user named: project, dataset, table."""
        return self.export.project, self.export.dataset, self.export.table_id

    @property
    def staged(self) -> bool:
        """Whether rows go into a stage table first."""
        return self.run.mode in MERGES

    @property
    def stage(self) -> tuple[str, str, str]:
        """The stage table, one for each attempt."""
        return self.export.project, self.export.dataset, self._stage(self.run.attempt)

    @property
    def stages(self) -> tuple[str, ...]:
        """Ids of the stage tables of all attempts."""
        return tuple(self._stage(attempt) for attempt in range(1, self.run.attempt + 1))

    def _stage(self, attempt: int) -> str:
        return f"tidemill_stage_{self.export.id.hex[:12]}_{self.run.id.hex[:12]}_{attempt}"

    @property
    def unsure(self) -> bool:
        """Whether the stage table may hold rows that are not those of the run's chunks."""
        return self.staged and (self.run.layout or {}).get("unsure") == self.stage[2]

    @property
    def loads_into(self) -> str:
        """Id of the table that chunks are loaded into."""
        return self.stage[2] if self.staged else self.export.table_id

    @property
    def again(self) -> bool:
        """Whether the run goes over events that earlier runs covered; the export's position stays where it is then."""
        return self.run.snapshot_after == self.run.snapshot_upto

    @property
    def changing(self) -> bool:
        """Whether rows may come again and again, each time newer."""
        return self.run.mode in {"upsert", "replace"}

    def chosen(self, chunk: Chunk) -> Selection:
        """The rows of a chunk."""
        found = selection.of(self.spec, chunk.snapshot_after, chunk.snapshot_upto)
        return dataclasses.replace(found, time_from=chunk.time_from, time_to=chunk.time_to)

    @property
    def prepared(self) -> bool:
        """Whether it is settled which columns are loaded."""
        return self.run.layout is not None

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns that are loaded, as they were settled when the run was prepared."""
        if self.run.layout is None:
            raise NotFoundError("run_not_prepared", f"Run {self.run.id} was not prepared.")
        wanted = set(self.run.layout["columns"])
        return tuple(c for c in self.model.columns_for(json_type=self.spec.json_type) if c.name in wanted)

    @property
    def key(self) -> tuple[Column, ...]:
        """The columns of the key."""
        return tuple(column for name in self.model.key for column in self.columns if column.name == name)

    @property
    def partition(self) -> tuple[Column, str] | None:
        """The column by which the table is partitioned, and HOUR, DAY, MONTH or YEAR; None if no loaded column is."""
        name, size = (self.run.layout or {}).get("partition") or ("", "")
        return next(((column, size) for column in self.columns if column.name == name), None)

    @property
    def bounded(self) -> tuple[Column, ...]:
        """The columns whose first and last values are kept of each file."""
        more = (self.partition[0],) if self.partition and self.partition[0] not in self.key else ()
        return (*self.key, *more)

    @property
    def newest(self) -> tuple[str, ...]:
        """By which columns, the greatest first, one of two rows with the same key is taken."""
        times = tuple(column.name for column in self.columns if column.type is Type.TIMESTAMP)
        return self.model.versions or times

    def job_id(self, what: str) -> str:
        """The id of one of the run's jobs. Those of a merge differ by attempt, as its stage table does."""
        attempt = f"_a{self.run.attempt}" if self.staged else ""
        return f"tidemill_{self.export.id.hex}_{self.run.id.hex}{attempt}_{what}"

    @property
    def labels(self) -> dict[str, str]:
        """Of the run's jobs: by them a job that is found is known as ours. A rename does not change them."""
        return {"tidemill_export": names.label(self.spec.name), "tidemill_run": str(self.run.id)}


class Held(Protocol):
    """A lock that is held."""

    def check(self) -> None:
        """Raise UnavailableError if it was lost."""


class Lock(Protocol):
    """Locks that all processes see, by name."""

    def __call__(
        self, name: str, *, waiting: Callable[[], None] | None = None, shared: bool = False
    ) -> contextlib.AbstractContextManager[Held]:
        """Hold one for the time of a block; `shared`: beside others who hold it so. `waiting` is called now and then
        until it is there, and may raise."""


#: The source of a query's rows, by its text, columns, key and versions.
Queried = Callable[[str, Sequence[Column], Sequence[str], Sequence[str]], Source]


@dataclasses.dataclass(frozen=True)
class Parts:
    """What the steps work with."""

    settings: Settings
    lake: Lake
    sources: Mapping[str, Source]
    queried: Queried
    engine: Engine
    books: Books
    watches: Watches
    #: Locks that all processes see, by name.
    lock: Lock
    #: Where runs tell what they do.
    book: Book
    #: DuckDB uses all cores for one chunk; loads go on meanwhile.
    writing: threading.Lock = dataclasses.field(default_factory=threading.Lock)

    @property
    def exports(self) -> Exports:
        """Their repository; so with the others."""
        return self.books.exports

    @property
    def runs(self) -> Runs:
        """Theirs, and those of their chunks."""
        return self.books.runs

    @property
    def rejects(self) -> Rejects:
        """Of rows that were set aside."""
        return self.books.rejects

    def source(self, export: Export) -> Source:
        """Where the rows of an export come from."""
        query = ExportSpec.model_validate(export.spec).query
        if query is None:
            return self.sources[export.model]
        return self.queried(query.sql, query.model.columns, query.key, query.versions)

    def work(self, run_id: str, attempt: int) -> Work:
        """The run and its export, as they stand now.

        Raises
        ------
        ConflictError
            The run is at another attempt by now, whose tables and jobs are others.
        """
        run, export = self.runs.with_export(uuid.UUID(run_id))
        if run.attempt != attempt:
            raise taken_over()
        tracing.note(export=export.name, model=export.model, run_number=run.number)
        return Work(run, export)

    def folder(self, run: Run) -> Path:
        """Where the run's files lie for the time of the run."""
        return self.settings.home_path / "exports" / str(run.id)

    def file(self, run: Run, number: int) -> Path:
        """The file of one chunk, of the run's attempt."""
        return self.folder(run) / f"{run.attempt}-{number:05d}.data"
