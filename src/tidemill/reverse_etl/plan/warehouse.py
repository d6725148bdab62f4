"""The plan in the warehouse: state, difference and commit are statements in BigQuery; only what changed leaves it."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidemill.bigquery import describe, plan_reads, plan_sql, read_rows, state_sql
from tidemill.bigquery.describe import Described
from tidemill.bigquery.jobs import Load
from tidemill.bigquery.names import label, quoted
from tidemill.bigquery.sql import Place
from tidemill.bigquery.tables import Field, Layout
from tidemill.destinations.port import Op
from tidemill.errors import AccessError, ConfigError, NotFoundError
from tidemill.reverse_etl import freshness
from tidemill.reverse_etl.plan import ranges, read, shape, summary
from tidemill.reverse_etl.plan import unacknowledged as unacknowledged_rows
from tidemill.reverse_etl.plan.port import InvalidRow, Piece, Planned, PlanRow, PlanRows, Unacknowledged, Wanted
from tidemill.reverse_etl.plan.shape import Shape
from tidemill.reverse_etl.spec import Extraction

if TYPE_CHECKING:
    from tidemill.bigquery.client import Client

#: Keys in one statement, and characters of them.
_KEYS, _KEYS_LENGTH = 5_000, 400_000
_KEPT_SECONDS = plan_sql.KEPT_DAYS * 24 * 3600


class WarehousePlanner:
    """See `Planner`. `dataset`: of the state, in the client's project and location."""

    def __init__(self, client: Client, dataset: str, sync: uuid.UUID) -> None:
        self._client, self._dataset, self._sync = client, dataset, sync
        self._shapes: dict[uuid.UUID, Shape] = {}
        self._descriptions: dict[str, Described] = {}
        self._reads_rows = True

    @property
    def _state(self) -> Place:
        return self._place(f"state_{self._sync.hex}")

    def fingerprint(self, wanted: Wanted) -> str | None:
        """See `Planner`."""
        return freshness.fingerprint(self._client, wanted.sql, lambda: self._described(wanted.sql))

    def billed(self) -> int:
        """See `Planner`."""
        return self._client.take_billed()

    def plan(self, wanted: Wanted) -> Planned:
        """See `Planner`."""
        model = self._shapes[wanted.run] = shape.of_model(wanted, self._described(wanted.sql).columns)
        if wanted.extraction is not Extraction.FULL:
            self._make_state()
        plan = self._plan(wanted, model)
        if plan.cursor is not None and plan.position is not None and plan.only is None:
            plan = self._look(plan, wanted)
        self._make(plan_sql.create(plan), wanted, "plan")
        found = self._overview(plan, wanted)
        if not found.is_exact:
            self._make(plan_sql.create(dataclasses.replace(plan, exact=True)), wanted, "exact")
            found = self._overview(plan, wanted)
        self._assert_can_commit(wanted, found.pieces)
        return Planned(found.counts, found.pieces, found.known, self.billed(), found.upto)

    def commit_bytes(self, wanted: Wanted, pieces: Iterable[Piece]) -> int:
        """See `Planner`."""
        if wanted.extraction is Extraction.FULL:
            return 0
        return self._client.dry_run(self._commit(wanted, None, pieces))

    def _assert_can_commit(self, wanted: Wanted, pieces: Iterable[Piece]) -> None:
        """Raise ConfigError if what is delivered could not be remembered for what may be billed. Once rows are sent,
        it is too late to ask: the statement that remembers them has no limit."""
        if wanted.max_bytes_billed is None:
            return
        size = self.commit_bytes(wanted, pieces)
        if size > wanted.max_bytes_billed:
            raise ConfigError(
                "bytes_billed_limit",
                f"To remember what is delivered, the run would read {size:,} bytes, and "
                f"{wanted.max_bytes_billed:,} may be billed.",
                hint="Nothing was sent. Raise the limit: --max-bytes-billed 20GB (or none) of sync edit or import "
                "edit, or that of its model.",
            )

    def _commit(self, wanted: Wanted, results: Place | None, pieces: Iterable[Piece]) -> str:
        plan, keys = self._of_run("plan", wanted.run), None
        covered = ranges.of_pieces(pieces)
        if wanted.extraction is Extraction.CURSOR:
            keys = self._few(plan_reads.changed_keys(plan, state_sql.CHANGES, _KEYS + 1), None)
        return state_sql.commit(plan, self._state, results, covered, wanted.number, keys)

    def _described(self, sql: str) -> Described:
        """The model as it was when the run began: one dry run tells whether it has changed, and what it gives."""
        if sql not in self._descriptions:
            self._descriptions[sql] = describe.described(self._client, sql)
        return self._descriptions[sql]

    def remembers(self) -> bool:
        """See `Planner`."""
        return self._client.get_table(self._dataset, self._state[2]) is not None

    def rows(self, wanted: Wanted, piece: Piece) -> PlanRows:
        """See `Planner`."""
        fields = self._shape(wanted).fields
        heads, columns = self._read(self._of_run("plan", wanted.run), piece, fields)
        return read.plan_rows(heads, columns, fields, wanted.key)

    def samples(self, wanted: Wanted, op: Op, limit: int, *, at_random: bool = False) -> Sequence[PlanRow]:
        """See `Planner`."""
        fields = self._shape(wanted).fields
        order = "RAND()" if at_random else "row_key"
        place = self._of_run("plan", wanted.run)
        found = self._ask(plan_reads.samples(place, op.value, limit, fields, order), wanted)
        return read.plan_rows(read.heads(found), read.of_query(found, fields), fields, wanted.key)

    def invalid(self, wanted: Wanted, limit: int) -> list[InvalidRow]:
        """See `Planner`."""
        fields = self._shape(wanted).fields
        made = quoted(*self._of_run("plan", wanted.run))
        found = self._ask(plan_reads.invalid(made, limit, plan_reads.texted(fields)), wanted)
        return read.invalid_rows(found, read.of_query(found, fields), fields)

    def commit(self, wanted: Wanted, unacknowledged: Iterable[Unacknowledged], pieces: Iterable[Piece]) -> str | None:
        """See `Planner`."""
        if wanted.extraction is Extraction.FULL and not wanted.written:
            return None
        with unacknowledged_rows.file(unacknowledged) as (path, rows, digest):
            results = None
            if rows:
                results = self._of_run(f"results_{digest[:12]}", wanted.run)
                self._load(path, results, wanted)
        name = results[2] if results else None
        if wanted.extraction is Extraction.FULL:
            return name
        self._client.query(
            self._commit(wanted, results, pieces),
            job_id=self._job(wanted.run, "commit"),
            permission="bigquery.tables.updateData",
            dataset=self._dataset,
            table=self._state[2],
            labels=self._labels(wanted.run),
        )
        return name

    def clean(self, wanted: Wanted) -> None:
        """See `Planner`."""
        ends = f"_{wanted.run.hex}"
        for name in self._client.list_tables(self._dataset):
            if name.endswith(ends) and name.startswith(("plan_", "looked_", "results_")):
                self._client.delete_table(self._dataset, name)

    def resend(self) -> None:
        """See `Planner`."""
        if self.remembers():
            self._change(state_sql.resend(self._state))

    def forget(self) -> None:
        """See `Planner`."""
        self._client.delete_table(self._dataset, self._state[2])

    def remove(self) -> None:
        """See `Planner`. What runs have left that did not end expires."""
        self.forget()

    def drop(self, keys: Iterable[str]) -> int:
        """See `Planner`."""
        return self._change_all(state_sql.drop, keys)

    def adopt(self, keys: Iterable[str]) -> int:
        """See `Planner`."""
        return self._change_all(state_sql.adopt, keys)

    def _change_all(self, statement: Callable[[Place, Sequence[str]], str], keys: Iterable[str]) -> int:
        """Change the state of rows. How many it were."""
        wanted = sorted(set(keys))
        if not self.remembers():
            return 0
        parts = [wanted[start : start + _KEYS] for start in range(0, len(wanted), _KEYS)]
        return sum(self._change(statement(self._state, part)) for part in parts)

    def _look(self, plan: plan_sql.Plan, wanted: Wanted) -> plan_sql.Plan:
        """A plan of the rows that a cursor has not passed, which are few: so that not all of the state is read."""
        looked = self._of_run("looked", wanted.run)
        self._make(plan_sql.look(plan, looked), wanted, "look")
        keys = self._few(plan_reads.looked_keys(looked, _KEYS + 1), wanted)
        return dataclasses.replace(plan, looked=looked, keys=keys)

    def _few(self, statement: str, wanted: Wanted | None) -> tuple[str, ...] | None:
        """Keys that a statement gives; None if they are too many to be named one by one."""
        keys = tuple(sorted(str(row["row_key"]) for row in self._ask(statement, wanted)))
        return keys if len(keys) <= _KEYS and sum(map(len, keys)) <= _KEYS_LENGTH else None

    def _make(self, statement: str, wanted: Wanted, what: str) -> None:
        """Make a table of the run, once."""
        self._client.query(
            statement,
            job_id=self._job(wanted.run, what),
            permission="bigquery.tables.create",
            dataset=self._dataset,
            labels=self._labels(wanted.run),
            max_bytes_billed=wanted.max_bytes_billed,
        )

    def _plan(self, wanted: Wanted, model: Shape) -> plan_sql.Plan:
        delivers = frozenset(op.value for op in wanted.delivers)
        if wanted.extraction is Extraction.FULL and delivers:
            delivers = frozenset({Op.ADDED.value})
        return plan_sql.Plan(
            sql=wanted.sql,
            plan=self._of_run("plan", wanted.run),
            state=None if wanted.extraction is Extraction.FULL else self._state,
            fields=model.fields,
            key=model.key,
            columns=model.columns,
            number=wanted.first_tried,
            delivers=delivers,
            leaves=wanted.leaves,
            cursor=model.cursor,
            position=wanted.position,
            unit=wanted.cursor_unit,
            overlap=wanted.cursor_overlap,
            only=wanted.only,
            order=model.order,
        )

    def _overview(self, plan: plan_sql.Plan, wanted: Wanted) -> summary.Summary:
        statement = plan_reads.overview(
            plan, quoted(*plan.plan), wanted.piece_rows, wanted.piece_bytes, plan_sql.BIGQUERY
        )
        rows = self._ask(statement, wanted)
        return summary.of_rows(rows, joined=plan.looks_at_all)

    def _shape(self, wanted: Wanted) -> Shape:
        """The columns of a plan that is there, of which the process may know nothing yet."""
        if wanted.run not in self._shapes:
            name = self._of_run("plan", wanted.run)[2]
            made = self._client.get_table(self._dataset, name)
            if made is None:
                raise NotFoundError(
                    "plan_gone",
                    f"The plan of this run is not there any more: {self._dataset}.{name}.",
                    hint=f"Plans are kept for {plan_sql.KEPT_DAYS} days. Run the sync again: nothing is lost.",
                )
            names = sorted({*wanted.columns, *wanted.key})
            known = {field.name: field for field in made.fields}
            fields = [dataclasses.replace(known[f"c{number}"], name=name) for number, name in enumerate(names)]
            self._shapes[wanted.run] = Shape(tuple(fields), wanted.key, tuple(sorted(set(wanted.columns))), None)
        return self._shapes[wanted.run]

    def _read(
        self, place: Place, piece: Piece, fields: Sequence[Field]
    ) -> tuple[list[tuple[Any, ...]], list[list[Any]]]:
        """Of each row of a piece what it is, and its columns. By the Storage Read API, or else by a query."""
        names = [*plan_reads.ROW, *(f"c{number}" for number in range(len(fields)))]
        if self._reads_rows:
            try:
                table = read_rows.table(self._client, place, names, plan_reads.within(piece.first, piece.last))
            except AccessError as error:
                if not read_rows.is_closed(error):
                    raise
                self._reads_rows = False
            else:
                return read.of_arrow(table, fields)
        found = self._ask(plan_reads.rows(place, piece.first, piece.last, fields))
        return read.heads(found), read.of_query(found, fields)

    def _make_state(self) -> None:
        layout = Layout(
            state_sql.STATE,
            cluster_by=("key",),
            description="What a sync of Tidemill has delivered. Do not change it.",
            labels={"tidemill_sync": label(self._sync.hex)},
        )
        self._client.create_table(self._dataset, self._state[2], layout)

    def _load(self, path: Path, into: Place, wanted: Wanted) -> None:
        layout = Layout(state_sql.UNACKNOWLEDGED, expires_seconds=_KEPT_SECONDS)
        self._client.create_table(self._dataset, into[2], layout)
        job_id = self._job(wanted.run, into[2].removesuffix(f"_{wanted.run.hex}"))
        labels = self._labels(wanted.run)
        self._client.load(path, Load(job_id, self._dataset, into[2], state_sql.UNACKNOWLEDGED, "PARQUET", labels))

    def _ask(self, statement: str, wanted: Wanted | None = None) -> list[dict[str, Any]]:
        """The rows of a statement, which is run each time. `wanted`: of the run whose limit it keeps to; None: rows of
        that run are on their way already, and it is not to be stopped."""
        answer = self._client.query(
            statement,
            job_id=f"tidemill_look_{uuid.uuid4().hex}",
            permission="bigquery.tables.getData",
            dataset=self._dataset,
            labels={"tidemill_sync": label(self._sync.hex)},
            max_bytes_billed=wanted.max_bytes_billed if wanted else None,
        )
        return [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]

    def _change(self, statement: str) -> int:
        """Change the state as somebody asked for; to do it twice is harmless. How many rows changed."""
        answer = self._client.query(
            statement,
            job_id=f"tidemill_state_{uuid.uuid4().hex}",
            permission="bigquery.tables.updateData",
            dataset=self._dataset,
            table=self._state[2],
            labels={"tidemill_sync": label(self._sync.hex)},
        )
        return answer.affected or 0

    def _place(self, table: str) -> Place:
        return (self._client.project, self._dataset, table)

    def _of_run(self, what: str, run: uuid.UUID) -> Place:
        return self._place(f"{what}_{run.hex}")

    def _job(self, run: uuid.UUID, what: str) -> str:
        return f"tidemill_sync_{self._sync.hex}_{run.hex}_{what}"

    def _labels(self, run: uuid.UUID) -> dict[str, str]:
        return {"tidemill_sync": label(self._sync.hex), "tidemill_run": label(run.hex)}
