"""Arrow rows of the Storage Write API: checked and converted as BigQuery takes them into a table's columns.

Which types go into which columns: BigQuery's page "Supported protocol buffer and Arrow data types". TIME is not on it,
and Google's own sample sends it. Unsigned integers are, and its samples send signed ones: these are taken.
"""

from __future__ import annotations

import datetime as dt
import decimal
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from tidemill.bigquery.local import values
from tidemill.bigquery.local.values import Field

_DAY = 86_400_000_000
_FIRST_DAY, _LAST_DAY = -719_162, 2_932_896  # 0001-01-01 and 9999-12-31, in days since 1970
#: The first and last value of a type, as the number that Arrow keeps of it.
_BOUNDS = {
    "TIMESTAMP": (_FIRST_DAY * _DAY, (_LAST_DAY + 1) * _DAY - 1),
    "DATETIME": (_FIRST_DAY * _DAY, (_LAST_DAY + 1) * _DAY - 1),
    "DATE": (_FIRST_DAY, _LAST_DAY),
    "TIME": (0, _DAY - 1),
}
_STREAMED_BACK, _STREAMED_AHEAD = 3650, 366
_FITS: dict[str, Callable[[Any], bool]] = {
    "BOOL": types.is_boolean,
    "BYTES": types.is_binary,
    "DATE": lambda kind: bool(types.is_date32(kind) or types.is_string(kind) or types.is_int32(kind)),
    "DATETIME": lambda kind: bool(kind == pa.timestamp("us")),
    "TIMESTAMP": lambda kind: bool(kind == pa.timestamp("us", tz="UTC")),
    "TIME": lambda kind: bool(kind == pa.time64("us")),
    "FLOAT64": lambda kind: bool(types.is_float32(kind) or types.is_float64(kind)),
    "INT64": types.is_signed_integer,
    "STRING": types.is_string,
    "JSON": types.is_string,
    "GEOGRAPHY": types.is_string,
    "INTERVAL": lambda kind: bool(kind == pa.month_day_nano_interval()),
    "NUMERIC": lambda kind: bool(types.is_decimal128(kind)) and _has_digits(kind, 29, 9),
    "BIGNUMERIC": lambda kind: bool(types.is_decimal256(kind)) and _has_digits(kind, 38, 38),
}
_DIGITS = decimal.Context(prec=77)
_CAST = {"INT64": pa.int64(), "FLOAT64": pa.float64(), "NUMERIC": pa.decimal128(38, 9), "DATE": pa.date32()}


class MismatchError(ValueError):
    """Rows that do not fit the table, all of them. `extra`: because they have columns that the table lacks."""

    def __init__(self, message: str, *, extra: bool = False) -> None:
        super().__init__(message)
        self.extra = extra


class BadRowsError(ValueError):
    """Rows that cannot be taken: why, by their place in the request."""

    def __init__(self, rows: dict[int, str]) -> None:
        super().__init__("Errors found while processing rows.")
        self.rows = dict(sorted(rows.items()))


def read_schema(serialized: bytes) -> pa.Schema:
    """The schema in a request. Raises MismatchError if it is none."""
    try:
        return pa.ipc.read_schema(pa.py_buffer(serialized))
    except (pa.ArrowException, OSError) as error:
        raise MismatchError(f"Arrow schema cannot be parsed: {error}") from None


def read(schema: pa.Schema, serialized: bytes, fields: Sequence[Field]) -> pa.Table:
    """The rows in a request, by the names and in the types of the table's columns.

    Raises
    ------
    MismatchError
        The request is none, or its columns are not the table's.
    BadRowsError
        Rows have values that their columns do not take.
    """
    extra = _check(schema, fields, "")
    if extra:
        named = ", ".join(f"'{name}'" for name in extra)
        raise MismatchError(f"Input schema has more fields than BigQuery schema, extra fields: {named}", extra=True)
    try:
        batch = pa.ipc.read_record_batch(pa.py_buffer(serialized), schema)
        batch.validate(full=True)
    except (pa.ArrowException, OSError) as error:
        raise MismatchError(f"Arrow record batch cannot be parsed: {error}") from None
    if not batch.num_rows:
        raise MismatchError("Rows must be specified.")
    known = {field["name"].lower(): field for field in fields}
    bad: dict[int, str] = {}
    rows = pa.array(range(batch.num_rows), pa.int64())
    made = {}
    for name, column in zip(schema.names, batch.columns, strict=True):
        field = known[name.lower()]
        made[str(field["name"])] = _converted(column, field, rows, bad)
    if bad:
        raise BadRowsError(bad)
    return pa.table(made)


def assert_streamable(rows: pa.Table, column: str, today: dt.date) -> None:
    """Raise BadRowsError for rows whose partition lies further away than may be streamed into.

    "Streaming data into partitioned tables": ten years into the past, one year into the future.
    """
    if column not in rows.column_names:
        return
    days = rows[column].cast(pa.timestamp("us")).cast(pa.date32(), safe=False).cast(pa.int32())
    number = (today - dt.date(1970, 1, 1)).days
    outside = pc.or_(pc.less(days, number - _STREAMED_BACK), pc.greater(days, number + _STREAMED_AHEAD))
    said = (
        f"The given value for the field {column} is outside the allowed bounds. You can only stream to date range "
        f"within {_STREAMED_BACK} days in the past and {_STREAMED_AHEAD} days in the future relative to the current "
        "date."
    )
    if bad := {row: said for row, wrong in enumerate(outside.to_pylist()) if wrong}:
        raise BadRowsError(bad)


def _check(given: Sequence[pa.Field], fields: Sequence[Field], above: str) -> list[str]:
    """The columns that the table lacks. Raises MismatchError for those that have another type or are missing."""
    known = {field["name"].lower(): field for field in fields}
    seen: set[str] = set()
    extra = []
    for one in given:
        name = one.name.lower()
        if name in seen:
            raise MismatchError(f"Input schema has the field {above}{one.name} twice")
        seen.add(name)
        if name in known:
            extra += _check_type(one.type, known[name], f"{above}{one.name}")
        else:
            extra.append(f"{above}{one.name}")
    for field in fields:
        if not extra and field.get("mode") == "REQUIRED" and field["name"].lower() not in seen:
            raise MismatchError(f"Input schema lacks the required field {above}{field['name']}")
    return extra


def _check_type(given: pa.DataType, field: Field, path: str) -> list[str]:
    plain = given
    if repeated := types.is_list(given):
        plain = given.value_type
    if repeated != (field.get("mode") == "REPEATED"):
        raise _other_type(given, field, path)
    kind = values.kind(field)
    if kind in {"STRUCT", "RANGE"}:
        if not types.is_struct(plain):
            raise _other_type(given, field, path)
        return _check([plain.field(at) for at in range(plain.num_fields)], _inner(field), f"{path}.")
    if not _FITS[kind](plain):
        raise _other_type(given, field, path)
    return []


def _other_type(given: pa.DataType, field: Field, path: str) -> MismatchError:
    wanted = values.kind(field)
    if field.get("mode") == "REPEATED":
        wanted = f"ARRAY<{wanted}>"
    return MismatchError(f"Arrow type {given} of the field {path} does not go into a column of type {wanted}")


def _inner(field: Field) -> Sequence[Field]:
    """The fields of a STRUCT. A RANGE is one of two."""
    if values.kind(field) == "STRUCT":
        inner: Sequence[Field] = field.get("fields", ())
        return inner
    return [{"name": name, "type": field["rangeElementType"]["type"], "mode": "NULLABLE"} for name in ("start", "end")]


def _has_digits(kind: pa.DataType, whole: int, scale: int) -> bool:
    return bool(0 <= kind.scale <= scale and kind.precision - kind.scale <= whole)


def _converted(array: pa.Array, field: Field, rows: pa.Array, bad: dict[int, str]) -> pa.Array:
    """The values as the column takes them. `rows`: which row each is of, NULL where what is around it is NULL.

    What is wrong goes to `bad`, by row.
    """
    name, kind = field["name"], values.kind(field)
    if field.get("mode") == "REPEATED":
        _note(bad, rows, array.is_null(), f"Field {name}: NULL is no array; an empty one is []")
        inner = {**field, "mode": "REQUIRED"}
        elements = _converted(array.flatten(), inner, rows.take(pc.list_parent_indices(array)), bad)
        ends = pc.cumulative_sum(pc.fill_null(pc.list_value_length(array), 0))
        return pa.ListArray.from_arrays(pa.concat_arrays([pa.array([0], pa.int32()), ends.cast(pa.int32())]), elements)
    if field.get("mode") == "REQUIRED":
        _note(bad, rows, array.is_null(), f"Field value of {name} cannot be empty.")
    if kind in {"STRUCT", "RANGE"}:
        return _struct(array, field, rows, bad)
    if kind == "JSON":
        return _each(array, rows, bad, values.json_of, pa.string(), f"Field {name}: Invalid JSON")
    if kind == "DATE" and types.is_string(array.type):
        array = _each(array, rows, bad, values.date, pa.date32(), f"Field {name}: Invalid date")
    if kind == "BIGNUMERIC":
        return _each(array, rows, bad, _held, pa.decimal128(38, 9), f"Field {name}: {values.NOT_HELD}")
    if kind in _BOUNDS:
        first, last = _BOUNDS[kind]
        number = array.view(pa.int32() if kind == "DATE" else pa.int64())
        outside = pc.or_(pc.less(number, first), pc.greater(number, last))
        _note(bad, rows, outside, f"Field {name}: the value is out of the range of {kind}")
    wanted = _CAST.get(kind, array.type)  # what is in the place of a NULL may be anything, and is not to be converted
    return array if array.type == wanted else array.cast(wanted)


def _struct(array: pa.Array, field: Field, rows: pa.Array, bad: dict[int, str]) -> pa.Array:
    given = {array.type.field(at).name.lower(): at for at in range(array.type.num_fields)}
    rows = pc.if_else(array.is_valid(), rows, pa.scalar(None, pa.int64()))
    inner = []
    for one in _inner(field):
        at = given.get(one["name"].lower())
        inner.append(pa.nulls(len(array)) if at is None else _converted(pc.struct_field(array, [at]), one, rows, bad))
    names = [str(one["name"]) for one in _inner(field)]
    return pa.StructArray.from_arrays(inner, names, mask=array.is_null())


def _each(
    array: pa.Array,
    rows: pa.Array,
    bad: dict[int, str],
    convert: Callable[[Any], Any],
    kind: pa.DataType,
    message: str,
) -> pa.Array:
    made = []
    for value, row in zip(array.to_pylist(), rows.to_pylist(), strict=True):
        try:
            made.append(None if value is None or row is None else convert(value))
        except (ValueError, RecursionError):
            bad.setdefault(row, message)
            made.append(None)
    return pa.array(made, kind)


def _held(number: Any) -> Any:
    if not values.is_held(number):
        raise ValueError
    return number.normalize(_DIGITS)  # it comes with 38 digits behind the point


def _note(bad: dict[int, str], rows: pa.Array, wrong: pa.Array, message: str) -> None:
    for row in rows.filter(wrong).drop_null().to_pylist():
        bad.setdefault(row, message)
