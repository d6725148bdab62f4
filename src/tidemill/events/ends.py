"""The first and the last value of columns of what is loaded, or sent: within them lies all that a MERGE may touch.

They are read out of the file, or the batches, themselves. To ask the source again would be wrong: of a person only the
newest state is kept, and one that has changed since is in the file, and no longer among the rows that it was made of.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidemill.events import duck
from tidemill.models.model import Column
from tidemill.models.types import Type

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

Value = dt.datetime | dt.date | int | str
#: Of each column the first and the last value, as texts: so they are kept.
Ends = dict[str, tuple[str, str]]

_READ: Mapping[Type, tuple[str, Callable[[str], Value]]] = {
    Type.STRING: ("VARCHAR", str),
    Type.INT64: ("BIGINT", int),
    Type.DATE: ("DATE", dt.date.fromisoformat),
    Type.TIMESTAMP: ("TIMESTAMPTZ", dt.datetime.fromisoformat),
}
_LONGEST_TEXT = 1000  # a longer one would make the statement long
_LONGEST_LINE = 32 * 1024 * 1024  # DuckDB takes several times that


def of_file(cursor: duckdb.DuckDBPyConnection, path: Path, *, parquet: bool, columns: Sequence[Column]) -> Ends:
    """Of those of the columns that have an order: what texts have is that of their bytes, as in BigQuery.

    None of a column without values, with a very long one, or if a line of the file is too long to be read again.
    """
    import duckdb  # 60 ms

    wanted = [column for column in columns if column.type in _READ and not column.repeated]
    if not wanted:
        return {}
    names = [f'"{column.name}"' for column in wanted]
    read = f"read_parquet({duck.literal(str(path))})"
    if not parquet:
        kinds = ", ".join(f"{duck.literal(column.name)}: 'VARCHAR'" for column in wanted)
        read = (
            f"read_json({duck.literal(str(path))}, format = 'newline_delimited', columns = {{{kinds}}}, "
            f"maximum_object_size = {_LONGEST_LINE})"
        )
    typed = [f"{name}::{_READ[column.type][0]}" for name, column in zip(names, wanted, strict=True)]
    asked = ", ".join(f"min({value})::VARCHAR, max({value})::VARCHAR" for value in typed)
    try:
        found = cursor.execute(f"SELECT {asked} FROM {read}").fetchall()[0]
    except duckdb.InvalidInputException:  # of JSON: the line is too long
        return {}
    pairs = zip(wanted, found[::2], found[1::2], strict=True)
    return {c.name: (first, last) for c, first, last in pairs if _fits(c, first) and _fits(c, last)}


class Seen:
    """The ends of columns of record batches, as `of_file` has them."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = [column for column in columns if column.type in _READ and not column.repeated]
        self._found: dict[str, tuple[Value, Value]] = {}
        self._unknown: set[str] = set()

    def add(self, batch: pa.RecordBatch) -> None:
        """See these rows, too."""
        import pyarrow.compute as pc  # 50 ms

        for name in (column.name for column in self._columns):
            try:
                ends = pc.min_max(batch.column(name)).as_py()
            except (ValueError, OverflowError):  # a time that Python has not
                self._unknown.add(name)
                continue
            if ends["min"] is not None:
                both = [ends["min"], ends["max"], *self._found.get(name, ())]
                self._found[name] = (min(both, key=_order), max(both, key=_order))

    def ends(self) -> Ends:
        """Those of all rows that were seen."""
        known = {name: (_text(first), _text(last)) for name, (first, last) in self._found.items()}
        sure = [column for column in self._columns if column.name in known.keys() - self._unknown]
        return {c.name: known[c.name] for c in sure if all(_fits(c, end) for end in known[c.name])}


def _text(value: Value) -> str:
    return value.isoformat() if isinstance(value, dt.date) else str(value)


def _fits(column: Column, value: str | None) -> bool:
    if value is None or len(value) > _LONGEST_TEXT or "\0" in value:
        return False
    try:
        _READ[column.type][1](value)
    except ValueError:  # a time that BigQuery has not, either
        return False
    return True


def joined(columns: Sequence[Column], many: Sequence[Mapping[str, Sequence[str]]]) -> dict[str, tuple[Value, Value]]:
    """The ends of several files together; of columns that all of them have, in their types."""
    found: dict[str, tuple[Value, Value]] = {}
    for column in columns:
        if many and all(column.name in each for each in many):
            read = _READ[column.type][1]
            first, last = ([read(each[column.name][end]) for each in many] for end in (0, 1))
            found[column.name] = (min(first, key=_order), max(last, key=_order))
    return found


def wider(columns: Sequence[Column], before: Mapping[str, Sequence[str]], now: Ends) -> Ends:
    """The ends of a file and of one that was in its place before: either may be the one that was loaded."""
    return {name: (str(first), str(last)) for name, (first, last) in joined(columns, [before, now]).items()}


def _order(value: Value) -> Any:
    return value.encode() if isinstance(value, str) else value
