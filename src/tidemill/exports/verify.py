"""Verifies a table: holds it against the event store day by day, by one cheap query; and repairs the days that differ.

Of each day both sides tell how many rows there are and a checksum of their ids (see events/sums.py). Only the columns
of the key, the versions and the time are read. Rows that a run set aside are not expected.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import math
import secrets

from tidemill.bigquery import sql
from tidemill.bigquery.client import Client
from tidemill.bigquery.tables import Table
from tidemill.errors import ConfigError, ConflictError
from tidemill.events.sources.source import EPOCH, moment
from tidemill.events.sums import Sum, sums
from tidemill.exports import selection
from tidemill.exports.rejects import RunRejects
from tidemill.exports.spec import ExportSpec
from tidemill.exports.steps.prepare import assert_keyed, gone
from tidemill.exports.work import Parts, model_of
from tidemill.models.model import Column
from tidemill.store.records import Export


@dataclasses.dataclass(frozen=True)
class Day:
    """One day (UTC) of event time, or all that there is, if `day` is None.

    `rows` are those of the table. `missing` of the `expected` ids it lacks, and `foreign` ones it has too many: each at
    least, since one can make up for the other; `same` says whether all ids are the same. `duplicated`: rows more than
    ids.
    """

    day: dt.date | None
    expected: int
    rows: int
    missing: int
    foreign: int
    duplicated: int
    same: bool


@dataclasses.dataclass(frozen=True)
class Verified:
    """What was found. `different`: the days that are not as they should be; `set_aside`: rows, of all days, that are
    not expected because runs set them aside.
    """

    export: str
    table: str
    since: dt.date | None
    days: int
    expected: int
    rows: int
    different: tuple[Day, ...]
    bytes_billed: int
    notes: tuple[str, ...]
    set_aside: int = 0


class Verifier:
    """Verifies exports."""

    def __init__(self, parts: Parts, rejects: RunRejects) -> None:
        self._parts, self._rejects = parts, rejects

    def verify(self, export: Export, client: Client, days: int | None) -> Verified:
        """Hold the table against the store; with `days`, only that many of the last days, today with them.

        Raises
        ------
        ConfigError
            Nothing was exported yet, or the model knows no days.
        ConflictError
            A run is not finished, or moved rows meanwhile.
        """
        model = model_of(export)
        spec = ExportSpec.model_validate(export.spec)
        if spec.query:
            raise ConfigError(
                "verify_custom",
                "The rows that a query gave in earlier runs are not kept, so its table cannot be held against them.",
                hint="Ask the table itself, by a query in BigQuery.",
            )
        if days is not None and not model.day_of:
            raise ConfigError("verify_days", f"Rows of {model.name} have no day.", hint="Leave --days out.")
        self._assert_still(export)
        table = self._table(client, export)
        if table is None:
            raise gone(export)
        since, expired = _since(days, table, model.day_of)
        chosen = selection.of(spec, 0, export.position)
        if since:
            chosen = dataclasses.replace(chosen, time_from=dt.datetime.combine(since, dt.time(), dt.UTC))
        columns, without = (*model.key, *model.versions), self._rejects.keys(export.id)
        asked = tuple(column for name in columns for column in model.columns if column.name == name)
        rows = self._parts.source(export).rows(chosen, EPOCH)
        if since and model.began:  # a session of an earlier day may have events since
            first = moment(dt.datetime.combine(since, dt.time(), dt.UTC))
            rows = f"SELECT * FROM ({rows}) WHERE {model.began} >= {first}"
        expected = sums(self._parts.lake, rows, columns, model.day_of, without)
        found, billed = self._found(client, export, asked, since)
        self._assert_unmoved(export)
        all_days = _held(expected, found)
        return Verified(
            export=export.name,
            table=".".join((export.project, export.dataset, export.table_id)),
            since=since,
            days=len(all_days),
            expected=sum(day.expected for day in all_days),
            rows=sum(day.rows for day in all_days),
            different=tuple(day for day in all_days if day.duplicated or not day.same),
            bytes_billed=billed,
            notes=self._notes(export) + expired,
            set_aside=len(without),
        )

    def _table(self, client: Client, export: Export) -> Table | None:
        """The export's table, which has the columns by which it is verified; None if it is gone."""
        model = model_of(export)
        client.locate(export.dataset)
        table = client.get_table(export.dataset, export.table_id)
        if table is None:
            return None
        names = {field.name.lower() for field in table.fields}
        assert_keyed(model, names)
        lacking = [name for name in (*model.versions, model.day_of) if name and name not in names]
        if lacking:
            raise ConfigError(
                "verify_columns",
                f"The table has no column {', '.join(lacking)}, by which it is verified.",
                hint="Add the column, and fill it by tidemill export backfill.",
            )
        return table

    def _found(
        self, client: Client, export: Export, columns: tuple[Column, ...], since: dt.date | None
    ) -> tuple[dict[dt.date | None, tuple[int, int, int]], int]:
        """Of each day in the table: rows, ids and checksum; and the bytes that the query was billed."""
        model = model_of(export)
        answer = client.query(
            sql.sums((export.project, export.dataset, export.table_id), columns, model.day_of, since),
            job_id=f"tidemill_verify_{secrets.token_hex(12)}",
            permission="bigquery.tables.getData",
            dataset=export.dataset,
            table=export.table_id,
            max_bytes_billed=ExportSpec.model_validate(export.spec).max_bytes_billed,
        )
        return {day: (int(rows), int(ids), int(checksum or 0)) for day, rows, ids, checksum in answer.rows}, (
            answer.bytes_billed
        )

    def _assert_still(self, export: Export) -> None:
        if not export.position:
            raise ConfigError(
                "verify_before_run",
                f"{export.name} has exported nothing yet.",
                hint=f"tidemill export run {export.name}",
            )
        last = self._parts.runs.last(export.id)
        running = self._parts.runs.running(export.id)
        if any(run.backfill_id for run in running):
            raise ConflictError(
                "verify_unfinished",
                "A backfill is not finished: the table is not what it should be yet.",
                hint=f"Wait for it; or go on with it: tidemill export backfill resume {export.name}, or cancel it.",
            )
        unfinished = running or (last and last.status != "completed")
        if unfinished or (not self._parts.source(export).repeatable and self._changed(export)):
            what = "A run is not finished" if unfinished else f"There are newer {export.model} than the last run's"
            raise ConflictError(
                "verify_unfinished", f"{what}: the table is not what it should be yet.", hint=f"{_run(export)} first."
            )

    def _changed(self, export: Export) -> bool:
        """A person that has changed since is known as it is now, and not as it was exported."""
        return bool(self._parts.source(export).changes(export.position, self._position(export), math.inf))

    def _position(self, export: Export) -> int:
        return self._parts.source(export).position()

    def _assert_unmoved(self, export: Export) -> None:
        moved = self._parts.exports.by_id(export.id).position != export.position
        moved = moved or (not self._parts.source(export).repeatable and self._changed(export))
        if moved or self._parts.runs.running(export.id):
            raise ConflictError(
                "verify_moved", "A run has moved rows while the table was verified.", hint="Verify it again."
            )

    def _notes(self, export: Export) -> tuple[str, ...]:
        """Where the filters were changed, what came before was sent by others."""
        names = ("include_events", "exclude_events", "team_id")
        now = [export.spec.get(name) for name in names]
        own = [run for run in self._parts.runs.newest(export.id, limit=1000) if run.snapshot_after < run.snapshot_upto]
        if all([run.spec.get(name) for name in names] == now for run in own):
            return ()
        return ("The filters of the export were changed: all of the table is held against those of today.",)


def _since(days: int | None, table: Table | None, day_of: str | None) -> tuple[dt.date | None, tuple[str, ...]]:
    """The first day that counts, and a remark if that is because earlier partitions of the table expire."""
    today = dt.datetime.now(dt.UTC).date()
    asked = today - dt.timedelta(days=days - 1) if days else None
    kept = table.partition_expires if table and table.partition and table.partition[0] == day_of else None
    alive = today - dt.timedelta(days=max(kept.days - 1, 0)) if kept else None
    if alive is None or (asked and asked >= alive):
        return asked, ()
    return alive, (f"Partitions of the table expire: what was before {alive} is not verified.",)


def _run(export: Export) -> str:
    return f"tidemill export run {export.name}"


def _held(expected: list[Sum], found: dict[dt.date | None, tuple[int, int, int]]) -> list[Day]:
    """Each day of either side."""
    wanted = {one.day: one for one in expected}
    days = []
    for day in sorted(wanted.keys() | found.keys(), key=lambda day: day or dt.date.min):
        want = wanted.get(day, Sum(day, 0, 0))
        rows, ids, checksum = found.get(day, (0, 0, 0))
        less = want.rows - ids
        same = not less and want.checksum == checksum
        odd = int(not same and not less)  # as many ids, and not the same: one is missing, and one is strange
        days.append(Day(day, want.rows, rows, max(odd, less), max(odd, -less), rows - ids, same))
    return days
