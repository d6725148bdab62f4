"""Makes persons anew of the events that are there, when some of those that told of them are gone.

All events of all ids that a person has now are applied to nobody, in the order of their commits: what comes of that is
what is known of the person. Who has whose ids stays as it is. Somebody of whom no event tells any more is deleted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tidemill.events.identity import reading
from tidemill.events.identity.people import Link, People, Person
from tidemill.events.identity.service import Session, keep, known

if TYPE_CHECKING:
    from tidemill.events.lake import Lake


def remake(session: Session, lake: Lake, team_id: int, ids: Sequence[str]) -> int:
    """Make the persons of these ids anew. Gives how many changed."""
    first = [Link(*row) for row in session.links([(team_id, name) for name in ids])]
    owners = {(team_id, link.person_id) for link in first if link.person_id is not None}
    links = [Link(*row) for row in session.links_of(list(owners))]
    every = [(team_id, link.distinct_id) for link in links]
    found = known(session, every)
    told = _told(session, lake, team_id, [name for _, name in every])
    changed = 0
    by_person: dict[str, list[str]] = {}
    for link in links:
        by_person.setdefault(str(link.person_id), []).append(link.distinct_id)
    for person_id, names in by_person.items():
        person = found.persons.get((team_id, person_id))
        if person is not None and not person.deleted:
            changed += _became(found, told, person, sorted(names))
    keep(session, found, session.reached.snapshot)
    return changed


def _told(session: Session, lake: Lake, team_id: int, names: Sequence[str]) -> People:
    """What the events of these ids tell of nobody who was known before. What came before somebody was deleted is of
    somebody else."""
    since = {name: (snapshot, number) for _, name, snapshot, number in session.formers([(team_id, n) for n in names])}
    people = People([], [])
    for action in reading.actions_of(lake, team_id, names, session.reached.snapshot):
        if action.place > since.get(action.distinct_id, (-1, -1)):
            people.apply(action)
    return people


def _became(found: People, told: People, person: Person, names: Sequence[str]) -> bool:
    """Have the person be what is told of it. Whether it changed."""
    for name in names:
        link = told.links.get((person.team_id, name))
        if link is None or link.person_id is None:
            continue
        now = told.persons[person.team_id, link.person_id]
        if (now.properties, now.created_at) == (person.properties, person.created_at):
            return False
        person.properties, person.created_at = now.properties, now.created_at
        person.version += 1
        found.changed_persons.add((person.team_id, person.id))
        return True
    return found.delete(person.team_id, names[0])
