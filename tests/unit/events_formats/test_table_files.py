"""Rows of CSV and Parquet files become records."""

import datetime as dt
import decimal
import gzip
import itertools
import json
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from tidemill.errors import ConfigError
from tidemill.events import opening, tables
from tidemill.events.blocks import Record
from tidemill.events.files import Reader


def reader(path: Path, max_bytes: int = 1_000_000) -> Reader:
    return Reader(opening.open_source(str(path), path.parent), max_bytes)


def records(of: Reader) -> list[Record]:
    return list(itertools.chain.from_iterable(of))


def read(path: Path, data: bytes, max_bytes: int = 1_000_000) -> list[Record]:
    path.write_bytes(data)
    return records(reader(path, max_bytes))


def values(found: list[Record]) -> list[Any]:
    return [json.loads(record.data) for record in found if record.error is None]


ROWS = [{"event": "a", "who": "1"}, {"event": "b", "who": "2"}]


@pytest.mark.parametrize(
    "data",
    [
        b"event,who\na,1\nb,2\n",
        b"event;who\r\na;1\r\nb;2",
        b"event\twho\na\t1\n\nb\t2\n",
        b"event|who\na|1\nb|2\n",
        b"event,who\ra,1\rb,2\r",
        b'\xef\xbb\xbf"event","who"\n"a","1"\n"b","2"\n',
        gzip.compress(b"event,who\na,1\nb,2\n", mtime=0),
    ],
)
def test_delimiters_line_ends_and_packing(tmp_path: Path, data: bytes) -> None:
    assert values(read(tmp_path / "rows", data)) == ROWS


def test_fields_with_quotes_and_line_breaks_know_their_line(tmp_path: Path) -> None:
    found = read(tmp_path / "rows", b'event,who\n"a\n""x"", y",1\nb,2\n')
    assert values(found) == [{"event": 'a\n"x", y', "who": "1"}, {"event": "b", "who": "2"}]
    assert [record.line for record in found] == [2, 4]


def test_a_column_that_is_empty_in_the_first_row_is_there(tmp_path: Path) -> None:
    assert values(read(tmp_path / "rows", b"event,who,\na,,x\n")) == [{"event": "a", "who": None, "column_3": "x"}]


def test_rows_that_do_not_fit_the_header_are_set_aside(tmp_path: Path) -> None:
    found = read(tmp_path / "rows", b"event,who\na,1\nb\nc,3,4\nd,5\n")
    assert [value["event"] for value in values(found)] == ["a", "d"]
    assert [(record.line, record.error.code) for record in found if record.error] == [
        (3, "csv_columns"),
        (4, "csv_columns"),
    ]


def test_a_field_that_is_too_long_does_not_end_the_file(tmp_path: Path) -> None:
    found = read(tmp_path / "rows", b"event,who\na,1\n" + b"z" * 50_000 + b",2\nb,3\n", 1000)
    assert [value["event"] for value in values(found)] == ["a", "b"]
    assert any(record.error for record in found)


def test_bytes_that_are_no_utf8_stay_for_the_parser_to_refuse(tmp_path: Path) -> None:
    (record,) = read(tmp_path / "rows", b"event,who\n\xff,1\n")
    assert b"\xff" in record.data


def test_a_column_twice_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path / "rows", b"event,event\na,1\n")
    assert caught.value.code == "csv_header"


def test_each_csv_of_a_zip_has_its_own_header(tmp_path: Path) -> None:
    path = tmp_path / "rows.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.csv", "event,who\na,1\n")
        archive.writestr("b.csv", "who;event\n2;b\n")
    found = records(reader(path))
    assert sorted(values(found), key=str) == sorted(ROWS, key=str)
    assert [record.member for record in found] == ["a.csv", "b.csv"]


@pytest.mark.parametrize(
    "head",
    [
        b'1.2.3.4 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 5 "-" "Mozilla (KHTML, like Gecko; x)"\nmore\n',
        b'"event":"a","b":1}\n{"event":"b"}\n',
        b"one column\nx\n",
        b"a,b",
        b"\0\1,\2\n\3",
    ],
)
def test_what_has_commas_and_is_no_csv(head: bytes) -> None:
    assert not tables.looks_like_csv(head)


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)


@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=5), st.integers(1, 9))
def test_any_cells_survive_however_the_text_is_cut(rows: list[tuple[str, str]], size: int) -> None:
    def quoted(cell: str) -> str:
        return '"' + cell.replace('"', '""') + '"'

    text = "a,b\n" + "".join(f"{quoted(left)},{quoted(right)}\n" for left, right in rows)
    data = text.encode()
    blocks = iter([data[at : at + size] for at in range(0, len(data), size)])
    found = [json.loads(data) for _, data, _ in tables.csv_rows(lambda _: next(blocks, b""), 1_000_000)]
    assert found == [{"a": left or None, "b": right or None} for left, right in rows]


def write(path: Path, columns: dict[str, Any]) -> Path:
    parquet.write_table(pa.table(columns), path)
    return path


def test_parquet_values_of_all_kinds(tmp_path: Path) -> None:
    path = write(
        tmp_path / "rows",
        {
            "whole": pa.array([2**63 - 1, None]),
            "decimal": [decimal.Decimal("1.50"), None],
            "day": [dt.date(2020, 1, 2), None],
            "naive": pa.array([dt.datetime(2020, 1, 2, 3, 4, 5, 6), None]),  # noqa: DTZ001 - that is the test
            "zoned": pa.array([dt.datetime(2020, 1, 2, tzinfo=dt.UTC), None], pa.timestamp("ms", "UTC")),
            "fine": pa.array([1_694_769_302_123_456_789, None], pa.timestamp("ns")),
            "list": [[1, None], None],
            "object": [{"x": "ü", "y": [True]}, None],
            "bytes": [b"abc", None],
            "odd": [float("nan"), float("inf")],
        },
    )
    found = reader(path)
    first, second = values(records(found))
    assert found.rows == "parquet"
    assert first == {
        "whole": 2**63 - 1,
        "decimal": "1.50",
        "day": "2020-01-02",
        "naive": "2020-01-02 03:04:05.000006",
        "zoned": "2020-01-02 00:00:00.000Z",
        "fine": "2023-09-15 09:15:02.123456789",
        "list": [1, None],
        "object": {"x": "ü", "y": [True]},
        "bytes": "abc",
        "odd": None,
    }
    assert second == {**dict.fromkeys(first), "odd": "inf"}
    assert found.position == path.stat().st_size


def test_a_value_that_cannot_be_read_sets_its_row_aside(tmp_path: Path) -> None:
    times = pa.array([[5], [10**18], [7]], pa.list_(pa.timestamp("us")))
    found = records(reader(write(tmp_path / "rows", {"event": ["a", "b", "c"], "times": times})))
    assert [record.error.code if record.error else record.line for record in found] == [1, "parquet_value", 3]


def test_a_time_after_the_year_9999_is_left_to_the_parser(tmp_path: Path) -> None:
    far = pa.array([10**18], pa.timestamp("us"))
    assert len(values(records(reader(write(tmp_path / "rows", {"event": ["a"], "t": far}))))) == 1
