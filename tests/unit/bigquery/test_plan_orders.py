"""Plans whose rows come oldest first: Google's analyzer takes their statements, and no two times have their buckets
the other way round."""

from __future__ import annotations

import dataclasses
import itertools

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.bigquery.test_plan_sql import PLAN, TABLES
from tests.zetasql_check import analyze

from tidemill.bigquery import plan_orders, plan_reads, plan_sql
from tidemill.bigquery.tables import Field
from tidemill.reverse_etl.plan import local_sql

_UNITS = tuple(plan_orders.UNITS)
_NUMBERS = ("INT64", "NUMERIC", "BIGNUMERIC", "FLOAT64")


def ordered(order: str | None) -> plan_sql.Plan:
    assert order is not None
    return dataclasses.replace(PLAN, order=order)


@pytest.mark.parametrize(
    ("kind", "unit", "pattern"),
    [
        *((kind, None, None) for kind in ("TIMESTAMP", "DATETIME", "DATE", "STRING")),
        *itertools.product((*_NUMBERS, "STRING"), _UNITS, [None]),
        ("STRING", None, "%d/%m/%Y %H:%M:%S"),
    ],
)
def test_each_type_that_is_a_time_can_be_planned_by(kind: str, unit: str | None, pattern: str | None) -> None:
    tables = {**TABLES, "p.d.model": {**TABLES["p.d.model"], "moment": kind}}
    plan = ordered(plan_orders.value({"moment": Field("moment", kind)}, "moment", unit, pattern))
    for one in (plan, dataclasses.replace(plan, state=None), dataclasses.replace(plan, exact=True)):
        analyze(plan_sql.create(one), tables)
    analyze(plan_reads.overview(plan, "`p.d.plan`", 20_000, 32_000_000, plan_sql.BIGQUERY), tables)


def test_a_time_within_a_struct() -> None:
    fields = {"at": Field("at", "STRUCT", fields=(Field("day", "DATE"),))}
    plan = ordered(plan_orders.value(fields, "at.day", None, None))
    sql = "SELECT *, STRUCT(a_date AS day) AS `at` FROM `p.d.model`"
    analyze(plan_sql.create(dataclasses.replace(plan, sql=sql)), TABLES)


@pytest.mark.parametrize(
    "field", [Field("a", "JSON"), Field("a", "TIME"), Field("a", "INT64"), Field("a", "DATE", "REPEATED")]
)
def test_what_is_no_time_orders_nothing(field: Field) -> None:
    assert plan_orders.value({"a": field}, "a", None, None) is None


def test_a_plan_without_an_order_knows_of_none() -> None:
    assert "order_value" not in plan_sql.create(PLAN)
    assert "WITH" not in plan_reads.overview(PLAN, "`p.d.plan`", 20_000, 32_000_000, plan_sql.BIGQUERY)


_MILLIS = st.none() | st.integers(plan_orders.EARLIEST, plan_orders.LATEST)


@given(
    st.lists(
        st.tuples(_MILLIS, st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))),
        min_size=1,
        max_size=20,
    )
)
def test_buckets_are_in_order_of_time_and_no_row_is_lost_between_them(rows: list[tuple[int | None, str]]) -> None:
    """And they are numbers of 64 bits, also of the first and the last time that there is."""
    made = plan_orders.bucket(local_sql.DUCKDB.bucket("k"), "t", local_sql.DUCKDB.divided)
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE rows (n INT, t BIGINT, k VARCHAR)")
        connection.executemany("INSERT INTO rows VALUES (?, ?, ?)", [[n, *row] for n, row in enumerate(rows)])
        found = dict(connection.execute(f"SELECT n, CAST({made} AS BIGINT) FROM rows").fetchall())
        buckets = f"SELECT {made} AS bucket, COUNT(*) AS bucket_rows, COUNT(*) AS weight FROM rows GROUP BY bucket"
        passed = connection.execute(plan_orders.passed(buckets, local_sql.DUCKDB.divided)).fetchall()

    def moment(row: tuple[int | None, str]) -> int:
        return plan_orders.LATEST + 1 if row[0] is None else row[0]

    for one, other in itertools.product(range(len(rows)), repeat=2):
        if moment(rows[one]) < moment(rows[other]):
            assert found[one] < found[other]
    so_far = itertools.accumulate(number for _, number, _ in sorted(passed))
    assert [upto for _, _, upto in sorted(passed)] == list(so_far)
    assert sum(number for _, number, _ in passed) == len(rows)
