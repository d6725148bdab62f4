"""Moves an installation: its database into another PostgreSQL, its files of events into another place, or both.

Nobody else uses it meanwhile, and nothing can be written. What is copied is held against what was there: rows by their
number, events by a sum. Then one transaction in the old database closes it for good; who is killed before that leaves
the old installation as it was, and who is killed after it leaves one step, which the next call does.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tidemill.copies import scratch
from tidemill.copies.filling import Place, assert_apart, empty, filling, remove_own
from tidemill.copies.parts import Installation, Opening, Told
from tidemill.errors import ConfigError, ConflictError, UnavailableError, without_passwords
from tidemill.events import filing
from tidemill.events.data import location
from tidemill.events.data.location import Folder
from tidemill.events.data.objects import Objects
from tidemill.settings import Settings
from tidemill.store import dumps, fences
from tidemill.store.postgres import Postgres, open_postgres

if TYPE_CHECKING:
    import psycopg

_LOCK_SECONDS = 10
#: In a fence: by whom it was put up.
_FILES = "migrate events"

#: For who meets the fence, maybe with the settings of the new place.
_AGAIN = "the same tidemill migrate --to-…, with the settings of the installation that is moved"


@dataclasses.dataclass(frozen=True)
class Moved:
    """What was moved. `settings`: what is to be set from now on; `left`: what is not needed any more."""

    events: int
    rows: int
    files: int
    settings: tuple[str, ...]
    left: tuple[str, ...]


def migrate(settings: Settings, target: Settings, opening: Opening, told: Told) -> Moved:
    """Move the installation of these settings to where the others say. If it was killed, it is called again.

    Raises
    ------
    ConfigError
        There is nothing to move, or it cannot be moved there.
    ConflictError
        Another process uses it; or there is something already where it is to go.
    UnavailableError
        A database, a disk or a bucket does not do. The old installation is as it was.
    """
    databases = settings.database_url != target.database_url
    if not databases and location.of(settings) == location.of(target):
        raise ConfigError(
            "migrate_nowhere", "It is there already.", hint="tidemill migrate --help tells where it can go."
        )
    scratch.clean(settings.home_path)
    told.begin("opening the database")
    postgres = open_postgres(settings)
    with contextlib.closing(dumps.connected(postgres, autocommit=True)) as session:
        fence = fences.find(session)
        if fence is not None and fence.kind == fences.MOVED and databases:
            return _finished(fence, target)
        copied = None if databases or fence is None else _copied_to(fence, target)
        if fence is not None and copied is None and fence.kind != fences.COPYING:
            raise fences.refusal(fence.kind, fence.said, fence.put_at)
        with fences.held(postgres, session), opening(settings, within_fence=True) as installation:
            move = _Move(settings, target, installation, opening, told)
            if copied is not None:
                return move.go_on(session, copied)
            installation.lake.position()  # it is there
            return move.all(postgres) if databases else move.files_alone(session)


def _finished(fence: fences.Fence, target: Settings) -> Moved:
    """Who was killed after the old installation was closed has left the fence around the new one."""
    with contextlib.closing(dumps.connected(open_postgres(target), autocommit=True)) as session:
        other = fences.find(session)
        if other is None or other.kind != fences.FILLED or other.said.get("move") != fence.said.get("move"):
            raise fences.refusal(fence.kind, fence.said, fence.put_at)
        fences.remove(session)
    return _moved(fence.said)


def _copied_to(fence: fences.Fence, target: Settings) -> dict[str, Any] | None:
    """What the fence says of events that were moved there alone, and are to be verified still."""
    said = fence.said
    there = fence.kind == fences.FILLED and said.get("by") == _FILES and said["to"] == str(location.of(target))
    return said if there else None


def _moved(said: dict[str, Any]) -> Moved:
    """What was moved by who was killed after it."""
    found = said["moved"]
    return Moved(found["events"], found["rows"], found["files"], tuple(found["settings"]), tuple(found["left"]))


class _Move:
    """One that is under way."""

    def __init__(
        self, settings: Settings, target: Settings, installation: Installation, opening: Opening, told: Told
    ) -> None:
        self._settings, self._target, self._opening, self._told = settings, target, opening, told
        self._installation = installation
        self._from, self._to = location.of(settings), location.of(target)
        self._id = uuid.uuid4().hex

    def all(self, source: Postgres) -> Moved:
        """The database, and the files if they move, too."""
        goal = open_postgres(self._target)
        where = without_passwords(self._target.database_url or f"the PostgreSQL in {self._target.home_path}")
        with (
            contextlib.closing(dumps.connected(goal, autocommit=True)) as session,
            _held(goal, session),
            _frozen(source) as locking,
        ):
            expected = _sum(self._installation)
            with filling(session, "migrate", f"A move from {_where(self._settings)}", _AGAIN) as place:
                rows = self._database(source, goal, locking, session)
                with self._opening(self._target, within_fence=True) as installation:
                    files = self._files(installation, place, session, locking)
                    self._told.begin("verifying")
                    if _sum(installation) != expected:
                        raise _differs("events")
                place.filled(self._id)
            moved = Moved(expected[0], rows, files, self._set(), self._left())
            identity, own = self._installation.event_data.identity, self._own(locking)
            self._installation_closed(locking, where, moved)
            if self._from != self._to:
                filing.leave(self._installation.event_data.objects, str(self._to), identity, own)
            fences.remove(session)
        return moved

    def _database(
        self, source: Postgres, goal: Postgres, locking: psycopg.Connection[Any], session: psycopg.Connection[Any]
    ) -> int:
        """Copy it. Gives the number of rows."""
        self._told.begin("copying the database")
        with scratch.folder(self._settings.home_path, "migrate") as folder:
            path = folder / "database.dump"
            dumps.dump(source, path, dumps.ALL)
            dumps.load(goal, path)
        counted = dumps.counts(locking, dumps.ALL)
        if dumps.counts(session, dumps.ALL) != counted:
            raise _differs("rows of the database")
        return sum(counted.values())

    def _files(
        self,
        installation: Installation,
        place: Place,
        session: psycopg.Connection[Any],
        locking: psycopg.Connection[Any],
    ) -> int:
        """Copy them, if they move. Gives how many."""
        if self._from == self._to:
            return 0
        installation.event_data.storage.ready()
        objects = installation.event_data.objects
        assert_apart(self._from, self._to, self._installation.event_data.objects, objects)
        place.take(objects, installation.event_data.identity)
        number = self._copied(objects, locking)
        session.execute(filing.SET_PLACE.encode(), [installation.event_data.storage.path])
        session.execute(filing.FORGET_OLD.encode())
        installation.event_data.claim()
        return number

    def _copied(self, objects: Objects, session: psycopg.Connection[Any]) -> int:
        source = self._installation.event_data.objects
        named = filing.checked(session.execute(filing.NAMED.encode()).fetchall()) + filing.states(source)
        self._told.begin("copying events", len(named), sum(one.size for one in named))
        for one in named:
            with source.read(one.name) as file:
                objects.write(one.name, file)
            self._told.moved(one.size)
            self._told.done()
        sizes = {one.name: one.size for one in objects.list()}
        if any(sizes.get(one.name) != one.size for one in named):
            raise _differs("files of events")
        return len(named)

    def _own(self, session: psycopg.Connection[Any]) -> set[str]:
        """The files in the old place that are this installation's, and not needed once they have moved."""
        shared = isinstance(self._from, Folder) and self._from.given
        return filing.own(session, self._installation.event_data.objects, shared=shared)

    def files_alone(self, session: psycopg.Connection[Any]) -> Moved:
        """The database stays. Until all is copied the old place is used, by who likes; then nobody may use either until
        it is verified. Who is killed leaves a fence that says how far it had come."""
        expected = _sum(self._installation)
        with self._opening(self._target, within_fence=True) as installation:
            installation.event_data.storage.ready()
            objects, old = installation.event_data.objects, self._installation.event_data.objects
            fence = fences.find(session)
            begun = fence is not None and fence.said.get("place") == objects.place
            assert_apart(self._from, self._to, old, objects)
            empty(objects, installation.event_data.identity, begun=begun)
            said = {"by": _FILES, "what": f"A move of events to {self._to}", "again": _AGAIN, "place": objects.place}
            fences.put(session, fences.COPYING, said)
            with self._undone(session, objects):
                number = self._copied(objects, session)
                installation.event_data.claim()
                moved = Moved(expected[0], 0, number, self._set(), self._left())
                more = {"to": str(self._to), "sum": expected, "moved": dataclasses.asdict(moved)}
                with session.transaction():
                    session.execute(filing.SET_PLACE.encode(), [installation.event_data.storage.path])
                    fences.put(session, fences.FILLED, said | more)
            self._verified(session, installation, expected)
        return moved

    def go_on(self, session: psycopg.Connection[Any], said: dict[str, Any]) -> Moved:
        """Of files alone, when all were copied. `said`: what the fence says."""
        with self._opening(self._target, within_fence=True) as installation:
            self._verified(session, installation, tuple(said["sum"]))
        return _moved(said)

    def _verified(
        self, session: psycopg.Connection[Any], installation: Installation, expected: tuple[int, ...]
    ) -> None:
        """Files were copied, and the catalog says so: they are used from then on if they are as they were."""
        objects, old = installation.event_data.objects, self._installation.event_data.objects
        with self._undone(session, objects):
            self._told.begin("verifying")
            if _sum(installation) != expected:
                raise _differs("events")
            filing.leave(old, objects.place, installation.event_data.identity, self._own(session))
        with session.transaction():
            session.execute(filing.FORGET_OLD.encode())
            fences.remove(session)

    @contextlib.contextmanager
    def _undone(self, session: psycopg.Connection[Any], objects: Objects) -> Iterator[None]:
        """If the block raises, files are where they were. The catalog says so first: who is killed in between leaves
        files that are not used, and never a catalog of files that are not there."""
        try:
            yield
        except BaseException:
            with session.transaction():
                session.execute(filing.SET_PLACE.encode(), [self._installation.event_data.storage.path])
                fences.put(session, fences.COPYING, {"by": _FILES, "place": objects.place})
            remove_own(objects)
            self._installation.event_data.objects.delete([filing.MOVED])
            fences.remove(session)
            raise

    def _installation_closed(self, locking: psycopg.Connection[Any], where: str, moved: Moved) -> None:
        """From now on nobody can write into the old one. Its tables are there still, under other names."""
        from psycopg import sql

        suffix = f"_moved_{dt.datetime.now(dt.UTC):%Y%m%d%H%M%S}"
        for name in dumps.existing(locking):
            rename = sql.SQL("ALTER SCHEMA {} RENAME TO {}")
            locking.execute(rename.format(sql.Identifier(name), sql.Identifier(name + suffix)))
        said = {"to": where, "settings": "; ".join(moved.settings), "move": self._id}
        fences.put(locking, fences.MOVED, said | {"moved": dataclasses.asdict(moved)})
        locking.commit()

    def _set(self) -> tuple[str, ...]:
        """What to set, and what to unset."""
        found = []
        for name in ("database_url", "event_data"):
            before, now = getattr(self._settings, name), getattr(self._target, name)
            variable = f"TIDEMILL_{name.upper()}"
            if before != now:
                found.append(f"export {variable}={without_passwords(str(now))}" if now else f"unset {variable}")
        if self._target.database_url and not self._settings.database_url and not self._settings.secret_keys:
            found.append(f"on other machines, TIDEMILL_SECRET_KEYS: what is in {self._settings.home_path}/secret.key")
        return tuple(found)

    def _left(self) -> tuple[str, ...]:
        """What is of no use any more."""
        found = []
        if self._settings.database_url != self._target.database_url:
            old = self._settings.database_url
            found.append(
                f"schemas tidemill…_moved_… in {without_passwords(old)}"
                if old
                else str(self._settings.home_path / "postgres")
            )
        if self._from != self._to:
            found.append(str(self._from))
        return tuple(found)


@contextlib.contextmanager
def _held(goal: Postgres, session: psycopg.Connection[Any]) -> Iterator[None]:
    """Nobody else uses the database that it goes to."""
    try:
        with fences.held(goal, session):
            yield
    except ConflictError as error:
        if error.code != fences.MOVING_CODE:
            raise
        raise ConflictError(
            error.code,
            "The other database is that of this installation, or another one is moved into it just now.",
            hint="Name another database.",
        ) from None


@contextlib.contextmanager
def _frozen(source: Postgres) -> Iterator[psycopg.Connection[Any]]:
    """For the time of the block nobody can write into the database, whoever has it open; gives the transaction.

    Raises
    ------
    ConflictError
        Somebody writes, and does not end.
    """
    from psycopg import errors, sql

    with contextlib.closing(dumps.connected(source)) as locking:
        locking.execute(f"SET lock_timeout = '{_LOCK_SECONDS}s'")
        names = locking.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname = ANY(%s) ORDER BY 1, 2", [list(dumps.ALL)]
        ).fetchall()
        try:
            for schema, table in names:
                locking.execute(sql.SQL("LOCK TABLE {} IN SHARE MODE").format(sql.Identifier(schema, table)))
        except errors.LockNotAvailable:
            raise ConflictError(
                "installation_used",
                f"Somebody works with the table {schema}.{table}.",
                hint="Stop all servers and commands first, and other programs that use the database.",
            ) from None
        yield locking


def _sum(installation: Installation) -> tuple[int, int]:
    """How many events there are, and a sum of their ids, for which all files are read."""
    with installation.lake.cursor() as cursor:
        found = cursor.execute("SELECT count(*), coalesce(sum(uuid_hash::HUGEINT), 0) FROM lake.events").fetchall()
    return int(found[0][0]), int(found[0][1])


def _where(settings: Settings) -> str:
    return without_passwords(settings.database_url or str(settings.home_path))


def _differs(what: str) -> UnavailableError:
    return UnavailableError(
        "migrate_differs",
        f"Not all {what} are there after the copy.",
        hint="Nothing was changed: the installation is where it was. Please report this.",
    )
