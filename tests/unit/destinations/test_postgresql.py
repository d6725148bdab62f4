"""Statements for PostgreSQL: what they say, which rows share one, and what can become part of one."""

from __future__ import annotations

from typing import Any

import pytest
from tests import lines
from tests.unit.destinations import by_hand

from tidemill.destinations import deliver
from tidemill.destinations.port import Mode, Op, Outcome, Record, Status
from tidemill.destinations.postgresql import names, statements
from tidemill.destinations.postgresql.config import POSTGRESQL
from tidemill.destinations.postgresql.statements import Shape, Verb

TYPES = {"id": "bigint", "plan": "text", 'odd"name': "text", "raw": "bytea"}
ROWS = (
    'ROWS FROM (json_to_recordset($1::json) AS ("id" bigint, "plan" text)) '
    'WITH ORDINALITY AS x ("id", "plan", " number")'
)
INSERT = f'INSERT INTO "public"."people" ("id", "plan") SELECT x."id", x."plan" FROM {ROWS} ON CONFLICT ("id") '
SAME = 'WHERE t."id" = x."id"'


@pytest.mark.parametrize(
    ("verb", "statement"),
    [
        (Verb.UPSERT, INSERT + 'DO UPDATE SET "plan" = EXCLUDED."plan"'),
        (Verb.APPEND, INSERT + "DO NOTHING"),
        (Verb.UPDATE, f'UPDATE "public"."people" AS t SET "plan" = x."plan" FROM {ROWS} {SAME} RETURNING x." number"'),
        (Verb.DELETE, f'DELETE FROM "public"."people" AS t USING {ROWS} {SAME}'),
    ],
)
def test_a_batch_is_one_statement(verb: Verb, statement: str) -> None:
    assert statements.write(Shape(verb, "people", ("id",), ("id", "plan")), TYPES) == statement


def test_a_row_that_has_a_key_only_is_inserted_or_left_alone() -> None:
    assert statements.write(Shape(Verb.UPSERT, "people", ("id",), ("id",)), TYPES).endswith(
        'ON CONFLICT ("id") DO NOTHING'
    )


def test_names_are_quoted() -> None:
    said = statements.write(Shape(Verb.DELETE, 'Sales.a"b', ('odd"name',), ('odd"name',)), TYPES)
    assert said.startswith('DELETE FROM "Sales"."a""b" AS t')
    assert '"odd""name" text' in said


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([True, None], "boolean"),
        ([1, 2], "bigint"),
        ([1, 2.5], "double precision"),
        ([1, 2**63], "numeric"),
        ([0.5, 2**63], "numeric"),
        (["2026-01-01"], "text"),
        ([1, "a"], "text"),
        ([True, 1], "text"),
        ([{"a": 1}, [1]], "jsonb"),
        ([None], "text"),
    ],
)
def test_a_column_that_is_made_goes_by_its_values(values: list[Any], kind: str) -> None:
    shape = Shape(Verb.UPSERT, "t", ("c",), ("c",))
    assert statements.guessed(shape, [{"c": value} for value in values]) == {"c": kind}


@pytest.mark.parametrize("action", ["upsert", "insert"])
def test_a_table_whose_name_is_no_unicode_is_told_of_the_row(action: str) -> None:
    known_by: dict[str, Any] = {"key": {"id": 1}} if action == "upsert" else {"identity": "own"}
    made = {"table": "half \ud800", "columns": {"plan": "pro"}, **known_by}
    told: list[Outcome] = []
    found = POSTGRESQL.action(action)
    line = lines.unpaced(None, found)
    deliver.deliver(line, [by_hand.record(found, made)], lambda outcomes: told.extend(one for _, one in outcomes))
    assert [(one.status, one.code) for one in told] == [(Status.REJECTED, deliver.NOT_TEXT)]


def test_a_type_that_is_said_counts_more_than_values() -> None:
    shape = Shape(Verb.UPSERT, "t", ("c",), ("c",), (("c", "numeric(10,2)"),))
    assert statements.guessed(shape, [{"c": "1"}]) == {"c": "numeric(10,2)"}


@pytest.mark.parametrize("kind", ["text", "TIMESTAMPTZ", "numeric", "numeric(38,9)", "varchar(20)", "text[]", "jsonb"])
def test_types_that_columns_are_made_with(kind: str) -> None:
    assert names.is_type(kind)


@pytest.mark.parametrize(
    "kind", ["", "text)", "text DEFAULT now()", "serial; DROP", "varchar(x)", "text[][]", "int4; --"]
)
def test_nothing_else_becomes_part_of_a_statement(kind: str) -> None:
    assert not names.is_type(kind)


@pytest.mark.parametrize(
    ("table", "parts"),
    [
        ("people", ("public", "people")),
        ("a.b", ("a", "b")),
        ("a.b.c", ("a", "b.c")),
        ("", None),
        (".b", None),
        ("a.", None),
        ("x" * 63, ("public", "x" * 63)),
        ("x" * 64, None),
        ("é" * 32, None),
        ("a\0", None),
    ],
)
def test_a_table_is_a_schema_and_a_name(table: str, parts: tuple[str, str] | None) -> None:
    assert names.parts(table) == parts


def record(op: Op = Op.ADDED, mode: Mode = Mode.MIRROR, **columns: Any) -> Record:
    return Record("1", "id", op, mode, {"table": "people", "key": {"id": 1}, "columns": columns})


def test_rows_share_a_statement_if_they_set_the_same_columns() -> None:
    group = POSTGRESQL.action("upsert").group
    assert group(record(a=1, b=2)) == group(record(b=3, a=None))
    others = [record(a=1), record(Op.DELETED), record(mode=Mode.UPDATE, a=1, b=2)]
    assert len({group(one) for one in [record(a=1, b=2), *others]}) == 4
    assert group(record(Op.DELETED, a=1)) == group(record(Op.DELETED))
