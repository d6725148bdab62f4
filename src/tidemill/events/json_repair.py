"""Makes a JSON text fit for a BigQuery JSON column, by rules that are counted, or says why it cannot be.

What BigQuery's JSON type holds ("Data types", JSON): integers from -2^63 to 2^64-1, other numbers as FLOAT64, valid
UTF-8, at most 500 levels; of duplicate keys the first counts. The rules:

``number_rounded``
    a number with more digits than its type holds becomes the nearest FLOAT64 (as ``wide_number_mode => 'round'`` does);
``number_as_text``
    a number beyond FLOAT64 (1e400) becomes a string of its digits: nothing is lost;
``surrogate_replaced``
    half of a surrogate pair becomes U+FFFD, since it has no UTF-8;
``nul_replaced``
    U+0000 becomes U+FFFD.

Anything else that does not fit is a RowError: ``json_invalid`` or ``json_too_deep``.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections import Counter

from tidemill.errors import RowError

MAX_DEPTH = 500
_HALF_PAIR = re.compile("[\ud800-\udfff]")
_INT_MIN, _INT_MAX = -(2**63), 2**64 - 1


@dataclasses.dataclass(frozen=True)
class Repaired:
    """The new text, and how often each rule was applied (empty if the text was fit already)."""

    text: str
    rules: Counter[str]


def repair(text: str) -> Repaired:
    """Apply the rules to one JSON text.

    Raises
    ------
    RowError
        ``json_invalid`` or ``json_too_deep``.
    """
    rules: Counter[str] = Counter()
    if _depth(text) > MAX_DEPTH:
        raise RowError("json_too_deep", f"The JSON is nested more than {MAX_DEPTH} levels deep.")
    try:
        value = json.loads(
            text,
            parse_int=lambda digits: _integer(digits, rules),
            parse_float=lambda digits: _float(digits, rules),
            parse_constant=_constant,
            object_pairs_hook=lambda pairs: _object(pairs, rules),
        )
    except (ValueError, RecursionError) as error:
        raise RowError("json_invalid", f"The JSON is not valid: {error}.") from None
    value = _strings(value, rules)
    if not rules:
        return Repaired(text, rules)
    return Repaired(json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False), rules)


def _depth(text: str) -> int:
    """Levels of nesting, counted without recursion; brackets inside strings do not count."""
    depth = deepest = 0
    for token in re.finditer(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', text):
        first = token.group()[0]
        if first in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif first in "]}":
            depth -= 1
    return deepest


def _integer(digits: str, rules: Counter[str]) -> int | float | str:
    if len(digits) <= 20 and _INT_MIN <= int(digits) <= _INT_MAX:
        return int(digits)
    return _float(digits, rules, whole=True)


def _float(digits: str, rules: Counter[str], *, whole: bool = False) -> float | str:
    value = float(digits)
    if math.isinf(value):
        rules["number_as_text"] += 1
        return digits
    if whole or _significant(digits) != _significant(repr(value)):
        rules["number_rounded"] += 1
    return value


def _significant(digits: str) -> str:
    """The significant digits of a number, without sign, point, exponent and outer zeros."""
    mantissa = digits.lower().lstrip("-").partition("e")[0]
    return mantissa.replace(".", "").strip("0")


def _constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _object(pairs: list[tuple[str, object]], rules: Counter[str]) -> dict[str, object]:
    fields: dict[str, object] = {}
    for key, value in pairs:
        fields.setdefault(_string(key, rules), value)
    return fields


def _string(text: str, rules: Counter[str]) -> str:
    if "\0" in text:
        rules["nul_replaced"] += 1
        text = text.replace("\0", "\ufffd")
    if _HALF_PAIR.search(text):
        rules["surrogate_replaced"] += 1
        text = _HALF_PAIR.sub("\ufffd", text)
    return text


def _strings(value: object, rules: Counter[str]) -> object:
    if isinstance(value, str):
        return _string(value, rules)
    if isinstance(value, list):
        return [_strings(item, rules) for item in value]
    if isinstance(value, dict):
        return {key: _strings(item, rules) for key, item in value.items()}
    return value
