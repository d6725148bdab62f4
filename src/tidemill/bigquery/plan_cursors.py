"""What a plan makes of a cursor: a value that says when a row has changed, whether that is yet to come, and from where
rows are looked at."""

from __future__ import annotations

import datetime as dt
import decimal
from decimal import Decimal

from tidemill.bigquery.tables import Field

#: How much later than now a cursor may be: clocks are fast. A DATETIME is of no time zone: in the easternmost it is
#: fourteen hours later than in UTC.
_FAST_HOURS, _FAST_LOCAL_HOURS = 1, 15
#: How many of a unit an hour has, and the time now in it.
_HOUR = {"seconds": 3_600, "milliseconds": 3_600_000}
_NOW = {"seconds": "UNIX_SECONDS(CURRENT_TIMESTAMP())", "milliseconds": "UNIX_MILLIS(CURRENT_TIMESTAMP())"}
NUMBERS = ("INT64", "NUMERIC", "BIGNUMERIC", "FLOAT64")
_LEAST_INT64 = -(2**63)
_DIGITS = 100  # BIGNUMERIC has 77


def value(cursor: Field, unit: str | None) -> str:
    """The cursor; NULL if it says nothing of when a row has changed, or is in the future: all that comes would be
    older than that."""
    name, unusable = f"source.`{cursor.name}`", []
    if cursor.type == "FLOAT64":
        unusable.append(f"IS_NAN({name}) OR IS_INF({name})")
    latest = _latest(cursor, unit)
    if latest is not None:
        unusable.append(f"{name} > {latest}")
    return f"IF({' OR '.join(unusable)}, NULL, {name})" if unusable else name


def is_ahead(cursor: Field, unit: str | None) -> str:
    """Whether the cursor is in the future, by the clock of the warehouse."""
    name, latest = f"source.`{cursor.name}`", _latest(cursor, unit)
    if latest is None:
        return "FALSE"
    later = f"IFNULL({name} > {latest}, FALSE)"
    return f"IF(IS_NAN({name}) OR IS_INF({name}), FALSE, {later})" if cursor.type == "FLOAT64" else later


def _latest(cursor: Field, unit: str | None) -> str | None:
    """The latest time that is not in the future, as the cursor has it; None if it is nothing that a clock shows."""
    match cursor.type:
        case "DATE":
            return "DATE(TIMESTAMP_ADD(CURRENT_TIMESTAMP(), INTERVAL 24 HOUR), 'UTC')"
        case "DATETIME":
            return f"DATETIME(TIMESTAMP_ADD(CURRENT_TIMESTAMP(), INTERVAL {_FAST_LOCAL_HOURS} HOUR), 'UTC')"
        case "TIMESTAMP":
            return f"TIMESTAMP_ADD(CURRENT_TIMESTAMP(), INTERVAL {_FAST_HOURS} HOUR)"
    if unit is None or cursor.type not in NUMBERS:
        return None
    return f"({_NOW[unit]} + {_FAST_HOURS * _HOUR[unit]})"


def looked_from(kind: str, position: str, overlap: int, unit: str | None) -> str:
    """The cursor from which rows are looked at, as text. `kind`: its type; `position`: how far it was, as BigQuery
    or DuckDB writes it; `overlap`: so many days of a DATE, hours of a time, or else so much."""
    if not overlap:
        return position
    match kind:
        case "DATE":
            return _before(position, 24 * overlap).date().isoformat()
        case "DATETIME" | "TIMESTAMP":
            return _before(position, overlap).isoformat(" ")
    back = overlap * _HOUR[unit] if unit is not None else overlap
    if kind == "INT64":
        return str(max(int(position) - back, _LEAST_INT64))
    if kind == "FLOAT64":
        return repr(float(position) - back)
    with decimal.localcontext(prec=_DIGITS):
        return format(Decimal(position) - back, "f")


def _before(position: str, hours: int) -> dt.datetime:
    """So many hours before a time; none is before the first that there is."""
    moment = dt.datetime.fromisoformat(position)
    try:
        return moment - dt.timedelta(hours=hours)
    except OverflowError:
        return dt.datetime.min.replace(tzinfo=moment.tzinfo)
