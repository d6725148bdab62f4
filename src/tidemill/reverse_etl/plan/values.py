"""Values of BigQuery as JSON has them, the same whichever way they were read.

Arrow and Google's client give the same Python objects, but for JSON, which Arrow has as text, and INTERVAL. Numbers
that JSON cannot hold exactly are text; what is no number (NaN, Infinity) is null.
"""

from __future__ import annotations

import base64
import datetime as dt
import decimal
import json
import math
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from tidemill.bigquery.tables import Field
from tidemill.bigquery.texts import interval, moment

if TYPE_CHECKING:
    import pyarrow as pa

_LARGEST = 2**63
#: A TIMESTAMP as BigQuery casts it to text: in UTC.
_MOMENT = re.compile(r"(\d{1,4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d(?:\.\d{1,6})?)(?:\+00(?::00)?|Z| UTC)?")


def of_arrow(column: pa.ChunkedArray, field: Field) -> list[Any]:
    """The values of a column of Arrow: as `of_column` has them, several times faster for numbers and times."""
    import pyarrow as pa  # 50 ms
    import pyarrow.compute as pc

    if field.mode != "REPEATED":
        if field.type == "FLOAT64" and pc.all(pc.is_finite(column)).as_py() is not False:
            return column.to_pylist()  # type: ignore[no-any-return]
        if field.type in ("TIMESTAMP", "DATETIME") and pa.types.is_timestamp(column.type):
            return _moments(column, "Z" if field.type == "TIMESTAMP" else "")
        if field.type == "DATE" and pa.types.is_date32(column.type):
            return column.cast(pa.string()).to_pylist()  # type: ignore[no-any-return]
    return of_column(column.to_pylist(), field)


def _moments(column: pa.ChunkedArray, ending: str) -> list[str | None]:
    """Times as ISO 8601, with a fraction only of those that have one."""
    import pyarrow as pa
    import pyarrow.compute as pc

    exact = column.cast(pa.timestamp("us"))
    whole = pc.floor_temporal(exact, unit="second")
    said = whole.cast(pa.timestamp("s")).cast(pa.string())
    is_whole = pc.equal(exact, whole)
    if pc.all(is_whole).as_py() is False:
        said = pc.if_else(is_whole, said, exact.cast(pa.string()))
    said = pc.replace_substring(said, " ", "T")
    return pc.binary_join_element_wise(said, ending, "").to_pylist()  # type: ignore[no-any-return]


def of_column(values: list[Any], field: Field, *, parsed: bool = False) -> list[Any]:
    """The values of a column. `parsed`: JSON is no text any more."""
    convert = converter(field, parsed=parsed)
    return values if convert is None else [None if value is None else convert(value) for value in values]


def converter(field: Field, *, parsed: bool = False) -> Callable[[Any], Any] | None:
    """What makes JSON of a value of the column that is not NULL; None if it is JSON already."""
    if field.mode == "REPEATED":
        one = _one(field, parsed=parsed)
        return None if one is None else lambda values: [None if value is None else one(value) for value in values]
    return _one(field, parsed=parsed)


def _one(field: Field, *, parsed: bool) -> Callable[[Any], Any] | None:
    match field.type:
        case "STRING" | "INT64" | "BOOL" | "GEOGRAPHY":
            return None
        case "JSON":
            return _finite if parsed else _parsed
        case "BIGNUMERIC":  # text, where it was kept in a file
            return lambda value: number(decimal.Decimal(value))
        case "RANGE":
            return lambda value: json.loads(value) if isinstance(value, str) else plain(value)
        case "STRUCT" | "RECORD":
            return _struct(field.fields, parsed=parsed)
    return plain


def _struct(fields: Sequence[Field], *, parsed: bool) -> Callable[[Any], Any]:
    known = {field.name: converter(field, parsed=parsed) for field in fields}

    def convert(value: Any) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for name, inner in value.items():
            one = known.get(name, plain)
            made[name] = inner if inner is None or one is None else one(inner)
        return made

    return convert


def plain(value: Any) -> Any:
    """Any value, as JSON."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else None
        case decimal.Decimal():
            return number(value)
        case dt.datetime():
            return moment(value)
        case dt.date() | dt.time():
            return value.isoformat()
        case bytes():
            return base64.b64encode(value).decode()
        case dict():
            return {name: plain(inner) for name, inner in value.items()}
        case list() | tuple() if not hasattr(value, "nanoseconds"):
            return [plain(inner) for inner in value]
    return interval(value)


def number(value: decimal.Decimal) -> int | float | str | None:
    """A number that JSON's readers take exactly, or its text."""
    if not value.is_finite():
        return None
    if value == value.to_integral_value():
        return int(value) if abs(value) < _LARGEST else str(int(value))
    near = float(value)
    return near if decimal.Decimal(repr(near)) == value else format(value, "f").rstrip("0")


def of_key(text: str, field: Field) -> Any:
    """A value of a key's column from its text: see plan_sql."""
    match field.type:
        case "INT64":
            return int(text)
        case "BOOL":
            return text.lower() == "true"
        case "NUMERIC" | "BIGNUMERIC":
            return number(decimal.Decimal(text))
        case "FLOAT64":
            return plain(float(text))
        case "TIMESTAMP" | "DATETIME":
            found = _MOMENT.fullmatch(text)
            if found is None:
                return text
            read = dt.datetime.fromisoformat(f"{found[1].rjust(10, '0')}T{_padded(found[2])}")
            return moment(read.replace(tzinfo=dt.UTC) if field.type == "TIMESTAMP" else read)
        case "TIME":
            return dt.time.fromisoformat(_padded(text)).isoformat()
    return text


def of_keys(text: str, fields: Sequence[Field]) -> dict[str, Any]:
    """The columns of a key."""
    texts = [text] if len(fields) == 1 else json.loads(text)
    made: dict[str, Any] = {}
    for one, field in zip(texts, fields, strict=True):
        try:
            made[field.name] = of_key(one, field)
        except (ValueError, ArithmeticError):  # the column had another type then
            made[field.name] = one
    return made


def _padded(time: str) -> str:
    """A time whose fraction has six digits, or none."""
    whole, _, fraction = time.partition(".")
    return f"{whole}.{fraction.ljust(6, '0')}" if fraction.strip("0") else whole


def _parsed(text: str) -> Any:
    return _finite(json.loads(text))


def _finite(value: Any) -> Any:
    """JSON, without what is no number. It is changed in place, level by level: BigQuery allows 500 of them ("JSON
    functions"), for which Python's own calls do not reach."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    waiting = [value]
    while waiting:
        one = waiting.pop()
        for place, inner in one.items() if isinstance(one, dict) else enumerate(one) if isinstance(one, list) else ():
            if isinstance(inner, dict | list):
                waiting.append(inner)
            elif isinstance(inner, float) and not math.isfinite(inner):
                one[place] = None
    return value
