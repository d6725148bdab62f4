"""What a plan makes of the time of a row, if its rows are to come oldest first: the bucket grows with that time.

The model's statement tells milliseconds since 1970, so that plans in the warehouse and here have the same of it. What
is no time that can be read, and no row any more, is after all others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tidemill.bigquery.plan_cursors import NUMBERS
from tidemill.bigquery.tables import Field

#: The years 1 to 9999, which a TIMESTAMP may be of ("Data types"), in milliseconds since 1970.
EARLIEST, LATEST = -62_135_596_800_000, 253_402_300_799_999
#: Into how many buckets a millisecond falls, by the hash of the key: a million rows of one time are no piece. With all
#: milliseconds of 9,999 years they are fewer than there are INT64.
_ALIKE = 16_384
#: Of these a bucket of an unordered plan is so many.
_FINER = 1_048_576 // _ALIKE
#: Sums that go from bucket to bucket are made by one machine: so they are made of minutes, and within each.
_MINUTE = 60_000 * _ALIKE
#: The end of a time that says of which offset it is.
_OFFSET = r"r'([Zz]|[+-][0-9]{2}:?[0-9]{2})$'"
#: How many of a unit a second has.
UNITS = {"seconds": 1, "milliseconds": 1_000, "microseconds": 1_000_000}


def value(fields: Mapping[str, Field], path: str, unit: str | None, pattern: str | None) -> str | None:
    """A column's time in milliseconds since 1970, NULL if there is none; None if such a column has none that can be
    read. `unit`: what a number counts since 1970; `pattern`: how a text is written, for PARSE_TIMESTAMP, or else it is
    ISO 8601. Without an offset it is UTC. `fields`: of the model, by their names in small letters; `path`: a column, or
    one within a STRUCT."""
    found = _found(fields, path)
    if found is None:
        return None
    name, field = found
    match field.type:
        case "TIMESTAMP":
            return f"UNIX_MILLIS({name})"
        case "DATE" | "DATETIME":
            return f"UNIX_MILLIS(TIMESTAMP({name}, 'UTC'))"
        case "STRING":
            return _of_text(f"TRIM({name})", unit, pattern)
    if unit is None or field.type not in NUMBERS:
        return None
    return _of_number(name, unit, whole=field.type == "INT64")


def _found(fields: Mapping[str, Field], path: str) -> tuple[str, Field] | None:
    """How a column is named in the statement, and what it is; None if it is none, or is of a list."""
    if path.lower() not in fields and "." in path:
        first, _, rest = path.partition(".")
        column = fields.get(first.lower())
        if column is None or column.mode == "REPEATED":
            return None
        found = _found({inner.name.lower(): inner for inner in column.fields}, rest)
        return None if found is None else (f"source.`{first}`{found[0].removeprefix('source')}", found[1])
    field = fields.get(path.lower())
    return None if field is None or field.mode == "REPEATED" else (f"source.`{path}`", field)


def _of_text(text: str, unit: str | None, pattern: str | None) -> str:
    if unit is not None:
        return _of_number(f"SAFE_CAST({text} AS FLOAT64)", unit)
    if pattern is not None:
        return f"UNIX_MILLIS(SAFE.PARSE_TIMESTAMP('{pattern}', {text}, 'UTC'))"
    # As a DATETIME a text is not of the project's default time zone, which a cast without an offset would take.
    local = f"TIMESTAMP(SAFE_CAST({text} AS DATETIME), 'UTC')"
    return f"UNIX_MILLIS(IF(REGEXP_CONTAINS({text}, {_OFFSET}), SAFE_CAST({text} AS TIMESTAMP), {local}))"


def _of_number(number: str, unit: str, *, whole: bool = False) -> str:
    """Of a number that may be any: beyond the years that there are it is no time."""
    per_second = UNITS[unit]
    first, last = EARLIEST // 1000 * per_second, (LATEST + 1) // 1000 * per_second - 1
    if unit == "microseconds":
        millis = f"DIV({number}, 1000)" if whole else f"{number} / 1000"
    else:
        millis = f"{number} * {1000 // per_second}"
    millis = millis if whole else f"CAST(FLOOR({millis}) AS INT64)"
    return f"IF({number} BETWEEN {first} AND {last}, {millis}, NULL)"


def bucket(of_key: str, millis: str, divided: Callable[[str, int], str]) -> str:
    """The bucket of a row. `of_key`: that of an unordered plan; `divided`: whole numbers of a dialect."""
    after = f"IFNULL({millis}, {LATEST + 1}) - ({EARLIEST})"
    return f"({after}) * {_ALIKE} + {divided(of_key, _FINER)}"


def passed(buckets: str, divided: Callable[[str, int], str]) -> str:
    """Of each bucket, how much there is up to it: columns bucket, bucket_rows, passed. `buckets`: what has them, with
    their weights. There may be as many as rows, which are too many for a sum that one machine makes."""
    minute = divided("bucket", _MINUTE)
    return (
        f"WITH buckets AS (SELECT *, {minute} AS part FROM ({buckets})),\n"
        "     parts AS (SELECT part, SUM(part_weight) OVER (ORDER BY part) - part_weight AS before\n"
        "               FROM (SELECT part, SUM(weight) AS part_weight FROM buckets GROUP BY part))\n"
        "SELECT bucket, bucket_rows, before + SUM(weight) OVER (PARTITION BY part ORDER BY bucket) AS passed\n"
        "FROM buckets JOIN parts USING (part)"
    )
