"""Holds rows that were sent against those that came back."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Sequence

from tidemill.exports.trial.texts import Texts
from tidemill.models.model import Column

_SHOWN = 100  # characters of a value


@dataclasses.dataclass(frozen=True)
class Compared:
    """What came back. `different`: so many rows are not as they were sent, or are missing; `said`: the first of them,
    in words."""

    rows: int
    different: int
    said: str = ""


def compare(sent: Sequence[Texts], back: Sequence[Texts], columns: Sequence[Column], key: Sequence[str]) -> Compared:
    """Hold them against each other, whatever their order. By the key it can be said what of a row is different."""
    missing = collections.Counter(sent) - collections.Counter(back)
    foreign = collections.Counter(back) - collections.Counter(sent)
    if not missing and not foreign:
        return Compared(len(back), 0)
    different = max(missing.total(), foreign.total())
    if len(sent) != len(back):
        return Compared(len(back), different, f"{len(sent):,} rows were sent, and {len(back):,} came back.")
    return Compared(len(back), different, _first(list(missing), list(foreign), [c.name for c in columns], key))


def _first(missing: Sequence[Texts], foreign: Sequence[Texts], names: Sequence[str], key: Sequence[str]) -> str:
    """The first row of which both are known."""
    places = [names.index(name) for name in key if name in names]
    back = {tuple(row[place] for place in places): row for row in foreign}
    for row in missing:
        found = back.get(tuple(row[place] for place in places)) if places or len(missing) == 1 else None
        if found is not None:
            at = next(place for place, (one, other) in enumerate(zip(row, found, strict=True)) if one != other)
            return f"The column {names[at]}: sent was {shown(row[at])}, and {shown(found[at])} came back."
    return "None of these rows came back."


def shown(text: str | None) -> str:
    """A value in a sentence."""
    if text is None:
        return "NULL"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
