"""The plan of a source that may only be read: its rows come here, and are held against a state that is a file.

The same rules and, but for where two kinds of SQL differ, the same statements as in the warehouse. Memory is that of
DuckDB, which is bounded; rows lie in files until they are read. See files.py on where, and why there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidemill.bigquery import describe, plan_reads, plan_sql, result_rows
from tidemill.bigquery.describe import Described
from tidemill.bigquery.names import label
from tidemill.bigquery.tables import Field
from tidemill.destinations.port import Op
from tidemill.errors import NotFoundError
from tidemill.events import duck
from tidemill.reverse_etl import freshness
from tidemill.reverse_etl.plan import local_sql, ranges, read, shape, summary, values
from tidemill.reverse_etl.plan import unacknowledged as unacknowledged_rows
from tidemill.reverse_etl.plan.files import Files
from tidemill.reverse_etl.plan.port import (
    MOST_INVALID,
    Counts,
    InvalidRow,
    Piece,
    Planned,
    PlanRow,
    PlanRows,
    Unacknowledged,
    Wanted,
)
from tidemill.reverse_etl.plan.shape import Shape
from tidemill.reverse_etl.spec import Extraction
from tidemill.settings import private_folder

if TYPE_CHECKING:
    import duckdb

    from tidemill.bigquery.client import Client
    from tidemill.events.data.objects import Objects
    from tidemill.settings import Settings

_HEADS = "bucket, kind, deliver, known, retried, row_key, row_hash, since, row_count, cursor_value"


class LocalPlanner:
    """See `Planner`. `objects`: where the event store's files lie, of all machines of the installation."""

    def __init__(self, client: Client, objects: Objects, settings: Settings, sync: uuid.UUID) -> None:
        self._client, self._settings, self._sync = client, settings, sync
        self._files = Files(objects, sync)
        self._descriptions: dict[str, Described] = {}

    def fingerprint(self, wanted: Wanted) -> str | None:
        """See `Planner`."""
        return freshness.fingerprint(self._client, wanted.sql, lambda: self._described(wanted.sql))

    def billed(self) -> int:
        """See `Planner`."""
        return self._client.take_billed()

    def _described(self, sql: str) -> Described:
        """The model as it was when the run began: one dry run tells whether it has changed, and what it gives."""
        if sql not in self._descriptions:
            self._descriptions[sql] = describe.described(self._client, sql)
        return self._descriptions[sql]

    def plan(self, wanted: Wanted) -> Planned:
        """See `Planner`."""
        if said := self._files.described(wanted.run):
            return _planned(said)
        model = shape.of_model(wanted, self._described(wanted.sql).columns)
        plan = self._plan(wanted, model)
        with self._duck() as (cursor, folder):
            self._fetch(wanted, plan, folder / "model.parquet")
            self._open_state(cursor, folder)
            rows = local_sql.model(folder / "model.parquet", plan)
            found = self._make(cursor, plan, rows, wanted)
            if not found.is_exact:
                found = self._make(cursor, dataclasses.replace(plan, exact=True), plan_sql.counted(rows), wanted)
            planned = Planned(found.counts, found.pieces, found.known, self.billed(), found.upto)
            self._keep(cursor, folder, wanted, model, planned)
        return planned

    def remembers(self) -> bool:
        """See `Planner`."""
        return self._files.newest() is not None

    def rows(self, wanted: Wanted, piece: Piece) -> PlanRows:
        """See `Planner`."""
        import pyarrow.parquet as pq  # 50 ms

        fields = self._fields(wanted)
        with self._folder() as folder:
            path = folder / "piece.parquet"
            self._files.get_piece(wanted.run, piece.number, path)
            table = pq.read_table(path)
        heads, columns = read.of_arrow(table, fields)
        return read.plan_rows(heads, columns, fields, wanted.key)

    def samples(self, wanted: Wanted, op: Op, limit: int, *, at_random: bool = False) -> Sequence[PlanRow]:
        """See `Planner`."""
        which = f"deliver AND kind = '{op.value}'"
        order = "random()" if at_random else "row_key"
        with self._duck() as (cursor, folder):
            self._open_heads(cursor, folder, wanted)
            first = f"SELECT bucket, row_key FROM plan WHERE {which} ORDER BY {order} LIMIT {limit}"
            chosen = {str(key): int(bucket) for bucket, key in cursor.execute(first).fetchall()}
        pieces = [Piece(**piece) for piece in self._said(wanted)["pieces"]]
        held = [one for one in pieces if any(one.first <= bucket <= one.last for bucket in chosen.values())]
        return sorted(
            (row for piece in held for row in self.rows(wanted, piece) if row.key in chosen), key=lambda row: row.key
        )

    def invalid(self, wanted: Wanted, limit: int) -> list[InvalidRow]:
        """See `Planner`."""
        import pyarrow.parquet as pq  # 50 ms

        fields = self._fields(wanted)
        with self._folder() as folder:
            path = folder / "invalid.parquet"
            self._files.get_invalid(wanted.run, path)
            table = pq.read_table(path)
        columns = [
            values.of_column(table.column(f"c{number}").to_pylist(), field) for number, field in enumerate(fields)
        ]
        rows = table.select(["row_key", "kind", "row_hash", "row_count", "shown"]).to_pylist()
        return read.invalid_rows(rows, columns, fields)[:limit]

    def _fields(self, wanted: Wanted) -> list[Field]:
        return [_field(one) for one in self._said(wanted)["fields"]]

    def commit(self, wanted: Wanted, unacknowledged: Iterable[Unacknowledged], pieces: Iterable[Piece]) -> None:
        """See `Planner`."""
        newest = self._files.newest()
        if wanted.extraction is Extraction.FULL or (newest and newest[0] >= wanted.number):
            return
        self._said(wanted)
        covered = ranges.of_pieces(pieces)
        with self._duck() as (cursor, folder), unacknowledged_rows.file(unacknowledged) as (path, rows, _):
            self._open_heads(cursor, folder, wanted)
            self._open_state(cursor, folder)
            if rows:
                cursor.execute(f"CREATE VIEW unacknowledged AS SELECT * FROM read_parquet({duck.literal(str(path))})")
            after = local_sql.commit("unacknowledged" if rows else None, covered, wanted.number)
            self._put_state(cursor, folder, after, (wanted.number, 0))

    def commit_bytes(self, wanted: Wanted, pieces: Iterable[Piece]) -> int:  # noqa: ARG002 - as all have it
        """See `Planner`. The state is a file."""
        return 0

    def clean(self, wanted: Wanted) -> None:
        """See `Planner`."""
        self._files.remove_plan(wanted.run)

    def resend(self) -> None:
        """See `Planner`."""
        self._change("SELECT * REPLACE (IF(hash IS NULL, NULL, '') AS hash, NULL::VARCHAR AS dropped_hash) FROM state")

    def forget(self) -> None:
        """See `Planner`."""
        self._files.forget()

    def remove(self) -> None:
        """See `Planner`."""
        self._files.remove()

    def drop(self, keys: Iterable[str]) -> int:
        """See `Planner`."""
        return self._change_all("dropped_hash IS NULL", {"dropped_hash": "failed_hash"}, keys)

    def adopt(self, keys: Iterable[str]) -> int:
        """See `Planner`."""
        return self._change_all("failed_op != 'deleted'", local_sql.ADOPTED, keys)

    def _change_all(self, condition: str, values_of: Mapping[str, str], keys: Iterable[str]) -> int:
        """Change columns of the state of rows that were not taken. How many it were."""
        import pyarrow as pa  # 50 ms

        given = pa.table({"key": pa.array(sorted(set(keys)), pa.string())})
        which = f"failed_hash IS NOT NULL AND {condition} AND key IN (SELECT key FROM given)"
        changed = ", ".join(f'IF({which}, {value}, "{name}") AS "{name}"' for name, value in values_of.items())
        counting = f"SELECT count(*) FROM state WHERE {which}"
        return self._change(f"SELECT * REPLACE ({changed}) FROM state", given, counting)

    def _change(self, statement: str, given: Any = None, counting: str = "") -> int:
        """Change the state between runs, if there is one. How many rows are counted."""
        newest = self._files.newest()
        if newest is None:
            return 0
        with self._duck() as (cursor, folder):
            self._open_state(cursor, folder)
            if given is not None:
                cursor.register("given", given)
            count = cursor.execute(counting).fetchall()[0][0] if counting else 0
            if count or not counting:
                self._put_state(cursor, folder, statement, (newest[0], newest[1] + 1))
        return int(count)

    def _plan(self, wanted: Wanted, model: Shape) -> plan_sql.Plan:
        delivers = frozenset(op.value for op in wanted.delivers)
        full = wanted.extraction is Extraction.FULL
        nowhere = ("", "", "")
        return plan_sql.Plan(
            sql=wanted.sql,
            plan=nowhere,
            state=None if full else nowhere,
            fields=model.fields,
            key=model.key,
            columns=model.columns,
            number=wanted.first_tried,
            delivers=frozenset({Op.ADDED.value}) if full and delivers else delivers,
            leaves=wanted.leaves,
            cursor=model.cursor,
            position=wanted.position,
            unit=wanted.cursor_unit,
            overlap=wanted.cursor_overlap,
            only=wanted.only,
            order=model.order,
        )

    def _fetch(self, wanted: Wanted, plan: plan_sql.Plan, path: Path) -> None:
        """Have the model's rows here, with keys and hashes, which BigQuery makes."""
        import pyarrow.parquet as pq  # 50 ms

        cursors = [dataclasses.replace(plan.cursor or Field("", "INT64"), name="cursor_value")]
        cursors += [Field("cursor_ahead", "BOOL")] if plan.cursor else []
        cursors += [Field("order_value", "INT64")] if plan.order else []
        columns = [dataclasses.replace(field, name=f"c{number}") for number, field in enumerate(plan.fields)]
        fields = [Field("model_key", "STRING"), Field("model_hash", "STRING"), *cursors, *columns]
        result = result_rows.run(
            self._client,
            plan_sql.model(plan),
            job_id=f"tidemill_sync_{self._sync.hex}_{wanted.run.hex}_model",
            labels={"tidemill_sync": label(self._sync.hex), "tidemill_run": label(wanted.run.hex)},
            max_bytes_billed=wanted.max_bytes_billed,
        )
        with pq.ParquetWriter(path, result_rows.arrow_schema(fields), compression="zstd") as writer:
            for batch in result.batches(fields):
                writer.write_batch(batch)

    def _make(
        self, cursor: duckdb.DuckDBPyConnection, plan: plan_sql.Plan, rows: str, wanted: Wanted
    ) -> summary.Summary:
        """The table `plan`."""
        state = None if plan.state is None else "state"
        cursor.execute(f"CREATE OR REPLACE TEMP TABLE plan AS {plan_sql.select(plan, rows, state, local_sql.DUCKDB)}")
        statement = plan_reads.overview(plan, "plan", wanted.piece_rows, wanted.piece_bytes, local_sql.DUCKDB)
        asked = cursor.execute(statement)
        names = [column[0] for column in asked.description or ()]
        found = [dict(zip(names, row, strict=True)) for row in asked.fetchall()]
        return summary.of_rows(found, joined=plan.looks_at_all)

    def _keep(
        self, cursor: duckdb.DuckDBPyConnection, folder: Path, wanted: Wanted, model: Shape, planned: Planned
    ) -> None:
        """Keep the plan where all machines see it."""
        heads = folder / "heads.parquet"
        _copy(cursor, f"SELECT {_HEADS} FROM plan", heads)
        invalid = folder / "invalid.parquet"
        _copy(
            cursor,
            plan_reads.invalid("plan", MOST_INVALID, [f"c{number}" for number in range(len(model.fields))]),
            invalid,
        )
        cursor.execute("CREATE OR REPLACE TEMP TABLE delivered AS SELECT * FROM plan WHERE deliver ORDER BY bucket")
        paths = []
        for piece in planned.pieces:
            paths.append(folder / f"piece-{piece.number}.parquet")
            _copy(cursor, f"SELECT * FROM delivered WHERE bucket BETWEEN {piece.first} AND {piece.last}", paths[-1])
        said = {
            "counts": dataclasses.asdict(planned.counts),
            "pieces": [dataclasses.asdict(piece) for piece in planned.pieces],
            "known": planned.known,
            "bytes_billed": planned.bytes_billed,
            "upto": planned.upto,
            "fields": [dataclasses.asdict(field) for field in model.fields],
        }
        self._files.put_plan(wanted.run, heads, invalid, paths, said)

    def _said(self, wanted: Wanted) -> dict[str, Any]:
        said = self._files.described(wanted.run)
        if said is None:
            raise NotFoundError(
                "plan_gone", "The plan of this run is not there any more.", hint="Run the sync again: nothing is lost."
            )
        return said

    def _open_heads(self, cursor: duckdb.DuckDBPyConnection, folder: Path, wanted: Wanted) -> None:
        path = folder / "heads.parquet"
        self._files.get_heads(wanted.run, path)
        cursor.execute(f"CREATE VIEW plan AS SELECT * FROM read_parquet({duck.literal(str(path))})")

    def _open_state(self, cursor: duckdb.DuckDBPyConnection, folder: Path) -> None:
        """The table `state`: the newest, or an empty one."""
        newest = self._files.newest()
        if newest is None:
            cursor.execute(local_sql.create_state())
            return
        path = folder / "state.parquet"
        self._files.get_state(newest, path)
        cursor.execute(f"CREATE VIEW state AS SELECT * FROM read_parquet({duck.literal(str(path))})")

    def _put_state(
        self, cursor: duckdb.DuckDBPyConnection, folder: Path, statement: str, which: tuple[int, int]
    ) -> None:
        path = folder / "new.parquet"
        _copy(cursor, statement, path)
        self._files.put_state(which, path)

    @contextlib.contextmanager
    def _folder(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(dir=private_folder(self._settings.spill_path), prefix="sync-") as name:
            yield Path(name)

    @contextlib.contextmanager
    def _duck(self) -> Iterator[tuple[duckdb.DuckDBPyConnection, Path]]:
        """A DuckDB of its own, which nothing is left of, and a folder."""
        with (
            self._folder() as folder,
            duck.translated(),
            contextlib.closing(duck.connect(self._settings)) as connection,
            duck.interruptible(connection, self._client.cancelled),
        ):
            yield connection, folder


def _copy(cursor: duckdb.DuckDBPyConnection, statement: str, path: Path) -> None:
    cursor.execute(f"COPY ({statement}) TO {duck.literal(str(path))} (FORMAT parquet, COMPRESSION zstd)")


def _planned(said: dict[str, Any]) -> Planned:
    return Planned(
        Counts(**said["counts"]),
        tuple(Piece(**piece) for piece in said["pieces"]),
        said["known"],
        said["bytes_billed"],
        said["upto"],
    )


def _field(said: dict[str, Any]) -> Field:
    return Field(**{**said, "fields": tuple(_field(inner) for inner in said["fields"])})
