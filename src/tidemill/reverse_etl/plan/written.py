"""What a run did, written down beside the state of its sync: see bigquery/written_sql.py."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tidemill.bigquery import tables, written_sql
from tidemill.bigquery.names import label
from tidemill.bigquery.sql import Value
from tidemill.bigquery.tables import Layout
from tidemill.errors import ConfigError
from tidemill.models.model import Column

if TYPE_CHECKING:
    from tidemill.bigquery.client import Client

RUNS, CHANGELOG, SNAPSHOT = written_sql.NAMES
#: Columns by whose days each is partitioned, and by which it is clustered.
_LAYOUTS = {
    RUNS: (written_sql.RUNS, "began_at", ("sync_id",)),
    CHANGELOG: (written_sql.CHANGELOG, "recorded_at", ("sync_id", "row_key")),
}


@dataclasses.dataclass(frozen=True)
class Changes:
    """The rows of a run's plan. `unacknowledged`: the table of those that were not, if there are any. `retried`:
    some were tried before, which the state knows. `untouched`: ranges of buckets of which nothing was sent."""

    unacknowledged: str | None
    retried: bool
    untouched: Sequence[tuple[int, int]]


@dataclasses.dataclass(frozen=True)
class Writer:
    """Of one run. Each statement's job has the run's id: who tries again finds it, and no row comes twice.

    `dataset`: of the state; `days`: that partitions are kept; `max_bytes_billed`: of one statement.
    """

    client: Client
    dataset: str
    sync: uuid.UUID
    run: uuid.UUID
    number: int
    days: int
    max_bytes_billed: int | None

    def write_rows(self, changes: Changes, at: dt.datetime) -> None:
        """What became of each row that was to be delivered."""
        self._ensure(CHANGELOG)
        rows = written_sql.Rows(
            sync_id=self.sync.hex,
            run_number=self.number,
            plan=self._place(f"plan_{self.run.hex}"),
            unacknowledged=self._place(changes.unacknowledged) if changes.unacknowledged else None,
            state=self._place(f"state_{self.sync.hex}") if changes.retried else None,
            untouched=changes.untouched,
            at=at,
        )
        self._query(written_sql.insert_rows(self._place(CHANGELOG), rows), CHANGELOG, "changelog")

    def write_run(self, row: Mapping[str, Value | None]) -> None:
        """What the run did."""
        self._ensure(RUNS)
        known = {"sync_id": self.sync.hex, "run_number": self.number, **row}
        self._query(written_sql.insert_run(self._place(RUNS), known), RUNS, "runs")

    def ensure_snapshot(self) -> None:
        """See that there is the view that tells how each row stands."""
        self._ensure(CHANGELOG)
        if self.client.get_table(self.dataset, SNAPSHOT) is None:
            query = written_sql.snapshot(self.client.project, self.dataset)
            self.client.create_view(self.dataset, SNAPSHOT, query, written_sql.NAMES[SNAPSHOT])

    def _ensure(self, name: str) -> None:
        """Make a table; or see that the one that is there is ours, and keeps rows for so long."""
        columns, day, cluster_by = _LAYOUTS[name]
        expires = dt.timedelta(days=self.days)
        table = self.client.get_table(self.dataset, name)
        if table is None:
            layout = Layout(
                columns,
                partition=(day, "DAY"),
                partition_expires=expires,
                cluster_by=cluster_by,
                description=written_sql.NAMES[name],
            )
            table = self.client.create_table(self.dataset, name, layout)
        self._assert_ours(name, columns, table)
        if table.partition and table.partition_expires != expires:
            self.client.keep_partitions(self.dataset, name, table.partition, expires)

    def _assert_ours(self, name: str, columns: tuple[Column, ...], table: tables.Table) -> None:
        place = ".".join(self._place(name))
        try:
            missing = tables.match(columns, table, place).missing
        except ConfigError:  # what it says is meant for a table that rows are exported into
            missing = tuple(column.name for column in columns)
        if missing:
            raise ConfigError(
                "write_back_columns",
                f"The table {place} is none that this can be written into: it has no {', '.join(missing)}.",
                hint="Rename or drop it: it is made anew by the next run.",
            )

    def _query(self, statement: str, table: str, what: str) -> None:
        self.client.query(
            statement,
            job_id=f"tidemill_sync_{self.sync.hex}_{self.run.hex}_{what}",
            permission="bigquery.tables.updateData",
            dataset=self.dataset,
            table=table,
            labels={"tidemill_sync": label(self.sync.hex), "tidemill_run": label(self.run.hex)},
            max_bytes_billed=self.max_bytes_billed,
        )

    def _place(self, table: str) -> tuple[str, str, str]:
        return (self.client.project, self.dataset, table)
