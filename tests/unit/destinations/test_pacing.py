"""Pacing of what is delivered: each request takes its place in what the account allows."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.contract.api import Api
from tests.contract.apis.hubspot import HubSpotApi
from tests.contract.apis.iterable import IterableApi
from tests.contract.apis.klaviyo import KlaviyoApi
from tests.contract.apis.mixpanel import MixpanelApi
from tests.contract.apis.salesforce import SalesforceApi
from tests.unit.destinations import by_hand

from tidemill.destinations import deliver, registry
from tidemill.destinations.port import Outcome, Pace, Status
from tidemill.destinations.salesforce.config import SALESFORCE, SalesforceSettings
from tidemill.errors import Cancelled
from tidemill.outbound.client import Http
from tidemill.outbound.guard import Guard
from tidemill.reverse_etl import line
from tidemill.reverse_etl.pacing import Bucket, Pacer


class Budget:
    """Gives what is asked for, and counts it; after so many calls it is used up."""

    def __init__(self, calls: int = 1_000_000) -> None:
        self.calls = self.rows = 0
        self._left, self._lock = calls, threading.Lock()

    def take(self, account: str, *, calls: int, rows: int, **_: Any) -> float:  # noqa: ARG002
        with self._lock:
            if calls > self._left:
                return 3.0
            self.calls, self.rows, self._left = self.calls + calls, self.rows + rows, self._left - calls
            return 0.0

    def hold(self, account: str, seconds: float) -> None:
        raise AssertionError(f"nobody asked to wait {seconds} seconds for {account}")


class Held(Budget):
    """Gives what is asked for, unless somebody was asked to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.asked = 0.0, 0

    def take(self, account: str, *, calls: int, rows: int, **_: Any) -> float:
        self.asked += 1
        return self.left or super().take(account, calls=calls, rows=rows)

    def hold(self, account: str, seconds: float) -> None:
        assert account == "a"
        self.left = seconds

    def passes(self, seconds: float) -> None:
        """Time goes by."""
        self.left = max(0.0, self.left - seconds)


@contextlib.contextmanager
def free(_: str) -> Iterator[bool]:
    """A lock that nobody holds."""
    yield True


@contextlib.contextmanager
def http() -> Iterator[Http]:
    made = Http(Guard(["127.0.0.1"]))
    with contextlib.closing(made):
        yield made


def sent(api: Api, action: str, rows: int, budget: Budget, pauses: list[float] | None = None) -> dict[str, Outcome]:
    """Deliver rows by the way of a sync."""
    destination = registry.get(api.destination)
    found, told, waits = destination.action(action), dict[str, Outcome](), pauses if pauses is not None else []
    account = SimpleNamespace(id=1, kind=api.destination)
    settings = destination.settings(**api.settings())
    books = SimpleNamespace(accounts=SimpleNamespace(by_id=lambda _: account))
    locks = SimpleNamespace(attempt=free)
    parts: Any = SimpleNamespace(settings_of=lambda _: settings, books=books, paces=budget, locks=locks, http=http)
    job: Any = SimpleNamespace(account=account, destination=destination, action=found)
    watch: Any = SimpleNamespace(sleep=waits.append)
    records = [by_hand.record(found, api.fields(action, number), key=str(number)) for number in range(rows)]
    with line.opened(parts, job, watch) as way:
        deliver.deliver(way, records, lambda outcomes: told.update({one.row_key: outcome for one, outcome in outcomes}))
    return told


@pytest.mark.parametrize(
    ("kind", "action", "rows"), [(HubSpotApi, "list", 1_000), (KlaviyoApi, "list", 600), (KlaviyoApi, "profiles", 30)]
)
def test_each_request_takes_its_place(kind: type[Api], action: str, rows: int) -> None:
    with contextlib.closing(kind()) as api:
        budget = Budget()
        told = sent(api, action, rows, budget)
        assert len(told) == rows
        assert len(api.asked) > rows / registry.get(api.destination).action(action).limits.rows
        assert budget.calls >= len(api.asked)


@pytest.mark.parametrize(
    ("kind", "action", "account"),
    [(KlaviyoApi, "list", "look-ups"), (IterableApi, "events", "events"), (IterableApi, "users", "")],
)
def test_requests_that_a_tool_counts_apart_are_counted_apart(kind: type[Api], action: str, account: str) -> None:
    with contextlib.closing(kind()) as api:
        budget, taken = Budget(), Counter[str]()
        take = budget.take

        def counted(of: str, *, calls: int, rows: int, **more: Any) -> float:
            taken[of.rpartition("/")[2] if of.endswith(("/look-ups", "/events", "/deletions")) else ""] += calls
            return take(of, calls=calls, rows=rows, **more)

        budget.take = counted  # type: ignore[method-assign,assignment]
        sent(api, action, 10, budget)
        assert taken[account]


def test_who_asks_for_peace_is_left_in_peace_in_all_lanes() -> None:
    held: list[str] = []
    budget: Any = SimpleNamespace(hold=lambda account, _: held.append(account))
    Pacer("a", Pace(calls=1, lanes={"events": Pace(calls=2)}), budget, free, lambda _: None).hold(3.0)
    assert held == ["a", "a/events"]


def test_rows_are_counted_where_rows_are_what_is_allowed() -> None:
    with contextlib.closing(MixpanelApi()) as api:
        budget = Budget()
        told = sent(api, "events", 50, budget)
        assert {outcome.status for outcome in told.values()} == {Status.WRITTEN}
        assert budget.rows >= 50
        assert budget.calls == 0


def test_a_batch_that_is_larger_than_what_may_come_at_once_is_counted_whole() -> None:
    budget, asked = Budget(), list[int]()
    take = budget.take

    def counted(account: str, *, calls: int, rows: int, **more: Any) -> float:
        asked.append(rows)
        return take(account, calls=calls, rows=rows, **more)

    budget.take = counted  # type: ignore[method-assign]
    pacer = Pacer("a", Pace(rows=1_000), budget, free, lambda _: None)
    with pacer(450):
        pass
    assert budget.rows >= 450
    assert max(asked) <= 100


def test_a_request_waits_until_it_may_be_made() -> None:
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        raise Cancelled

    pacer = Pacer("a", Pace(calls=10, seconds=10.0), Budget(calls=2), free, sleep)
    pacer.turn()
    pacer.turn()
    with pytest.raises(Cancelled):
        pacer.turn()
    assert pauses == [3.0]


def test_what_was_taken_at_once_is_used_before_more_is_asked_for() -> None:
    budget = Budget()
    pacer = Pacer("a", Pace(calls=1_000), budget, free, lambda _: None)
    for _ in range(120):
        pacer.turn()
    assert budget.calls == 135  # in shares of a twentieth of a second, of nine tenths of what is allowed


PACES = [Pace(), Pace(at_once=15), Pace(calls=100), Pace(calls=1_000), Pace(rows=30_000), Pace(calls=5, rows=10)]


@pytest.mark.parametrize("pace", PACES, ids=str)
def test_what_one_worker_was_asked_to_wait_all_wait(pace: Pace) -> None:
    budget, pauses = Held(), list[float]()
    times = iter(range(1_000))

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        budget.passes(seconds)

    one, other = (Pacer("a", pace, budget, free, sleep, lambda: float(next(times))) for _ in range(2))
    for pacer in (one, other, one):
        with pacer(1):
            pacer.turn()
    assert not pauses
    one.hold(12)
    with other(1):
        other.turn()
    assert sum(pauses) == 12
    with one(1):
        one.turn()
    assert sum(pauses) == 12


@pytest.mark.parametrize("pace", PACES, ids=str)
def test_who_was_asked_to_wait_waits_whatever_it_took_before(pace: Pace) -> None:
    budget, pauses = Held(), list[float]()

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        budget.passes(seconds)

    pacer = Pacer("a", pace, budget, free, sleep, lambda: 1.0)
    with pacer(1):
        pacer.turn()
        pacer.hold(3)
        pacer.turn()
    with pacer(1):
        pass
    assert pauses == [3.0]


def test_where_any_number_is_allowed_it_is_not_asked_before_each_request() -> None:
    budget, now = Held(), 100.0
    pacer = Pacer("a", Pace(), budget, free, lambda _: None, lambda: now)
    for _ in range(50):
        pacer.turn()
    assert budget.asked == 1
    now += 1
    pacer.turn()
    assert budget.asked == 2


@given(st.integers(1, 200_000), st.sampled_from([1.0, 3.0, 10.0, 60.0, 86_400.0]))
def test_in_no_stretch_of_time_there_is_more_than_is_allowed(most: int, seconds: float) -> None:
    bucket = Bucket.of(Pace(calls=most, seconds=seconds))
    assert bucket.calls is not None
    in_all = bucket.calls + seconds * bucket.calls / bucket.seconds  # a bucket that is full, and what comes into it
    assert in_all <= most + 1.001  # of few there is one at once, and one at the end
    assert seconds * bucket.calls / bucket.seconds >= most * 0.499  # of 18 it is half, which no float is


def test_calls_and_rows_of_a_pace_are_counted_in_the_same_time() -> None:
    bucket = Bucket.of(Pace(calls=100, rows=30_000, seconds=9.0))
    assert (bucket.calls, bucket.rows, bucket.seconds) == (10, 3_000, 1.0)


def test_salesforce_is_asked_no_more_than_the_licences_allow() -> None:
    with contextlib.closing(SalesforceApi()) as api:
        budget = Budget()
        told = sent(api, "records", 5, budget)
        assert {outcome.status for outcome in told.values()} == {Status.WRITTEN}
        assert budget.calls >= len(api.asked) > 4  # it is looked whether the job has ended, too
        settings = {**api.settings(), "calls_per_day": 20_000}
        assert SALESFORCE.pace(SalesforceSettings(**settings)) == Pace(calls=20_000, seconds=86_400.0)
