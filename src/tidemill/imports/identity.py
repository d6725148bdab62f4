"""By which id a person is known, and which ids are nobody's (research on Amplitude and CleverTap, section 4.2)."""

from __future__ import annotations

from typing import Any

from tidemill.events.formats import text
from tidemill.imports.unfit import Unfit

#: Characters. An id is kept as those of captured events are (see events/formats/text.py).
LONGEST = 1024
#: What systems write where they know nobody: all such rows would be one person. In small letters, without blanks.
REFUSED = frozenset({"", "undefined", "null", "na", "n/a", "0", "nil", "-1", "xxxxxx"}) | {
    f"{sign}{name}" for sign in ("", "-") for name in ("infinity", "inf", "nan")
}


def distinct_id(value: Any) -> str:
    """The id of a column's value; a whole number becomes its digits.

    Raises
    ------
    Unfit
        It is nobody's, or too long.
    """
    if isinstance(value, dict | list):
        raise Unfit("an id of a person")
    if isinstance(value, str) and len(value) > LONGEST:
        raise Unfit(f"an id of a person: it is longer than {LONGEST} characters")
    found = text.identifier(value)
    if found.strip().lower() in REFUSED:
        raise Unfit("an id of a person")
    return found
