"""Makes persons anew of the events that are there, when some of those that told of them are gone.

All events of all ids that a person has now are applied to nobody, in the order of their commits: what comes of that is
what is known of the person. Who has whose ids stays as it is. Somebody of whom no event tells any more is deleted.
"""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tidemill.events.identity import reading
from tidemill.events.identity.people import Action, Link, People, Person
from tidemill.events.identity.port import Session
from tidemill.events.identity.service import keep, known

if TYPE_CHECKING:
    from tidemill.events.lake import Lake

_FIRST = (-1, -1)


def remake(session: Session, lake: Lake, team_id: int, ids: Sequence[str]) -> int:
    """Make the persons of these ids anew. Gives how many changed."""
    first = [Link(*row) for row in session.links([(team_id, name) for name in ids])]
    owners = {(team_id, link.person_id) for link in first if link.person_id is not None}
    links = [Link(*row) for row in session.links_of(list(owners))]
    found = known(session, [(team_id, link.distinct_id) for link in links])
    living = {link.distinct_id: str(link.person_id) for link in links if _lives(found, link)}
    told = _told(session, lake, team_id, living)
    by_person: dict[str, list[str]] = {}
    for name, person_id in sorted(living.items()):
        by_person.setdefault(person_id, []).append(name)
    changed = sum(_became(found, told, found.persons[team_id, person], names) for person, names in by_person.items())
    keep(session, found, session.reached.snapshot)
    return changed


def _lives(found: People, link: Link) -> bool:
    person = found.persons.get((link.team_id, str(link.person_id)))
    return person is not None and not person.deleted


@dataclasses.dataclass(frozen=True)
class _Owners:
    """Whose ids are. `persons`: of each id its person; `since`: from which place on an id is that one's, if somebody
    who had it was deleted; `users`: of each device from which places on it is whose."""

    persons: dict[str, str]
    since: dict[str, tuple[int, int]]
    users: dict[str, list[tuple[tuple[int, int], str]]]

    def has(self, name: str, place: tuple[int, int]) -> bool:
        """Whether the id was that of its person there."""
        return name in self.persons and place >= self.since.get(name, _FIRST)

    def joins(self, action: Action) -> bool:
        """Whether the other id of an event is of the same person. If not, they stayed apart, or somebody was deleted
        since."""
        other = action.merged or ""
        return self.persons.get(other) == self.persons[action.distinct_id] and self.has(other, action.place)

    def user(self, device: str, place: tuple[int, int]) -> str:
        """Who used a device there; the device, if that was nobody yet."""
        users = self.users.get(device, [])
        at = bisect.bisect_right(users, place, key=lambda switch: switch[0])
        return users[at - 1][1] if at else device


def _owners(session: Session, team_id: int, persons: dict[str, str]) -> _Owners:
    keys = [(team_id, name) for name in persons]
    since = {name: (snapshot, number) for _, name, snapshot, number in session.formers(keys)}
    users: dict[str, list[tuple[tuple[int, int], str]]] = {}
    for _, device, snapshot, number, user in session.switches_of(keys):
        users.setdefault(device, []).append(((snapshot, number), user))
    return _Owners(persons, since, {device: sorted(switches) for device, switches in users.items()})


def _told(session: Session, lake: Lake, team_id: int, persons: dict[str, str]) -> People:
    """What the events of these ids tell of nobody who was known before. What came before somebody was deleted is of
    somebody else; so is what came from a device while somebody else used it."""
    owners = _owners(session, team_id, persons)
    wanted = {name: owners.since.get(name, _FIRST) for name in [*persons, *owners.users]}
    people = People([], [])
    for action in reading.actions_of(lake, team_id, wanted, session.reached.snapshot):
        if action.device == action.distinct_id:
            action.distinct_id = owners.user(action.device, action.place)
        if not owners.has(action.distinct_id, action.place):
            continue
        if action.merged is not None and not owners.joins(action):
            action.merged = None
        people.apply(action)
    return people


def _became(found: People, told: People, person: Person, names: Sequence[str]) -> bool:
    """Have the person be what is told of it. Whether it changed."""
    links = (told.links.get((person.team_id, name)) for name in names)
    people = {str(link.person_id): link for link in links if link is not None and link.person_id is not None}
    if not people:
        return found.delete(person.team_id, names[0])
    tellings = [told.persons[person.team_id, name] for name in people]
    properties = {name: value for one in reversed(tellings) for name, value in one.properties.items()}
    created_at = min(one.created_at for one in tellings)
    if (properties, created_at) == (person.properties, person.created_at):
        return False
    person.properties, person.created_at = properties, created_at
    person.version += 1
    found.changed_persons.add((person.team_id, person.id))
    return True
