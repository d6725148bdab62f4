"""@number: a number of a text, whole or not, rounded."""

from __future__ import annotations

import decimal
import functools
import math
import re
from collections.abc import Callable
from typing import Any

from tidemill.reverse_etl.mapping.compiler import Compiler, Place, nothing
from tidemill.reverse_etl.mapping.values import MISSING, Reader, Unfit, failed, told

_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?", re.ASCII)
_WHOLE = re.compile(r"[+-]?[0-9]+", re.ASCII)
#: Whole numbers that JSON is read into everywhere: 64 bits, with or without a sign.
_LEAST, _MOST = -(2**63), 2**64 - 1
#: Characters of a text that is read as a number, and digits that it may be rounded to.
_LONGEST, _DIGITS = 400, 15
#: Half is rounded away from zero, as people do.
_ROUNDING = decimal.Context(prec=800, rounding=decimal.ROUND_HALF_UP)


def number(compiler: Compiler, argument: Any, place: Place) -> Reader:
    """@number: a number; of a list, each item. What is no number is the default, if there is one."""
    options = compiler.options("@number", argument, place, ("value", "type", "round", "default"))
    if options is None:
        return nothing
    kind, digits = options.get("type", "number"), options.get("round")
    good = compiler.one_of("@number", "type", kind, ("number", "integer", "float"), place)
    if digits is not None and (isinstance(digits, bool) or not isinstance(digits, int) or not 0 <= digits <= _DIGITS):
        compiler.wrong(place, f"@number.round is {told(digits)}; it is a number of digits from 0 to {_DIGITS}")
        good = False
    if "value" not in options:
        return compiler.wrong(place, "@number has no value")
    child = compiler.node(options["value"], place.below("@number.value"))
    default = compiler.node(options["default"], place.below("@number.default")) if "default" in options else None
    if not good:
        return nothing
    return _reading(child, functools.partial(_made, kind, digits), default, place.path)


def _reading(child: Reader, make: Callable[[Any], Any], default: Reader | None, at: str) -> Reader:
    def one(value: Any, row: Any) -> Any:
        if value is None or value is MISSING:
            return value if default is None else default(row)
        try:
            return make(value)
        except Unfit as unfit:
            if default is not None:
                return default(row)
            raise failed(at, f"@number {unfit}") from None

    def read(row: Any) -> Any:
        found = child(row)
        if isinstance(found, list):
            return [None if item is MISSING else item for item in [one(item, row) for item in found]]
        return one(found, row)

    return read


def _made(kind: str, digits: int | None, value: Any) -> int | float:
    found = _read(value)
    if digits is not None:
        found = _rounded(found, digits)
    if kind == "float":
        return float(found)
    if kind == "integer" and isinstance(found, float):
        if not found.is_integer():
            raise Unfit(f"found {found!r}, which is not a whole number; round: 0 makes it one")
        found = int(found)
    if isinstance(found, int) and not _LEAST <= found <= _MOST:
        if kind == "integer":
            raise Unfit("found a whole number of more than 64 bits")
        return float(found)
    return found


def _read(value: Any) -> int | float:
    """The number that a value is.

    Raises
    ------
    Unfit
        It is none.
    """
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, str):
        digits = value.strip()
        if len(digits) > _LONGEST or not _NUMBER.fullmatch(digits):
            raise Unfit(f"cannot read {told(value)}")
        value = int(digits) if _WHOLE.fullmatch(digits) else float(digits)
    if not isinstance(value, int | float):
        raise Unfit(f"cannot read {told(value)}")
    if isinstance(value, int):
        if value.bit_length() > 1_000:
            raise Unfit("found a number that is too large")
        return value
    if not math.isfinite(value):
        raise Unfit("found a number that is too large")
    return value


def _rounded(value: int | float, digits: int) -> int | float:
    if isinstance(value, int):
        return value
    found = decimal.Decimal(repr(value)).quantize(decimal.Decimal(1).scaleb(-digits), context=_ROUNDING)
    return int(found) if digits == 0 else float(found)
