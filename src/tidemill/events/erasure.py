"""Deletes the events of a person from the event store, as for a privacy request.

No query finds them any more, and no export sends them. Which snapshot the other events came with stays as it is: that
is why DuckLake's own rewriting of files, which gives all rows a new one, is not used. What was deleted lies in the data
files still, unread, beside a list of what is deleted.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tidemill.events.lake import Lake


@dataclasses.dataclass(frozen=True)
class Erased:
    """The uuids of the events that were deleted, and the ids of the sessions that they were of."""

    events: tuple[str, ...]
    sessions: tuple[str, ...]


def erase(lake: Lake, team_id: int, distinct_ids: Sequence[str]) -> Erased:
    """Delete all events of these ids."""
    where = "team_id = ? AND distinct_id IN (SELECT unnest(?::VARCHAR[]))"
    given = [team_id, list(distinct_ids)]
    with lake.turn(), lake.cursor() as cursor:
        found = cursor.execute(f"SELECT uuid, session_id FROM lake.events WHERE {where}", given).fetchall()
        cursor.execute(f"DELETE FROM lake.events WHERE {where}", given)
    return Erased(tuple(uuid for uuid, _ in found), tuple(sorted({name for _, name in found if name})))
