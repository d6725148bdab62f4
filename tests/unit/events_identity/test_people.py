"""Who is who: PostHog's rules one by one, and, for any events cut in any way, the same as in one plain pass."""

from __future__ import annotations

import copy
import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from tidemill.events.identity import rules, service
from tidemill.events.identity.people import Action, Key, Link, People, Person, from_json

PROPERTY = st.sampled_from(["plan", "city", "$browser", "utm_source"])
PROPERTIES = st.dictionaries(PROPERTY, st.sampled_from([b"1", b'"a"', b"[1]"]), max_size=2)
ID = st.sampled_from(["a", "b", "c", "d", "e", "anonymous"])
EVENT = st.sampled_from(["hit", "$set", "$identify", "$create_alias", "$merge_dangerously", "$exception"])


#: Versions, and all else, of what is exported of each id.
Rows = dict[Key, tuple[tuple[int, int], tuple[object, ...]]]


@st.composite
def actions(draw: st.DrawFn) -> Action:
    event = draw(EVENT)
    merges = event in rules.MERGES and draw(st.booleans())
    if draw(st.integers(0, 3)) == 0:  # Amplitude's
        device = draw(st.sampled_from(["d", "e"]))
        user = draw(st.sampled_from(["a", "b", device, device]))
        return Action(1, "", "hit", user, draw(st.integers(0, 9)), merged=device, quiet=True, device=device)
    return Action(
        draw(st.sampled_from([1, 1, 1, 2])),
        "",
        event,
        draw(ID),
        draw(st.integers(0, 9)),
        draw(PROPERTIES),
        draw(PROPERTIES),
        tuple(draw(st.lists(PROPERTY, max_size=1))),
        draw(ID) if merges else None,
        personless=draw(st.integers(0, 5)) == 0,
    )


@dataclasses.dataclass
class Memory:
    """Keeps people in memory, as the database does: only what was saved is found."""

    kept_links: dict[Key, Link] = dataclasses.field(default_factory=dict)
    kept_persons: dict[Key, service.Row] = dataclasses.field(default_factory=dict)
    warnings: list[service.Row] = dataclasses.field(default_factory=list)
    merges: list[service.Row] = dataclasses.field(default_factory=list)
    switches: list[service.Row] = dataclasses.field(default_factory=list)
    reached: service.Reached = dataclasses.field(default_factory=lambda: Reached(0, 0, 0))

    def links(self, ids: Sequence[Key]) -> list[service.Row]:
        return [dataclasses.astuple(self.kept_links[key]) for key in ids if key in self.kept_links]

    def links_of(self, persons: Sequence[Key]) -> list[service.Row]:
        return [dataclasses.astuple(x) for x in self.kept_links.values() if (x.team_id, x.person_id) in persons]

    def persons(self, persons: Sequence[Key]) -> list[service.Row]:
        return [self.kept_persons[key] for key in persons if key in self.kept_persons]

    def users(self, devices: Sequence[Key]) -> list[service.Row]:
        last = {row[:2]: row[4] for row in self.switches}
        return [(*key, last[key]) for key in devices if key in last]

    def erase(self, persons: Sequence[Key]) -> None:
        for key in persons:
            del self.kept_persons[key]

    def save(self, changed: service.Changed, snapshot: int, numbers: int) -> service.Reached:
        self.kept_links |= {row[:2]: Link(*row) for row in changed.links}
        self.kept_persons |= {row[:2]: row for row in changed.persons}
        self.warnings += changed.refusals
        self.merges += changed.merges
        self.switches += changed.switches
        self.reached = Reached(snapshot, self.reached.change + 1, numbers)
        return self.reached

    def resolved(self, number: int) -> int:
        """Where the chain of merges ends."""
        into = {row[1]: row[2] for row in self.merges}
        assert len(into) == len(self.merges), "a number is merged once"
        while number in into:
            number = into[number]
        return number

    def rows(self) -> Rows:
        """What is exported of each id: its versions, and all else."""
        found = Rows()
        for key, link in self.kept_links.items():
            if link.person_id is not None:
                row = self.kept_persons[link.team_id, link.person_id]
                team, name, created, properties, version, _, deleted, _ = row
                found[key] = ((version, link.version), (team, name, created, properties, deleted))
        return found


@dataclasses.dataclass(frozen=True)
class Reached:
    snapshot: int
    change: int
    numbers: int


@dataclasses.dataclass
class Someone:
    """A person of the plain reference: its ids and what is known."""

    team: int
    ids: set[str]
    created: int
    properties: dict[str, bytes]
    identified: bool = False


def plain(events: list[Action]) -> list[Someone]:
    """One pass over all events, with nothing but a list of people."""
    people: list[Someone] = []
    users: dict[str, str] = {}
    for event in events:
        if event.device and event.distinct_id != event.device:
            users[event.device] = event.distinct_id
        elif event.device:
            event.distinct_id = users.get(event.device, event.device)
        if not event.personless:
            count = len(people)
            if event.merged:
                merge(people, event)
            someone = find(people, event, event.distinct_id)
            if someone is None:
                someone = Someone(event.team_id, {event.distinct_id}, event.timestamp, {})
                people.append(someone)
            if event.event != "$exception":
                update(someone, event, fresh=len(people) > count)
    return people


def find(people: list[Someone], event: Action, name: str) -> Someone | None:
    return next((one for one in people if one.team == event.team_id and name in one.ids), None)


def merge(people: list[Someone], event: Action) -> None:
    """Join the two, if they may be."""
    other = event.merged or ""
    if other == event.distinct_id or "anonymous" in {other, event.distinct_id}:
        return
    one, two = find(people, event, event.distinct_id), find(people, event, other)
    if event.quiet and two is not None and two is not one and two.identified:
        return  # the device is another user's
    if one is None or two is None or one is two:
        into = one or two
        if into is None:
            into = Someone(event.team_id, set(), event.timestamp, {})
            people.append(into)
        into.ids |= {other, event.distinct_id}
        into.identified = True
        return
    if two.identified and event.event != "$merge_dangerously":
        return
    people.remove(two)
    one.ids |= two.ids
    one.created = min(one.created, two.created)
    one.properties = {**two.properties, **one.properties}
    one.identified = True


def update(someone: Someone, event: Action, *, fresh: bool) -> None:
    """Set once, set, unset."""
    new = {**event.set_once, **someone.properties, **event.set}
    removed = [name for name in event.unset if new.pop(name, None) is not None]
    touched = {name for name in (*event.set, *event.set_once) if new.get(name) != someone.properties.get(name)}
    touched -= set(removed)
    if event.event not in (*rules.MERGES, "$set") and not fresh:
        touched -= {"$browser", "utm_source"}
    if touched or removed:
        someone.properties = new


def outcome(memory: Memory) -> list[tuple[object, ...]]:
    groups: dict[Key, set[str]] = {}
    for link in memory.kept_links.values():
        if link.person_id is not None:
            groups.setdefault((link.team_id, link.person_id), set()).add(link.distinct_id)
    found = []
    for key, ids in groups.items():
        _, _, created, properties, _, identified, deleted, _ = memory.kept_persons[key]
        assert not deleted
        found.append((key[0], sorted(ids), created, from_json(str(properties)), identified))
    return sorted(found, key=lambda row: row[:2])


@hypothesis.settings(max_examples=400, deadline=None)
@hypothesis.given(st.lists(actions(), max_size=14), st.lists(st.integers(1, 14), max_size=6))
def test_any_events_in_any_batches_end_as_in_one_plain_pass(events: list[Action], cuts: list[int]) -> None:
    memory, before = Memory(), Rows()
    bounds = sorted({0, *(cut for cut in cuts if cut < len(events)), len(events)})
    for start, end in itertools.pairwise(bounds):
        service.apply(memory, copy.deepcopy(events[start:end]), end)
        now = memory.rows()
        for key, (versions, row) in before.items():
            assert key in now
            assert now[key][1] == row or now[key][0] > versions, "a row changed and its versions did not grow"
        before = now
    expected = [(x.team, sorted(x.ids), x.created, x.properties, x.identified) for x in plain(events)]
    assert outcome(memory) == sorted(expected, key=lambda row: row[:2])


@hypothesis.settings(max_examples=400, deadline=None)
@hypothesis.given(st.lists(actions(), max_size=14), st.lists(st.integers(1, 14), max_size=6))
def test_numbers_stay_and_by_their_merges_say_who_is_who(events: list[Action], cuts: list[int]) -> None:
    memory, whole = Memory(), Memory()
    numbers: dict[Key, int] = {}
    bounds = sorted({0, *(cut for cut in cuts if cut < len(events)), len(events)})
    for start, end in itertools.pairwise(bounds):
        service.apply(memory, copy.deepcopy(events[start:end]), end)
        assert numbers.items() <= (numbers := {key: link.number for key, link in memory.kept_links.items()}).items()
    service.apply(whole, copy.deepcopy(events), len(events))
    assert numbers == {key: link.number for key, link in whole.kept_links.items()}, "batches make no difference"
    assert (memory.merges, memory.switches) == (whole.merges, whole.switches)
    for one, other in itertools.combinations(memory.kept_links.values(), 2):
        same = one.team_id == other.team_id and one.person_id is not None and one.person_id == other.person_id
        assert (memory.resolved(one.number) == memory.resolved(other.number)) == same


@hypothesis.settings(max_examples=200, deadline=None)
@hypothesis.given(st.lists(st.one_of(actions(), st.tuples(st.just(1), ID)), max_size=14))
def test_what_is_exported_of_an_id_has_greater_versions_each_time_even_after_a_deletion(
    steps: list[Action | tuple[int, str]],
) -> None:
    memory = Memory()
    before = Rows()
    for step in steps:
        if isinstance(step, Action):
            service.apply(memory, [step], 1)
        else:
            found = service.known(memory, [step])
            deleted = found.delete(*step)
            service.keep(memory, found, 1)
            assert deleted == (step in before and not before[step][1][4])
        now = memory.rows()
        for key, (versions, row) in before.items():
            assert now[key][1] == row or now[key][0] > versions
        before = now


def people_of(*events: Action) -> People:
    found = People([], [])
    for event in events:
        found.apply(event)
    return found


def event(name: str, distinct_id: str, **more: Any) -> Action:
    return Action(1, f"{name}-{distinct_id}", name, distinct_id, 0, **more)


def person(people: People, distinct_id: str) -> Person | None:
    link = people.links.get((1, distinct_id))
    return people.persons[1, link.person_id] if link and link.person_id else None


def test_set_once_keeps_set_replaces_and_unset_removes_in_this_order() -> None:
    people = people_of(
        event("hit", "a", set={"x": b"1"}, set_once={"x": b"0", "y": b"2"}),
        event("hit", "a", set_once={"x": b"9", "z": b"3"}, set={"y": b"4"}, unset=("x", "none")),
    )
    found = person(people, "a")
    assert found is not None
    assert found.properties == {"y": b"4", "z": b"3"}
    assert found.version == 1


def test_the_target_wins_and_the_older_time_and_all_ids_move() -> None:
    people = people_of(
        dataclasses.replace(event("hit", "old", set={"plan": b"1", "city": b"2"}), timestamp=5),
        dataclasses.replace(event("hit", "user", set={"plan": b"3"}), timestamp=7),
        event("$identify", "user", merged="old"),
    )
    found = person(people, "user")
    assert found is not None
    assert found is person(people, "old")
    assert (found.properties, found.created_at, found.identified) == ({"plan": b"3", "city": b"2"}, 5, True)
    assert people.links[1, "old"].version == 1


@pytest.mark.parametrize(
    "name",
    ["", "  ", "anonymous", "GUEST", "null", "'None'", '"undefined"', "[object Object]", "NaN", "0", "true", "Email"],
)
def test_an_id_that_stands_for_nobody_is_not_merged(name: str) -> None:
    people = people_of(event("hit", "a"), event("$identify", "a", merged=name))
    assert [warning.code for warning in people.warnings] == ["merge_with_nobody"]
    assert person(people, name) is None


@pytest.mark.parametrize("name", ["NULL", "nan", "Anna", "'x", "00"])
def test_an_id_that_only_looks_like_one_is(name: str) -> None:
    assert not people_of(event("$identify", "a", merged=name)).warnings


def test_an_identified_person_is_absorbed_only_dangerously() -> None:
    first = (event("$identify", "a", merged="x"), event("$identify", "b", merged="y"))
    refused = people_of(*first, event("$create_alias", "a", merged="b"))
    assert person(refused, "a") is not person(refused, "b")
    assert [(w.code, w.distinct_id, w.other) for w in refused.warnings] == [("merge_of_identified", "a", "b")]
    forced = people_of(*first, event("$merge_dangerously", "a", merged="b"))
    assert len({id(person(forced, name)) for name in "abxy"}) == 1


def test_an_id_without_a_person_gets_one_later_and_says_so_by_its_version() -> None:
    people = people_of(dataclasses.replace(event("hit", "a", set={"x": b"1"}), personless=True))
    assert person(people, "a") is None
    people.apply(event("$identify", "user", merged="a"))
    assert (people.links[1, "a"].version, people.links[1, "user"].version) == (1, 0)


def test_what_sdks_send_by_themselves_is_no_reason_to_write() -> None:
    people = people_of(
        event("hit", "a", set={"plan": b"1"}), event("hit", "a", set={"$browser": b"2", "$geoip_x": b"3"})
    )
    found = person(people, "a")
    assert found is not None
    assert (found.version, found.properties) == (0, {"plan": b"1"})
    people.apply(event("$set", "a", set={"$browser": b"2"}))
    assert (found.version, found.properties) == (1, {"plan": b"1", "$browser": b"2"})


def test_properties_that_would_be_too_large_are_refused_and_said_so() -> None:
    large = b'"' + b"x" * rules.MAX_PROPERTIES + b'"'
    people = people_of(event("hit", "a", set={"plan": b"1"}), event("$set", "a", set={"text": large}))
    found = person(people, "a")
    assert found is not None
    assert found.properties == {"plan": b"1"}
    assert [warning.code for warning in people.warnings] == ["person_too_large"]


def amplitude(user: str | None, device: str, number: int) -> Action:
    more: dict[str, Any] = {"merged": device, "quiet": True, "device": device, "place": (1, number)}
    return event("hit", user or device, **more)


def test_amplitude_ids_by_the_rows_of_its_own_page() -> None:
    """Amplitude, "Track unique users": each step with the id that its event has."""
    steps = [
        ("joe", "X", 1),
        (None, "X", 1),  # of the one who was last seen on the device
        ("joe", "Y", 1),
        ("jane", "Y", 2),  # another user of it is somebody else
        (None, "Y", 2),
        (None, "G", 3),
        (None, "G", 3),
        ("john", "G", 3),  # takes over what nobody has yet
        ("david", "W", 4),
        (None, "Z", 5),
        ("david", "Z", 4),  # 5 is merged into 4
        (None, "Z", 4),
    ]
    people, found = People([], []), []
    for number, (user, device, _) in enumerate(steps):
        action = amplitude(user, device, number)
        people.apply(action)
        found.append(people.links[1, action.distinct_id].number)
    assert found == [number for *_, number in steps]
    assert [(merge.number, merge.into) for merge in people.merges] == [(5, 4)]


def test_a_device_that_stands_for_nobody_has_no_user() -> None:
    people = people_of(amplitude("ana", "anonymous", 0), amplitude(None, "anonymous", 1))
    assert not people.switches
    assert person(people, "anonymous") is not person(people, "ana")


def test_somebody_who_comes_again_after_a_deletion_has_a_new_number_and_ids_keep_theirs() -> None:
    people = people_of(event("hit", "a"), event("hit", "b"), event("$identify", "b", merged="a"))
    assert people.delete(1, "a")
    people.apply(event("hit", "a"))
    found = person(people, "a")
    assert found is not None
    assert found.number == 3
    assert (people.links[1, "a"].number, people.links[1, "b"].number) == (1, 2)
    assert [(merge.number, merge.into) for merge in people.merges] == [(1, 2)]


@pytest.mark.parametrize(
    ("operations", "before", "after"),
    [
        ({"$add": {"n": b"2"}}, {}, {"n": b"2"}),
        ({"$add": {"n": b"-0.1"}}, {"n": b"0.3"}, {"n": b"0.2"}),
        ({"$add": {"n": b"1"}}, {"n": b"12345678901234567890"}, {"n": b"12345678901234567891"}),
        ({"$append": {"x": b'"b"'}}, {"x": b'"a"'}, {"x": b'["a","b"]'}),
        ({"$append": {"x": b"[2,1.50]"}}, {"x": b"[1]"}, {"x": b"[1,2,1.50]"}),
        ({"$prepend": {"x": b"[2]"}}, {"x": b"[1]"}, {"x": b"[2,1]"}),
        ({"$append": {"x": b"1"}}, {}, {"x": b"[1]"}),
        ({"$preInsert": {"x": b"[2,1,3,3]"}}, {"x": b"[1]"}, {"x": b"[2,3,1]"}),
        ({"$postInsert": {"x": b'{"a":1,"b":2}'}}, {"x": b'[{"b":2,"a":1}]'}, {"x": b'[{"b":2,"a":1}]'}),
        ({"$remove": {"x": b"1"}}, {"x": b"[1,2,1]"}, {"x": b"[2]"}),
        ({"$remove": {"x": b"1"}}, {}, {}),
    ],
)
def test_operations_of_amplitude(
    operations: dict[str, dict[str, bytes]], before: dict[str, bytes], after: dict[str, bytes]
) -> None:
    people = people_of(event("$set", "a", set={"k": b"1", **before}), event("$identify", "a", operations=operations))
    found = person(people, "a")
    assert found is not None
    assert found.properties == {"k": b"1", **after}
    assert not people.warnings


@pytest.mark.parametrize(("operand", "now"), [(b'"1"', b"1"), (b"1", b'"a"'), (b"1e999", b"1"), (b"null", b"1")])
def test_an_operation_that_does_not_fit_is_refused_and_said_so(operand: bytes, now: bytes) -> None:
    asked = {"$add": {"n": operand}, "$append": {"x": b"1"}}
    people = people_of(event("$set", "a", set={"n": now}), event("$identify", "a", operations=asked))
    found = person(people, "a")
    assert found is not None
    assert found.properties == {"n": now, "x": b"[1]"}
    assert [(warning.code, warning.other) for warning in people.warnings] == [("operation_refused", "n")]


def test_all_properties_can_be_cleared_at_once() -> None:
    people = people_of(event("$set", "a", set={"x": b"1", "y": b"2"}), event("$identify", "a", clear=True))
    found = person(people, "a")
    assert found is not None
    assert (found.properties, found.version) == ({}, 1)
