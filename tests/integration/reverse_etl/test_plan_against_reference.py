"""Plans and commits of both planners are those of plain dictionaries: random tables, outcomes, modes and columns."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests import plan_models, plan_states
from tests.installation import Installation
from tests.plan_reference import Change, Reference

from tidemill.bigquery.client import Client
from tidemill.bigquery.local.service import DEFAULT_PROJECT
from tidemill.bigquery.retry import Policy
from tidemill.destinations.port import Mode, Op
from tidemill.events.data.objects import FolderObjects
from tidemill.reverse_etl.plan.local import LocalPlanner
from tidemill.reverse_etl.plan.port import Planner, PlanRow, Unacknowledged, Wanted
from tidemill.reverse_etl.plan.warehouse import WarehousePlanner

KEYS: list[str | None] = [None, "a", "a\n", "b", "ü", "", "long " * 10]
_NUMBERS = itertools.count()


@pytest.fixture
def client(fresh_installation: Installation) -> Iterator[Client]:
    client = fresh_installation.client()
    client.policy = Policy(deadline=30)
    yield client
    client.close()


class Sync:
    """One sync, its reference, and the model as it is now."""

    def __init__(self, planner: Callable[[uuid.UUID], Planner], client: Client, dataset: str) -> None:
        self.id = uuid.uuid4()
        self._make, self._client, self._dataset = planner, client, dataset
        self.planner, self.reference = planner(self.id), Reference()

    def run(self, data: st.DataObject, number: int) -> None:
        """One run: random rows, a random mode, random outcomes."""
        columns = data.draw(st.lists(st.sampled_from(sorted(plan_models.COLUMNS)), min_size=1, unique=True), "columns")
        table = data.draw(plan_models.rows(KEYS, columns), "rows")
        name = f"{DEFAULT_PROJECT}.{self._dataset}.m{next(_NUMBERS)}"
        plan_models.load(self._client, name, table, columns)
        mode = data.draw(st.sampled_from([*Mode, Mode.MIRROR, Mode.MIRROR]), "mode")
        wanted = Wanted(
            sync=self.id,
            run=uuid.uuid4(),
            number=number,
            sql=f"SELECT * FROM `{name}` -- as it is now",
            key=("id",),
            columns=tuple(columns),
            delivers=mode.ops,
            piece_rows=data.draw(st.sampled_from([2, 100]), "rows of a piece"),
        )
        model = [(key, plan_models.version(row, columns)) for key, row in table]
        counts, changes = self.reference.plan(model, number, mode.ops)
        planned = self.planner.plan(wanted)
        assert planned.counts == counts
        assert planned.known == len(self.reference.rows)
        if data.draw(st.booleans(), "somebody else goes on"):
            self.planner = self._make(self.id)
        pieces = [(piece, self.planner.rows(wanted, piece)) for piece in planned.pieces]
        assert [len(rows) for _, rows in pieces] == [piece.rows for piece in planned.pieces]
        self._check(wanted, [row for _, rows in pieces for row in rows], changes, dict(table))
        through = pieces[: data.draw(st.integers(0, len(pieces)), "pieces")]
        sent = [row for _, rows in through for row in rows]
        left = [left for row in sent if (left := data.draw(_outcome(row), "outcome"))]
        self.planner.commit(wanted, left, [piece for piece, _ in through])
        self.reference.commit(changes, left, sent)
        self.planner.clean(wanted)
        self.compare()

    @staticmethod
    def _check(wanted: Wanted, rows: list[PlanRow], changes: dict[str, Change], table: dict[Any, Any]) -> None:
        delivered = {key: (change.op, change.since) for key, change in changes.items() if change.delivered}
        assert sorted(row.key for row in rows) == sorted(delivered)
        assert {row.key: (row.op, row.since) for row in rows} == delivered
        for row in rows:
            content = {"id": row.key}
            if row.op is not Op.DELETED:
                content |= plan_models.expected(table[row.key])
            assert row.row == content
        assert wanted.columns

    def compare(self) -> None:
        """What is known of each row is what the reference knows."""
        known = plan_states.of(self.planner)
        assert known.keys() == self.reference.rows.keys()
        for key, should in self.reference.rows.items():
            found = known[key]
            assert (found["hash"] is None) == (should.acknowledged is None)
            is_dropped = found["dropped_hash"] is not None
            assert (found["unsure"], is_dropped, found["tries"]) == (should.unsure, should.dropped, should.tries)

    def between(self, data: st.DataObject) -> None:
        """What people do between runs."""
        what = data.draw(st.sampled_from(["nothing", "nothing", "drop", "adopt", "resend", "forget"]), "between")
        if what in {"drop", "adopt"}:
            keys = data.draw(st.lists(st.sampled_from([key for key in KEYS if key is not None])), "keys")
            assert getattr(self.planner, what)(keys) == getattr(self.reference, what)(keys)
        elif what == "resend":
            self.planner.resend()
            self.reference.resend()
        elif what == "forget":
            self.planner.forget()
            self.reference.rows.clear()


def _outcome(row: PlanRow) -> st.SearchStrategy[Unacknowledged | None]:
    return st.sampled_from(
        [
            None,
            None,
            None,
            Unacknowledged(row.key, "rejected", "bad"),
            Unacknowledged(row.key, "retry", "busy"),
            Unacknowledged(row.key, "retry", "lost", unsure=True),
            Unacknowledged(row.key, "unsent"),
        ]
    )


#: Nothing is made smaller where it fails: a run takes seconds.
_SETTINGS = settings(
    max_examples=4,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@given(data=st.data())
@_SETTINGS
def test_in_the_warehouse(client: Client, fresh_installation: Installation, data: st.DataObject) -> None:
    dataset = fresh_installation.dataset
    sync = Sync(lambda id_: WarehousePlanner(client, dataset, id_), client, dataset)
    for number in range(1, 5):
        sync.run(data, number)
        sync.between(data)


@given(data=st.data())
@_SETTINGS
def test_of_a_source_that_is_only_read(client: Client, fresh_installation: Installation, data: st.DataObject) -> None:
    settings_ = fresh_installation.settings()
    folder = settings_.home_path / "events"
    folder.mkdir(parents=True, exist_ok=True)
    objects = FolderObjects(folder)
    sync = Sync(lambda id_: LocalPlanner(client, objects, settings_, id_), client, fresh_installation.dataset)
    for number in range(1, 5):
        sync.run(data, number)
        sync.between(data)
