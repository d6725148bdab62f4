"""Who is who: for any events, cut in any way, the same as in one plain pass over all of them."""

from __future__ import annotations

import copy
import dataclasses
import itertools
from collections.abc import Sequence

import hypothesis
from hypothesis import strategies as st
from tests.people_reference import plain

from tidemill.events.identity import port, rules, service
from tidemill.events.identity.people import Action, Key, Link, from_json

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
    kept_persons: dict[Key, port.Row] = dataclasses.field(default_factory=dict)
    warnings: list[port.Row] = dataclasses.field(default_factory=list)
    merges: list[port.Row] = dataclasses.field(default_factory=list)
    switches: list[port.Row] = dataclasses.field(default_factory=list)
    reached: port.Reached = dataclasses.field(default_factory=lambda: Reached(0, 0, 0, 0))

    def links(self, ids: Sequence[Key]) -> list[port.Row]:
        return [dataclasses.astuple(self.kept_links[key]) for key in ids if key in self.kept_links]

    def without_person(self, ids: Sequence[Key]) -> list[Key]:
        links = {key: self.kept_links[key] for key in ids if key in self.kept_links}
        living = {(row[0], row[1]) for row in self.kept_persons.values() if not row[6]}
        return [key for key in ids if key not in links or (key[0], links[key].person_id) not in living]

    def links_of(self, persons: Sequence[Key]) -> list[port.Row]:
        return [dataclasses.astuple(x) for x in self.kept_links.values() if (x.team_id, x.person_id) in persons]

    def persons(self, persons: Sequence[Key], most: int | None = None) -> list[port.Row] | None:
        found = [self.kept_persons[key] for key in persons if key in self.kept_persons]
        return None if most is not None and sum(len(row[3]) for row in found) > most else found

    def users(self, devices: Sequence[Key]) -> list[port.Row]:
        last = {row[:2]: row[4] for row in self.switches}
        return [(*key, last[key]) for key in devices if key in last]

    def forget(self, ids: Sequence[Key]) -> None:
        raise NotImplementedError

    def formers(self, ids: Sequence[Key]) -> list[port.Row]:
        raise NotImplementedError

    def switches_of(self, ids: Sequence[Key]) -> list[port.Row]:
        raise NotImplementedError

    def erase(self, persons: Sequence[Key], ids: Sequence[Key]) -> None:  # noqa: ARG002
        for key in persons:
            del self.kept_persons[key]

    def save(self, changed: port.Changed, snapshot: int, numbers: int) -> port.Reached:
        self.kept_links |= {row[:2]: Link(*row) for row in changed.links}
        self.kept_persons |= {row[:2]: row for row in changed.persons}
        self.warnings += changed.refusals
        self.merges += changed.merges
        self.switches += changed.switches
        self.reached = Reached(snapshot, self.reached.change + 1, numbers, self.reached.versions)
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
    versions: int


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
@hypothesis.given(
    st.lists(actions(), max_size=14), st.lists(st.integers(1, 14), max_size=6), st.sampled_from([0, 20, 999])
)
def test_any_events_in_any_batches_end_as_in_one_plain_pass(events: list[Action], cuts: list[int], most: int) -> None:
    """`most`: characters that may be held at once, so that batches are halved."""
    memory, before = Memory(), Rows()
    bounds = sorted({0, *(cut for cut in cuts if cut < len(events)), len(events)})
    for start, end in itertools.pairwise(bounds):
        service.apply(memory, copy.deepcopy(events[start:end]), end, most)
        assert memory.reached.snapshot == end
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
def test_versions_grow_and_numbers_say_who_is_who_even_after_deletions(
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
    living = {key for key, row in memory.kept_persons.items() if not row[6]}
    links = [x for x in memory.kept_links.values() if x.person_id and (x.team_id, x.person_id) in living]
    for one, other in itertools.combinations(links, 2):
        same = (one.team_id, one.person_id) == (other.team_id, other.person_id)
        assert (memory.resolved(one.number) == memory.resolved(other.number)) == same
