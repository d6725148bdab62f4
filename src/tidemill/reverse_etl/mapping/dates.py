"""@date: a time, read in one form and written in another."""

from __future__ import annotations

import contextlib
import datetime as dt
import decimal
import re
import zoneinfo
from collections.abc import Callable
from typing import Any

from tidemill.reverse_etl.mapping.compiler import Compiler, Place, nothing
from tidemill.reverse_etl.mapping.values import MISSING, Reader, Unfit, each, failed, told

#: Of a second.
_UNITS = {"seconds": 1, "milliseconds": 1_000, "microseconds": 1_000_000}
_FORMATS = ("iso", "date", *_UNITS)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
#: Characters of a pattern.
_LONGEST = 100
#: 25 years: from it, each directive of a pattern gives something.
_SAMPLE = dt.datetime(2024, 2, 29, 13, 14, 15, 167_000, tzinfo=dt.UTC)
_EPOCH_TEXT = re.compile(r"[+-]?[0-9]{1,20}(?:\.[0-9]{1,20})?", re.ASCII)


def date(compiler: Compiler, argument: Any, place: Place) -> Reader:
    """@date: a time in another form; of a list, each item. Null and what is missing stay as they are."""
    options = compiler.options("@date", argument, place, ("value", "parse", "format", "timezone"))
    if options is None:
        return nothing
    zone = _zone(compiler, options.get("timezone", "UTC"), place)
    parse = _parser(compiler, options.get("parse", "iso"), zone, place)
    write = _writer(compiler, options.get("format", "iso"), place)
    if "value" not in options:
        return compiler.wrong(place, "@date has no value")
    child = compiler.node(options["value"], place.below("@date.value"))

    def one(value: Any) -> Any:
        if value is None or value is MISSING:
            return value
        try:
            return write(parse(value).astimezone(zone))
        except (ValueError, OverflowError, OSError):  # also before the year 1 and after 9999
            raise Unfit(f"cannot read {told(value)} as {options.get('parse', 'iso')}") from None

    def read(row: Any) -> Any:
        try:
            return each(one, child(row))
        except Unfit as unfit:
            raise failed(place.path, f"@date {unfit}") from None

    return read


def _zone(compiler: Compiler, name: Any, place: Place) -> dt.tzinfo:
    if name == "UTC":
        return dt.UTC
    with contextlib.suppress(KeyError, ValueError, OSError, TypeError):
        if isinstance(name, str):
            return zoneinfo.ZoneInfo(name)
    compiler.wrong(place, f"@date.timezone is {told(name)}; it is a name such as Europe/Paris")
    return dt.UTC


def _parser(compiler: Compiler, form: Any, zone: dt.tzinfo, place: Place) -> Callable[[Any], dt.datetime]:
    if form == "iso":
        return lambda value: _local(dt.datetime.fromisoformat(_iso(value)), zone)
    if isinstance(form, str) and form in _UNITS:
        unit = _UNITS[form]
        return lambda value: _since_epoch(value, unit)
    if isinstance(form, str) and "%" in form and len(form) <= _LONGEST and _parses(form):
        return lambda value: _local(dt.datetime.strptime(_texted(value), form), zone)  # noqa: DTZ007 - _local has it
    forms = ", ".join(("iso", *_UNITS))
    compiler.wrong(place, f"@date.parse is {told(form)}; it is one of {forms}, or a pattern such as %d.%m.%Y")
    return lambda _: _EPOCH


def _writer(compiler: Compiler, form: Any, place: Place) -> Callable[[dt.datetime], Any]:
    if form == "iso":
        return _written
    if form == "date":
        return lambda time: time.date().isoformat()
    if isinstance(form, str) and form in _UNITS:
        unit = dt.timedelta(microseconds=1_000_000 // _UNITS[form])
        return lambda time: (time - _EPOCH) // unit
    if isinstance(form, str) and "%" in form and len(form) <= _LONGEST and _formats(form):
        return lambda time: time.strftime(form)
    forms = ", ".join(_FORMATS)
    compiler.wrong(place, f"@date.format is {told(form)}; it is one of {forms}, or a pattern such as %d.%m.%Y")
    return _written


def _local(time: dt.datetime, zone: dt.tzinfo) -> dt.datetime:
    """A time, in the zone if it has none."""
    return time if time.tzinfo else time.replace(tzinfo=zone)


def _iso(value: Any) -> str:
    found = _texted(value)
    # BigQuery writes a TIMESTAMP as text with its zone behind it.
    return f"{found[:-4]}+00:00" if found.endswith(" UTC") else found


def _texted(value: Any) -> str:
    if not isinstance(value, str):
        raise Unfit(f"is given {told(value)}, and should be given a text; parse: seconds reads numbers")
    return value.strip()


def _since_epoch(value: Any, unit: int) -> dt.datetime:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Unfit(f"is given {told(value)}, and should be given a number")
    digits = value.strip() if isinstance(value, str) else repr(value)
    if isinstance(value, str) and not _EPOCH_TEXT.fullmatch(digits):
        raise ValueError(digits)
    try:
        micros = int(decimal.Decimal(digits) * 1_000_000 / unit)
    except decimal.InvalidOperation:  # infinite, or no number
        raise ValueError(digits) from None
    return _EPOCH + dt.timedelta(microseconds=micros)


def _written(time: dt.datetime) -> str:
    found = time.isoformat()
    return f"{found[:-6]}Z" if found.endswith("+00:00") else found


def _formats(pattern: str) -> bool:
    try:
        return bool(_SAMPLE.strftime(pattern)) and "\0" not in pattern
    except ValueError:  # also half a surrogate pair
        return False


def _parses(pattern: str) -> bool:
    try:
        dt.datetime.strptime("", pattern)  # noqa: DTZ007 - it is only asked whether the pattern is one
    except ValueError as error:
        return "does not match format" in str(error)
    except re.error:  # a directive is there twice
        return False
    return True
