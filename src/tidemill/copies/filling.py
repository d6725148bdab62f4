"""A database that is filled, and the place for its events: nobody may use them before all is there; if it fails, they
are empty again. Who is killed leaves a fence, and who fills it next begins anew.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tidemill.errors import ConfigError, ConflictError, NotFoundError
from tidemill.events import filing
from tidemill.events.data import marker
from tidemill.events.data.location import Folder, Location
from tidemill.events.data.objects import Objects, probe
from tidemill.store import dumps, fences

if TYPE_CHECKING:
    import psycopg


#: So many files that are in the way are named.
_TOLD = 3


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
        empty(objects, identity, begun=self._said.get("place") == objects.place)
        self._said = {**self._said, "place": objects.place}
        fences.put(self._session, fences.FILLING, self._said)
        self._objects = objects

    def filled(self, move: str) -> None:
        """All is there, and may be used when where it came from is closed by that move."""
        fences.put(self._session, fences.FILLED, {**self._said, "move": move})

    def leave(self) -> None:
        """Nothing of ours stays."""
        if self._objects is not None:
            remove_own(self._objects)


def empty(objects: Objects, identity: str | None = None, *, begun: bool = False) -> None:
    """Remove what an installation has left there when it moved, or who was killed while it filled the place (`begun`).

    Raises
    ------
    ConflictError
        Something else lies there. Nothing was removed.
    """
    left = filing.left(objects) if identity else None
    whose = marker.read(objects) if identity else None
    files = left.files if left is not None and left.installation == identity and whose in {None, identity} else None
    begun = begun and (identity is None or whose in {None, identity})
    ours: list[str] = []
    strange: list[str] = []
    for one in objects.list():
        known = files is not None and (one.name in files or (filing.is_beside(one.name)))
        (ours if known or (begun and filing.is_own(one.name)) else strange).append(one.name)
        if len(strange) > _TOLD:
            break
    if strange:
        more = ", and others" if len(strange) > _TOLD else ""
        raise ConflictError(
            "files_there",
            f"There are files in {objects.place} already: {', '.join(strange[:_TOLD])}{more}.",
            hint="Name another place (TIDEMILL_EVENT_DATA); or take away what lies there, if nothing needs it.",
        )
    objects.delete(ours)


def remove_own(objects: Objects) -> None:
    """Remove what Tidemill has put into a place that was empty before."""
    objects.delete([one.name for one in objects.list() if filing.is_own(one.name)])


def assert_apart(old: Location, new: Location, source: Objects, goal: Objects) -> None:
    """Raise ConfigError if two places are one by two names, or one lies within the other: files that are in use would
    be taken for what was left there."""
    within = False
    if isinstance(old, Folder) and isinstance(new, Folder):
        one, other = old.path.resolve(), new.path.resolve()
        within = one in other.parents or other in one.parents
    if within or _seen(source, goal):
        raise ConfigError(
            "migrate_nowhere",
            f"{goal.place} and {source.place}, where events lie now, are one place, or one lies within the other.",
            hint="Name a place of its own.",
        )


def _seen(source: Objects, goal: Objects) -> bool:
    """Whether what is written at one place can be read at the other."""
    name = probe()
    goal.write(name, io.BytesIO(b"x"))
    try:
        with source.read(name):
            return True
    except NotFoundError:
        return False
    finally:
        goal.delete([name])


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
    if fence is not None and fence.kind == fences.COPYING:  # there is an installation, which goes on
        fence = None
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
