"""Plans runs: which events one covers, frozen, how they get into the table, and the chunks that they are moved in."""

from __future__ import annotations

import datetime as dt
import math
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from tidemill.bigquery.tables import Table
from tidemill.errors import ConfigError
from tidemill.events import chunks as chunk_files
from tidemill.events.ledger import Commit
from tidemill.exports import cut, doubt, told
from tidemill.exports.rejects import Ground
from tidemill.exports.spec import Delivery, ExportSpec
from tidemill.exports.steps import commit, quota
from tidemill.exports.steps.prepare import assert_keyed, gone
from tidemill.exports.work import Parts, model_of
from tidemill.models.model import Model
from tidemill.schedules.calendar import Span
from tidemill.store.records import Backfill, Export, Run

_PARTS = 20  # of a chunk
_JSON_GROWS = 1.2  # JSON Lines repeat the names of the columns on each line


class Planner:
    """Makes runs. What it saves is all that a run needs to know."""

    def __init__(self, parts: Parts) -> None:
        self._parts, self._settings, self._engine = parts, parts.settings, parts.engine
        self._runs, self._watches = parts.runs, parts.watches
        self._row_bytes: dict[tuple[uuid.UUID, int], float] = {}

    def fresh(self, export: Export, by: str, asked_at: dt.datetime) -> Run | None:
        """A run over everything that was committed since the last one; None if there is nothing.

        `asked_at`: a moment before this one.
        """
        source = self._parts.source(export)
        with told.planning(self._parts, export):
            upto = source.catch_up()
            commits = source.changes(export.position, upto, self._fold(export))
            if not commits:
                return None
            interval = (commits[0].since, commits[-1].committed_at)
            return self._of_commits(export, commits, upto, by=by, interval=interval, covers_until=asked_at)

    def scheduled(self, export: Export, span: Span, by: str) -> Run:
        """The run of an interval of the schedule: over everything that was committed by its end, since the last run.
        It has no chunks if there is nothing."""
        source = self._parts.source(export)
        with told.planning(self._parts, export):
            upto = max(source.until(span.end, export.position), export.position)
            commits = source.changes(export.position, upto, self._fold(export)) if upto > export.position else []
            interval = (span.start, span.end)
            return self._of_commits(
                export, commits, upto, by=by, interval=interval, covers_until=span.end, more={"scheduled": True}
            )

    def _of_commits(
        self,
        export: Export,
        commits: Sequence[Commit],
        upto: int,
        *,
        by: str,
        interval: tuple[dt.datetime | None, dt.datetime | None],
        covers_until: dt.datetime,
        more: Mapping[str, Any] | None = None,
    ) -> Run:
        return self._save(
            export,
            self._chunks(export, commits, export.position) if commits else [],
            by=by,
            mode=self._mode(export) if commits else "append",
            spec=export.spec,
            after=export.position,
            upto=upto,
            interval=interval,
            more={"covers_until": covers_until, **(more or {})},
        )

    def again(self, export: Export, ground: Ground, by: str) -> Run:
        """A run over ground of an earlier one. Its own range is empty: the export's position stays where it is.

        Raises
        ------
        ConfigError
            The table lacks the model's key: what it holds already could not be told from what is sent; or the rows
            have none, or no versions, and newer ones were sent since.
        """
        model = model_of(export)
        if not model.key or (model.replaced and self._runs.last(export.id) != ground.run):
            what = "no versions, and a later run may have replaced its rows" if model.key else "no key"
            raise ConfigError(
                "run_again",
                f"Rows of run {ground.run.id.hex[:8]} cannot be sent again: they have {what}.",
                hint="Make an export with --key and --version, into another table.",
            )
        self.assert_fit(export)  # now: a run that can never succeed would be in the way of all others
        earlier = ground.run
        spec = {**earlier.spec, "delivery": ExportSpec.model_validate(export.spec).delivery.value}
        if ground.events:
            spec = {**spec, "include_events": list(ground.events), "exclude_events": []}
        made = self._save(
            export,
            ground.chunks,
            by=by,
            mode=_changing(model) or "merge",
            spec=spec,
            after=export.position,
            upto=export.position,
            interval=(earlier.interval_start, earlier.interval_end),
        )
        self._runs.remark(made.id, ground.why)
        return made

    def assert_fit(self, export: Export) -> None:
        """Raise ConfigError if rows cannot be merged into the table: it is gone, or lacks the model's key."""
        table = self._table(export)
        if table is None:
            raise gone(export)
        assert_keyed(model_of(export), {field.name.lower() for field in table.fields})

    def over(self, export: Export, backfill: Backfill, number: int, by: str) -> Run:
        """A run over one interval of a backfill: rows of that event time, of what was covered when it was made."""
        start, end, rows = (backfill.intervals[number][name] for name in ("start", "end", "rows"))
        first, last = (dt.datetime.fromisoformat(text) if text else None for text in (start, end))
        if not self._parts.source(export).timed:
            changes = self._parts.source(export).changes(0, backfill.upto, self._fold(export))
            chunks = self._chunks(export, changes, after=0)
        else:
            chunks = self._pieces(export, backfill.upto, rows, first, last)
        return self._save(
            export,
            chunks,
            by=by,
            mode=_changing(model_of(export)) or "merge",
            spec=export.spec,
            after=backfill.upto,
            upto=backfill.upto,
            interval=(first, last),
            more={"backfill_id": backfill.id, "backfill_interval": number},
        )

    def _pieces(
        self, export: Export, upto: int, rows: int, first: dt.datetime | None, last: dt.datetime | None
    ) -> list[cut.Chunk]:
        """A span of time in as many equal parts as it takes; one that has no end is not cut."""
        size = rows * self.row_bytes(export) / self._settings.chunk_bytes
        pieces = max(1, math.ceil(size)) if first and last else 1
        ends = [first + (last - first) * n / pieces for n in range(pieces + 1)] if first and last else [first, last]
        return [
            cut.Chunk(n, 0, upto, rows // pieces + (n < rows % pieces), ends[n], ends[n + 1]) for n in range(pieces)
        ]

    def row_bytes(self, export: Export) -> float:
        """About how many bytes a row takes in a file. It is looked at once for a position: the intervals of a backfill
        are many."""
        known = (export.id, export.position)
        if known not in self._row_bytes:
            self._row_bytes = {known: self._measured(export)}
        return self._row_bytes[known]

    def _measured(self, export: Export) -> float:
        commits = self._parts.source(export).changes(0, export.position, math.inf)
        rows = sum(commit.rows for commit in commits)
        return sum(commit.bytes for commit in commits) * self._ratio(export) / rows if rows else 0.0

    def _fold(self, export: Export) -> float:
        """Bytes of changes that need not be told apart: a small part of a chunk."""
        return self._settings.chunk_bytes / self._ratio(export) / _PARTS

    def _ratio(self, export: Export) -> float:
        """Bytes in a file, or a write stream, for each byte of text."""
        spec = ExportSpec.model_validate(export.spec)
        if spec.delivery is Delivery.STORAGE_WRITE:
            return 1.0
        columns = model_of(export).columns_for(json_type=spec.json_type)
        parquet = chunk_files.file_format(columns) == "PARQUET"
        return self._parts.source(export).compression() if parquet else _JSON_GROWS

    def _save(
        self,
        export: Export,
        chunks: Sequence[cut.Chunk],
        *,
        by: str,
        mode: str,
        spec: dict[str, Any],
        after: int,
        upto: int,
        interval: tuple[dt.datetime | None, dt.datetime | None],
        more: Mapping[str, Any] | None = None,
    ) -> Run:
        _assert_committable(export, spec, mode, len(chunks))
        run = {
            "mode": mode,
            "spec": spec,
            "snapshot_after": after,
            "snapshot_upto": upto,
            "interval_start": interval[0],
            "interval_end": interval[1],
            "rows_planned": sum(chunk.rows for chunk in chunks),
            "created_by": by,
            "worker": self._engine.worker,
            **(more or {}),
        }
        rows = [
            {"number": c.number, "snapshot_after": c.after, "snapshot_upto": c.upto, "rows_planned": c.rows}
            | {"time_from": c.time_from, "time_to": c.time_to}
            for c in chunks
        ]
        made = self._runs.plan(export.id, run, rows)
        told.planned(self._parts, made, len(rows))
        return made

    def _chunks(self, export: Export, commits: Sequence[Commit], after: int) -> list[cut.Chunk]:
        spec = ExportSpec.model_validate(export.spec)
        model = model_of(export)
        source = self._parts.source(export)
        ratio = self._ratio(export)
        parts = [cut.Part(c.snapshot, c.rows, c.bytes * ratio, c.first_time, c.last_time) for c in commits]
        # Of the store's commits we know the range of event time; a table may be partitioned by something else.
        by_time = spec.partition_by if spec.partition_by and spec.partition_by.column == model.partition_by else None
        size = by_time.granularity if by_time else None
        return cut.cut(
            parts,
            after,
            max(self._settings.chunk_bytes, 2 * sum(part.bytes for part in parts) / self._most_chunks(export)),
            size,
            lambda after, to: source.partitions(after, to, (size or "day").lower()),
        )

    def _most_chunks(self, export: Export) -> float:
        """So many load jobs into the table leave enough of the day's quota for the runs to come."""
        spec = ExportSpec.model_validate(export.spec)
        model = model_of(export)
        if spec.delivery is Delivery.STORAGE_WRITE or model.versions or model.replaced:  # by streams, or a stage table
            return math.inf
        used = self._parts.books.modifications.count(f"{export.project}.{export.dataset}.{export.table_id}")
        return quota.chunks_allowed(used, self._settings.table_changes_day, spec.schedule.seconds)

    def _mode(self, export: Export) -> str:
        """How rows get in: ``upsert`` or ``replace`` for those that change.

        ``merge`` for a first run into a table that is there: some of its rows may be ours, of an export before. Also if
        it seems to be empty, unless it has no key: what was streamed into it lately is not counted.
        """
        model = model_of(export)
        if mode := doubt.mode(self._parts, export):
            return mode
        if not model.key:  # nothing tells one row from another
            return "append"
        if mode := _changing(model):
            return mode
        table = None if self._runs.brought_rows(export.id) else self._table(export)
        if table is None:
            return "append"
        names = {field.name.lower() for field in table.fields}
        if not table.rows and not names.issuperset(model.key):
            return "append"
        self._runs.doubts.spread(export.id)
        return "merge"

    def _table(self, export: Export) -> Table | None:
        with self._watches.planning(export) as client:
            return client.get_table(export.dataset, export.table_id)


def _assert_committable(export: Export, spec: dict[str, Any], mode: str, chunks: int) -> None:
    """Raise ConfigError if a run would have more write streams than can be committed at once."""
    by_streams = ExportSpec.model_validate(spec).delivery is Delivery.STORAGE_WRITE
    if by_streams and mode == "append" and chunks > commit.MOST_STREAMS:
        raise ConfigError(
            "too_many_streams",
            f"The run would have {chunks:,} write streams, and BigQuery commits {commit.MOST_STREAMS:,} at once.",
            hint="Make them larger: TIDEMILL_CHUNK_BYTES=1000000000. Or use load jobs: "
            f"tidemill export edit {export.name} --delivery load",
        )


def _changing(model: Model) -> str | None:
    """How rows of a model get in that change; None if they do not."""
    return "upsert" if model.versions else "replace" if model.replaced else None
