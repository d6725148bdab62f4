"""Rows that were refused, as files for people: JSON lines, or CSV for a spreadsheet; and what comes back, repaired.

A cell of CSV is a text: what it is, the type of its column says. An empty one is NULL.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tidemill.errors import ConfigError

if TYPE_CHECKING:
    from tidemill.reverse_etl.model_check import Column
    from tidemill.store.records_sync import Reject

#: Columns of the file that are none of the rows': no column of BigQuery is called so.
_KEY, _WHY = "$key", ("$code", "$message")
_NUMBERS = frozenset({"INT64", "INTEGER", "FLOAT64", "FLOAT", "NUMERIC", "BIGNUMERIC"})
_BOOLEANS = frozenset({"BOOL", "BOOLEAN"})
_NESTED = frozenset({"JSON", "STRUCT", "RECORD"})


def as_lines(rejects: Iterable[Reject]) -> str:
    """As JSON lines, each with key, code, message and row."""
    said = ({"key": one.key, "code": one.code, "message": one.message, "row": one.row} for one in rejects)
    return "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in said)


def as_csv(rejects: Iterable[Reject], columns: Sequence[Column]) -> str:
    """As CSV, with the columns of the rows."""
    names = [column.name for column in columns]
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([_KEY, *_WHY, *names])
    for one in rejects:
        row = one.row or {}
        writer.writerow([one.key, one.code, one.message, *(_cell(row.get(name)) for name in names)])
    return out.getvalue()


def rows(text: str, columns: Sequence[Column]) -> list[dict[str, Any]]:
    """The rows of a file of either kind, each with key and row. All are looked at before one is given.

    Raises
    ------
    ConfigError
        A line is none.
    """
    first = text.lstrip("\ufeff").lstrip()
    return list(_of_lines(text) if first.startswith("{") else _of_csv(text.lstrip("\ufeff"), columns))


def _of_lines(text: str) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(text.lstrip("\ufeff").split("\n"), 1):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            found = None
        is_row = isinstance(found, dict) and {"key", "row"} <= found.keys()
        if not is_row or not isinstance(found["row"], dict | None):  # of some rows no columns are kept
            raise _wrong(number, "it is no JSON object with key and row")
        yield {"key": str(found["key"]), "row": found["row"]}


def _of_csv(text: str, columns: Sequence[Column]) -> Iterator[dict[str, Any]]:
    reader = csv.DictReader(io.StringIO(text))
    known = {column.name: column for column in columns}
    try:
        if _KEY not in (reader.fieldnames or ()):
            raise _wrong(1, f"there is no column {_KEY}")
        for one in reader:
            if None in one or None in one.values():
                raise _wrong(reader.line_num, "it has more or fewer cells than the first line")
            cells = {name: cell for name, cell in one.items() if name in known}
            yield {"key": one[_KEY], "row": {name: _value(known[name], cell) for name, cell in cells.items()}}
    except csv.Error as error:
        raise _wrong(reader.line_num, str(error)) from None


def _value(column: Column, cell: str) -> Any:
    """What a cell is. What does not fit its column stays a text, of which the import says what is wrong."""
    if cell == "":
        return None
    nested = column.mode == "REPEATED" or column.type in _NESTED
    if not nested and column.type not in _NUMBERS | _BOOLEANS:
        return cell
    text = cell.lower() if column.type in _BOOLEANS else cell
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return cell
    fits: tuple[type, ...] = (bool,) if column.type in _BOOLEANS else (int, float)
    return found if nested or (isinstance(found, fits) and (bool in fits or not isinstance(found, bool))) else cell


def _cell(value: Any) -> str:
    """A value as a cell. What a spreadsheet would take for a formula stays what it is: it is to be read back."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False) if not isinstance(value, Mapping) else json.dumps(dict(value))


def _wrong(number: int, why: str) -> ConfigError:
    hint = "Repair a file that was exported here, and upload that."
    return ConfigError("rejects_file", f"Line {number}: {why}.", hint=hint)
