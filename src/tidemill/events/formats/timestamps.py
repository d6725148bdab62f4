"""Times, as people write them, to microseconds since 1970-01-01 UTC."""

from __future__ import annotations

import datetime as dt
import math
import re

from tidemill.errors import RowError

_LONGEST = 64
_SEPARATORS = ("T", " ", "", "t")
_fromisoformat = dt.datetime.fromisoformat
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_NAIVE_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - times without an offset are UTC
_MICROSECOND = dt.timedelta(microseconds=1)
#: What a BigQuery TIMESTAMP holds ("Data types": 0001-01-01 to 9999-12-31 23:59:59.999999 UTC).
EARLIEST = (dt.datetime(1, 1, 1, tzinfo=dt.UTC) - _EPOCH) // _MICROSECOND
LATEST = (dt.datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=dt.UTC) - _EPOCH) // _MICROSECOND
_NUMBER = re.compile(r"-?[0-9]{1,40}(\.[0-9]{0,40})?([eE]\+?[0-9]{1,3})?")
#: A date without hyphens. fromisoformat takes more for one: "1612041230123" (milliseconds) for a day in 1612.
_BASIC = re.compile(r"[0-9]{8}(T.*)?")
_SPACED_OFFSET = re.compile(r" (?=[+-][0-9]{2}:?[0-9]{2}$)")
_APACHE = re.compile(r"\[?(\d{2})/([A-Z][a-z]{2})/(\d{4}):(\d{2}:\d{2}:\d{2}) ([+-]\d{4})\]?")
_LEAP = re.compile(r"(:[0-9]{2}):60(\.[0-9]+)?")
_FAR = re.compile(r"(?:[+-][0-9]{5,6}|[0-9]{5,}|0000|-[0-9]{4})-[0-9]{2}-[0-9]{2}")


def parse(value: str | float) -> int:
    """Microseconds since 1970; finer digits are cut off.

    Takes RFC 3339 (without an offset it is UTC), a date, Apache's log format, and numbers: seconds, milli-, micro- or
    nanoseconds since 1970, told apart by their size.

    Raises
    ------
    RowError
        ``timestamp_invalid`` or ``timestamp_out_of_range``.
    """
    if isinstance(value, str):
        moment = iso(value)
        return _unusual(value) if moment is None else checked(moment, value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _invalid(value)
    return _number(value)


def iso(text: str) -> int | None:
    """Microseconds since 1970 of a time as in RFC 3339, not checked for BigQuery's range; None if it is none."""
    if text[4:5] == "-":
        if text[10:11] not in _SEPARATORS:
            return None
    elif not _BASIC.fullmatch(text):
        return None
    try:
        moment = _fromisoformat(text)
    except ValueError:
        return None
    return (moment - (_EPOCH if moment.tzinfo else _NAIVE_EPOCH)) // _MICROSECOND


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
        return checked((moment - _EPOCH) // _MICROSECOND, value)
    if _FAR.match(text):
        raise _out_of_range(value)
    # Before fromisoformat took them: lower case, " UTC", a space before the offset, a leap second.
    changed = _LEAP.sub(r"\1:59.999999", _SPACED_OFFSET.sub("", text.upper().removesuffix(" UTC")))
    since = iso(changed) if len(text) <= _LONGEST else None
    if since is None:
        raise _invalid(value)
    return checked(since, value)


def _number(value: float) -> int:
    if isinstance(value, float) and not math.isfinite(value):
        raise _invalid(value)
    size = abs(value)
    # 1e11 seconds is the year 5138, 1e11 milliseconds is 1973: nothing that people send lies between.
    scale = 1_000_000 if size < 1e11 else 1_000 if size < 1e14 else 1
    if size >= 1e17:  # up to 1e17 microseconds is the year 5138
        return checked(int(value) // 1_000, value)
    if isinstance(value, int):
        return checked(value * scale, value)
    return checked(round(value * scale), value)


def checked(moment: int, value: object) -> int:
    """The moment, if BigQuery can hold it; else RowError ``timestamp_out_of_range`` that names the value."""
    if EARLIEST <= moment <= LATEST:
        return moment
    raise _out_of_range(value)


def _invalid(value: object) -> RowError:
    return RowError("timestamp_invalid", f"{str(value)[:60]!r} is no time that we know.")


def _out_of_range(value: object) -> RowError:
    return RowError("timestamp_out_of_range", f"{str(value)[:60]!r} is not between the years 1 and 9999.")
