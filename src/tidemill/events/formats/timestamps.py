"""Times, as people write them, to microseconds since 1970-01-01 UTC."""

from __future__ import annotations

import datetime as dt
import math
import re

from tidemill.errors import RowError

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)
#: What a BigQuery TIMESTAMP holds ("Data types": 0001-01-01 to 9999-12-31 23:59:59.999999 UTC).
EARLIEST = (dt.datetime(1, 1, 1, tzinfo=dt.UTC) - _EPOCH) // _MICROSECOND
LATEST = (dt.datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=dt.UTC) - _EPOCH) // _MICROSECOND
_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE]\+?\d+)?")
_APACHE = re.compile(r"\[?(\d{2})/([A-Z][a-z]{2})/(\d{4}):(\d{2}:\d{2}:\d{2}) ([+-]\d{4})\]?")
_LEAP = re.compile(r"(:\d{2}):60(\.\d+)?")
_FAR = re.compile(r"[+-]\d{5,6}-\d{2}-\d{2}|\d{5,}-\d{2}-\d{2}|0000-\d{2}-\d{2}|-\d{4}-\d{2}-\d{2}")


def parse(value: str | float) -> int:
    """Microseconds since 1970.

    Takes RFC 3339 (without an offset it is UTC), a date, Apache's log format, and numbers: seconds, milli-, micro- or
    nanoseconds since 1970, told apart by their size.

    Raises
    ------
    RowError
        ``timestamp_invalid`` or ``timestamp_out_of_range``.
    """
    if isinstance(value, str):
        try:
            moment = dt.datetime.fromisoformat(value)
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=dt.UTC)
            return _checked((moment - _EPOCH) // _MICROSECOND, value)
        except (ValueError, OverflowError):
            return _unusual(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _invalid(value)
    return _number(value)


def _unusual(value: str) -> int:
    text = value.strip()
    if _NUMBER.fullmatch(text):
        return _number(float(text) if re.search(r"[.eE]", text) else int(text))
    if match := _APACHE.fullmatch(text):
        day, month, year, time, offset = match.groups()
        try:
            moment = dt.datetime.strptime(f"{day} {month} {year} {time} {offset}", "%d %b %Y %H:%M:%S %z")
        except ValueError:
            raise _invalid(value) from None
        return _checked((moment - _EPOCH) // _MICROSECOND, value)
    if _FAR.match(text):
        raise _out_of_range(value)
    changed = _LEAP.sub(r"\1:59.999999", text.upper().removesuffix(" UTC"))
    if changed != value:
        return parse(changed)
    raise _invalid(value)


def _number(value: float) -> int:
    if isinstance(value, float) and not math.isfinite(value):
        raise _invalid(value)
    size = abs(value)
    # 1e11 seconds is the year 5138, 1e11 milliseconds is 1973: nothing that people send lies between.
    scale = 1_000_000 if size < 1e11 else 1_000 if size < 1e14 else 1
    if size >= 1e17:
        return _checked(int(value) // 1_000, value)
    if isinstance(value, int):
        return _checked(value * scale, value)
    return _checked(round(value * scale), value)


def _checked(moment: int, value: object) -> int:
    if EARLIEST <= moment <= LATEST:
        return moment
    raise _out_of_range(value)


def _invalid(value: object) -> RowError:
    return RowError("timestamp_invalid", f"{str(value)[:60]!r} is no time that we know.")


def _out_of_range(value: object) -> RowError:
    return RowError("timestamp_out_of_range", f"{str(value)[:60]!r} is not between the years 1 and 9999.")
