"""Pacing of what is delivered: each request takes its place in what the account allows."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from tests.contract.api import Api
from tests.contract.apis.hubspot import HubSpotApi
from tests.contract.apis.klaviyo import KlaviyoApi
from tests.contract.apis.mixpanel import MixpanelApi
from tests.unit.destinations import by_hand

from tidemill.destinations import deliver, registry
from tidemill.destinations.port import Outcome, Pace, Status
from tidemill.errors import Cancelled
from tidemill.outbound.client import Http
from tidemill.outbound.guard import Guard
from tidemill.reverse_etl import line
from tidemill.reverse_etl.pacing import Pacer


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


def test_rows_are_counted_where_rows_are_what_is_allowed() -> None:
    with contextlib.closing(MixpanelApi()) as api:
        budget = Budget()
        told = sent(api, "events", 50, budget)
        assert {outcome.status for outcome in told.values()} == {Status.WRITTEN}
        assert budget.rows >= 50
        assert budget.calls == 0


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
    assert budget.calls == 150  # in shares of a twentieth of a second
