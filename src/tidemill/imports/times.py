"""Times as columns have them, by the formats that may be named (research on Amplitude and CleverTap, section 4.2)."""

from __future__ import annotations

import datetime as dt
import decimal
import functools
import math
import re
from collections.abc import Callable
from typing import Any, TypeAlias

from tidemill.errors import RowError
from tidemill.events.formats import timestamps
from tidemill.imports.spec import TimeFormat
from tidemill.imports.unfit import Unfit

#: Gives microseconds since 1970 of a value that is not null; raises Unfit.
Reader: TypeAlias = Callable[[Any], int]

_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - times without an offset are UTC
_MICROSECOND = dt.timedelta(microseconds=1)
#: Microseconds of a unit.
_UNITS = {TimeFormat.SECONDS: 1_000_000, TimeFormat.MILLISECONDS: 1_000, TimeFormat.MICROSECONDS: 1}
#: What stands in a format for a part of a time, and the texts that are taken for it.
_PARTS = {
    "yyyy": "(?P<year>[0-9]{4})",
    "MMM": "(?P<name>[A-Za-z]{3})",
    "MM": "(?P<month>[0-9]{2})",
    "dd": "(?P<day>[0-9]{2})",
    "HH": "(?P<hour>[0-9]{2})",
    "mm": "(?P<minute>[0-9]{2})",
    "ss": "(?P<second>[0-9]{2})",
}
_TOKEN = re.compile("yyyy|MMM|MM|dd|HH|mm|ss|.")
#: In English, whatever the language of the machine is.
_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTHS = {name: number for number, name in enumerate(_NAMES, 1)}
_NUMBER = re.compile(r"[+-]?[0-9]{1,30}(?:\.[0-9]{0,30})?")
#: The longest text that says a day and no time of it: 2024-12-31.
_DAY = 10
#: A time as it is kept.
_UTC = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z")
#: Days are few, and come often: so many are remembered.
_DAYS = 4_096


@functools.cache
def reader(form: TimeFormat) -> Reader:
    """What reads times of a format. Times without an offset are UTC."""
    if form is TimeFormat.AUTO:
        return _iso
    if form in _UNITS:
        return _since_1970(_UNITS[form], _expected(form))
    return _written(form)


@functools.cache
def texts(form: TimeFormat) -> Callable[[Any], str]:
    """What makes ISO 8601 in UTC of times of a format; of days without a time, days."""
    read = reader(form)
    is_auto, is_day = form is TimeFormat.AUTO, form not in _UNITS and form is not TimeFormat.AUTO and "HH" not in form

    @functools.lru_cache(_DAYS)
    def of_day(value: str) -> str:
        return _text(read(value), is_day=True)

    def convert(value: Any) -> str:
        if type(value) is str:
            if is_day or (is_auto and len(value.strip()) <= _DAY):
                return of_day(value)
            if is_auto and _UTC.fullmatch(value):
                read(value)  # it may be no day of the calendar
                return value
        return _text(read(value), is_day=is_day)

    return convert


def moment(micros: int) -> str:
    """ISO 8601 of microseconds since 1970."""
    return _text(micros, is_day=False)


def _text(micros: int, *, is_day: bool) -> str:
    moment = _EPOCH + dt.timedelta(microseconds=micros)
    return moment.date().isoformat() if is_day else moment.isoformat() + "Z"


def _expected(form: TimeFormat) -> str:
    if form is TimeFormat.AUTO:
        return "a time in ISO 8601, such as 2024-12-31T23:59:59Z"
    if form in _UNITS:
        return f"{form.removeprefix('epoch-')} since 1970, of the years 1 to 9999"
    return f"a time as {form}"


def _iso(value: Any) -> int:
    if type(value) is str:
        micros = timestamps.iso(value)
        if micros is not None and timestamps.EARLIEST <= micros <= timestamps.LATEST:
            return micros
        if not _NUMBER.fullmatch(value.strip()):  # it would be guessed from its size what it counts
            try:
                return timestamps.parse(value)
            except RowError:
                pass
        raise Unfit(_expected(TimeFormat.AUTO))
    raise Unfit(f"{_expected(TimeFormat.AUTO)}; of a number the format says what it counts")


def _since_1970(unit: int, expected: str) -> Reader:
    def read(value: Any) -> int:
        if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
            micros = int(decimal.Decimal(value.strip()) * unit)
        elif isinstance(value, int) and not isinstance(value, bool):
            micros = value * unit
        elif isinstance(value, float) and math.isfinite(value):
            micros = round(value * unit)
        else:
            raise Unfit(expected)
        if timestamps.EARLIEST <= micros <= timestamps.LATEST:
            return micros
        raise Unfit(expected)

    return read


def _written(form: TimeFormat) -> Reader:
    expected = _expected(form)
    match = re.compile("".join(_PARTS.get(token, re.escape(token)) for token in _TOKEN.findall(form))).fullmatch

    def read(value: Any) -> int:
        found = match(value.strip()) if isinstance(value, str) else None
        if found is None:
            raise Unfit(expected)
        parts = found.groupdict()
        name = parts.pop("name", None)
        try:
            month = _MONTHS[name.lower()] if name else int(parts.pop("month"))
            year, day = int(parts.pop("year")), int(parts.pop("day"))
            hour, minute, second = map(int, parts.values()) if parts else (0, 0, 0)
            moment = dt.datetime(year, month, day, hour, minute, second)  # noqa: DTZ001 - it is UTC
        except (ValueError, KeyError):
            raise Unfit(expected) from None
        return (moment - _EPOCH) // _MICROSECOND

    return read
