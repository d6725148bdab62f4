"""Requests are grouped into commits, and each of them is told what came of it."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import threading
import time
import uuid
from collections.abc import Coroutine
from typing import Any

import pyarrow as pa
import pytest

from tidemill.capture.committer import Bounds, Committer, Failed
from tidemill.capture.keeper import Bundle, Kept, Revoked
from tidemill.capture.metrics import Metrics
from tidemill.capture.taken import Taken
from tidemill.errors import RowError, UnavailableError

KEY = uuid.uuid4()


@dataclasses.dataclass
class Store:
    """Keeps names of events; it waits for `may`, and a bundle with the event "bad" fails."""

    commits: list[list[str]] = dataclasses.field(default_factory=list)
    refused: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    gone: set[uuid.UUID] = dataclasses.field(default_factory=set)
    may: threading.Event = dataclasses.field(default_factory=threading.Event)
    error: Exception | None = None

    def keep(self, bundle: Bundle) -> Kept:
        assert self.may.wait(60)
        if self.error is not None:
            raise self.error
        if self.gone & bundle.keys:
            raise Revoked(self.gone & bundle.keys)
        names = [name for table in bundle.tables for name in table["event"].to_pylist()]
        if "bad" in names:
            raise ValueError(names)
        self.refused += bundle.refused
        if names:
            self.commits.append(names)
        return Kept(len(names), 0, 0.001 if names else 0.0)

    def look(self) -> None: ...

    def close(self) -> None: ...


def sent(committer: Committer, name: str, key: uuid.UUID = KEY) -> Coroutine[Any, Any, None]:
    """One request with one event."""
    return committer.commit(key, Taken([pa.record_batch({"event": [name]})]), list, 1, 100)


@dataclasses.dataclass
class Setting:
    store: Store
    committer: Committer


def setting(rows: int = 100, seconds: float = 0.0) -> Setting:
    store = Store()
    committer = Committer(store, Bounds(rows, 10_000_000, seconds), Metrics())
    committer._last = time.monotonic()  # the last commit was just now
    committer.start()
    return Setting(store, committer)


async def outcomes(found: Setting, *names: str, key: uuid.UUID = KEY) -> list[Any]:
    asked = [asyncio.create_task(sent(found.committer, name, key)) for name in names]
    await asyncio.sleep(0)
    found.store.may.set()
    return await asyncio.gather(*asked, return_exceptions=True)


def test_what_comes_together_is_committed_together() -> None:
    found = setting(rows=5, seconds=60)
    assert asyncio.run(outcomes(found, *"abcde")) == [None] * 5
    assert found.store.commits == [list("abcde")]
    found.committer.stop()


def test_no_commit_has_more_than_it_may() -> None:
    found = setting(rows=2, seconds=60)
    assert asyncio.run(outcomes(found, *"abcdef")) == [None] * 6
    assert [name for names in found.store.commits for name in names] == list("abcdef")
    assert max(map(len, found.store.commits)) <= 2
    found.committer.stop()


def test_an_event_that_comes_alone_does_not_wait() -> None:
    found = setting(rows=1000, seconds=60)
    found.committer._last = 0.0  # the last commit was long ago
    assert asyncio.run(outcomes(found, "a")) == [None]
    found.committer.stop()


def test_commits_are_the_further_apart_the_longer_they_take() -> None:
    """But never more than they may be."""
    committer = Committer(Store(), Bounds(100, 10_000_000, 0.5), Metrics())
    assert committer._gap == 0.5  # until it is known
    gaps = []
    for seconds in (0.01, 0.1, 10.0):
        for _ in range(100):
            committer._pace(seconds)
        gaps.append(committer._gap)
    assert gaps == sorted(gaps)
    assert gaps[0] == pytest.approx(0.015, rel=0.01)
    assert gaps[2] == 0.5


def test_nobody_is_answered_before_the_commit() -> None:
    found = setting()

    async def ask() -> None:
        asked = asyncio.create_task(sent(found.committer, "a"))
        done, _ = await asyncio.wait([asked], timeout=0.05)
        assert not done
        found.store.may.set()
        await asked

    asyncio.run(ask())
    found.committer.stop()


def test_a_bad_event_among_many_is_found_by_few_commits() -> None:
    found = setting(rows=128)
    names = [f"event-{number}" for number in range(100)]
    names[37] = "bad"
    answers = asyncio.run(outcomes(found, *names))
    assert [number for number, answer in enumerate(answers) if isinstance(answer, Failed)] == [37]
    assert sorted(itertools.chain(*found.store.commits)) == sorted(set(names) - {"bad"})
    assert len(found.store.commits) <= 8
    found.committer.stop()


def test_what_cannot_be_bundled_ends_nothing() -> None:
    """Also where it turns up late: when the others of its group go on without a revoked key."""
    gone = uuid.uuid4()
    store, tries = Store(gone={gone}), itertools.count()
    store.may.set()

    def refused() -> list[dict[str, Any]]:
        if next(tries):
            raise ValueError
        return [{"code": "odd"}]

    committer = Committer(store, Bounds(100, 10_000_000, 0.0), Metrics())

    async def ask() -> list[Any]:
        odd = Taken([pa.record_batch({"event": ["odd"]})], [(b"{}", RowError("odd", "It is odd."))])
        asked = [sent(committer, "revoked", gone), committer.commit(KEY, odd, refused, 1, 100), sent(committer, "good")]
        tasks = [asyncio.create_task(one) for one in asked]
        await asyncio.sleep(0)
        committer.start()  # so that all are in one group
        return await asyncio.gather(*tasks, return_exceptions=True)

    revoked, odd, good = asyncio.run(ask())
    assert isinstance(revoked, Revoked)
    assert isinstance(odd, Failed)
    assert good is None
    assert asyncio.run(gathered(committer, *"abc")) == [None] * 3  # both threads that keep go on
    assert all(thread.is_alive() for thread in committer._threads)
    committer.stop()


def test_what_is_only_refused_says_nothing_of_commits() -> None:
    found = setting(seconds=0.5)
    found.committer._last = 0.0
    found.store.may.set()

    async def ask() -> None:
        refused = Taken([], [(b"{}", RowError("odd", "It is odd."))])
        await found.committer.commit(KEY, refused, lambda: [{"code": "odd"}], 1, 100)

    asyncio.run(ask())
    assert found.store.refused == [{"code": "odd"}]
    assert found.committer._gap == 0.5
    found.committer.stop()


def test_one_bad_event_does_not_take_the_others_with_it() -> None:
    found = setting(rows=3, seconds=60)
    first, bad, last = asyncio.run(outcomes(found, "a", "bad", "c"))
    assert (first, last) == (None, None)
    assert isinstance(bad, Failed)
    assert found.store.commits == [["a"], ["c"]]
    found.committer.stop()


def test_all_are_told_when_the_store_cannot_keep_them_and_the_next_are_kept() -> None:
    found = setting(rows=2, seconds=60)
    found.store.error = UnavailableError("disk_full", "No room.")
    told = asyncio.run(outcomes(found, "a", "b"))
    assert [type(each) for each in told] == [UnavailableError] * 2
    found.store.error = None
    assert asyncio.run(outcomes(found, "a", "b")) == [None, None]
    assert found.store.commits == [["a", "b"]]
    found.committer.stop()


def test_what_a_revoked_key_sent_is_not_committed() -> None:
    found, other = setting(rows=2, seconds=60), uuid.uuid4()
    found.store.gone.add(other)

    async def ask() -> list[Any]:
        asked = [sent(found.committer, "a"), sent(found.committer, "b", other)]
        found.store.may.set()
        outcome: list[Any] = await asyncio.gather(*asked, return_exceptions=True)
        return outcome

    kept, refused = asyncio.run(ask())
    assert kept is None
    assert isinstance(refused, Revoked)
    assert found.store.commits == [["a"]]
    found.committer.stop()


def test_what_was_refused_is_kept_before_anybody_is_told() -> None:
    found = setting()
    found.store.may.set()
    taken = Taken(refused=[(b"{}", RowError("x", "x"))])
    asyncio.run(found.committer.commit(KEY, taken, lambda: [{"code": "x"}], 1, 100))
    assert (found.store.refused, found.store.commits) == ([{"code": "x"}], [])
    found.committer.stop()


def test_a_stop_commits_what_is_waiting() -> None:
    found = setting(rows=100, seconds=60)

    async def ask() -> None:
        asked = [asyncio.create_task(sent(found.committer, name)) for name in "abc"]
        await asyncio.sleep(0)
        found.store.may.set()
        await asyncio.to_thread(found.committer.stop)
        await asyncio.gather(*asked)
        with pytest.raises(UnavailableError):
            await sent(found.committer, "late")

    asyncio.run(ask())
    assert found.store.commits == [["a", "b", "c"]]


def test_nobody_waits_for_a_store_that_does_not_answer() -> None:
    store = Store()
    committer = Committer(store, Bounds(1, 10_000_000, 0.0, answer=0.05), Metrics())
    committer.start()
    asked = asyncio.run(gathered(committer, *"abcdefgh"))
    assert [error.code for error in asked] == ["store_slow"] * 8
    assert not committer._waiting
    assert (committer._rows, committer._bytes) == (0, 0)
    store.may.set()
    assert asyncio.run(gathered(committer, "z")) == [None]
    committer.stop()


def test_what_is_given_up_before_its_group_is_taken_ends_nothing() -> None:
    committer = Committer(Store(), Bounds(100, 10_000_000, 60), Metrics())
    committer._last = time.monotonic()
    groups: list[list[str]] = []

    def gather() -> None:
        groups.append([parcel.taken.tables[0]["event"][0].as_py() for parcel in committer._gather()])

    async def ask() -> None:
        late = asyncio.create_task(sent(committer, "late"))
        await asyncio.sleep(0)
        thread = threading.Thread(target=gather)
        thread.start()
        committer._give_up(committer._waiting[0])
        with pytest.raises(UnavailableError):
            await late
        committer._last = 0.0
        with committer._changed:
            committer._changed.notify()
        next_one = asyncio.create_task(sent(committer, "next"))
        await asyncio.to_thread(thread.join)
        next_one.cancel()

    asyncio.run(ask())
    assert groups == [["next"]]


async def gathered(committer: Committer, *names: str) -> list[Any]:
    found: list[Any] = await asyncio.gather(*(sent(committer, name) for name in names), return_exceptions=True)
    return found
