"""Rows as Arrow record batches, which write streams take: read in the order of their places, or in any order in bounded
memory; and as many at a time as one request brings. See sendable.py for what is made of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tidemill.events import chunks, duck, sendable
from tidemill.events.sendable import Rows
from tidemill.events.sources import custom_sql
from tidemill.events.sources.custom import CustomSource
from tidemill.models.model import Column

if TYPE_CHECKING:
    import datetime as dt

    import duckdb

    from tidemill.events.lake import Lake
    from tidemill.events.sources.source import Gathering, Selection

#: Rows that DuckDB gives in one piece, if it need not be a small one.
_MANY = 20_000
_GATHERED = "SELECT * FROM gathered"  # of a source that has put its rows into a table already
#: So many rows of an answer lie in memory at once: of rows up to so many bytes, and of larger ones.
_SMALL_BYTES, _SMALL_ROWS, _LARGE_ROWS = 32 * 1024, 512, 4


#: To be closed, if it is not read to its end.
Reading = Generator[Rows, None, None]


def ordered(
    lake: Lake,
    source: Gathering,
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
    return sendable.fit(found[0] if len(found) == 1 else pa.concat_batches(found), columns, max_row_bytes)


def pieces(
    lake: Lake,
    source: Gathering,
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
    return [sendable.fit(batch, columns, max_row_bytes) for batch in found]


def _in_order(
    lake: Lake,
    source: Gathering,
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
    source: Gathering,
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
                        yield sendable.fit(batch, columns, max_row_bytes)
            if rejected := list(chunks.too_large(cursor, rows, columns, max_row_bytes)):
                yield sendable.nothing_but(rejected, columns)
    except (duckdb.DataError, duckdb.ProgrammingError) as error:
        if isinstance(source, CustomSource):
            raise custom_sql.failed(error) from None
        raise


def _kept(cursor: duckdb.DuckDBPyConnection, source: Gathering, selection: Selection, handed_at: dt.datetime) -> str:
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
                yield sendable.joined(held)
                held, left = [], size
            held.append(part)
            left -= number
    if held:
        yield sendable.joined(held)


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


def _select(source: Gathering, columns: Sequence[Column]) -> str:
    """A query, with {} in place of the rows. A REPEATED column has no NULL."""
    names = [f'coalesce("{c.name}", []) AS "{c.name}"' if c.repeated else f'"{c.name}"' for c in columns]
    place = ["row_change", "row_number"] if source.ordered else []
    suspect = chunks.suspect(columns).replace("{", "{{").replace("}", "}}")
    return f"SELECT {', '.join([*names, 'row_team', 'row_id', *place])}, {suspect} AS row_suspect FROM ({{}})"
