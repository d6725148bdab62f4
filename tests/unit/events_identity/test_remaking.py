"""What an import has brought can be taken back: people are as if it had never been, whatever else has happened."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

import duckdb
import hypothesis
import pytest
from hypothesis import strategies as st
from tests.unit.events_identity.test_people import Memory

from tidemill.events.identity import port, reading, remaking, service
from tidemill.events.identity.people import Key, from_json

_ID = st.sampled_from(["a", "a", "b", "b", "c"])
_DEVICE = st.sampled_from(["d", "d", "e"])
_VALUES = st.dictionaries(st.sampled_from(["p", "q", "$browser"]), st.integers(0, 2), max_size=2)
_NAMES = st.lists(st.sampled_from(["p", "q"]), max_size=1)
_COLUMNS = ("team_id", "uuid", "event", "distinct_id", "timestamp", "set", "set_once", "kind", "properties", "envelope")
_TYPES = {"team_id": "BIGINT", "timestamp": "TIMESTAMP"}
Event = dict[str, Any]


def _event(event: str, distinct_id: str, kind: str, moment: int, **columns: Any) -> Event:
    texts = {name: json.dumps(value) for name, value in columns.items() if value or name in ("properties", "envelope")}
    return {"team_id": 1, "uuid": "", "event": event, "distinct_id": distinct_id, "kind": kind} | {
        "timestamp": moment,
        **texts,
    }


@st.composite
def captured(draw: st.DrawFn) -> Event:
    event = draw(st.sampled_from(["hit", "hit", "$set", "$identify", "$create_alias", "$merge_dangerously"]))
    to_set, once, unset = draw(_VALUES), draw(_VALUES), draw(_NAMES)
    properties: dict[str, Any] = {"$set": to_set, "$set_once": once, **({"$unset": unset} if unset else {})}
    if event not in ("hit", "$set"):
        properties["$anon_distinct_id" if event == "$identify" else "alias"] = draw(_ID | _DEVICE)
    if draw(st.integers(0, 5)) == 0:
        properties["$process_person_profile"] = False
    moment = draw(st.integers(0, 9))
    return _event(event, draw(_ID), "capture", moment, set=to_set, set_once=once, properties=properties)


@st.composite
def of_amplitude(draw: st.DrawFn) -> Event:
    device = draw(_DEVICE)
    user = draw(st.one_of(st.just(device), st.just(device), _ID))
    operations: dict[str, Any] = {"$add": {"p": 1}} if draw(st.booleans()) else {}
    operations |= {"$append": {"q": draw(st.integers(0, 2))}} if draw(st.booleans()) else {}
    operations |= draw(st.sampled_from([{}, {}, {"$unset": {"p": "-"}}, {"$clearAll": "-"}]))
    to_set, once = draw(_VALUES), draw(_VALUES)
    envelope = {"device_id": device, "user_properties": operations}
    moment = draw(st.integers(0, 9))
    return _event("hit", user, "amplitude", moment, set=to_set, set_once=once, properties={}, envelope=envelope)


@st.composite
def imported(draw: st.DrawFn) -> Event:
    of_people = draw(st.booleans())
    to_set, unset = (draw(_VALUES), draw(_NAMES)) if of_people else ({}, [])
    properties = {"$import_id": "i", "$set": to_set, **({"$unset": unset} if unset else {})}
    event = "$set" if of_people else "Ordered"
    return _event(event, draw(_ID | _DEVICE), "import", draw(st.integers(0, 9)), set=to_set, properties=properties)


_COMMITS = st.lists(captured() | captured() | of_amplitude() | imported(), min_size=1, max_size=3)
#: Commits, and ids of people whom somebody deletes.
_STEPS = st.lists(_COMMITS | _COMMITS | _COMMITS | _ID | _DEVICE, min_size=3, max_size=14)


class Keeps(Memory):
    """With all that the database keeps."""

    def __init__(self) -> None:
        super().__init__()
        self.kept_formers: dict[Key, tuple[int, int]] = {}

    def save(self, changed: port.Changed, snapshot: int, numbers: int) -> port.Reached:
        for team_id, name, *place, _ in changed.formers:
            self.kept_formers[team_id, name] = (place[0], place[1])
        return super().save(changed, snapshot, numbers)

    def formers(self, ids: Sequence[Key]) -> list[port.Row]:
        return [(*key, *self.kept_formers[key]) for key in ids if key in self.kept_formers]

    def switches_of(self, ids: Sequence[Key]) -> list[port.Row]:
        """See Session.switches."""
        found = {row[:2] for row in self.switches if row[:2] in ids or (row[0], row[4]) in ids}
        return [row for row in self.switches if row[:2] in found]

    def people(self) -> dict[frozenset[str], tuple[Any, ...]]:
        """What is known of those who live, by their ids."""
        ids: dict[Key, set[str]] = {}
        for link in self.kept_links.values():
            ids.setdefault((link.team_id, str(link.person_id)), set()).add(link.distinct_id)
        living = {key: row for key, row in self.kept_persons.items() if not row[6]}
        return {frozenset(ids[key]): (from_json(row[3]), row[2]) for key, row in living.items()}


class Store:
    """Events, and people as they are after each step. `imports`: whether what was imported is taken in."""

    def __init__(self, *, imports: bool) -> None:
        self.memory, self._imports = Keeps(), imports
        self._connection = duckdb.connect()
        columns = ", ".join(f'"{name}" {_TYPES.get(name, "VARCHAR")}' for name in _COLUMNS)
        self._connection.execute("ATTACH ':memory:' AS lake")
        self._connection.execute(
            f"CREATE TABLE lake.events ({columns}, n INT, snapshot_id BIGINT, inserted_at TIMESTAMP)"
        )

    @contextlib.contextmanager
    def cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """As a lake has it; so is the next one."""
        with self._connection.cursor() as cursor:
            yield cursor

    @staticmethod
    def between(after: int, upto: int) -> str:
        return f"snapshot_id > {after} AND snapshot_id <= {upto}"

    def take(self, snapshot: int, events: list[Event]) -> None:
        """One commit."""
        kept = [(n, one) for n, one in enumerate(events) if self._imports or one["kind"] != "import"]
        rows = [[*(one.get(name) for name in _COLUMNS), n, snapshot] for n, one in kept]
        marks = ", ".join("make_timestamp(?)" if name == "timestamp" else "?" for name in _COLUMNS)
        if rows:
            self._connection.executemany(f"INSERT INTO lake.events VALUES ({marks}, ?, ?, 'epoch')", rows)
        service.apply(self.memory, list(reading.actions(self.lake, self.memory.reached.snapshot, snapshot)), snapshot)

    @property
    def lake(self) -> Any:
        return self

    def delete(self, name: str) -> None:
        """Somebody deletes a person."""
        found = service.known(self.memory, [(1, name)])
        found.delete(1, name)
        service.keep(self.memory, found, self.memory.reached.snapshot)

    def undo(self) -> None:
        """Take back what was imported."""
        asked = self._connection.execute("SELECT DISTINCT distinct_id FROM lake.events WHERE kind = 'import'")
        ids = sorted(name for (name,) in asked.fetchall())
        self._connection.execute("DELETE FROM lake.events WHERE kind = 'import'")
        remaking.remake(self.memory, self.lake, 1, ids)

    def close(self) -> None:
        self._connection.close()


def refused(store: Store) -> int:
    return sum(row[2] == "merge_of_identified" for row in store.memory.warnings)


def check(steps: Sequence[list[Event] | str]) -> None:
    """That people are as they should be when the import is taken back, after these commits and deletions."""
    with contextlib.closing(Store(imports=True)) as store, contextlib.closing(Store(imports=False)) as plain:
        for number, step in enumerate(steps, 1):
            for each in (store, plain):
                each.delete(step) if isinstance(step, str) else each.take(number, step)
        before = dict(store.memory.kept_persons)
        store.undo()
        for key, row in store.memory.kept_persons.items():
            assert row == before[key] or row[4] > before[key][4], "a row changed and its version did not grow"
            assert row[6] >= before[key][6], "somebody who was deleted is there again"
        found, expected = store.memory.people(), plain.memory.people()
        if found.keys() != expected.keys():
            assert refused(store) > refused(plain)
            hypothesis.reject()
        assert found == expected
        after = dict(store.memory.kept_persons)
        store.undo()
        assert store.memory.kept_persons == after, "to do it again changes nothing"


@hypothesis.settings(max_examples=150, deadline=None)
@hypothesis.given(_STEPS)
def test_people_are_as_if_the_import_had_never_been(steps: list[list[Event] | str]) -> None:
    """But for who is who, which stays: with somebody whom only the import made, others may not have been joined."""
    check(steps)


def hit(name: str, **values: int) -> list[Event]:
    return [_event("hit", name, "capture", 1, set=values, properties={"$set": values})]


def merge(event: str, name: str, other: str) -> list[Event]:
    said = {"$anon_distinct_id" if event == "$identify" else "alias": other}
    return [_event(event, name, "capture", 2, properties=said)]


def call(device: str, user: str | None = None, **values: int) -> list[Event]:
    return [_event("hit", user or device, "amplitude", 3, set=values, properties={}, envelope={"device_id": device})]


def row(name: str, **values: int) -> list[Event]:
    return [_event("$set", name, "import", 4, set=values, properties={"$set": values})]


@pytest.mark.parametrize(
    "steps",
    [
        [row("a", p=1), "a", row("a", p=2)],
        [hit("a", p=1), "a", hit("a", p=2), row("a", p=3)],
        [hit("a", p=1), "a", hit("a"), row("a", p=3)],
        [hit("a", p=1), hit("a"), "a", row("a", p=3), hit("a")],
        [call("d", "a"), call("d", "b", p=1), call("d", q=2), row("b", p=3)],
        [call("d", "a"), call("d", "b", p=1), call("d", q=2), row("a", p=3)],
        [call("d", p=1), call("d", "a"), "a", call("d", q=1), row("a", p=3)],
        [hit("a"), merge("$identify", "b", "c"), merge("$identify", "a", "b"), "b", hit("b", p=1), row("b"), row("a")],
        [
            *[hit("a", p=1), merge("$identify", "b", "c"), merge("$identify", "a", "b"), "b", hit("b", p=2)],
            *[hit("a", q=1), merge("$identify", "a", "b"), row("a", p=3)],
        ],
        [row("a", p=1), hit("a", p=1), merge("$identify", "b", "a"), row("b", q=1), hit("c", q=2)],
    ],
    ids=[
        *("made by it alone", "made again by what is kept", "made again plainly", "made again later"),
        *("of the second user", "of the first user", "a device of somebody who was deleted"),
        *("a merge that was refused", "a merge that was refused first", "a merge with its person"),
    ],
)
def test_whatever_has_happened_beside_it(steps: list[list[Event] | str]) -> None:
    check(steps)
