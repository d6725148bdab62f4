"""A process that plans, reads or commits may die between any two of its calls: who goes on comes to the same."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest
from tests import plan_states
from tests.installation import Installation

from tidemill.bigquery.client import Client
from tidemill.bigquery.retry import Policy
from tidemill.destinations.port import Op
from tidemill.events.data.objects import FolderObjects
from tidemill.reverse_etl.plan.local import LocalPlanner
from tidemill.reverse_etl.plan.port import Planner, Unacknowledged, Wanted
from tidemill.reverse_etl.plan.warehouse import WarehousePlanner


class Killed(BaseException):
    """Nobody catches it."""


@dataclasses.dataclass
class Life:
    """How many calls there are left."""

    calls: int

    def spend(self) -> None:
        """One of them."""
        self.calls -= 1
        if self.calls < 0:
            raise Killed


def mortal(life: Life) -> Policy:
    """Calls to BigQuery, each of which may be the last."""

    class Mortal(Policy):
        def call(self, *arguments: Any, **more: Any) -> Any:
            life.spend()
            made = super().call(*arguments, **more)
            life.spend()  # the answer came, and nobody is there to hear it
            return made

    return Mortal(deadline=30)


class MortalObjects(FolderObjects):
    """A folder in which each change may be the last."""

    def __init__(self, folder: Path, life: Life) -> None:
        super().__init__(folder)
        self._life = life

    def write(self, name: str, data: IO[bytes]) -> None:
        self._life.spend()
        super().write(name, data)
        self._life.spend()

    def delete(self, names: Iterable[str]) -> None:
        for name in names:
            self._life.spend()
            super().delete([name])


Make = Callable[[uuid.UUID, Life], tuple[Planner, Client]]


@pytest.fixture(params=["warehouse", "read_only"])
def make(request: pytest.FixtureRequest, fresh_installation: Installation) -> Iterator[Make]:
    clients: list[Client] = []
    settings = fresh_installation.settings()
    folder = settings.home_path / "events"
    folder.mkdir(parents=True)

    def made(sync: uuid.UUID, life: Life) -> tuple[Planner, Client]:
        client = fresh_installation.client()
        client.policy = mortal(life)
        clients.append(client)
        if request.param == "warehouse":
            return WarehousePlanner(client, fresh_installation.dataset, sync), client
        return LocalPlanner(client, MortalObjects(folder, life), settings, sync), client

    yield made
    for client in clients:
        client.close()


def go(planner: Planner, wanted: Wanted) -> Any:
    """A whole run, of which one row is not taken; what it came to."""
    planned = planner.plan(wanted)
    rows = [row for piece in planned.pieces for row in planner.rows(wanted, piece)]
    planner.commit(
        wanted, [Unacknowledged(row.key, "rejected", "no") for row in rows if row.key == "b"], planned.pieces
    )
    return planned.counts, planned.pieces, [(row.key, row.op, row.since, row.row) for row in rows]


@pytest.mark.parametrize("first", range(2))
def test_whoever_goes_on_comes_to_the_same(make: Make, first: int) -> None:
    model = "SELECT id, n FROM (SELECT 'a' AS id, 1 AS n UNION ALL SELECT 'b', 2 UNION ALL SELECT 'c', 3)"
    expected, calls, died = None, first, True
    while died:
        sync = uuid.uuid4()
        wanted = Wanted(sync, uuid.uuid4(), 1, model, ("id",), ("n",), frozenset(Op))
        died = False
        try:
            found = go(make(sync, Life(calls))[0], wanted)
        except Killed:
            died = True
            found = go(make(sync, Life(10_000))[0], wanted)
        planner, _ = make(sync, Life(10_000))
        known = plan_states.of(planner)
        tried = {key: (one["hash"] is None, one["tries"]) for key, one in known.items()}
        assert tried == {"a": (False, 0), "b": (True, 1), "c": (False, 0)}
        expected = expected or found
        assert found == expected
        calls += 13
