"""A file of rows that were repaired: what is a row of it, and what is not."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from tidemill.cli.imports_view import read_rows
from tidemill.errors import ConfigError

ROWS = [
    {"key": "1", "row": {"note": "a\u2028b\u2029c\u0085d\u000be"}},
    {"key": "2", "row": None},
    {"key": 3, "row": {}},
]
TEXT = "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS)


def test_rows_end_where_lines_end_and_nowhere_else(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(f"{TEXT}\r\n\n".encode())
    with read_rows(file) as rows:
        assert list(rows) == ROWS


def test_rows_may_come_by_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writing = threading.Thread(target=pipe.write_text, args=(TEXT,))
    writing.start()
    with read_rows(pipe) as rows:
        assert list(rows) == ROWS
    writing.join()


@pytest.mark.parametrize("line", ["{", "[]", '{"key": "1"}', '{"row": {}}', '{"key": "1", "row": []}', "[" * 100_000])
def test_a_line_that_is_no_row_is_told_before_any_row_is_given(line: str, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(f"{TEXT}\n{line}\n")
    with pytest.raises(ConfigError, match="line 4"), read_rows(file):
        pass


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"), read_rows(tmp_path / "nowhere.jsonl"):
        pass
