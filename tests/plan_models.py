"""Tables of rows for plans: of all types, with what is hard to tell apart."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from google.cloud import bigquery
from hypothesis import strategies as st

from tidemill.bigquery.client import Client

#: Of a column: its type, and values as a file of JSON lines has them, each with what becomes of it.
COLUMNS: dict[str, tuple[str, list[tuple[Any, Any]]]] = {
    "s": ("STRING", [(text, text) for text in (None, "", "a", "1:a\n", "\n", "0:\n0:", "é😀\\'\"")]),
    "hash": ("STRING", [(text, text) for text in (None, "", "-")]),
    "i": ("INT64", [(number, number) for number in (None, 0, -1, 2**63 - 1)]),
    "n": ("NUMERIC", [(None, None), ("0", 0), ("1.5", 1.5), ("0.1", 0.1), ("9" * 29 + ".999999999",) * 2]),
    "bn": ("BIGNUMERIC", [(None, None), ("0", 0), ("1.5", 1.5), ("-0.1", -0.1)]),
    # BigQuery writes no blank behind POINT; the embedded one does.
    "g": ("GEOGRAPHY", [(None, None), ("POINT(1 2)", "POINT (1 2)"), ("POINT(1.5 2)", "POINT (1.5 2)")]),
    "f": ("FLOAT64", [(None, None), (0.0, 0.0), (1.5, 1.5), (1e300, 1e300), ("NaN", None), ("Infinity", None)]),
    "b": ("BOOL", [(value, value) for value in (None, True, False)]),
    "y": ("BYTES", [(value, value) for value in (None, "", "AP8=")]),
    "d": ("DATE", [(value, value) for value in (None, "0001-01-01", "2024-02-29")]),
    "dt": ("DATETIME", [(None, None), ("2024-02-29 01:02:03", "2024-02-29T01:02:03")]),
    "t": ("TIME", [(None, None), ("00:00:00", "00:00:00"), ("01:02:03.000004", "01:02:03.000004")]),
    "ts": (
        "TIMESTAMP",
        [
            (None, None),
            ("2024-02-29 01:02:03+00", "2024-02-29T01:02:03Z"),
            ("9999-12-31 23:59:59.999999+00", "9999-12-31T23:59:59.999999Z"),
        ],
    ),
    "j": ("JSON", [(None, None), ({"a": [1, None]}, {"a": [1, None]}), ([], []), ("x", "x")]),
    "a": ("INT64 REPEATED", [([], []), ([1], [1]), ([1, 2], [1, 2])]),
    "st": ("STRUCT", [(None, None), ({"x": 1, "y": "a"}, {"x": 1, "y": "a"}), ({"x": None, "y": ""},) * 2]),
}
_INNER = [bigquery.SchemaField("x", "INT64"), bigquery.SchemaField("y", "STRING")]
Row = dict[str, Any]


def rows(keys: Sequence[str | None], columns: Sequence[str]) -> st.SearchStrategy[list[tuple[str | None, Row]]]:
    """Tables: keys with, of each column, the number of a value."""
    values = {name: st.integers(0, len(COLUMNS[name][1]) - 1) for name in columns}
    return st.lists(st.tuples(st.sampled_from(keys), st.fixed_dictionaries(values)), max_size=12)


def given(row: Row) -> Row:
    """As it is loaded."""
    return {name: COLUMNS[name][1][number][0] for name, number in row.items()}


def expected(row: Row) -> Row:
    """As a plan gives it."""
    return {name: COLUMNS[name][1][number][1] for name, number in row.items()}


def version(row: Row, columns: Sequence[str]) -> tuple[Any, ...]:
    """What tells it from others."""
    return tuple(
        None if COLUMNS[name][1][row[name]][0] is None else (COLUMNS[name][0], repr(COLUMNS[name][1][row[name]][0]))
        for name in sorted(columns)
    )


def load(client: Client, name: str, table: Sequence[tuple[str | None, Row]], columns: Sequence[str]) -> None:
    """Make a table of these rows; the key's column is `id`."""
    fields = [bigquery.SchemaField("id", "STRING")]
    for column in columns:
        kind, _, mode = COLUMNS[column][0].partition(" ")
        inner = _INNER if kind == "STRUCT" else []
        fields.append(bigquery.SchemaField(column, kind, mode or "NULLABLE", fields=inner))
    google = client.google()
    google.create_table(bigquery.Table(name, fields))
    if table:
        lines = "\n".join(json.dumps({"id": key, **given(row)}) for key, row in table)
        config = bigquery.LoadJobConfig(schema=fields, source_format="NEWLINE_DELIMITED_JSON")
        google.load_table_from_file(_file(lines), name, job_config=config, location=client.location).result()


def _file(text: str) -> Any:
    import io

    return io.BytesIO(text.encode())
