"""Rows that are found by a cursor: what is no good never has others be overlooked, and comes once it is mended."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.installation import Installation
from tests.plan_reference import Reference
from tests.syncs import NAME, Crm, People, prepare, run

from tidemill.bigquery.client import Client
from tidemill.bigquery.retry import Policy
from tidemill.destinations.port import Mode, Op
from tidemill.events.data.objects import FolderObjects
from tidemill.reverse_etl.plan.local import LocalPlanner
from tidemill.reverse_etl.plan.port import Planned, Planner, PlanRow, Unacknowledged, Wanted
from tidemill.reverse_etl.plan.warehouse import WarehousePlanner
from tidemill.reverse_etl.spec import Extraction

Row = tuple[str | None, str, Any]


class Sync:
    """A sync by the cursor `t`, and its model: rows of key, value and cursor, the latter in SQL."""

    def __init__(self, client: Client, make: Callable[[uuid.UUID], Planner]) -> None:
        self._client, self.id = client, uuid.uuid4()
        self.planner = make(self.id)
        self.number = 0
        self.position: str | None = None

    def plan(self, rows: list[Row]) -> tuple[Wanted, Planned, list[PlanRow]]:
        """The plan of the next run."""
        self.number += 1
        texts = [f"SELECT {_text(key)} AS id, {_text(value)} AS v, {seen} AS t" for key, value, seen in rows]
        wanted = Wanted(
            sync=self.id,
            run=uuid.uuid4(),
            number=self.number,
            sql=" UNION ALL ".join(texts),
            key=("id",),
            columns=("v",),
            delivers=Mode.UPSERT.ops,
            extraction=Extraction.CURSOR,
            cursor="t",
            position=self.position,
        )
        planned = self.planner.plan(wanted)
        return wanted, planned, [row for piece in planned.pieces for row in self.planner.rows(wanted, piece)]

    def run(self, *rows: Row) -> dict[str, Op]:
        """A run in which all is taken: what was delivered."""
        wanted, planned, found = self.plan(list(rows))
        self.planner.commit(wanted, [], planned.pieces)
        self.said = sorted((one.key or "", one.code) for one in self.planner.invalid(wanted, 10))
        self.position = planned.upto
        return {row.key: row.op for row in found}


def _text(value: str | None) -> str:
    return "CAST(NULL AS STRING)" if value is None else f"'{value}'"


@pytest.fixture
def client(fresh_installation: Installation) -> Iterator[Client]:
    client = fresh_installation.client()
    client.policy = Policy(deadline=30)
    yield client
    client.close()


@pytest.fixture(params=["warehouse", "read_only"])
def make(request: pytest.FixtureRequest, client: Client, fresh_installation: Installation) -> Callable[[], Sync]:
    """Makes syncs of either kind."""
    installation = fresh_installation
    if request.param == "warehouse":
        return lambda: Sync(client, lambda id_: WarehousePlanner(client, installation.dataset, id_))
    folder = installation.settings().home_path / "events"
    folder.mkdir(parents=True)
    return lambda: Sync(client, lambda id_: LocalPlanner(client, FolderObjects(folder), installation.settings(), id_))


ADDED, UPDATED = Op.ADDED, Op.UPDATED


def test_a_key_of_several_rows_comes_once_it_is_of_one(make: Callable[[], Sync]) -> None:
    sync = make()
    twice: tuple[Row, ...] = (("b", "x", 5), ("b", "y", 7))
    assert sync.run(("a", "x", 1), *twice, ("c", "x", 9)) == {"a": ADDED, "c": ADDED}
    # Neither of the two is taken for the only one, though one of them is older.
    assert sync.run(("a", "x", 1), *twice, ("c", "x", 9), ("d", "x", 9)) == {"d": ADDED}
    assert sync.said == [("b", "key_duplicate")]
    assert sync.run(("a", "x", 1), twice[0], ("c", "x", 9), ("d", "x", 9)) == {"b": ADDED}
    assert sync.position == "9"


def test_a_row_without_a_key_moves_nothing_and_is_told_in_each_run(make: Callable[[], Sync]) -> None:
    sync = make()
    assert sync.run(("a", "x", 1), (None, "x", 100)) == {"a": ADDED}
    assert sync.position == "1"
    assert sync.run(("a", "y", 2), (None, "x", 1), ("c", "x", 3)) == {"a": UPDATED, "c": ADDED}
    assert sync.run(("a", "y", 2), (None, "x", 1), ("c", "x", 3)) == {}
    assert sync.said == [("", "key_null")]


def test_no_row_at_all_that_is_good(make: Callable[[], Sync]) -> None:
    sync = make()
    assert sync.run((None, "x", 9), ("a", "x", 4), ("a", "y", 4)) == {}
    assert sync.position is None
    assert sync.run(("b", "x", 2), ("a", "x", 4)) == {"a": ADDED, "b": ADDED}


_SOON = (dt.datetime.now(dt.UTC) + dt.timedelta(hours=20)).date()
_LATER = _SOON + dt.timedelta(days=30)


#: Of a type: a cursor, one that is greater, and those that say nothing of when.
_CURSORS = [
    (
        "CAST(9.5 AS FLOAT64)",
        "CAST(10 AS FLOAT64)",
        ["CAST('NaN' AS FLOAT64)", "CAST('inf' AS FLOAT64)", "CAST('-inf' AS FLOAT64)"],
    ),
    ("DATE '2026-01-01'", f"DATE '{_SOON}'", [f"DATE '{_LATER}'"]),
    ("DATETIME '2026-01-01 00:00:00'", f"DATETIME '{_SOON} 00:00:00'", ["DATETIME '9999-12-31 23:59:59.999999'"]),
    ("TIMESTAMP '2026-01-01 00:00:00+00'", f"TIMESTAMP '{_SOON} 00:00:00+00'", [f"TIMESTAMP '{_LATER} 00:00:00+00'"]),
    ("BIGNUMERIC '9.5'", "BIGNUMERIC '10'", ["CAST(NULL AS BIGNUMERIC)"]),
]


def test_a_cursor_that_says_nothing_of_when_is_set_aside(make: Callable[[], Sync]) -> None:
    for good, better, bad in _CURSORS:
        sync = make()
        nothing: list[Row] = [(f"n{number}", "x", none) for number, none in enumerate(bad)]
        assert sync.run(("a", "x", good), *nothing) == {"a": ADDED}
        rows: list[Row] = [("a", "y", better), ("c", "x", good)]
        assert sync.run(*rows, *nothing) == {"a": UPDATED, "c": ADDED}
        assert sync.said == [(f"n{number}", "cursor_null") for number in range(len(bad))]
        # As cursors have it, what is late is overlooked.
        assert sync.run(*rows, ("n0", "x", better), ("d", "x", good)) == {"n0": ADDED}


_ROWS = st.lists(
    st.tuples(
        st.sampled_from([None, "a", "b", "c", "d"]),
        st.sampled_from(["x", "y"]),
        st.sampled_from([None, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
    ),
    min_size=1,
    max_size=8,
)


@given(data=st.data())
@settings(
    max_examples=3,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_it_is_what_plain_dictionaries_say(make: Callable[[], Sync], data: st.DataObject) -> None:
    sync, reference = make(), Reference()
    for number in range(1, 5):
        rows = data.draw(_ROWS, "rows")
        position = None if sync.position is None else int(sync.position)
        model = [(key, (value,), seen) for key, value, seen in rows]
        counts, changes, upto = reference.plan_by_cursor(model, number, Mode.UPSERT.ops, position)
        wanted, planned, found = sync.plan(
            [(key, value, "CAST(NULL AS INT64)" if seen is None else seen) for key, value, seen in rows]
        )
        assert (planned.counts, planned.upto) == (counts, None if upto is None else str(upto))
        assert {row.key: row.op for row in found} == {key: change.op for key, change in changes.items()}
        statuses = st.sampled_from([None, None, "retry", "rejected"])
        left = [Unacknowledged(row.key, status) for row in found if (status := data.draw(statuses, "outcome"))]
        sync.planner.commit(wanted, left, planned.pieces)
        reference.commit(changes, left, found)
        sync.position = planned.upto


def test_what_is_set_aside_is_listed_until_it_is_mended(installation: Installation, people: People, crm: Crm) -> None:
    def save(*rows: tuple[int | str, str, int]) -> None:
        values = ", ".join(f"STRUCT({n} AS id, '{email}' AS email, 'free' AS plan, {t} AS t)" for n, email, t in rows)
        people.ask(f"CREATE OR REPLACE TABLE `{people.table}` AS SELECT * FROM UNNEST([{values}])")

    def aside() -> list[tuple[str, str]]:
        return [(one.key.partition(" ")[0], one.code) for one in app.reverse_etl.rejects.find(NAME)]

    with installation.app(outbound_allow="127.0.0.1") as app:
        save((1, "a", 1), (2, "x", 5), (2, "y", 5), (3, "c", 9), ("CAST(NULL AS INT64)", "d", 4))
        prepare(app, installation, people, crm, mode="upsert", extraction="cursor", cursor="t")
        for _ in range(2):
            run(app, force=True)
            assert sorted(crm.people) == ["1", "3"]
            assert aside() == [("2", "key_duplicate"), ("NULL", "key_null")]
        save((1, "a", 1), (2, "x", 5), (3, "c", 9))
        run(app)
        assert sorted(crm.people) == ["1", "2", "3"]
        assert aside() == []
