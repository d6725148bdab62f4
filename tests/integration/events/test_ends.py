"""The first and the last key of a file: what a MERGE is bounded by must hold all of them, in BigQuery's order."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.events import ends
from tidemill.models.model import Column
from tidemill.models.types import Type

COLUMNS = tuple(
    Column(name, kind, "")
    for name, kind in {"s": Type.STRING, "n": Type.INT64, "d": Type.DATE, "t": Type.TIMESTAMP, "b": Type.BOOL}.items()
)
times = st.integers(-(10**6), 10**6).map(
    lambda hours: dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(hours=hours)
)
rows = st.lists(
    st.tuples(
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=9),
        st.integers(-(2**63), 2**63 - 1),
        times,
    ),
    min_size=1,
    max_size=9,
)


@pytest.fixture
def cursor() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    return connection


@given(files=st.lists(rows, min_size=1, max_size=3), parquet=st.booleans())
def test_all_keys_of_all_files_lie_within(
    tmp_path_factory: pytest.TempPathFactory, files: list[list[tuple[str, int, dt.datetime]]], parquet: bool
) -> None:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    folder = tmp_path_factory.mktemp("ends")
    found = []
    for number, values in enumerate(files):
        path = folder / str(number)
        connection.execute("CREATE OR REPLACE TABLE v (s VARCHAR, n BIGINT, d DATE, t TIMESTAMPTZ, b BOOLEAN)")
        connection.executemany("INSERT INTO v VALUES (?, ?, ?, ?, true)", [(s, n, t.date(), t) for s, n, t in values])
        connection.execute(f"COPY v TO '{path}' (FORMAT {'parquet' if parquet else 'json'})")
        found.append(ends.of_file(connection, path, parquet=parquet, columns=COLUMNS))
    joined = ends.joined(COLUMNS[:-1], found)
    every = [value for values in files for value in values]
    texts = sorted((s for s, *_ in every), key=str.encode)
    assert joined["s"] == (texts[0], texts[-1])
    assert joined["n"] == (min(n for _, n, _ in every), max(n for _, n, _ in every))
    assert joined["d"] == (min(t for *_, t in every).date(), max(t for *_, t in every).date())
    assert joined["t"] == (min(t for *_, t in every), max(t for *_, t in every))
    assert "b" not in joined


def test_what_cannot_be_read_again_or_has_no_ends_bounds_nothing(
    cursor: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_text('{"s":null,"n":1}\n{"s":null,"n":2}\n')
    assert ends.of_file(cursor, path, parquet=False, columns=COLUMNS[:2]) == {"n": ("1", "2")}
    path.write_text(f'{{"s":"{"x" * 70_000_000}","n":1}}\n')
    assert ends.of_file(cursor, path, parquet=False, columns=COLUMNS[:2]) == {}
    path.write_text(f'{{"s":"{"x" * 2_000}","n":1}}\n')
    assert ends.of_file(cursor, path, parquet=False, columns=COLUMNS[:2]) == {"n": ("1", "1")}
    path.write_text("")
    assert ends.of_file(cursor, path, parquet=False, columns=COLUMNS[:2]) == {}
    path.write_text('{"t":"12026-01-01 00:00:00Z"}\n')
    assert ends.of_file(cursor, path, parquet=False, columns=COLUMNS[3:4]) == {}
    assert ends.joined(COLUMNS[:2], [{"n": ("1", "2")}, {}]) == {}
    assert ends.joined(COLUMNS[:2], []) == {}


def test_the_ends_of_a_file_that_was_written_anew_hold_what_was_in_the_one_before() -> None:
    assert ends.wider(COLUMNS[:2], {"s": ["a", "z"], "n": ["5", "10"]}, {"s": ("b", "c"), "n": ("9", "11")}) == {
        "s": ("a", "z"),
        "n": ("5", "11"),
    }


def test_decimals_bound_nothing(cursor: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    """They are no whole numbers, and BigQuery has no literals for those beyond 64 bits."""
    path = tmp_path / "file"
    path.write_text('{"x":"1.6"}\n')
    assert ends.of_file(cursor, path, parquet=False, columns=[Column("x", Type.BIGNUMERIC, "")]) == {}


@given(batches=st.lists(st.lists(st.one_of(st.none(), rows.map(lambda found: found[0])), max_size=6), max_size=4))
def test_batches_have_the_ends_of_a_file_of_their_rows(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[tuple[str, int, dt.datetime] | None]]
) -> None:
    kinds = {"s": pa.string(), "n": pa.int64(), "d": pa.date32(), "t": pa.timestamp("us", "UTC"), "b": pa.bool_()}
    schema, seen = pa.schema(kinds.items()), ends.Seen(COLUMNS)
    made = []
    for values in batches:
        lines = [(v[0], v[1], v[2].date(), v[2], True) if v else (None,) * 5 for v in values]
        made.append(pa.RecordBatch.from_pylist([dict(zip(kinds, line, strict=True)) for line in lines], schema))
        seen.add(made[-1])
    path = tmp_path_factory.mktemp("seen") / "file"
    pq.write_table(pa.Table.from_batches(made, schema), path)
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    of_file = ends.of_file(connection, path, parquet=True, columns=COLUMNS)
    assert seen.ends().keys() == of_file.keys()
    columns = [column for column in COLUMNS if column.name in of_file]
    assert ends.joined(columns, [seen.ends()]) == ends.joined(columns, [of_file])


def test_ends_of_batches_that_cannot_be_said_are_left_out() -> None:
    seen = ends.Seen(COLUMNS[:2])
    for texts in (["a", "z" * 2000], ["c"]):
        seen.add(pa.RecordBatch.from_pydict({"s": texts, "n": pa.array([None] * len(texts), pa.int64())}))
    assert seen.ends() == {}
    times = ends.Seen(COLUMNS[3:4])
    for value in (2**62, 0):  # the first is a time that nobody has
        times.add(pa.RecordBatch.from_arrays([pa.array([value], pa.timestamp("us", "UTC"))], ["t"]))
    assert times.ends() == {}
