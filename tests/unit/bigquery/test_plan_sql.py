"""Each statement of a plan is one that Google's analyzer takes: names, types and functions."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest
from tests.zetasql_check import analyze

from tidemill.bigquery import plan_reads, plan_sql, plan_texts, state_sql
from tidemill.bigquery.tables import Field
from tidemill.errors import ConfigError

_SPELLED = "STRING,BYTES,INT64,FLOAT64,NUMERIC,BIGNUMERIC,BOOL,DATE,DATETIME,TIME,TIMESTAMP,JSON,GEOGRAPHY,INTERVAL"
TYPES = _SPELLED.split(",")
FIELDS = (*(Field(f"a_{kind.lower()}", kind) for kind in TYPES), Field("list", "INT64", "REPEATED"))
NAMES = tuple(field.name for field in FIELDS)
PLAN = plan_sql.Plan(
    sql="SELECT * FROM `p.d.model` -- a comment at its end\n",
    plan=("p", "d", "plan"),
    state=("p", "d", "state"),
    fields=FIELDS,
    key=("a_string",),
    columns=NAMES,
    number=7,
    delivers=("added", "updated"),
)
_MADE = {
    "bucket": "INT64",
    "kind": "STRING",
    "deliver": "BOOL",
    "known": "BOOL",
    "retried": "BOOL",
    "row_key": "STRING",
    "row_hash": "STRING",
    "since": "INT64",
    "row_count": "INT64",
    "cursor_value": "TIMESTAMP",
    "row_bytes": "INT64",
}


def _type(field: Field) -> str:
    return f"ARRAY<{field.type}>" if field.mode == "REPEATED" else field.type


TABLES = {
    "p.d.model": {field.name: _type(field) for field in FIELDS},
    "p.d.state": {column.name: column.type.value for column in state_sql.STATE},
    "p.d.left": {column.name: column.type.value for column in state_sql.UNACKNOWLEDGED},
    "p.d.plan": {**_MADE, **{f"c{number}": _type(field) for number, field in enumerate(FIELDS)}},
}
_ROW = {"model_key": "STRING", "model_hash": "STRING", "cursor_value": "TIMESTAMP", "cursor_ahead": "BOOL"}
TABLES["p.d.looked"] = {**_ROW, **{f"c{number}": _type(field) for number, field in enumerate(FIELDS)}}
LOOKED = ("p", "d", "looked")
CURSOR = Field("a_timestamp", "TIMESTAMP")


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"exact": True},
        {"key": ("a_int64", "a_bytes", "a_bool", "a_timestamp")},
        {"state": None},
        {"cursor": CURSOR},
        {"cursor": CURSOR, "position": "2024-01-01 00:00:00+00"},
        {"cursor": CURSOR, "position": "2024-01-01 00:00:00+00", "looked": LOOKED, "keys": ("a", "b'\n")},
        {"cursor": CURSOR, "position": "2024-01-01 00:00:00+00", "looked": LOOKED, "keys": ()},
        {"delivers": (), "columns": ()},
        {"only": ("a", 'quote " and \\ and\nline')},
        {"only": ("a",), "cursor": CURSOR, "position": "2024-01-01 00:00:00+00"},
        {"only": ("a",), "state": None},
    ],
    ids=str,
)
def test_a_plan_can_be_made_and_summed_up(changed: dict[str, Any]) -> None:
    plan = dataclasses.replace(PLAN, **changed)
    analyze(plan_sql.create(plan), TABLES)
    analyze(plan_reads.overview(plan, "`p.d.plan`", 20_000, 32_000_000, plan_sql.BIGQUERY), TABLES)


@pytest.mark.parametrize(
    ("kind", "unit", "position"),
    [
        ("INT64", None, "9"),
        ("INT64", "seconds", "1700000000"),
        ("INT64", "milliseconds", "1700000000000"),
        ("NUMERIC", "seconds", "1700000000.5"),
        ("BIGNUMERIC", "milliseconds", "1700000000000"),
        ("FLOAT64", "seconds", "1.7e9"),
        ("STRING", None, "b"),
        ("DATE", None, "2024-01-01"),
        ("DATETIME", None, "2024-01-01 00:00:00.5"),
        ("TIMESTAMP", None, "2024-01-01 00:00:00.000001+00"),
    ],
)
def test_a_cursor_of_any_type(kind: str, unit: str | None, position: str) -> None:
    cursor = Field("cursor", kind)
    model = {**TABLES["p.d.model"], "cursor": kind}
    plan = dataclasses.replace(PLAN, cursor=cursor, position=position, unit=unit, overlap=0 if kind == "STRING" else 3)
    analyze(plan_sql.create(plan), {**TABLES, "p.d.model": model})
    analyze(plan_sql.look(plan, LOOKED), {**TABLES, "p.d.model": model})


def test_the_model_is_evaluated_once() -> None:
    for exact in (False, True):
        assert plan_sql.create(dataclasses.replace(PLAN, exact=exact)).count("`p.d.model`") == 1


def test_a_model_of_a_thousand_columns() -> None:
    fields = tuple(Field(f"c_{number}", "STRING") for number in range(1000))
    names = tuple(field.name for field in fields)
    plan = dataclasses.replace(PLAN, fields=fields, key=("c_0",), columns=names)
    tables = {**TABLES, "p.d.model": dict.fromkeys(names, "STRING")}
    analyze(plan_sql.create(plan), tables)


@pytest.mark.parametrize(
    "statement",
    [
        plan_reads.rows(PLAN.plan, 0, 65_535, FIELDS),
        plan_reads.samples(PLAN.plan, "deleted", 5, FIELDS, "row_key"),
        plan_reads.samples(PLAN.plan, "added", 5, FIELDS, "RAND()"),
        plan_reads.invalid("`p.d.plan`", 10, plan_reads.texted(FIELDS)),
        state_sql.commit(PLAN.plan, ("p", "d", "state"), ("p", "d", "left"), [(0, 9), (12, 65_535)], 7),
        state_sql.commit(PLAN.plan, ("p", "d", "state"), None, [], 7),
        state_sql.commit(PLAN.plan, ("p", "d", "state"), None, [(0, 9)], 7, ["a", 'quote " and \\']),
        plan_sql.look(dataclasses.replace(PLAN, cursor=CURSOR, position="2024-01-01 00:00:00+00"), LOOKED),
        plan_reads.looked_keys(LOOKED, 5_001),
        plan_reads.changed_keys(PLAN.plan, state_sql.CHANGES, 5_001),
        state_sql.resend(("p", "d", "state")),
        state_sql.drop(("p", "d", "state"), ["a", 'quote " and \\ and\nline']),
        state_sql.adopt(("p", "d", "state"), ["a", 'quote " and \\ and\nline']),
    ],
)
def test_what_else_is_asked(statement: str) -> None:
    analyze(statement, TABLES)


def test_what_rows_are_read_by_is_a_condition() -> None:
    analyze(f"SELECT 1 FROM `p.d.plan` WHERE {plan_reads.within(1, 2)}", TABLES)


@pytest.mark.parametrize("field", [Field("a", "JSON"), Field("a", "STRUCT"), Field("a", "STRING", "REPEATED")])
def test_rows_are_not_known_by_what_cannot_be_compared(field: Field) -> None:
    with pytest.raises(ConfigError) as caught:
        plan_texts.check_key(field)
    assert caught.value.code == "model_key_type"


def test_by_a_cursor_no_more_of_the_state_is_read_than_has_the_keys() -> None:
    looked = dataclasses.replace(PLAN, cursor=CURSOR, position="2024-01-01 00:00:00+00")
    found = re.findall(r"(.*) FROM `p.d.state`(.*)", plan_sql.look(looked, LOOKED))
    assert [(part.rpartition("(")[2], rest) for part, rest in found] == [
        ("SELECT failed_key", " WHERE failed_key IS NOT NULL)")
    ]
    few = plan_sql.create(dataclasses.replace(looked, looked=LOOKED, keys=("a", "b")))
    assert few.count("`p.d.state`") == 2
    assert """(SELECT * FROM `p.d.state` WHERE key IN ("a", "b"))""" in few
    assert few.endswith("FROM `p.d.state`"), "rows are counted, for which nothing is read"
    assert """AND state.key IN ("a")""" in state_sql.commit(PLAN.plan, ("p", "d", "state"), None, [], 7, ["a"])


def test_a_key_of_a_time_is_the_same_whatever_the_time_zone_of_the_project_is() -> None:
    made = plan_sql.model(dataclasses.replace(PLAN, key=("a_timestamp",)))
    assert "STRING(source.`a_timestamp`, 'UTC') AS model_key" in made
