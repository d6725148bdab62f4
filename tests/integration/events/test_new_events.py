"""However events come in, in whatever batches and from however many processes, the store holds each of them once."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pyarrow as pa
import pytest
from hypothesis import strategies as st

from tidemill.app import App
from tidemill.events import known, ledger
from tidemill.events.catalog import BATCH_COLUMNS
from tidemill.events.known import NewEvents
from tidemill.events.lake import Appended, Lake, Place
from tidemill.settings import Settings

_TYPES = {"team_id": pa.int64(), "timestamp": pa.timestamp("us", "UTC")}
_TEAMS = itertools.count(1000)
WEEK = dt.timedelta(days=7)
#: Commits: by which process, and the numbers of the events of each batch that is in it.
BATCHES = st.lists(st.lists(st.integers(0, 40), max_size=25), min_size=1, max_size=3)
COMMITS = st.lists(st.tuples(st.integers(0, 1), BATCHES), max_size=8)


@dataclasses.dataclass
class Stores:
    """The store as two processes see it."""

    lakes: list[Lake]
    folder: Path


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    home = tmp_path_factory.mktemp("home")
    with App(Settings(home=home)) as one, App(Settings(home=home)) as other:
        one.lake.position()
        yield Stores([one.lake, other.lake], home)


def batch(team: int, numbers: list[int]) -> pa.RecordBatch:
    """Events of these numbers."""
    given = {"uuid": [f"id-{n}" for n in numbers], "team_id": [team] * len(numbers), "event": ["hit"] * len(numbers)}
    arrays = {
        name: pa.array(given.get(name, [None] * len(numbers)), _TYPES.get(name, pa.string())) for name in BATCH_COLUMNS
    }
    return pa.record_batch(arrays)


def append(lake: Lake, events: pa.RecordBatch) -> Appended:
    return lake.append(lake.prepare([events]), Place("file", 1))


def stored(lake: Lake, team: int) -> list[str]:
    with lake.cursor() as cursor:
        found = cursor.execute("SELECT uuid FROM lake.events WHERE team_id = ? ORDER BY uuid", [team]).fetchall()
    return [row[0] for row in found]


@hypothesis.settings(max_examples=25, deadline=None)
@hypothesis.given(commits=COMMITS)
def test_each_event_is_stored_once(stores: Stores, commits: list[tuple[int, list[list[int]]]]) -> None:
    team, seen = next(_TEAMS), set[int]()
    for lake in stores.lakes:
        lake._new_events = NewEvents(stores.folder / "spill", run=16)
    for process, batches in commits:
        lake, numbers = stores.lakes[process], list(itertools.chain(*batches))
        appended = lake.append(lake.joined([lake.prepare([batch(team, one)]) for one in batches]), Place("file", 1))
        new = set(numbers) - seen
        assert (appended.rows, appended.duplicates) == (len(new), len(numbers) - len(new))
        seen |= new
    assert stored(stores.lakes[0], team) == sorted(f"id-{n}" for n in seen)


class Clock:
    """What the clock says, and how much time has passed. It begins after all that other tests have committed."""

    def __init__(self, patch: pytest.MonkeyPatch, team: int) -> None:
        self.said = dt.datetime.now(dt.UTC) + dt.timedelta(days=1000 * team)
        self.passed = 0.0
        patch.setattr(ledger, "now", lambda: self.said)
        patch.setattr(known, "monotonic", lambda: self.passed)
        patch.setattr(known, "_FORGETS_SECONDS", 0.0)

    def wait(self, days: int) -> None:
        self.said += dt.timedelta(days=days)
        self.passed += days * 86_400


@hypothesis.settings(max_examples=15, deadline=None)
@hypothesis.given(days=st.lists(st.integers(0, 30), min_size=1, max_size=6), first=st.integers(0, 6))
def test_what_was_committed_long_ago_is_not_remembered(stores: Stores, days: list[int], first: int) -> None:
    """An event counts once within the time that is asked for, for whoever commits it; memory is bounded by that. Who
    begins takes it from the newest commit on."""
    team, lake, seen = next(_TEAMS), stores.lakes[0], dict[int, dt.datetime]()
    with pytest.MonkeyPatch.context() as patch:
        clock = Clock(patch, team)
        append(lake, batch(next(_TEAMS), [1]))
        behind, newest = dt.timedelta(), clock.said
        lake._new_events = None
        for number, later in enumerate(days):
            clock.wait(later)
            if number in {0, first}:
                lake._new_events = None  # another process goes on
                behind = clock.said - newest
            events = lake.prepare([batch(team, [0, number % 3 + 1])])
            appended = lake.append(events, Place("file", 1), WEEK)
            now = clock.said - behind
            fresh = {n for n in (0, number % 3 + 1) if n not in seen or now - seen[n] > WEEK}
            assert appended.rows == len(fresh)
            seen |= dict.fromkeys(fresh, clock.said)
            newest = clock.said
    lake._new_events = None


def test_a_clock_that_jumps_ahead_has_nothing_forgotten(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    team, lake = next(_TEAMS), stores.lakes[0]
    clock = Clock(monkeypatch, team)
    monkeypatch.setattr(lake, "_new_events", None)

    def sent(number: int) -> int:
        return lake.append(lake.prepare([batch(team, [number])]), Place("file", 1), WEEK).rows

    right = clock.said
    assert [sent(number) for number in (1, 2, 1)] == [1, 1, 0]
    clock.said = right + dt.timedelta(days=900)
    assert [sent(number) for number in (3, 1, 2)] == [1, 0, 0]
    clock.said = right
    assert [sent(number) for number in (1, 2, 3)] == [0, 0, 0]
    lake._new_events = None  # another process, which begins while the clock is wrong
    clock.said = right - dt.timedelta(days=900)
    assert [sent(number) for number in (1, 2, 3)] == [0, 0, 0]
    lake._new_events = None


def test_runs_of_hashes_that_are_too_old_are_dropped(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    team, lake = next(_TEAMS), stores.lakes[0]
    clock = Clock(monkeypatch, team)
    append(lake, batch(next(_TEAMS), [1]))
    kept = NewEvents(stores.folder / "spill", run=16, within=WEEK)
    monkeypatch.setattr(lake, "_new_events", kept)
    for number in range(20):
        events = lake.prepare([batch(team, list(range(number * 20, number * 20 + 20)))])
        lake.append(events, Place("file", 1), WEEK)
        assert len(kept._full) <= 9
        clock.wait(1)
    assert kept._full


def test_what_the_store_holds_is_learnt_before_the_turn(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a large store it takes long, and others are to commit meanwhile."""
    one, other = stores.lakes
    team, learnt = next(_TEAMS), list[tuple[int, bool]]()
    add, lock = NewEvents._add, one._lock
    holding = False

    @contextlib.contextmanager
    def turn(name: str) -> Iterator[Any]:
        nonlocal holding
        with lock(name) as held:
            holding = True
            yield held
            holding = False

    def adding(self: NewEvents, hashes: Any, upto: int) -> None:
        learnt.append((len(hashes), holding))
        add(self, hashes, upto)

    append(one, batch(team, list(range(30))))
    monkeypatch.setattr(other, "_new_events", NewEvents(stores.folder / "spill"))
    monkeypatch.setattr(other, "_lock", turn)
    append(other, batch(team, [100]))  # the first one asks for its own events only
    monkeypatch.setattr(NewEvents, "_add", adding)
    assert append(other, batch(team, [1, 101])).rows == 1
    assert [(size, held) for size, held in learnt if size >= 30]
    assert not [size for size, held in learnt if held and size > 1]


@pytest.mark.parametrize("within", [None, WEEK])
def test_an_event_that_comes_again_alone_is_known(stores: Stores, within: dt.timedelta | None) -> None:
    """Whatever its hash is: half of them do not fit into a number with a sign."""
    team, lake = next(_TEAMS), stores.lakes[0]
    for number in range(12):
        event = lake.prepare([batch(team, [number])])
        assert [lake.append(event, Place("file", 1), within).rows for _ in range(2)] == [1, 0]


def test_the_same_id_in_two_teams_is_two_events(stores: Stores) -> None:
    one, other = next(_TEAMS), next(_TEAMS)
    for team in (one, other, one):
        append(stores.lakes[0], batch(team, [1, 2]))
    assert stored(stores.lakes[0], one) == stored(stores.lakes[0], other) == ["id-1", "id-2"]
