"""Rows as lines of JSON or of CSV, for who downloads them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

Form = Literal["json", "csv"]
#: So a spreadsheet takes a value for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def lines(form: Form, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Rows as lines: of CSV the first one has the names of the columns."""
    if form == "csv":
        yield _line(columns)
    for row in rows:
        fields = {name: row[name] for name in columns}
        if form == "json":
            yield json.dumps(fields, ensure_ascii=False, default=str) + "\n"
        else:
            yield _line([_cell(value) for value in fields.values()])


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _line(cells: Iterable[str]) -> str:
    out = io.StringIO()
    csv.writer(out).writerow(cells)
    return out.getvalue()
