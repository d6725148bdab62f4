"""Keeps people up to date with the event store, a range of snapshots after the other."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import gc
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from tidemill.errors import NotFoundError
from tidemill.events.identity import history, people, reading
from tidemill.events.identity.history import History
from tidemill.events.identity.people import Key, Link, People, Person
from tidemill.events.identity.port import Book, Changed, Reached, Row, Session

if TYPE_CHECKING:
    from tidemill.events.identity.people import Action
    from tidemill.events.lake import Lake

#: So many events are looked at in one transaction, or those of one commit, if it holds more.
BATCH = 50_000
#: Bytes of events that are looked at in one, and characters of properties of persons that are held at once.
MOST = 64 * 1024 * 1024
_DELETED_AT_ONCE = 5_000
_LOOKED_AT = 10_000  # snapshots, of which one batch takes some
_EPOCH = dt.datetime.fromtimestamp(0, dt.UTC)


@dataclasses.dataclass(frozen=True)
class PersonView:
    """A person. `properties` is a JSON text."""

    id: str
    team_id: int
    distinct_ids: tuple[str, ...]
    properties: str
    created_at: dt.datetime
    identified: bool
    version: int


@dataclasses.dataclass(frozen=True)
class RefusalView:
    """A change to a person that an event asked for and that was refused; the event itself is kept.

    `other`: another id, or a property.
    """

    seen_at: dt.datetime
    team_id: int
    event_uuid: str
    code: str
    distinct_id: str
    other: str | None


class IdentityService:
    """See the module."""

    def __init__(self, lake: Lake, book: Book, batch: int = BATCH) -> None:
        self._lake, self._book, self._batch = lake, book, batch

    def reached(self) -> Reached:
        """How far it is."""
        return self._book.reached()

    def catch_up(self, upto: int | None = None) -> Reached:
        """Take in all events that are committed, or those up to a snapshot. Two at once take turns.

        Killed at any point and called again, nothing is applied twice: the position is saved with what was applied.
        """
        goal = self._lake.position() if upto is None else upto
        with _cycles_left_alone():
            return self._catch_up(goal)

    def _catch_up(self, goal: int) -> Reached:
        while (reached := self._book.reached()).snapshot < goal:
            with self._book.open() as session:
                to = self._range(session.reached.snapshot, goal)
                if to is not None:
                    apply(session, list(reading.actions(self._lake, session.reached.snapshot, to)), to)
        return reached

    def _range(self, after: int, goal: int) -> int | None:
        """Up to which snapshot the next batch goes; None if another process has been there meanwhile."""
        if after >= goal:
            return None
        goal = min(goal, after + _LOOKED_AT)
        rows, size, to = 0, 0, goal
        for commit in self._lake.commits(after, goal):
            rows, size = rows + commit.rows, size + commit.bytes
            if rows > commit.rows and (rows > self._batch or size > MOST):
                return to
            to = commit.snapshot
        return goal

    def show(self, team_id: int, distinct_id: str) -> PersonView:
        """The person of this id, as all events say.

        Raises
        ------
        NotFoundError
            There is none, or it was deleted.
        """
        self.catch_up()
        with self._book.open() as session:
            person, ids = _whole(session, team_id, distinct_id)
        if person is None or person.deleted:
            raise self.unknown(team_id, distinct_id)
        created = _EPOCH + dt.timedelta(microseconds=person.created_at)
        properties = people.as_json(person.properties).decode()
        return PersonView(person.id, team_id, ids, properties, created, person.identified, person.version)

    def history(self, team_id: int, distinct_id: str) -> History:
        """Since when each property of the person of this id is as it is, and which ids became one.

        Raises
        ------
        NotFoundError
            There is none, or it was deleted.
        """
        found = self.show(team_id, distinct_id)
        return history.of(self._lake, team_id, found.distinct_ids, found.properties)

    def refusals(self, *, limit: int) -> list[RefusalView]:
        """Changes that events asked for and that were refused, newest first, as all events say."""
        self.catch_up()
        return [RefusalView(*row) for row in self._book.refusals(limit)]

    def delete(self, team_id: int, distinct_id: str) -> bool:
        """Delete the person of this id, with all that is known of it; whether there was one. Its events stay."""
        self.catch_up()  # or what it did before would make it again
        with self._book.open() as session:
            found = known(session, [(team_id, distinct_id)])
            deleted = found.delete(team_id, distinct_id)
            keep(session, found, session.reached.snapshot)
        return deleted

    def delete_all(self, team_id: int, ids: Collection[str]) -> int:
        """Delete the persons of these ids, as `delete` does. Gives how many there were."""
        self.catch_up()
        number, waiting = 0, sorted(ids)
        for start in range(0, len(waiting), _DELETED_AT_ONCE):
            some = waiting[start : start + _DELETED_AT_ONCE]
            with self._book.open() as session:
                found = known(session, [(team_id, name) for name in some])
                number += sum(found.delete(team_id, name) for name in some)
                keep(session, found, session.reached.snapshot)
        return number

    def recompute(self, team_id: int, ids: Collection[str]) -> int:
        """Make the persons of these ids what the events that are there say of them; see `remaking`. Gives how many
        changed."""
        from tidemill.events.identity import remaking

        self.catch_up()
        number, waiting = 0, sorted(ids)
        for start in range(0, len(waiting), _DELETED_AT_ONCE):
            with self._book.open() as session:
                number += remaking.remake(session, self._lake, team_id, waiting[start : start + _DELETED_AT_ONCE])
        return number

    def distinct_ids(self, team_id: int, persons: Collection[str]) -> dict[str, str]:
        """Of those of these persons that are known and not deleted, by the person's id: the first of its ids."""
        self.catch_up()
        with self._book.open() as session:
            rows = session.persons([(team_id, name) for name in persons]) or ()
            alive = [person for person in (_person(*row) for row in rows) if not person.deleted]
            links = [Link(*row) for row in session.links_of([(team_id, person.id) for person in alive])]
        ordered = sorted(links, key=lambda link: link.distinct_id, reverse=True)
        return {link.person_id: link.distinct_id for link in ordered if link.person_id is not None}

    def ids(self, team_id: int, distinct_id: str) -> tuple[str, ...]:
        """All ids of the person of this id, which may be deleted; none if there never was one."""
        self.catch_up()
        with self._book.open() as session:
            return _whole(session, team_id, distinct_id)[1]

    def living(self, team_id: int, ids: Collection[str]) -> dict[str, str]:
        """Those of these distinct_ids that have a person now which is not deleted, each with the id of that."""
        with self._book.open() as session:
            links = [Link(*row) for row in session.links([(team_id, name) for name in ids])]
            owners = {(link.team_id, link.person_id) for link in links if link.person_id is not None}
            persons = [_person(*row) for row in session.persons(list(owners)) or ()]
        alive = {person.id for person in persons if not person.deleted}
        return {link.distinct_id: link.person_id for link in links if link.person_id in alive and link.person_id}

    def erase(self, team_id: int, distinct_id: str) -> tuple[str, ...]:
        """Delete the person of this id, and see that nothing of it is exported any more. Gives its ids.

        Raises
        ------
        NotFoundError
            There never was one.
        """
        self.catch_up()  # or what it did before would make it again
        with self._book.open() as session:
            person, ids = _whole(session, team_id, distinct_id)
            if person is None:
                raise self.unknown(team_id, distinct_id)
            found = known(session, [(team_id, distinct_id)])
            found.delete(team_id, distinct_id)
            keep(session, found, session.reached.snapshot)
            session.erase([(team_id, person.id)], [(team_id, name) for name in ids])
        return ids

    def forget(self, team_id: int, ids: Collection[str]) -> None:
        """Forget those of these ids that are of erased persons, or of none, and these."""
        with self._book.open() as session:
            session.forget([(team_id, name) for name in ids])

    def unknown(self, team_id: int, distinct_id: str) -> NotFoundError:
        """That there is no such person."""
        return NotFoundError(
            "person_unknown",
            f"Team {team_id} has no person with the distinct_id {distinct_id!r}.",
            hint="tidemill events show --distinct-id ID shows its events.",
        )


@contextlib.contextmanager
def _cycles_left_alone() -> Iterator[None]:
    """Without Python's cycle collector: people form no cycles, and looking for some takes a third of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _whole(session: Session, team_id: int, distinct_id: str) -> tuple[Person | None, tuple[str, ...]]:
    """The person of this id, which may be deleted, with all its ids; None if there never was one."""
    links = [Link(*row) for row in session.links([(team_id, distinct_id)])]
    owners = [(link.team_id, link.person_id) for link in links if link.person_id is not None]
    persons = [_person(*row) for row in session.persons(owners) or ()]
    return next(iter(persons), None), tuple(sorted(Link(*row).distinct_id for row in session.links_of(owners)))


class _TooMuch(Exception):  # noqa: N818 - it is no error
    """More is known of the persons than may be held at once."""


def apply(session: Session, actions: Sequence[Action], upto: int, most: int = MOST) -> None:
    """Apply these actions, which are all up to a snapshot, to what is kept, but for those that only tell what is known;
    those of half of them after the others, if what is known of their persons has more than `most` characters."""
    actions = _telling(session, actions)
    ids = {(action.team_id, action.distinct_id) for action in actions}
    merges = [action for action in actions if action.merged]
    merged = {(action.team_id, action.merged or "") for action in merges}
    devices = {(action.team_id, action.device) for action in actions if action.device is not None}
    try:
        found = known(session, ids | merged, merged, devices, most if len(actions) > 1 else None)
    except _TooMuch:
        middle = len(actions) // 2
        apply(session, actions[:middle], session.reached.snapshot, most)
        apply(session, actions[middle:], upto, most)
        return
    for action in actions:
        found.apply(action)
    keep(session, found, upto)


def _telling(session: Session, actions: Sequence[Action]) -> Sequence[Action]:
    """Without those that only tell what is known: that there is somebody with an id.

    Most events are such, and their people need not be fetched. What else is applied cannot make them tell more: an id
    that has a person keeps one, whoever that is.
    """
    plain = {(action.team_id, action.distinct_id) for action in actions if action.plain()}
    wanted = set(session.without_person(list(plain)))
    return [action for action in actions if not action.plain() or (action.team_id, action.distinct_id) in wanted]


def known(
    session: Session,
    ids: Iterable[Key],
    merged: Iterable[Key] = (),
    devices: Iterable[Key] = (),
    most: int | None = None,
) -> People:
    """What is kept of these ids, all ids of the persons of those that may be merged, and who used these devices.

    Raises _TooMuch if the persons' properties have more than `most` characters.
    """
    users = {(team_id, device): user for team_id, device, user in session.users(list(devices))}
    wanted = {*ids, *((team_id, user) for (team_id, _), user in users.items())}
    links = {row[:2]: Link(*row) for row in session.links(list(wanted))}

    def owners(keys: Iterable[Key]) -> list[Key]:
        found = (links[key] for key in keys if key in links)
        return list({(link.team_id, link.person_id) for link in found if link.person_id is not None})

    def links_of(persons: Iterable[Key]) -> list[Link]:
        return [Link(*row) for row in session.links_of(list(persons))]

    rows = session.persons(owners(links), most)
    if rows is None:
        raise _TooMuch
    reached, persons = session.reached, [_person(*row) for row in rows]
    people = People(list(links.values()), persons, users, reached.numbers, reached.versions, links_of)
    people.whole(owners(merged))
    return people


def keep(session: Session, found: People, upto: int) -> None:
    """Keep what has changed."""
    links = (found.links[key] for key in found.changed_links)
    persons = (found.persons[key] for key in found.changed_persons)
    changed = Changed(
        ((link.team_id, link.distinct_id, link.person_id, link.version, link.number) for link in links),
        map(_row, persons),
        ((each.team_id, each.uuid, each.code, each.distinct_id, each.other) for each in found.warnings),
        ((each.team_id, each.number, each.into, each.event_time, each.server_time) for each in found.merges),
        ((each.team_id, each.device_id, *each.place, each.user_id) for each in found.switches),
        ((each.team_id, each.distinct_id, *each.place, each.number) for each in found.formers),
    )
    session.save(changed, upto, found.numbers)


def _row(person: Person) -> Row:
    text = people.as_json(person.properties).decode()
    return (
        person.team_id, person.id, person.created_at, text, person.version, person.identified, person.deleted,
        person.number,
    )  # fmt: skip


def _person(
    team_id: int, name: str, created: int, properties: str, version: int, identified: bool, deleted: bool, number: int
) -> Person:
    return Person(team_id, name, created, people.from_json(properties), version, identified, deleted, number)
