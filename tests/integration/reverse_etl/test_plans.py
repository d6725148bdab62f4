"""Both plans, on the embedded BigQuery: ways of finding and of reading rows, and calls that are made twice."""

from __future__ import annotations

import dataclasses
import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests import plan_states
from tests.installation import Installation

from tidemill.bigquery.client import Client
from tidemill.bigquery.credentials import Auth
from tidemill.bigquery.local.service import DEFAULT_PROJECT
from tidemill.bigquery.retry import Policy
from tidemill.destinations.port import Mode, Op
from tidemill.errors import ConfigError
from tidemill.events.data.objects import FolderObjects
from tidemill.reverse_etl.plan.local import LocalPlanner
from tidemill.reverse_etl.plan.port import Planned, Planner, PlanRow, Unacknowledged, Wanted
from tidemill.reverse_etl.plan.warehouse import WarehousePlanner
from tidemill.reverse_etl.spec import Extraction

ALL_TYPES = """
    SELECT 'k' AS id, ST_GEOGPOINT(1, 2) AS geography, INTERVAL 3 DAY AS period,
           RANGE(DATE '2024-01-01', NULL) AS span, JSON '{"a": 1}' AS document, NUMERIC '1.5' AS amount,
           [STRUCT(TIMESTAMP '2024-01-01 00:00:00+00' AS at, 1 AS n)] AS visits, FROM_HEX('00ff') AS raw
"""


@dataclasses.dataclass
class Sync:
    """A sync whose model is a table `t` (id STRING, n INT64)."""

    client: Client
    dataset: str
    make: Callable[[Client, uuid.UUID], Planner]
    id: uuid.UUID = dataclasses.field(default_factory=uuid.uuid4)
    number: int = 0

    def planner(self, client: Client | None = None) -> Planner:
        """As another process has it."""
        return self.make(client or self.client, self.id)

    def wanted(self, sql: str = "", **fields: Any) -> Wanted:
        """The next run's."""
        self.number += 1
        given: dict[str, Any] = {"key": ("id",), "columns": ("n",), "delivers": Mode.MIRROR.ops, **fields}
        return Wanted(self.id, uuid.uuid4(), self.number, sql or f"SELECT * FROM `{self.dataset}.t`", **given)

    def ask(self, sql: str) -> None:
        """Change the model."""
        self.client.query(sql.format(t=f"`{self.dataset}.t`"), job_id=uuid.uuid4().hex)

    def table(self, *rows: str) -> None:
        """Make the model of rows such as ``'a', 1``."""
        self.ask("CREATE TABLE {t} (id STRING, n INT64)")
        self.ask(f"INSERT INTO {{t}} (id, n) VALUES {', '.join(f'({row})' for row in rows)}")

    def run(self, wanted: Wanted, *, left: dict[str, str] | None = None) -> tuple[Planned, list[PlanRow]]:
        """A run in which all but some rows are taken; those have a status."""
        planner, statuses = self.planner(), left or {}
        planned = planner.plan(wanted)
        rows = [row for piece in planned.pieces for row in planner.rows(wanted, piece)]
        planner.commit(
            wanted, [Unacknowledged(row.key, statuses[row.key]) for row in rows if row.key in statuses], planned.pieces
        )
        return planned, rows


@pytest.fixture
def client(fresh_installation: Installation) -> Iterator[Client]:
    client = fresh_installation.client()
    client.policy = Policy(deadline=30)
    yield client
    client.close()
    fresh_installation.local.set_faults([])


@pytest.fixture
def warehouse(client: Client, fresh_installation: Installation) -> Sync:
    dataset = fresh_installation.dataset
    return Sync(client, dataset, lambda client, sync: WarehousePlanner(client, dataset, sync))


@pytest.fixture
def read_only(client: Client, fresh_installation: Installation) -> Sync:
    settings = fresh_installation.settings()
    folder = settings.home_path / "events"
    folder.mkdir(parents=True)
    objects = FolderObjects(folder)
    make = lambda client, sync: LocalPlanner(client, objects, settings, sync)  # noqa: E731 - as above
    return Sync(client, fresh_installation.dataset, make)


@pytest.fixture(params=["warehouse", "read_only"])
def sync(request: pytest.FixtureRequest) -> Sync:
    """Of either kind."""
    found: Sync = request.getfixturevalue(request.param)
    return found


def ops(rows: list[PlanRow]) -> dict[str, Op]:
    return {row.key: row.op for row in rows}


def test_a_key_of_a_time_is_written_as_a_cast_writes_it_in_utc(sync: Sync) -> None:
    times = ["0001-01-01 00:00:00", "1969-12-31 23:59:59.5", "2024-07-01 12:00:00.000001", "2024-07-01 12:00:00"]
    listed = " UNION ALL ".join(f"SELECT TIMESTAMP '{time}+00' AS moment" for time in times)
    sql = f"SELECT moment, CAST(moment AS STRING) AS n FROM ({listed})"
    planner, wanted = sync.planner(), sync.wanted(sql, key=("moment",))
    (piece,) = planner.plan(wanted).pieces
    rows = planner.rows(wanted, piece)
    # The embedded BigQuery leaves out the zone.
    assert {row.key.removesuffix("+00") for row in rows} == {str(row.row["n"]).removesuffix("+00") for row in rows}
    assert len(rows) == len(times)


def test_without_the_right_to_read_sessions_rows_are_read_by_a_query(
    sync: Sync, fresh_installation: Installation
) -> None:
    wanted = sync.wanted(ALL_TYPES, columns=("amount", "document", "geography", "period", "raw", "span", "visits"))
    planned = sync.planner().plan(wanted)
    key = json.dumps(fresh_installation.local.key("reader", deny=["bigquery.readsessions.create"]))
    limited = Client(Auth(key), DEFAULT_PROJECT, location="EU", policy=Policy(deadline=30))
    (first,) = sync.planner().rows(wanted, planned.pieces[0])
    again = dataclasses.replace(wanted, run=uuid.uuid4())  # where rows are read when the plan is made
    assert sync.planner(limited).plan(again) == planned
    (second,) = sync.planner(limited).rows(again, planned.pieces[0])
    limited.close()
    assert first == second
    assert first.row == {
        "id": "k",
        "amount": 1.5,
        "document": {"a": 1},
        "geography": "POINT (1 2)",
        "period": "0-0 3 0:0:0",
        "raw": "AP8=",
        "span": {"start": "2024-01-01", "end": None},
        "visits": [{"at": "2024-01-01T00:00:00Z", "n": 1}],
    }
    json.dumps(first.row)


def test_a_key_of_several_columns_and_its_deletion(sync: Sync) -> None:
    sync.table("'a', 1", "'a', 2", "'b', 1")
    planned, rows = sync.run(sync.wanted(key=("id", "n"), columns=("id",)))
    assert planned.counts.added == 3
    assert {row.key for row in rows} == {'["a","1"]', '["a","2"]', '["b","1"]'}
    sync.ask("DELETE FROM {t} WHERE n = 2")
    _, rows = sync.run(sync.wanted(key=("id", "n"), columns=("id",)))
    assert [(row.op, row.row) for row in rows] == [(Op.DELETED, {"id": "a", "n": 2})]


def test_a_plan_is_made_once_whoever_asks_for_it(sync: Sync) -> None:
    sync.table("'a', 1", "'b', 2")
    wanted = sync.wanted()
    first = sync.planner().plan(wanted)
    sync.ask("UPDATE {t} SET n = 5 WHERE TRUE")
    assert sync.planner().plan(wanted) == first
    rows = [sync.planner().rows(wanted, first.pieces[0]) for _ in range(2)]
    assert rows[0] == rows[1]
    assert [row.row["n"] for row in rows[0]] == [1, 2]


def test_what_was_not_taken_comes_again_as_it_is_then_and_a_commit_counts_once(sync: Sync) -> None:
    sync.table("'a', 1", "'b', 2", "'c', 3")
    wanted = sync.wanted()
    planned, rows = sync.run(wanted, left={"a": "rejected", "b": "unsent"})
    left = [Unacknowledged(row.key, "rejected") for row in rows if row.key == "a"]
    sync.planner().commit(wanted, left, planned.pieces)  # somebody went on who did not know that it was done
    known = plan_states.of(sync.planner())
    assert sorted(known) == ["a", "c"]
    assert (known["a"]["hash"], known["a"]["tries"]) == (None, 1)
    sync.ask("UPDATE {t} SET n = 9 WHERE id = 'b'")
    planned, rows = sync.run(sync.wanted())
    assert {row.key: (row.op, row.since, row.row["n"]) for row in rows} == {
        "a": (Op.ADDED, 1, 1),
        "b": (Op.ADDED, 2, 9),
    }
    assert (planned.counts.retried, planned.counts.unchanged) == (1, 1)


def test_rows_of_one_key_are_set_aside_though_nothing_changed(sync: Sync) -> None:
    sync.table("'a', 1", "'b', 2")
    sync.run(sync.wanted())
    sync.ask("INSERT INTO {t} (id, n) VALUES ('a', 1), (NULL, 3)")
    wanted = sync.wanted()
    planned, rows = sync.run(wanted)
    assert rows == []
    assert (planned.counts.invalid_duplicate, planned.counts.invalid_null, planned.counts.unchanged) == (2, 1, 1)
    found = [(one.key, one.code, one.count, one.row) for one in sync.planner().invalid(wanted, 10)]
    assert found == [(None, "key_null", 1, {"id": None, "n": 3}), ("a", "key_duplicate", 2, {"id": "a", "n": 1})]
    assert plan_states.of(sync.planner())["a"]["run"] == 1


def test_by_a_cursor_rows_of_the_same_moment_are_told_apart(sync: Sync) -> None:
    sync.table("'a', 1", "'b', 2", "'c', 2", "'z', NULL")
    cursor: dict[str, Any] = {
        "extraction": Extraction.CURSOR,
        "cursor": "n",
        "columns": ("id",),
        "delivers": Mode.UPSERT.ops,
    }
    planned, rows = sync.run(sync.wanted(**cursor), left={"a": "retry"})
    assert (planned.upto, planned.counts.invalid_cursor) == ("2", 1)
    assert sorted(ops(rows)) == ["a", "b", "c"]
    sync.ask("INSERT INTO {t} (id, n) VALUES ('d', 2), ('e', 1)")
    planned, rows = sync.run(sync.wanted(**cursor, position="2"))
    # `a` was not taken; `d` has come since with the value that was the greatest; `e` came late, as cursors have it.
    assert ops(rows) == {"a": Op.ADDED, "d": Op.ADDED}
    assert (planned.upto, planned.counts.deleted, planned.counts.unchanged) == ("2", 0, 2)


def test_a_cursor_never_goes_back(sync: Sync) -> None:
    sync.table("'a', 5")
    cursor: dict[str, Any] = {"extraction": Extraction.CURSOR, "cursor": "n", "columns": ("id",)}
    planned, _ = sync.run(sync.wanted(**cursor, position="10"))
    assert (planned.upto, planned.pieces) == ("10", ())


def test_in_full_all_rows_are_delivered_each_time_and_nothing_is_remembered(sync: Sync) -> None:
    sync.table("'a', 1", "'b', 2", "'b', 3", "NULL, 4")
    for _ in range(2):
        planned, rows = sync.run(sync.wanted(extraction=Extraction.FULL, delivers=Mode.UPSERT.ops))
        assert ops(rows) == {"a": Op.ADDED}
        assert (planned.counts.invalid_duplicate, planned.counts.invalid_null, planned.known) == (2, 1, 0)
    assert not sync.planner().remembers()


def test_what_is_not_delivered_is_noted(sync: Sync) -> None:
    sync.table("'a', 1", "'b', 2")
    update: dict[str, Any] = {"delivers": Mode.UPDATE.ops}
    planned, rows = sync.run(sync.wanted(**update))
    assert (planned.counts.added, rows) == (2, [])
    sync.ask("UPDATE {t} SET n = 9 WHERE id = 'a'")
    assert ops(sync.run(sync.wanted(**update))[1]) == {"a": Op.UPDATED}


def test_nothing_is_left_of_a_run_that_is_cleaned(warehouse: Sync) -> None:
    warehouse.table("'a', 1", "'b', 2")
    wanted = warehouse.wanted()
    warehouse.run(wanted, left={"a": "rejected"})
    warehouse.planner().clean(wanted)
    tables = warehouse.client.list_tables(warehouse.dataset)
    assert sorted(tables) == sorted([f"state_{warehouse.id.hex}", "t"])
    warehouse.planner().forget()
    assert warehouse.client.list_tables(warehouse.dataset) == ["t"]


def test_of_a_source_that_is_only_read_files_are_cleaned_and_nothing_is_made_in_bigquery(
    read_only: Sync, fresh_installation: Installation
) -> None:
    read_only.table("'a', 1", "'b', 2")
    wanted = read_only.wanted(piece_rows=1)
    read_only.run(wanted, left={"a": "rejected"})
    folder = fresh_installation.settings().home_path / "events" / "syncs" / read_only.id.hex
    assert len(list(folder.iterdir())) > 3
    read_only.planner().clean(wanted)
    assert [path.name for path in folder.iterdir()] == ["state-000000000001-000000.parquet"]
    assert read_only.planner().drop(["a", "b"]) == 1
    assert [path.name for path in folder.iterdir()] == ["state-000000000001-000001.parquet"]
    read_only.planner().forget()
    assert list(folder.iterdir()) == []
    assert read_only.client.list_tables(read_only.dataset) == ["t"]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"columns": ("nope",)}, "model_column"),
        ({"key": ("nope",)}, "model_column"),
        ({"sql": "SELECT [1] AS id, 1 AS n"}, "model_key_type"),
        ({"sql": "SELECT TRUE AS id, 1 AS n", "extraction": Extraction.CURSOR, "cursor": "id"}, "cursor_type"),
    ],
)
def test_a_model_that_cannot_be_planned_is_told(sync: Sync, fields: dict[str, Any], code: str) -> None:
    sync.table("'a', 1")
    with pytest.raises(ConfigError) as caught:
        sync.planner().plan(sync.wanted(**fields))
    assert caught.value.code == code


def test_answers_that_are_lost_change_nothing(sync: Sync, fresh_installation: Installation) -> None:
    sync.table("'a', 1", "'b', 2")
    jobs = {"path": "/projects/[^/]+/jobs$", "method": "POST", "fault": "cut", "after_commit": True}
    fresh_installation.local.set_faults([{**jobs, "nth": number} for number in (2, 4)])
    planned, rows = sync.run(sync.wanted(), left={"a": "retry"})
    assert (planned.counts.added, len(rows)) == (2, 2)
    assert ops(sync.run(sync.wanted())[1]) == {"a": Op.ADDED}


def test_pieces_have_so_many_bytes_though_their_rows_are_few(sync: Sync) -> None:
    sql = """SELECT CAST(n AS STRING) AS id, REPEAT('ü', 500) AS text, [REPEAT('x', 20)] AS tags, n
             FROM UNNEST(GENERATE_ARRAY(1, 30)) AS n"""
    wanted = sync.wanted(sql, columns=("n", "tags", "text"), piece_bytes=10_000)
    planned = sync.planner().plan(wanted)
    assert sum(piece.rows for piece in planned.pieces) == 30
    assert max(piece.rows for piece in planned.pieces) <= 8  # a row has more than 1,000 bytes of text, and one over
    few = sync.planner().plan(sync.wanted(sql, columns=("n",), piece_bytes=40_000))
    assert len(few.pieces) == 1


def test_of_rows_that_cannot_be_delivered_one_of_a_key_is_kept_as_it_is(sync: Sync) -> None:
    sync.table("'a', 1", "'a', NULL", "NULL, 2", "NULL, 3")
    wanted = sync.wanted()
    planned = sync.planner().plan(wanted)
    assert (planned.counts.invalid_null, planned.counts.invalid_duplicate, planned.pieces) == (2, 2, ())
    *nameless, twice = sync.planner().invalid(wanted, 10)
    assert sorted(one.row["n"] for one in nameless if one.row) == [2, 3]
    assert (twice.key, twice.code, twice.count) == ("a", "key_duplicate", 2)
    assert twice.row in ({"id": "a", "n": 1}, {"id": "a", "n": None})
    assert len(sync.planner().invalid(wanted, 2)) == 2


def test_there_are_samples_of_each_operation(sync: Sync) -> None:
    sync.table("'a', 1", "'b', 2", "'c', 3")
    sync.run(sync.wanted())
    sync.ask("DELETE FROM {t} WHERE id = 'a'")
    sync.ask("UPDATE {t} SET n = 9 WHERE id = 'b'")
    sync.ask("INSERT INTO {t} (id, n) VALUES ('d', 4), ('e', 5), ('f', 6)")
    wanted = sync.wanted()
    sync.planner().plan(wanted)
    found = {op: [row.key for row in sync.planner().samples(wanted, op, 2)] for op in Op}
    assert found == {Op.ADDED: ["d", "e"], Op.UPDATED: ["b"], Op.DELETED: ["a"]}


def test_the_last_digit_of_a_number_is_a_change(warehouse: Sync) -> None:
    before = ["0.1", "0", "-0.000000001", "9" * 29 + "." + "9" * 9, "12345678901234567.123456789", "9007199254740993"]
    after = [
        "0.100000001",
        "0.000000001",
        "0",
        "9" * 29 + "." + "9" * 8,
        "12345678901234567.12345679",
        "9007199254740992",
    ]

    def model(values: list[str]) -> str:
        rows = [f"SELECT '{n}' AS id, NUMERIC '{value}' AS n" for n, value in enumerate(values)]
        return " UNION ALL ".join([*rows, "SELECT 'none', NULL"])

    warehouse.run(warehouse.wanted(model(before)))
    planned, _ = warehouse.run(warehouse.wanted(model(before)))
    assert planned.counts.unchanged == 7
    planned, _ = warehouse.run(warehouse.wanted(model(after)))
    assert (planned.counts.updated, planned.counts.unchanged) == (6, 1)
