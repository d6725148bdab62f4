"""How DuckDB is opened."""

from __future__ import annotations

import contextlib
from pathlib import Path

import duckdb
import pytest

from tidemill.events import duck
from tidemill.settings import Settings


def test_no_more_extensions_are_trusted_than_those_of_the_wheels(tmp_path: Path) -> None:
    content = bytearray(duck.extension_file("postgres_scanner").read_bytes())
    content[len(content) // 2] ^= 1
    changed = tmp_path / "changed.duckdb_extension"
    changed.write_bytes(content)
    with contextlib.closing(duck.connect(Settings(home=tmp_path / "home"))) as connection:
        with pytest.raises(duckdb.IOException, match="signature"):
            connection.execute(f"LOAD {duck.literal(str(changed))}")
        with pytest.raises(duckdb.InvalidInputException):
            connection.execute("SET allow_unsigned_extensions = true")
