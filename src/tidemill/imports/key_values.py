"""Lists of keys and values, as GA4 has parameters of events (research on Amplitude and CleverTap, section 2.1)."""

from __future__ import annotations

from typing import Any

from tidemill.imports.unfit import Unfit

#: Of these fields of a value one is not null. GA4's user_properties have one more, which is no value.
VALUES = ("string_value", "int_value", "float_value", "double_value")
EXPECTED = 'a list of {"key", "value"}'


def as_object(value: Any) -> dict[str, Any]:
    """An object of a list of keys and values; of equal keys the last one counts. An object stays as it is.

    Raises
    ------
    Unfit
        It is no such list.
    """
    if isinstance(value, dict):
        return value
    if not isinstance(value, list):
        raise Unfit(EXPECTED)
    made: dict[str, Any] = {}
    try:
        for item in value:
            key, inner = item["key"], item["value"]
            if type(key) is not str:
                raise Unfit(EXPECTED)
            made[key] = _picked(inner) if type(inner) is dict else inner
    except (KeyError, TypeError):
        raise Unfit(EXPECTED) from None
    return made


def _picked(value: dict[str, Any]) -> Any:
    for name in VALUES:
        inner = value.get(name)
        if inner is not None:
            return inner
    return None if any(name in value for name in VALUES) else value
