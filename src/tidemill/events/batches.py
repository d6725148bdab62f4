"""Rows as Arrow record batches, which write streams take, made fit: what cannot be sent is told with its reason.

A JSON column takes text here ("Storage Write API": supported data types, Arrow), which must fit BigQuery's JSON type:
rows that may not are taken apart in Python (see json_repair).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.errors import RowError
from tidemill.events import chunks, duck, json_repair, row_sizes
from tidemill.events.chunks import RejectedRow
from tidemill.events.sources import custom_sql
from tidemill.events.sources.custom import CustomSource
from tidemill.models.model import Column
from tidemill.models.types import Type

if TYPE_CHECKING:
    import datetime as dt

    import duckdb
    import numpy.typing as npt

    from tidemill.events.lake import Lake
    from tidemill.events.sources.source import Selection, Source

    Numbers = npt.NDArray[np.int64]

#: What goes into a column of each type ("Storage Write API": supported data types, Arrow).
_TYPES: dict[Type, pa.DataType] = {
    Type.STRING: pa.string(),
    Type.INT64: pa.int64(),
    Type.FLOAT64: pa.float64(),
    Type.NUMERIC: pa.decimal128(38, 9),
    Type.BIGNUMERIC: pa.decimal256(76, 38),
    Type.BOOL: pa.bool_(),
    Type.TIMESTAMP: pa.timestamp("us", tz="UTC"),
    Type.DATE: pa.date32(),
    Type.DATETIME: pa.timestamp("us"),
    Type.JSON: pa.string(),
}
#: Rows that DuckDB gives in one piece, if it need not be a small one.
_MANY = 20_000
_RAW = 1000  # characters of a row that is set aside
_GATHERED = "SELECT * FROM gathered"  # of a source that has put its rows into a table already
#: So many rows of an answer lie in memory at once: of rows up to so many bytes, and of larger ones.
_SMALL_BYTES, _SMALL_ROWS, _LARGE_ROWS = 32 * 1024, 512, 4


@dataclasses.dataclass(frozen=True)
class Rows:
    """Rows that can be sent, and those that cannot.

    `sizes`: bytes of each row; `teams`, `ids`: what names it; `changes`, `numbers`: its place in the order of rows (of
    sources that have one). `repaired`: how many were changed to fit the JSON type.
    """

    batch: pa.RecordBatch
    sizes: Numbers
    teams: pa.Array
    ids: pa.Array
    changes: Numbers
    numbers: Numbers
    rejected: tuple[RejectedRow, ...]
    repaired: int

    def slice(self, start: int, end: int) -> Rows:
        """Those from `start` up to before `end`; nothing is copied, and none of them is set aside."""
        return dataclasses.replace(
            self,
            batch=self.batch.slice(start, end - start),
            sizes=self.sizes[start:end],
            teams=self.teams.slice(start, end - start),
            ids=self.ids.slice(start, end - start),
            changes=self.changes[start:end],
            numbers=self.numbers[start:end],
            rejected=(),
            repaired=0,
        )

    def without(self, places: Sequence[int]) -> Rows:
        """All but those at these places; none of them is set aside."""
        left = np.ones(len(self.sizes), np.bool_)
        left[list(places)] = False
        mask = pa.array(left)
        return dataclasses.replace(
            self,
            batch=self.batch.filter(mask),
            sizes=self.sizes[left],
            teams=self.teams.filter(mask),
            ids=self.ids.filter(mask),
            changes=self.changes[left],
            numbers=self.numbers[left],
            rejected=(),
            repaired=0,
        )

    def rejects(self, places: Sequence[tuple[int, str]], code: str) -> tuple[RejectedRow, ...]:
        """The rows at these places, each with why it is set aside."""
        text = next((name for name in ("properties", "event_properties") if name in self.batch.schema.names), None)
        found = []
        for place, why in places:
            raw = str(self.batch.column(text)[place].as_py() or "")[:_RAW] if text else ""
            found.append(RejectedRow(self.teams[place].as_py(), self.ids[place].as_py(), code, why, raw))
        return tuple(found)


#: To be closed, if it is not read to its end.
Reading = Generator[Rows, None, None]


def schema(columns: Sequence[Column]) -> pa.Schema:
    """The Arrow schema of these columns."""
    kinds = ((c, _TYPES[c.type]) for c in columns)
    return pa.schema([pa.field(c.name, pa.list_(kind) if c.repeated else kind) for c, kind in kinds])


def ordered(
    lake: Lake,
    source: Source,
    selection: Selection,
    columns: Sequence[Column],
    *,
    handed_at: dt.datetime,
    max_row_bytes: int,
    cancelled: Callable[[], bool] = lambda: False,
) -> Rows:
    """The selected rows in the order of their places: all at once, so the selection must be small. See Source.ordered.

    Raises
    ------
    Cancelled
        `cancelled`, which is asked now and then, said so.
    """
    found = _in_order(lake, source, selection, columns, handed_at, _MANY, cancelled)
    return _fit(found[0] if len(found) == 1 else pa.concat_batches(found), columns, max_row_bytes)


def pieces(
    lake: Lake,
    source: Source,
    selection: Selection,
    columns: Sequence[Column],
    *,
    handed_at: dt.datetime,
    max_row_bytes: int,
    rows_at_once: int,
    cancelled: Callable[[], bool] = lambda: False,
) -> list[Rows]:
    """The same in pieces of so many rows, as DuckDB gives them: they are not copied together, and come sooner.

    Raises
    ------
    Cancelled
        `cancelled`, which is asked now and then, said so.
    """
    found = _in_order(lake, source, selection, columns, handed_at, rows_at_once, cancelled)
    return [_fit(batch, columns, max_row_bytes) for batch in found]


def _in_order(
    lake: Lake,
    source: Source,
    selection: Selection,
    columns: Sequence[Column],
    handed_at: dt.datetime,
    rows_at_once: int,
    cancelled: Callable[[], bool],
) -> list[pa.RecordBatch]:
    """The selected rows by their places; one batch at least.

    Where one thread reads, they mostly come in order, as they lie in the files; they are sorted only if they do not.
    """
    with lake.cursor() as cursor, duck.interruptible(cursor, cancelled):
        rows = source.gathered(cursor, selection, handed_at)
        # Asked by a relation, DuckDB makes Arrow's batches while it reads; else it keeps a copy of its own before.
        table = cursor.sql(_select(source, columns).format(rows)).to_arrow_table(rows_at_once)
    found = table.to_batches() or [pa.RecordBatch.from_pylist([], table.schema)]
    found = sorted(found, key=_first_place)
    if not _is_in_order(found):
        whole = pa.concat_batches(found)
        places = [whole.column(name).to_numpy() for name in ("row_number", "row_change")]
        whole = whole.take(pa.array(np.lexsort(places)))
        found = [whole.slice(first, rows_at_once) for first in range(0, whole.num_rows, rows_at_once)]
    return found


def _first_place(batch: pa.RecordBatch) -> tuple[int, int]:
    if not batch.num_rows:
        return 0, 0
    return batch.column("row_change")[0].as_py(), batch.column("row_number")[0].as_py()


def _is_in_order(found: Sequence[pa.RecordBatch]) -> bool:
    changes = np.concatenate([batch.column("row_change").to_numpy() for batch in found])
    numbers = np.concatenate([batch.column("row_number").to_numpy() for batch in found])
    later = changes[1:] > changes[:-1]
    return bool((later | ((changes[1:] == changes[:-1]) & (numbers[1:] >= numbers[:-1]))).all())


def unordered(
    lake: Lake,
    source: Source,
    selection: Selection,
    columns: Sequence[Column],
    *,
    handed_at: dt.datetime,
    max_row_bytes: int,
    folded: Callable[[int], None] = lambda _: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Reading:
    """The selected rows, some at a time, in bounded memory, however large they are.

    `folded`: is told how many rows of a query had the key of another one, which stayed. `cancelled` is asked now and
    then.

    Raises
    ------
    ConfigError
        The query of an export fails over these events.
    Cancelled
        `cancelled` said so.
    """
    import duckdb  # 60 ms

    try:
        with lake.cursor() as cursor, duck.interruptible(cursor, cancelled):
            cursor.execute("SET enable_caching_operators = false")  # few rows at once are few because they are large
            rows = _kept(cursor, source, selection, handed_at)
            if isinstance(source, CustomSource):
                folded(source.folded(cursor))
            for which, at_once in _passes(cursor, rows, max_row_bytes):
                query = _select(source, columns).format(rows)
                for batch in cursor.execute(f"{query} WHERE {which}").to_arrow_reader(at_once):
                    if batch.num_rows:
                        yield _fit(batch, columns, max_row_bytes)
            if rejected := list(chunks.too_large(cursor, rows, columns, max_row_bytes)):
                yield _set_aside(rejected, columns)
    except (duckdb.DataError, duckdb.ProgrammingError) as error:
        if isinstance(source, CustomSource):
            raise custom_sql.failed(error) from None
        raise


def _kept(cursor: duckdb.DuckDBPyConnection, source: Source, selection: Selection, handed_at: dt.datetime) -> str:
    """A SELECT of the rows, that may be asked more than once: of those that it is costly to make, or that would be
    others the next time, out of a table of the cursor, which DuckDB puts on disk when memory is short.
    """
    rows = source.gathered(cursor, selection, handed_at)
    if source.direct or rows == _GATHERED:
        return rows
    cursor.execute(f"CREATE TEMP TABLE kept AS {rows}")
    return "SELECT * FROM kept"


def _passes(cursor: duckdb.DuckDBPyConnection, rows: str, limit: int) -> Iterator[tuple[str, int]]:
    """Conditions on the rows, each with how many of them may be in memory at once."""
    largest = cursor.execute(f"SELECT max(bytes) FROM ({rows})").fetchall()[0][0] or 0
    yield f"(bytes <= {min(_SMALL_BYTES, limit)}) IS NOT FALSE", _SMALL_ROWS
    if largest > _SMALL_BYTES:
        yield f"bytes > {_SMALL_BYTES} AND bytes <= {limit}", _LARGE_ROWS


def _set_aside(rejected: list[RejectedRow], columns: Sequence[Column]) -> Rows:
    """No rows, but those that are set aside."""
    nothing, texts = np.zeros(0, np.int64), pa.array([], pa.string())
    batch = pa.RecordBatch.from_pylist([], schema(columns))
    return Rows(batch, nothing, pa.array([], pa.int64()), texts, nothing, nothing, tuple(rejected), 0)


def requests(found: Iterable[Rows], size: int) -> Reading:
    """The same rows, as many at a time as have about so many bytes: what one request brings. Several if they are small,
    and one alone if it has more; none if there are only such that are set aside.
    """
    held: list[Rows] = []
    left = size
    for rows in found:
        for part in _pieces(rows, size):
            number = int(part.sizes.sum())
            if held and number > left:
                yield _joined(held)
                held, left = [], size
            held.append(part)
            left -= number
    if held:
        yield _joined(held)


def _pieces(rows: Rows, size: int) -> Iterator[Rows]:
    """Parts of no more bytes than that, unless a row alone has more. What is set aside is with the first."""
    ends = np.cumsum(rows.sizes)
    start = 0
    while start == 0 or start < len(ends):
        before = ends[start - 1] if start else 0
        end = max(start + 1, int(np.searchsorted(ends, before + size, "right")))
        part = rows if start == 0 and end >= len(ends) else rows.slice(start, end)
        yield dataclasses.replace(part, rejected=rows.rejected, repaired=rows.repaired) if start == 0 else part
        start = end


def _joined(parts: Sequence[Rows]) -> Rows:
    if len(parts) == 1:
        return parts[0]
    batches = pa.Table.from_batches([part.batch for part in parts]).combine_chunks().to_batches()
    return Rows(
        batch=batches[0] if batches else parts[0].batch,
        sizes=np.concatenate([part.sizes for part in parts]),
        teams=_concatenated([part.teams for part in parts]),
        ids=_concatenated([part.ids for part in parts]),
        changes=np.concatenate([part.changes for part in parts]),
        numbers=np.concatenate([part.numbers for part in parts]),
        rejected=tuple(row for part in parts for row in part.rejected),
        repaired=sum(part.repaired for part in parts),
    )


def _concatenated(arrays: Sequence[pa.Array]) -> pa.Array:
    """One of several; those that are not of the last one's type (of no rows, or texts of another width) become so."""
    return pa.concat_arrays([array.cast(arrays[0].type) for array in arrays])


def _select(source: Source, columns: Sequence[Column]) -> str:
    """A query, with {} in place of the rows. A REPEATED column has no NULL."""
    names = [f'coalesce("{c.name}", []) AS "{c.name}"' if c.repeated else f'"{c.name}"' for c in columns]
    place = ["row_change", "row_number"] if source.ordered else []
    suspect = chunks.suspect(columns).replace("{", "{{").replace("}", "}}")
    return f"SELECT {', '.join([*names, 'row_team', 'row_id', *place])}, {suspect} AS row_suspect FROM ({{}})"


def _fit(found: pa.RecordBatch, columns: Sequence[Column], limit: int) -> Rows:
    """The rows of an answer, in the types of the columns."""
    nothing = np.zeros(found.num_rows, np.int64)
    placed = "row_change" in found.schema.names
    wanted = schema(columns)
    rows = Rows(
        batch=pa.RecordBatch.from_arrays(
            [found.column(field.name).cast(field.type) for field in wanted], schema=wanted
        ),
        sizes=nothing,
        teams=found.column("row_team"),
        ids=found.column("row_id"),
        changes=found.column("row_change").to_numpy() if placed else nothing,
        numbers=found.column("row_number").to_numpy().astype(np.int64) if placed else nothing,
        rejected=(),
        repaired=0,
    )
    suspects = np.flatnonzero(found.column("row_suspect").to_numpy(zero_copy_only=False))
    rejected: list[RejectedRow] = []
    repaired = 0
    if len(suspects):
        rows, rejected, repaired = _repaired(rows, suspects.tolist(), columns)
    rows = dataclasses.replace(rows, sizes=row_sizes.of(rows.batch))
    if (large := np.flatnonzero(rows.sizes > limit)).size:
        why = [(int(n), f"The row has {rows.sizes[n]:,} bytes; the limit is {limit:,}.") for n in large]
        rejected += rows.rejects(why, "row_too_large")
        rows = rows.without([place for place, _ in why])
    return dataclasses.replace(rows, rejected=tuple(rejected), repaired=repaired)


def _repaired(rows: Rows, suspects: list[int], columns: Sequence[Column]) -> tuple[Rows, list[RejectedRow], int]:
    """The rows with the texts of suspects made fit; those that cannot be; and how many were changed."""
    changed: set[int] = set()
    wrong: dict[int, RowError] = {}
    arrays = list(rows.batch.columns)
    for at, column in enumerate(columns):
        if column.type is not Type.JSON:
            continue
        texts = {}
        for place in suspects:
            value = arrays[at][place].as_py()
            try:
                fit = json_repair.repair(value) if value is not None else None
            except RowError as error:
                wrong.setdefault(place, error)
                continue
            if fit is not None and fit.rules:
                changed.add(place)
                texts[place] = fit.text
        if texts:
            mask = np.zeros(len(arrays[at]), np.bool_)
            mask[list(texts)] = True
            new = pa.array([texts[place] for place in sorted(texts)], pa.string())
            arrays[at] = pc.replace_with_mask(arrays[at], pa.array(mask), new)
    rows = dataclasses.replace(rows, batch=pa.RecordBatch.from_arrays(arrays, schema=rows.batch.schema))
    rejected = [one for place, error in wrong.items() for one in rows.rejects([(place, error.message)], error.code)]
    return (rows.without(list(wrong)) if wrong else rows), rejected, len(changed - wrong.keys())
