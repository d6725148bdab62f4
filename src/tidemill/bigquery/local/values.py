"""Values of JSON rows as BigQuery takes them into its columns, for load jobs and for `insertAll`.

A column is described as REST does: `name`, `type`, `mode`, `fields`. Sources: BigQuery's pages "Loading JSON data" and
"Data types".
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import decimal
import functools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

Field = Mapping[str, Any]

#: The two names that a type may go by.
_ALIASES = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL", "RECORD": "STRUCT"}
_DATE = r"(\d{4}-\d{1,2}-\d{1,2})"
_TIME = r"(\d{1,2}):(\d{1,2}):(\d{1,2})(?:\.(\d{1,6})\d{0,3})?"
_MOMENT = re.compile(rf"{_DATE}(?:[Tt ]{_TIME})? ?(?:(Z|z|UTC)|([+-])(\d{{1,2}})(?::?(\d{{2}}))?)?")
_TIME_ONLY = re.compile(_TIME)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
#: Why a number is refused that BigQuery would take.
NOT_HELD = "The embedded BigQuery holds BIGNUMERIC to 29 digits before the point and 9 after it."
_TRUE, _FALSE = {"true", "t", "yes", "y", "1"}, {"false", "f", "no", "n", "0"}


def kind(field: Field) -> str:
    """The type of a column by its first name: INT64 and not INTEGER."""
    name = str(field["type"]).upper()
    return _ALIASES.get(name, name)


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON: of a key that comes twice, the first counts."""
    made = dict(pairs)
    if len(made) != len(pairs):
        made = {}
        for name, value in pairs:
            made.setdefault(name, value)
    return made


def parse(text: bytes | str) -> Any:
    """JSON, strictly. Raises ValueError."""
    return json.loads(text, object_pairs_hook=unique, parse_constant=_no_constant)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def row(given: Any, fields: Sequence[Field], *, ignore_unknown: bool, json_text: bool = False) -> dict[str, Any]:
    """The row, by the names of the columns, ready for Arrow.

    `json_text`: strings for JSON columns are JSON themselves, as `insertAll` has it.

    Raises
    ------
    BadValueError
        A value does not go into its column, or there is no such column.
    """
    if not isinstance(given, dict):
        raise BadValueError("", "A row is a JSON object.")
    known = {field["name"].lower(): field for field in fields}
    made: dict[str, Any] = {}
    for name, value in given.items():
        field = known.get(name.lower())
        if field is None:
            if not ignore_unknown:
                raise BadValueError(name, f"no such field: {name}.")
        elif made.get(field["name"]) is None:
            made[field["name"]] = _value(value, field, ignore_unknown, json_text)
    for field in fields:
        if field.get("mode") == "REQUIRED" and made.get(field["name"]) is None:
            raise BadValueError(field["name"], f"Missing required field: {field['name']}.")
    return made


class BadValueError(ValueError):
    """Why a row is refused. `field`: the column."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def _value(value: Any, field: Field, ignore_unknown: bool, json_text: bool) -> Any:
    name = field["name"]
    if field.get("mode") == "REPEATED":
        if value is None:
            return []
        if not isinstance(value, list):
            raise BadValueError(name, f"Repeated field must be imported as a JSON array. Field: {name}.")
        if any(item is None for item in value):
            raise BadValueError(name, f"Only optional fields can be set to NULL. Field: {name}; Value: NULL")
        return [_value(item, {**field, "mode": "REQUIRED"}, ignore_unknown, json_text) for item in value]
    if value is None:
        return None
    if kind(field) == "STRUCT":
        if not isinstance(value, dict):
            raise BadValueError(name, f"This field: {name} is not a record.")
        return row(value, field.get("fields", ()), ignore_unknown=ignore_unknown, json_text=json_text)
    return _plain(value, field, json_text)


def _plain(value: Any, field: Field, json_text: bool) -> Any:
    name, wanted = field["name"], kind(field)
    if isinstance(value, list) and wanted != "JSON":
        raise BadValueError(name, f"Array specified for non-repeated field: {name}.")
    if isinstance(value, dict) and wanted != "JSON":
        raise BadValueError(name, f"JSON object specified for non-record field: {name}")
    try:
        if wanted == "JSON":
            return json_of(value) if json_text and isinstance(value, str) else _json(value)
        convert: Callable[[Any], Any] = _CONVERT.get(wanted, _string)
        converted = convert(value)
    except (ValueError, ArithmeticError):
        raise BadValueError(name, f"Could not convert value to {wanted.lower()}: {str(value)[:50]!r}.") from None
    if wanted == "BIGNUMERIC" and not is_held(converted):
        raise BadValueError(name, NOT_HELD)
    return converted


def is_held(number: decimal.Decimal) -> bool:
    """Whether DuckDB's widest decimal, DECIMAL(38, 9), holds it."""
    with decimal.localcontext(prec=90):
        return abs(number) < decimal.Decimal(10) ** 29 and number == round(number, 9)


def json_of(text: str) -> str:
    """The text of a JSON column, from text that is JSON. Raises ValueError if it is none."""
    return _json(parse(text))


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    text.encode()  # a lone surrogate is an error
    return text


def _integer(value: Any) -> int:
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise ValueError
    if isinstance(value, str) and not re.fullmatch(r"[+-]?\d+", value):
        raise ValueError
    number = int(value)
    if not -(2**63) <= number < 2**63:
        raise ValueError
    return number


def _float(value: Any) -> float:
    if isinstance(value, bool) or "_" in str(value):
        raise ValueError
    return float(value)


def _numeric(value: Any) -> decimal.Decimal:
    return _decimal(value, 29, 9)


def _big_numeric(value: Any) -> decimal.Decimal:
    with decimal.localcontext(prec=90):
        return _decimal(value, 38, 38).normalize()


def _decimal(value: Any, digits: int, scale: int) -> decimal.Decimal:
    if isinstance(value, bool) or "_" in str(value):
        raise ValueError
    with decimal.localcontext(prec=digits + scale + 10):
        number = decimal.Decimal(str(value))
        if not number.is_finite() or abs(number) >= decimal.Decimal(10) ** digits:
            raise ValueError
        return number.quantize(decimal.Decimal(1).scaleb(-scale), rounding=decimal.ROUND_HALF_UP)


def _bool(value: Any) -> bool:
    text = str(value).lower()
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError


def _string(value: Any) -> str:
    if isinstance(value, str):
        value.encode()
        return value
    return json.dumps(value)


def _bytes(value: Any) -> bytes:
    if not isinstance(value, str):
        raise ValueError
    try:
        return base64.b64decode(value.replace("-", "+").replace("_", "/"), validate=True)
    except binascii.Error:
        raise ValueError from None


def _timestamp(value: Any) -> dt.datetime:
    """From text, or from a number of seconds since 1970."""
    if isinstance(value, bool):
        raise ValueError
    if isinstance(value, int | float):
        return _EPOCH + dt.timedelta(microseconds=round(decimal.Decimal(str(value)) * 1_000_000))
    if re.fullmatch(r"-?\d+(\.\d+)?", value):
        return _EPOCH + dt.timedelta(microseconds=round(decimal.Decimal(value) * 1_000_000))
    found = _MOMENT.fullmatch(value)
    if not found:
        raise ValueError
    shift = dt.timedelta(hours=int(found[8] or 0), minutes=int(found[9] or 0)) * (-1 if found[7] == "-" else 1)
    return _datetime_of(found).replace(tzinfo=dt.UTC) - shift


def _datetime(value: Any) -> dt.datetime:
    found = _MOMENT.fullmatch(value) if isinstance(value, str) else None
    if not found or found[6] or found[7]:
        raise ValueError
    return _datetime_of(found)


def _datetime_of(found: re.Match[str]) -> dt.datetime:
    time = _time_of(found[2], found[3], found[4], found[5]) if found[2] else dt.time()
    return dt.datetime.combine(date(found[1]), time)


def date(value: Any) -> dt.date:
    """A DATE from its text. Raises ValueError."""
    if not isinstance(value, str) or not re.fullmatch(_DATE, value):
        raise ValueError
    year, month, day = value.split("-")
    return dt.date(int(year), int(month), int(day))


def _time(value: Any) -> dt.time:
    found = _TIME_ONLY.fullmatch(value) if isinstance(value, str) else None
    if not found:
        raise ValueError
    return _time_of(*found.groups())


def _time_of(hour: str | None, minute: str | None, second: str | None, fraction: str | None) -> dt.time:
    return dt.time(int(hour or 0), int(minute or 0), int(second or 0), int((fraction or "").ljust(6, "0")))


_CONVERT: dict[str, Callable[[Any], Any]] = {
    "INT64": _integer,
    "FLOAT64": _float,
    "NUMERIC": _numeric,
    "BIGNUMERIC": _big_numeric,
    "BOOL": _bool,
    "STRING": _string,
    "BYTES": _bytes,
    "TIMESTAMP": _timestamp,
    "DATETIME": _datetime,
    "DATE": date,
    "TIME": _time,
}


def table(rows: Sequence[Mapping[str, Any]], fields: Sequence[Field]) -> pa.Table:
    """The converted rows as an Arrow table with those columns."""
    import pyarrow as pa

    return pa.Table.from_pylist(list(rows), schema=pa.schema([_arrow_field(field) for field in fields]))


@functools.cache
def arrow_types() -> dict[str, pa.DataType]:
    """What a value of each type is in Arrow; of others a text."""
    import pyarrow as pa

    return {
        "INT64": pa.int64(),
        "FLOAT64": pa.float64(),
        "NUMERIC": pa.decimal128(38, 9),
        "BIGNUMERIC": pa.decimal256(76, 38),
        "BOOL": pa.bool_(),
        "BYTES": pa.binary(),
        "TIMESTAMP": pa.timestamp("us", tz="UTC"),
        "DATETIME": pa.timestamp("us"),
        "DATE": pa.date32(),
        "TIME": pa.time64("us"),
    }


def _arrow_field(field: Field) -> pa.Field:
    import pyarrow as pa

    plain = {**arrow_types(), "BIGNUMERIC": pa.decimal128(38, 9)}  # DuckDB has no larger one
    wanted = kind(field)
    if wanted == "STRUCT":
        arrow = pa.struct([_arrow_field(inner) for inner in field.get("fields", ())])
    else:
        arrow = plain.get(wanted, pa.string())
    return pa.field(field["name"], pa.list_(arrow) if field.get("mode") == "REPEATED" else arrow)
