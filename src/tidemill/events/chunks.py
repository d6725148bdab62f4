"""Writes one chunk of rows to a file that a BigQuery load job takes: Parquet, or JSON Lines for JSON columns.

A chunk of events is a fixed set (a range of snapshots, less what the filters leave out), so writing it again after a
crash gives the same rows. Parquet goes straight from DuckDB to the file. JSON columns need JSON Lines, because BigQuery
refuses Parquet there ("JSON data", batch load formats); the line is put together from the text as it came, and only
rows that may not fit the JSON type are taken apart in Python (see json_repair).
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.errors import RowError, UnavailableError
from tidemill.events import duck, ends, json_repair
from tidemill.events.sources import custom_sql
from tidemill.events.sources.custom import CustomSource
from tidemill.models.model import Column
from tidemill.models.types import Type
from tidemill.settings import private_folder

if TYPE_CHECKING:
    import datetime as dt

    import duckdb

    from tidemill.events.lake import Lake
    from tidemill.events.sources.source import Gathering, Selection, Source

#: Texts that may not fit BigQuery's JSON type: halves of surrogate pairs, NUL, numbers of 16 digits or more.
_SUSPECT = r"\\u([dD][89a-fA-F]|0000)|(^|[:\[,])\s*-?([0-9][0-9.]{15}|[0-9.]+[eE][+-]?[0-9]{3})"
_NUMBER = (
    "CASE WHEN isfinite({0}) THEN to_json({0})::VARCHAR WHEN isnan({0}) THEN '\"NaN\"' "
    "WHEN {0} > 0 THEN '\"Infinity\"' WHEN {0} < 0 THEN '\"-Infinity\"' END"
)
_ROW_GROUP_ROWS, _ROW_GROUP_BYTES = 10_000, 16 * 1024 * 1024
_TOO_LARGE = "row too large: "  # by which our own error is known
#: BigQuery takes no JSON out of Parquet, and decimals as NUMERIC unless a job says otherwise ("Loading Parquet data").
_NOT_IN_PARQUET = (Type.JSON, Type.BIGNUMERIC)


@dataclasses.dataclass(frozen=True)
class RejectedRow:
    """A row that cannot be delivered. `raw` is the start of its JSON, for a person to look at."""

    team_id: int
    id: str
    code: str
    message: str
    raw: str


@dataclasses.dataclass(frozen=True)
class Written:
    """What was written. `bytes` is the size of the file; `repaired` is the number of rows that json_repair changed;
    `ends` are those of the columns that were asked for; `folded` is the number of rows of a query that had the key of
    another one, which stayed.
    """

    format: str
    rows: int
    bytes: int
    rejected: tuple[RejectedRow, ...]
    repaired: int
    ends: ends.Ends
    folded: int = 0


def file_format(columns: Sequence[Column]) -> str:
    """``PARQUET``, or ``NEWLINE_DELIMITED_JSON`` if a column is of a type that Parquet files do not have."""
    return "NEWLINE_DELIMITED_JSON" if any(column.type in _NOT_IN_PARQUET for column in columns) else "PARQUET"


def write(
    lake: Lake,
    source: Gathering,
    selection: Selection,
    columns: Sequence[Column],
    path: Path,
    *,
    handed_at: dt.datetime,
    max_row_bytes: int,
    ends_of: Sequence[Column] = (),
    cancelled: Callable[[], bool] = lambda: False,
) -> Written:
    """Write the selected rows to `path`, replacing what a crashed attempt left there.

    `ends_of`: columns whose first and last value in the file are wanted. `cancelled` is asked now and then.

    It is tried as if no row were too large, so that rows which are costly to make are made once.
    """
    private_folder(path.parent)

    def written(lake: Lake) -> Written:
        with lake.cursor() as cursor, duck.interruptible(cursor, cancelled):
            cursor.execute("SET enable_caching_operators = false")  # few rows at once are few because they are large
            number, repaired, rejected = _rows(cursor, source, selection, columns, path, handed_at, max_row_bytes)
            format_ = file_format(columns)
            found = ends.of_file(cursor, path, parquet=format_ == "PARQUET", columns=ends_of)
            folded = source.folded(cursor) if isinstance(source, CustomSource) else 0
        return Written(format_, number, path.stat().st_size, rejected, repaired, found, folded)

    try:
        return written(lake)
    except UnavailableError as error:
        if error.code != duck.OUT_OF_MEMORY:
            raise
    with lake.one_thread() as alone:  # rows may be large
        return written(alone)


def among(lake: Lake, source: Source, selection: Selection, keys: Collection[tuple[int, str]]) -> set[tuple[int, str]]:
    """Those of these keys (`row_team` and `row_id`) that selected rows have."""
    import pyarrow as pa  # 50 ms

    columns = {"row_team": pa.array([team for team, _ in keys], pa.int64()), "row_id": pa.array([n for _, n in keys])}
    with lake.cursor() as cursor:
        cursor.register("asked", pa.table(columns))
        rows = source.keys(selection)
        found = f"SELECT DISTINCT row_team, row_id FROM ({rows}) SEMI JOIN asked USING (row_team, row_id)"
        return set(cursor.execute(found).fetchall())


def keys(lake: Lake, source: Source, selection: Selection) -> set[tuple[int, str]]:
    """`row_team` and `row_id` of the selected rows."""
    with lake.cursor() as cursor:
        return set(cursor.execute(source.keys(selection)).fetchall())


def count(lake: Lake, source: Source, selection: Selection) -> int:
    """How many rows are selected, by making them.

    Raises
    ------
    ConfigError
        The query of an export gives none.
    """
    import duckdb  # 60 ms

    try:
        with lake.cursor() as cursor:
            return int(cursor.execute(f"SELECT count(*) FROM ({source.keys(selection)})").fetchall()[0][0])
    except (duckdb.DataError, duckdb.ProgrammingError) as error:
        if isinstance(source, CustomSource):
            raise custom_sql.failed(error) from None
        raise


def _rows(
    cursor: duckdb.DuckDBPyConnection,
    source: Gathering,
    selection: Selection,
    columns: Sequence[Column],
    path: Path,
    handed_at: dt.datetime,
    limit: int,
) -> tuple[int, int, tuple[RejectedRow, ...]]:
    """Write them. Gives the number of rows, of repaired ones, and those that were not written."""
    import duckdb  # 60 ms

    try:
        chosen = source.gathered(cursor, selection, handed_at)
        stop = f"CASE WHEN bytes > {limit} THEN error('{_TOO_LARGE}' || bytes) ELSE true END"
        return _written(cursor, columns, f"({chosen}) WHERE {stop}", path, [])
    except duckdb.Error as error:
        if _TOO_LARGE not in str(error):
            if isinstance(source, CustomSource) and isinstance(error, duckdb.DataError | duckdb.ProgrammingError):
                raise custom_sql.failed(error) from None
            raise
    rejected = list(too_large(cursor, chosen, columns, limit))
    return _written(cursor, columns, f"({chosen}) WHERE bytes <= {limit}", path, rejected)


def _written(
    cursor: duckdb.DuckDBPyConnection, columns: Sequence[Column], rows: str, path: Path, rejected: list[RejectedRow]
) -> tuple[int, int, tuple[RejectedRow, ...]]:
    if file_format(columns) == "PARQUET":
        return _copy_parquet(cursor, columns, rows, path), 0, tuple(rejected)
    number = _copy_json_lines(cursor, columns, rows, path)
    more, repaired, bad = _append_suspects(cursor, columns, rows, path)
    return number + more, repaired, (*rejected, *bad)


def too_large(
    cursor: duckdb.DuckDBPyConnection, chosen: str, columns: Sequence[Column], limit: int
) -> Iterator[RejectedRow]:
    """The rows that are larger, to be set aside; of their texts only the beginning is read."""
    text = next((f'left("{column.name}", 1000)' for column in columns if column.json), "''")
    found = cursor.execute(f"SELECT row_team, row_id, bytes, {text} FROM ({chosen}) WHERE bytes > {limit}").fetchall()
    for team_id, name, size, start in found:
        message = f"The row has {size:,} bytes; the limit is {limit:,}."
        yield RejectedRow(team_id, name, "row_too_large", message, start or "")


def _copy_parquet(cursor: duckdb.DuckDBPyConnection, columns: Sequence[Column], rows: str, path: Path) -> int:
    names = ", ".join(f'"{column.name}"' for column in columns)
    # Level 1: twice as fast as the default and no larger here; small row groups bound memory and keep all threads busy.
    return _copy(
        cursor,
        f"SELECT {names} FROM {rows}",
        path,
        "FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, "
        f"ROW_GROUP_SIZE {_ROW_GROUP_ROWS}, ROW_GROUP_SIZE_BYTES {_ROW_GROUP_BYTES}",
    )


def _copy_json_lines(cursor: duckdb.DuckDBPyConnection, columns: Sequence[Column], rows: str, path: Path) -> int:
    fields = ", ',', ".join(f"'\"{column.name}\":', {_json_text(column)}" for column in columns)
    # One function: a chain of || would hold a copy of the line for each column.
    # "CSV" without quotes writes a text as it is. The delimiter is a character that no JSON text can hold raw.
    return _copy(
        cursor,
        f"SELECT concat('{{', {fields}, '}}') AS line FROM {rows} AND NOT {suspect(columns)}",
        path,
        "FORMAT csv, HEADER false, QUOTE '', ESCAPE '', DELIMITER '\x01'",
    )


def _copy(cursor: duckdb.DuckDBPyConnection, select: str, path: Path, options: str) -> int:
    found = cursor.execute(f"COPY ({select}) TO {duck.literal(str(path))} ({options})").fetchone()
    return int(found[0]) if found else 0


def _json_text(column: Column) -> str:
    expression = f'"{column.name}"'
    match column.type:
        case Type.JSON:  # raw line breaks can only stand between the tokens of a JSON text
            text = f"replace(replace({expression}, chr(10), ' '), chr(13), ' ')"
        case Type.TIMESTAMP:
            text = f"'\"' || strftime(timezone('UTC', {expression}), '%Y-%m-%dT%H:%M:%S.%fZ') || '\"'"
        case Type.FLOAT64 if not column.repeated:  # JSON has no such numbers; BigQuery reads them out of texts
            text = _NUMBER.format(expression)
        case Type.NUMERIC | Type.BIGNUMERIC:  # as a text, so that nobody reads it as a float on the way
            text = f"'\"' || {expression}::VARCHAR || '\"'"
        case Type.STRING if not column.repeated:  # to_json sets aside six times the length of a text
            quoted = f"replace(replace({expression}, '\\', '\\\\'), '\"', '\\\"')"
            plain = f"concat('\"', {quoted}, '\"')"
            odd = f"regexp_matches({expression}, '[\\x00-\\x1f]')"
            text = f"CASE WHEN {odd} THEN to_json({expression})::VARCHAR WHEN {expression} IS NOT NULL THEN {plain} END"
        case _:
            text = f"to_json({expression})::VARCHAR"
    return f"coalesce({text}, 'null')"


def suspect(columns: Sequence[Column]) -> str:
    """A condition: a row may hold texts that do not fit BigQuery's JSON type."""
    tests = [
        f"coalesce(NOT json_valid({name}) OR regexp_matches({name}, '{_SUSPECT}'), false)"
        for name in (f'"{column.name}"' for column in columns if column.type is Type.JSON)
    ]
    return f"({' OR '.join(tests) or 'false'})"


def _append_suspects(
    cursor: duckdb.DuckDBPyConnection, columns: Sequence[Column], chosen: str, path: Path
) -> tuple[int, int, list[RejectedRow]]:
    """Take apart the rows that may not fit, one by one, and append what fits to the file."""
    rows, repaired, rejected = 0, 0, []
    fields = ", ".join(
        f'"{column.name}"' if column.type is Type.JSON else f'{_json_text(column)} AS "{column.name}"'
        for column in columns
    )
    result = cursor.execute(f"SELECT row_team, row_id, {fields} FROM {chosen} AND {suspect(columns)}")
    with path.open("a", encoding="utf-8") as file:
        while batch := result.fetchmany(500):
            for team_id, name, *values in batch:
                try:
                    line, changed = _line(columns, values)
                except RowError as error:
                    raw = next((str(v) for c, v in zip(columns, values, strict=True) if c.type is Type.JSON and v), "")
                    rejected.append(RejectedRow(team_id, name, error.code, error.message, raw[:1000]))
                    continue
                file.write(line)
                repaired += changed
                rows += 1
    return rows, repaired, rejected


def _line(columns: Sequence[Column], values: Sequence[str | None]) -> tuple[str, bool]:
    """The row as JSON, and whether something in it was repaired."""
    changed = False
    parts = []
    for column, value in zip(columns, values, strict=True):
        text = value
        if column.type is Type.JSON and value is not None:
            fit = json_repair.repair(value)
            text = fit.text.replace("\n", " ").replace("\r", " ")
            changed = changed or bool(fit.rules)
        parts.append(f"{json.dumps(column.name)}:{'null' if text is None else text}")
    return "{" + ",".join(parts) + "}\n", changed
