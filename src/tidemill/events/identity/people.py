"""Applies what events say about people to what is known of them: in memory, one event after the other.

A `People` holds what one batch may touch. The outcome depends only on the order of the events, never on how they were
cut into batches: tests hold it against one pass over all of them.

Each distinct_id has a number: the one of the person that it came to first, and never another, unless that was deleted:
who comes then is somebody else. Where persons join, the number of the one that goes is **merged** into the other's.
These are Amplitude's ids and its merge ids.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable

import msgspec

from tidemill.events.identity import operations, rules
from tidemill.events.identity.operations import Properties

#: team_id and distinct_id; team_id and id of a person; team_id and id of a device.
Key = tuple[int, str]


@dataclasses.dataclass(slots=True)
class Action:
    """What one event says about people. Times are microseconds since 1970.

    `device`: Amplitude's; an event without a user is of the one who was last seen on it. `place`: snapshot and number
    in it. `server_time`: when it was received.
    """

    team_id: int
    uuid: str
    event: str
    distinct_id: str
    timestamp: int
    set: Properties = dataclasses.field(default_factory=dict)
    set_once: Properties = dataclasses.field(default_factory=dict)
    unset: tuple[str, ...] = ()
    merged: str | None = None  #: another id of the same person
    quiet: bool = False  #: a merge only with an id that is nobody else's yet
    personless: bool = False  #: no person is wanted
    clear: bool = False  #: all properties are unset
    device: str | None = None
    operations: dict[str, Properties] = dataclasses.field(default_factory=dict)  #: see operations.py
    place: tuple[int, int] = (0, 0)
    server_time: int = 0

    def asks(self) -> bool:
        """Whether properties are to change."""
        return bool(self.set or self.set_once or self.unset or self.operations or self.clear)

    def plain(self) -> bool:
        """Whether it says no more than that there is somebody with this id: nothing, where that is known."""
        return self.merged is None and self.device is None and not self.personless and not self.asks()


@dataclasses.dataclass(slots=True)
class Person:
    """A person. `version` grows with every change; a deleted one is kept with it."""

    team_id: int
    id: str
    created_at: int
    properties: Properties
    version: int = 0
    identified: bool = False
    deleted: bool = False
    number: int = 0


@dataclasses.dataclass(slots=True)
class Link:
    """Whose a distinct_id is. No person: it was only sent with events that want none."""

    team_id: int
    distinct_id: str
    person_id: str | None
    version: int = 0
    number: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Merge:
    """A number that is merged into another one, with the times of the event that did it."""

    team_id: int
    number: int
    into: int
    event_time: int
    server_time: int


@dataclasses.dataclass(frozen=True, slots=True)
class Switch:
    """From this place on (snapshot and number in it) a device is used by this user."""

    team_id: int
    device_id: str
    place: tuple[int, int]
    user_id: str


@dataclasses.dataclass(frozen=True, slots=True)
class Former:
    """Up to this place (snapshot and number in it) an id had this number; it is somebody else's since."""

    team_id: int
    distinct_id: str
    place: tuple[int, int]
    number: int


@dataclasses.dataclass(frozen=True, slots=True)
class Refusal:
    """A change that was refused. The event itself is kept."""

    team_id: int
    uuid: str
    code: str
    distinct_id: str
    other: str | None = None


class People:
    """What is known of the people of a batch, and what of it has changed."""

    def __init__(
        self,
        links: list[Link],
        persons: list[Person],
        users: dict[Key, str] | None = None,
        numbers: int = 0,
        versions: int = 0,
        links_of: Callable[[Iterable[Key]], Iterable[Link]] = lambda _: (),
    ) -> None:
        """`links` and `persons`: all that the batch's ids lead to. `users`: who was last seen on the batch's devices.

        `numbers`: the last number that was given; `versions`: the version that a new person begins with. `links_of`:
        all ids of persons, as they were before this batch.
        """
        self.links = {(link.team_id, link.distinct_id): link for link in links}
        self.persons = {(person.team_id, person.id): person for person in persons}
        self.changed_links: set[Key] = set()
        self.changed_persons: set[Key] = set()
        self.warnings: list[Refusal] = []
        self.merges: list[Merge] = []
        self.switches: list[Switch] = []
        self.formers: list[Former] = []
        self.numbers, self._versions = numbers, versions
        self._users = dict(users or {})
        self._links_of = links_of
        self._whole: set[Key] = set()  # persons of whom all ids are known
        self._ids: dict[Key, set[str]] = {}
        for link in links:
            self._owned(link)

    def _owned(self, link: Link) -> None:
        if link.person_id is not None:
            self._ids.setdefault((link.team_id, link.person_id), set()).add(link.distinct_id)

    def whole(self, persons: Iterable[Key]) -> None:
        """See that all ids of these persons are known."""
        wanted = [key for key in persons if key not in self._whole]
        for link in self._links_of(wanted) if wanted else ():
            if (link.team_id, link.distinct_id) not in self.links:  # what is known here is newer
                self.links[link.team_id, link.distinct_id] = link
                self._owned(link)
        self._whole.update(wanted)

    def apply(self, action: Action) -> None:
        """Apply one event."""
        if action.device is not None:
            self._seen_on(action, action.device)
        if action.personless:
            self._without_person(action)
            return
        person, made = self._merged(action) if action.merged is not None else (None, False)
        if person is None:
            person, made = self._person(action, action.distinct_id)
        if action.asks() and action.event not in rules.SILENT:
            self._update(person, action, made)

    def delete(self, team_id: int, distinct_id: str) -> bool:
        """Delete the person of this id; whether there is one. The id's next event makes another one."""
        person = self._found(team_id, distinct_id)
        if person is None:
            return False
        person.deleted, person.properties = True, {}
        self._written(person, made=False)
        return True

    def _seen_on(self, action: Action, device: str) -> None:
        """Amplitude: what comes from a device without a user is of the user who was last seen on it."""
        key = (action.team_id, device)
        if rules.stands_for_nobody(device) or rules.stands_for_nobody(action.distinct_id):
            return  # many people are sent under it
        if action.distinct_id == device:
            action.distinct_id = self._users.get(key, device)
        elif self._users.get(key) != action.distinct_id:
            self._users[key] = action.distinct_id
            self.switches.append(Switch(*key, action.place, action.distinct_id))

    def _without_person(self, action: Action) -> None:
        key = (action.team_id, action.distinct_id)
        if key not in self.links:
            self.links[key] = Link(*key, None, number=self._number())
            self.changed_links.add(key)
        if action.event in rules.MERGES:
            self._warn(action, "merge_without_person", action.merged)

    def _found(self, team_id: int, distinct_id: str) -> Person | None:
        link = self.links.get((team_id, distinct_id))
        if link is None or link.person_id is None:
            return None
        person = self.persons[team_id, link.person_id]
        return None if person.deleted else person

    def _person(self, action: Action, distinct_id: str) -> tuple[Person, bool]:
        """The person of this id, and whether it was made just now."""
        team_id = action.team_id
        found = self._found(team_id, distinct_id)
        if found is not None:
            return found, False
        link = self.links.get((team_id, distinct_id))
        before = link.version + 1 if link and link.person_id else 0
        person = Person(team_id, rules.person_id(team_id, distinct_id, before), action.timestamp, {}, self._versions)
        person.number = link.number if link and link.person_id is None else self._number()
        self.persons[team_id, person.id] = person
        self.changed_persons.add((team_id, person.id))
        self._link(distinct_id, person, action)
        return person, True

    def _number(self) -> int:
        self.numbers += 1
        return self.numbers

    def _link(self, distinct_id: str, person: Person, action: Action, *, absorbed: bool = False) -> None:
        """Say that this id is the person's. What an id says of itself has greater versions each time.

        `absorbed`: it was that of a person who has just become this one.
        """
        team_id = person.team_id
        key = (team_id, distinct_id)
        link = self.links.get(key)
        # Who was deleted keeps the number: what comes under the id from now on is somebody else's.
        anew = link is None or (link.person_id is not None and not absorbed and self._found(*key) is None)
        if link and link.person_id is None and link.number != person.number:
            self._joined(link.number, person, action)
        if link and link.person_id:
            before = self.persons[team_id, link.person_id]
            if before.version > person.version:
                person.version = before.version
                self.changed_persons.add((team_id, person.id))
        # An id that was sent before, without a person or of another one, is told from a new one by its version.
        version = link.version + 1 if link else 0
        if anew and link is not None:
            self.formers.append(Former(*key, action.place, link.number))
        self.links[key] = Link(*key, person.id, version, person.number if anew or link is None else link.number)
        self.changed_links.add(key)
        self._owned(self.links[key])

    def _merged(self, action: Action) -> tuple[Person | None, bool]:
        """The person that both ids have now, and whether it was made just now; None if they stay apart."""
        team_id, source_id, target_id = action.team_id, action.merged or "", action.distinct_id
        if source_id == target_id:
            return None, False
        if rules.stands_for_nobody(source_id) or rules.stands_for_nobody(target_id):
            self._warn(action, "merge_with_nobody", source_id)
            return None, False
        source, target = self._found(team_id, source_id), self._found(team_id, target_id)
        if action.quiet and source is not None and source is not target and source.identified:
            return None, False
        if source is not None and target is not None:
            if source is not target and source.identified and action.event != "$merge_dangerously":
                self._warn(action, "merge_of_identified", source_id)
                return None, False
            if source is not target:
                self._absorb(target, source, action)
                return target, False
        person, made = (target, False) if target else (source, False) if source else self._person(action, target_id)
        for distinct_id, found in ((source_id, source), (target_id, None if made else target)):
            if found is None and self._found(team_id, distinct_id) is not person:
                self._link(distinct_id, person, action)
        if not person.identified:
            person.identified = True
            self._written(person, made)
        return person, made

    def _absorb(self, target: Person, source: Person, action: Action) -> None:
        """Move all that is the source's to the target: its properties, where the target has none, and its ids."""
        merged = {**source.properties, **target.properties}
        if _too_large(merged):
            self._warn(action, "person_too_large", action.merged)
        else:
            target.properties = merged
        target.created_at = min(target.created_at, source.created_at)
        target.identified = True
        target.version = max(target.version, source.version)
        self._written(target, made=False)
        source.deleted, source.properties = True, {}
        self._written(source, made=False)
        self._joined(source.number, target, action)
        key = (source.team_id, source.id)
        self.whole([key])
        for distinct_id in sorted(self._ids.pop(key, ())):
            self._link(distinct_id, target, action, absorbed=True)

    def _joined(self, number: int, person: Person, action: Action) -> None:
        self.merges.append(Merge(person.team_id, number, person.number, action.timestamp, action.server_time))

    def _update(self, person: Person, action: Action, made: bool) -> None:
        now = person.properties
        after = {name: value for name, value in action.set_once.items() if name not in now}
        after |= action.set
        worked_out, refused = operations.outcome(action.operations, now | after)
        after |= worked_out
        for name in refused:
            self._warn(action, "operation_refused", name)
        changed = {name for name, value in after.items() if now.get(name) != value}
        removed = {name for name in (now if action.clear else action.unset) if name in now or name in after}
        worth = rules.worth_writing(action.event, changed) or not changed.isdisjoint(worked_out)
        if not (made and changed) and not worth and not removed:
            return
        updated = {name: value for name, value in (now | after).items() if name not in removed}
        if _too_large(updated):
            self._warn(action, "person_too_large", None)
            return
        person.properties = updated
        self._written(person, made)

    def _written(self, person: Person, made: bool) -> None:
        if not made:
            person.version += 1
        self.changed_persons.add((person.team_id, person.id))

    def _warn(self, action: Action, code: str, other: str | None) -> None:
        if not action.quiet or code == "operation_refused":
            self.warnings.append(Refusal(action.team_id, action.uuid, code, action.distinct_id, other))


def _too_large(properties: Properties) -> bool:
    size = 2 + sum(map(len, properties)) + sum(map(len, properties.values())) + 4 * len(properties)
    return size > rules.MAX_PROPERTIES and len(as_json(properties)) > rules.MAX_PROPERTIES


def as_json(properties: Properties) -> bytes:
    """Properties as a JSON object."""
    return msgspec.json.encode({name: msgspec.Raw(value) for name, value in properties.items()})


_PROPERTIES = msgspec.json.Decoder(dict[str, msgspec.Raw])


def from_json(text: str | bytes | None) -> Properties:
    """A JSON object as properties; none of what is no object.

    Raises
    ------
    msgspec.DecodeError
    """
    if not text:
        return {}
    return {name: bytes(value) for name, value in _PROPERTIES.decode(text).items()}
