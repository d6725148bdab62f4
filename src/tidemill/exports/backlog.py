"""How many events wait, for all exports at once: measured by a worker now and then, for who is asked for metrics.

It is asked of the ledger of commits, which knows no filters; of it only what is new is read, for some exports may be
months behind.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from tidemill.events.lake import Lake
from tidemill.exports.figures import OF_PEOPLE
from tidemill.store.figures import FiguresBook

#: Another process has measured it so lately that this one need not.
_LATELY_SECONDS = 10.0
#: By a place (a snapshot): how many events were committed after it, and when the first of them was, in seconds since
#: 1970.
Behind = dict[int, tuple[int, float]]


class Backlogs:
    """Measures. One a process."""

    def __init__(self, lake: Lake, book: FiguresBook) -> None:
        self._lake, self._book = lake, book
        self._known: Behind = {}
        self._upto = 0

    def measure(self) -> bool:
        """Measure and write down. Whether that was done: not if the event store is not open here, for it takes memory
        to open it; nor if somebody else has just done it."""
        if not self._lake.is_open or self._book.measured_lately(_LATELY_SECONDS):
            return False
        newest = self._lake.position()
        behind = self._behind([place for place in self._book.positions(OF_PEOPLE) if place < newest])
        self._known, self._upto = behind, newest
        self._book.measured(newest, behind)
        return True

    def _behind(self, places: Collection[int]) -> Behind:
        """Of these places; what was known is added to."""
        old = {place: self._known[place] for place in places if place in self._known}
        fresh = [place for place in places if place not in old]
        asked = {*fresh, *([self._upto] if old else [])}
        found = summed(self._lake.behind(sorted(asked)), asked)
        rows, since = found.get(self._upto, (0, 0.0))
        older = {place: (before + rows, first if before else since) for place, (before, first) in old.items()}
        return {**{place: found[place] for place in fresh}, **older}


def summed(between: Mapping[int, tuple[int, float]], places: Collection[int]) -> Behind:
    """Of places: all that came after each, from what came between them."""
    found: Behind = {}
    rows, since = 0, 0.0
    for place in sorted(places, reverse=True):
        number, first = between.get(place, (0, 0.0))
        rows += number
        since = first if number else since
        found[place] = (rows, since)
    return found
