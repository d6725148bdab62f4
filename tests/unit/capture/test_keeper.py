"""What threads bring while a commit goes on is in the next one, and each of them is told what became of it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import threading
import uuid
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import pytest

from tidemill.capture import keeper
from tidemill.capture.keeper import Bundle, Kept, StoreKeeper
from tidemill.errors import AccessError, UnavailableError
from tidemill.events.lake import Appended, Place, Prepared

KEY = uuid.uuid4()
BAD = -1
DAY = dt.timedelta(days=1)


@dataclasses.dataclass
class Lake:
    """Holds numbers. Its first commit goes on until it may end."""

    commits: list[list[int]] = dataclasses.field(default_factory=list)
    begun: threading.Event = dataclasses.field(default_factory=threading.Event)
    may: threading.Event = dataclasses.field(default_factory=threading.Event)
    prepared: threading.Semaphore = dataclasses.field(default_factory=lambda: threading.Semaphore(0))
    error: Exception | None = None

    def prepare(self, batches: Sequence[pa.RecordBatch]) -> Prepared:
        events = pa.Table.from_batches(batches)
        self.prepared.release()
        return Prepared(events, events.num_rows)

    def joined(self, many: Sequence[Prepared]) -> Prepared:
        return Prepared(pa.concat_tables([one.events for one in many]), sum(one.rows for one in many))

    def append(self, events: Prepared, _place: Place, _within: dt.timedelta) -> Appended:
        if not self.begun.is_set():
            self.begun.set()
            assert self.may.wait(60)
        numbers = events.events["n"].to_pylist()
        if self.error is not None:
            raise self.error
        if BAD in numbers:
            raise ValueError("bad")
        self.commits.append(numbers)
        return Appended(len(numbers), 0)


class NoRejects:
    def add(self, items: Sequence[dict[str, Any]]) -> int:
        raise AssertionError(items)


def nobody(_keys: Collection[uuid.UUID]) -> set[uuid.UUID]:
    return set()


def kept(lake: Lake, *bundles: list[int]) -> list[Future[Kept]]:
    """The first is being committed when the others come, one after the other."""
    made = StoreKeeper(lake, NoRejects(), nobody, lambda: None, DAY)  # type: ignore[arg-type]
    waiting = made._commits._waiting

    def keep(numbers: list[int]) -> Kept:
        return made.keep(Bundle(frozenset([KEY]), [pa.RecordBatch.from_pydict({"n": numbers})], []))

    with ThreadPoolExecutor(len(bundles)) as pool:
        futures = [pool.submit(keep, bundles[0])]
        assert lake.begun.wait(60)
        for number, bundle in enumerate(bundles[1:]):
            futures.append(pool.submit(keep, bundle))
            wait_until(lambda number=number: len(waiting) > number)  # type: ignore[misc]
        lake.may.set()
    return futures


def wait_until(true: Callable[[], bool]) -> None:
    while not true():
        pass


def test_what_comes_during_a_commit_is_in_the_next() -> None:
    lake = Lake()
    futures = kept(lake, [1, 2], [3], [4, 5], [6])
    assert lake.commits == [[1, 2], [3, 4, 5, 6]]
    assert sum(future.result().rows for future in futures) == 6


def test_a_commit_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "_MOST_BYTES", 3 * 8)
    lake = Lake()
    kept(lake, [1], [2], [3, 4], [5], [6, 7, 8, 9, 10], [11])
    assert lake.commits == [[1], [2, 3, 4], [5], [6, 7, 8, 9, 10], [11]]


def test_of_several_the_bad_one_alone_is_refused() -> None:
    lake = Lake()
    futures = kept(lake, [1], [2], [BAD], [3])
    assert lake.commits == [[1], [2], [3]]
    with pytest.raises(ValueError, match="bad"):
        futures[2].result()
    assert [future.result().rows for future in (futures[0], futures[1], futures[3])] == [1, 1, 1]


def test_what_cannot_be_kept_now_is_told_to_all_at_once() -> None:
    lake = Lake(error=UnavailableError("disk_full", "No room."))
    for future in kept(lake, [1], [2], [3]):
        with pytest.raises(UnavailableError):
            future.result()
    assert lake.commits == []


def test_whatever_the_store_refuses_may_come_again() -> None:
    """It is no fault of the events: none of them is looked for, and the sender is told to come again."""
    lake = Lake(error=AccessError("event_data_permission", "s3:PutObject is missing.", hint="Grant it."))
    for future in kept(lake, [1], [2], [3]):
        with pytest.raises(UnavailableError) as caught:
            future.result()
        assert (caught.value.code, caught.value.hint) == ("event_data_permission", "Grant it.")
    assert lake.commits == []


def test_nothing_gathers_behind_a_commit_that_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "_WAITS_SECONDS", 0.01)
    lake = Lake()
    commits = keeper._Commits(lake, DAY)  # type: ignore[arg-type]
    one, other = (lake.prepare([pa.RecordBatch.from_pydict({"n": [number]})]) for number in (1, 2))
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(commits.append, one)
        assert lake.begun.wait(60)
        with pytest.raises(UnavailableError):
            commits.append(other)
        lake.may.set()
    assert first.result() == Appended(1, 0)
    assert lake.commits == [[1]]
    assert commits.append(other) == Appended(1, 0)
