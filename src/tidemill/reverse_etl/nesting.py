"""How deep a value is nested: BigQuery allows 500 levels of JSON, and not all that comes after it takes as many."""

from __future__ import annotations

from typing import Any

#: Levels of lists and objects that a row may have when it is sent, or kept. What goes through one by calls of its own
#: takes up to three a level, of a thousand that Python allows.
MOST_LEVELS = 200


def is_too_deep(value: Any) -> bool:
    """Whether it has more levels than that."""
    level = [value]
    for _ in range(MOST_LEVELS + 1):
        level = [one for one in level if isinstance(one, dict | list)]
        if not level:
            return False
        level = [inner for one in level for inner in (one.values() if isinstance(one, dict) else one)]
    return any(isinstance(one, dict | list) for one in level)
