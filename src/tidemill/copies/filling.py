"""A database that is filled, and the place for its events: nobody may use them before all is there; if it fails, they
are empty again. Who is killed leaves a fence, and who fills it next begins anew.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tidemill.errors import ConflictError
from tidemill.events import filing
from tidemill.events.data.objects import Objects
from tidemill.store import dumps, fences

if TYPE_CHECKING:
    import psycopg


class Place:
    """Where the files of events go. It is empty when it is taken, and again if the filling fails."""

    def __init__(self, session: psycopg.Connection[Any], said: dict[str, Any]) -> None:
        """`said`: what the fence says; of one that was killed, where it put files."""
        self._session, self._said = session, said
        self._objects: Objects | None = None

    def take(self, objects: Objects, identity: str | None = None) -> None:
        """From now on what lies there is ours. `identity`: of the installation that may have been there before.

        Raises
        ------
        ConflictError
            Something lies there that nobody of us has put there.
        """
        if self._said.get("place") == objects.place:
            remove_all(objects)
        empty(objects, identity)
        self._said = {**self._said, "place": objects.place}
        fences.put(self._session, fences.FILLING, self._said)
        self._objects = objects

    def filled(self, move: str) -> None:
        """All is there, and may be used when where it came from is closed by that move."""
        fences.put(self._session, fences.FILLED, {**self._said, "move": move})

    def leave(self) -> None:
        """Nothing of ours stays."""
        if self._objects is not None:
            remove_all(self._objects)


def empty(objects: Objects, identity: str | None = None) -> None:
    """Remove what an installation has left there when it moved. Raise ConflictError if something else lies there."""
    if identity and filing.left_by(objects) == identity:
        remove_all(objects)
    if next(iter(objects.list()), None) is not None:
        raise ConflictError(
            "files_there",
            f"There are files in {objects.place} already.",
            hint="Name another place (TIDEMILL_EVENT_DATA); or empty this one, if nothing needs what lies there.",
        )


def remove_all(objects: Objects) -> None:
    """Empty a place."""
    objects.delete([one.name for one in objects.list()])


def fence_of(session: psycopg.Connection[Any], by: str) -> fences.Fence | None:
    """The fence around a database that may be filled, if there is one.

    Raises
    ------
    ConflictError
        There is an installation in it.
    TidemillError
        Somebody else has put up a fence.
    """
    fence = fences.find(session)
    ours = fence is not None and fence.kind in {fences.FILLING, fences.FILLED} and fence.said.get("by") == by
    left = fence is not None and fence.kind == fences.MOVED  # what was here is elsewhere, and may come back
    if fence is not None and not (ours or left):
        raise fences.refusal(fence.kind, fence.said, fence.put_at)
    if not ours and (there := dumps.existing(session)):
        raise ConflictError(
            "database_there",
            f"There is an installation in that database already (schema {there[0]}).",
            hint="Name another one: another TIDEMILL_HOME, or another database in TIDEMILL_DATABASE_URL.",
        )
    return fence


@contextlib.contextmanager
def filling(session: psycopg.Connection[Any], by: str, what: str, again: str) -> Iterator[Place]:
    """Put up a fence around a database that is empty; if the block raises, it is empty again. It stays after the block.

    `by`: a word for who does it, `what` and `again`: for who meets the fence. Raises as `fence_of`.
    """
    fence = fence_of(session, by)
    said: dict[str, Any] = {"by": by, "what": what, "again": again}
    said |= {name: fence.said[name] for name in ("place", "before") if fence is not None and name in fence.said}
    if fence is not None and fence.kind == fences.MOVED:
        said["before"] = fence.said
    fences.put(session, fences.FILLING, said)
    dumps.drop(session)  # of one that was killed
    place = Place(session, said)
    try:
        yield place
    except BaseException:
        place.leave()
        dumps.drop(session)
        if "before" in said:
            fences.put(session, fences.MOVED, said["before"])
        else:
            fences.remove(session)
        raise
