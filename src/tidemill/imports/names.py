"""Names of events."""

from __future__ import annotations

from typing import Any

from tidemill.events.formats import text
from tidemill.imports.unfit import Unfit

#: Characters.
LONGEST = 400
#: These change people, or say that a row is gone: they are not events that happened.
#: What says that the row of an event is gone.
DELETED = "$deleted"
RESERVED = frozenset({"$set", "$identify", "$create_alias", "$merge_dangerously", DELETED})


def event_name(value: Any) -> str:
    """The name of an event.

    Raises
    ------
    Unfit
        It is none, or has a meaning of its own.
    """
    if not isinstance(value, str) or not value.strip():
        raise Unfit("a name of an event")
    if len(value) > LONGEST:
        raise Unfit(f"a name of an event: it is longer than {LONGEST} characters")
    name = text.clean(value)
    if name in RESERVED:
        raise Unfit("a name that events may have: it changes people, or says that a row is gone")
    return name
