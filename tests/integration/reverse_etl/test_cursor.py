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

from tidemill.bigquery import plan_cursors
from tidemill.bigquery.client import Client
from tidemill.bigquery.retry import Policy
from tidemill.destinations.port import Mode, Op
from tidemill.errors import ConfigError
from tidemill.events.data.objects import FolderObjects
from tidemill.reverse_etl.plan.local import LocalPlanner
from tidemill.reverse_etl.plan.port import Planned, Planner, PlanRow, Unacknowledged, Wanted
from tidemill.reverse_etl.plan.warehouse import WarehousePlanner
from tidemill.reverse_etl.spec import Extraction

Row = tuple[str | None, str, Any]


class Sync:
    """A sync by the cursor `t`, and its model: rows of key, value and cursor, the latter in SQL. `unit`, `overlap`: of
    the cursor."""

    def __init__(self, client: Client, make: Callable[[uuid.UUID], Planner]) -> None:
        self._client, self.id = client, uuid.uuid4()
        self.planner = make(self.id)
        self.number = 0
        self.position: str | None = None
        self.unit: str | None = None
        self.overlap = 0

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
            cursor_unit=self.unit,
            cursor_overlap=self.overlap,
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


_NOW = dt.datetime.now(dt.UTC)


def _in(**after: float) -> str:
    return f"{_NOW + dt.timedelta(**after):%Y-%m-%d %H:%M:%S}"


def _day(days: int) -> str:
    return f"DATE '{_NOW.date() + dt.timedelta(days=days)}'"


def _epoch(hours: float, kind: str, factor: int = 1) -> str:
    return f"CAST({int(_NOW.timestamp() + 3_600 * hours) * factor} AS {kind})"


_NONE = "CAST(NULL AS {})"
#: Of a type and a unit: a cursor, one that is greater, those that say nothing of when, and those of the future. The
#: tests may take half an hour.
_CURSORS = [
    (
        *("FLOAT64", "seconds", _epoch(-9, "FLOAT64"), _epoch(0, "FLOAT64")),
        ["CAST('NaN' AS FLOAT64)", "CAST('inf' AS FLOAT64)", "CAST('-inf' AS FLOAT64)"],
        [_epoch(2, "FLOAT64")],
    ),
    ("INT64", "milliseconds", _epoch(-9, "INT64", 1_000), _epoch(0, "INT64", 1_000), [], [_epoch(2, "INT64", 1_000)]),
    ("NUMERIC", "seconds", _epoch(-9, "NUMERIC"), _epoch(0, "NUMERIC"), [], [_epoch(2, "NUMERIC")]),
    ("DATE", "none", "DATE '2026-01-01'", _day(0), [_NONE.format("DATE")], [_day(3), "DATE '9999-12-31'"]),
    (
        *("DATETIME", "none", "DATETIME '2026-01-01 00:00:00'", f"DATETIME '{_in(hours=14)}'", []),
        [f"DATETIME '{_in(hours=16)}'", "DATETIME '9999-12-31 23:59:59.999999'"],
    ),
    (
        *("TIMESTAMP", "none", "TIMESTAMP '2026-01-01 00:00:00+00'", f"TIMESTAMP '{_in(minutes=30)}+00'", []),
        [f"TIMESTAMP '{_in(hours=2)}+00'"],
    ),
    ("BIGNUMERIC", "none", "BIGNUMERIC '9.5'", "BIGNUMERIC '10'", [_NONE.format("BIGNUMERIC")], []),
]


def test_a_cursor_that_says_nothing_of_when_is_set_aside(make: Callable[[], Sync]) -> None:
    for _kind, unit, good, better, none, future in _CURSORS:
        sync = make()
        sync.unit = None if unit == "none" else unit
        nothing: list[Row] = [(f"n{number}", "x", cursor) for number, cursor in enumerate((*none, *future))]
        assert sync.run(("a", "x", good), *nothing) == {"a": ADDED}
        codes = ["cursor_null"] * len(none) + ["cursor_future"] * len(future)
        assert sync.said == [(f"n{number}", code) for number, code in enumerate(codes)]
        # Nothing is overlooked for it, and it comes once it is mended.
        rows: list[Row] = [("a", "y", better), ("c", "x", good), ("n0", "x", better), *nothing[1:]]
        assert sync.run(*rows) == {"a": UPDATED, "c": ADDED, "n0": ADDED}


#: Of a unit: cursors, of which the second is so much (the overlap) before the third, and the first earlier.
_BACK: list[tuple[str | None, str, str, str, int]] = [
    (None, "DATE '2026-01-01'", "DATE '2026-01-02'", "DATE '2026-01-05'", 3),
    (
        None,
        "TIMESTAMP '2026-01-01 00:00:00.999999+00'",
        "TIMESTAMP '2026-01-01 00:00:01+00'",
        "TIMESTAMP '2026-01-01 10:00:01+00'",
        10,
    ),
    ("seconds", "1700000000", "1700000001", "1700036001", 10),
    (None, "BIGNUMERIC '4.9'", "BIGNUMERIC '5'", "BIGNUMERIC '9'", 4),
]


def test_it_looks_back_as_far_as_it_is_to(make: Callable[[], Sync]) -> None:
    for unit, early, edge, newest, overlap in _BACK:
        sync = make()
        sync.unit, sync.overlap = unit, overlap
        assert sync.run(("a", "x", newest), ("b", "x", early)) == {"a": ADDED, "b": ADDED}
        rows: list[Row] = [("a", "x", newest), ("b", "y", early), ("e", "x", early), ("f", "x", edge)]
        assert sync.run(*rows) == {"f": ADDED}


def test_a_time_before_all_times_is_no_error(make: Callable[[], Sync]) -> None:
    sync, first = make(), "TIMESTAMP '0001-01-01 00:30:00+00'"
    sync.overlap = 5
    assert sync.run(("a", "x", first)) == {"a": ADDED}
    assert sync.run(("a", "y", first)) == {"a": UPDATED}


@pytest.mark.parametrize(
    ("cursor", "unit", "overlap", "code"),
    [("DATE '2026-01-01'", "seconds", 0, "cursor_unit"), ("'a'", None, 1, "cursor_overlap")],
)
def test_what_does_not_fit_the_cursor_is_refused(
    make: Callable[[], Sync], cursor: str, unit: str | None, overlap: int, code: str
) -> None:
    sync = make()
    sync.unit, sync.overlap = unit, overlap
    with pytest.raises(ConfigError) as caught:
        sync.run(("a", "x", cursor))
    assert caught.value.code == code


_ROWS = st.lists(
    st.tuples(
        st.sampled_from([None, "a", "b", "c", "d"]),
        st.sampled_from(["x", "y"]),
        st.sampled_from([None, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
    ),
    min_size=1,
    max_size=8,
)


#: Seconds between two cursors: ten hours, so that it does not matter how long the test takes.
_STEP = 36_000


@given(data=st.data())
@settings(
    max_examples=3,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_it_is_what_plain_dictionaries_say(make: Callable[[], Sync], data: st.DataObject) -> None:
    sync, reference = make(), Reference()
    sync.unit, back = "seconds", data.draw(st.sampled_from([0, 2]), "overlap")
    sync.overlap = back * _STEP // 3_600
    now, seen_upto = int(dt.datetime.now(dt.UTC).timestamp()), None
    for number in range(1, 5):
        rows, latest = data.draw(_ROWS, "rows"), 2 * number + 1  # time goes on: more is past
        model = [(key, (value,), seen) for key, value, seen in rows]
        counts, changes, upto = reference.plan_by_cursor(model, number, Mode.UPSERT.ops, seen_upto, latest, back)

        def epoch(seen: int | None, latest: int = latest) -> str:
            return "CAST(NULL AS INT64)" if seen is None else str(now + (seen - latest) * _STEP)

        sync.position = None if seen_upto is None else epoch(seen_upto)
        wanted, planned, found = sync.plan([(key, value, epoch(seen)) for key, value, seen in rows])
        assert (planned.counts, planned.upto) == (counts, None if upto is None else epoch(upto))
        assert {row.key: row.op for row in found} == {key: change.op for key, change in changes.items()}
        statuses = st.sampled_from([None, None, "retry", "rejected"])
        left = [Unacknowledged(row.key, status) for row in found if (status := data.draw(statuses, "outcome"))]
        sync.planner.commit(wanted, left, planned.pieces)
        reference.commit(changes, left, found)
        seen_upto = upto


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


def test_a_row_of_the_future_is_said_and_comes_though_nothing_changes(
    installation: Installation, people: People, crm: Crm, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = int(dt.datetime.now(dt.UTC).timestamp())
    people.ask(
        f"CREATE OR REPLACE TABLE `{people.table}` AS SELECT 1 AS id, 'a' AS email, 'free' AS plan, {seconds} AS t "
        f"UNION ALL SELECT 2, 'b', 'free', {seconds + 10 * 3_600}"
    )
    with installation.app(outbound_allow="127.0.0.1") as app:
        by_cursor = {"extraction": "cursor", "cursor": "t", "cursor_unit": "seconds"}
        prepare(app, installation, people, crm, mode="upsert", **by_cursor)
        first = run(app)
        assert (first.written, first.invalid) == (1, 1)
        assert "1 row has a cursor in the future" in " ".join(first.notes)
        assert [one.code for one in app.reverse_etl.rejects.find(NAME)] == ["cursor_future"]
        monkeypatch.setattr(plan_cursors, "_FAST_HOURS", 11)  # as if ten hours had gone by
        assert run(app).added == 1
        assert sorted(crm.people) == ["1", "2"]
        assert list(app.reverse_etl.rejects.find(NAME)) == []
        assert run(app).status == "skipped"
        # Another overlap takes rows that were passed over, though no table has changed.
        app.reverse_etl.syncs.edit(NAME, {"cursor_overlap": 24})
        assert run(app).unchanged == 2
