"""Which permissions requests and statements need."""

from __future__ import annotations

import pytest

from tidemill.bigquery.local import permissions, sql_needs
from tidemill.bigquery.local.accounts import ALL_PERMISSIONS
from tidemill.bigquery.local.answers import Refusal
from tidemill.bigquery.local.sql_needs import Effect

DATASETS = "/bigquery/v2/projects/p/datasets"
REQUESTS = [
    ("GET", f"{DATASETS}/d", "bigquery.datasets.get"),
    ("POST", DATASETS, "bigquery.datasets.create"),
    ("DELETE", f"{DATASETS}/d", "bigquery.datasets.delete"),
    ("GET", f"{DATASETS}/d/tables", "bigquery.tables.list"),
    ("POST", f"{DATASETS}/d/tables", "bigquery.tables.create"),
    ("GET", f"{DATASETS}/d/tables/t", "bigquery.tables.get"),
    ("PATCH", f"{DATASETS}/d/tables/t", "bigquery.tables.update"),
    ("DELETE", f"{DATASETS}/d/tables/t", "bigquery.tables.delete"),
    ("GET", f"{DATASETS}/d/tables/t/data", "bigquery.tables.getData"),
    ("POST", f"{DATASETS}/d/tables/t/insertAll", "bigquery.tables.updateData"),
    ("GET", DATASETS, None),
]


@pytest.mark.parametrize(("method", "path", "permission"), REQUESTS)
def test_a_request_needs_its_permission(method: str, path: str, permission: str | None) -> None:
    at = permissions.place(path)
    assert at is not None
    assert permissions.needed(method, path, at) == permission


MERGE = "MERGE d.t t USING o.s s ON t.a = s.a WHEN NOT MATCHED THEN INSERT ROW"
STATEMENTS: list[tuple[str, Effect, list[str]]] = [
    ("SELECT 1", Effect.READS, []),
    ("SELECT * FROM d.t", Effect.READS, ["getData p:d.t"]),
    ("SELECT * FROM `q.d.t`, t", Effect.READS, ["getData q:d.t", "getData p:home.t"]),
    ("WITH x AS (SELECT * FROM d.t) SELECT * FROM x", Effect.READS, ["getData p:d.t"]),
    ("INSERT INTO d.t SELECT * FROM d.u", Effect.ROWS, ["updateData p:d.t", "getData p:d.u"]),
    ("DELETE FROM d.t WHERE TRUE", Effect.ROWS, ["updateData p:d.t", "getData p:d.t"]),
    (MERGE, Effect.ROWS, ["updateData p:d.t", "getData p:d.t", "getData p:o.s"]),
    ("TRUNCATE TABLE d.t", Effect.ROWS, ["updateData p:d.t"]),
    ("CREATE TABLE d.t (a INT64)", Effect.ANYTHING, ["create p:d.t"]),
    ("CREATE TABLE d.t AS SELECT 1", Effect.ANYTHING, ["create p:d.t", "updateData p:d.t"]),
    ("CREATE OR REPLACE VIEW d.v AS SELECT 1", Effect.ANYTHING, ["create p:d.v", "update p:d.v"]),
    ("DROP VIEW d.v", Effect.ANYTHING, ["delete p:d.v"]),
    ("ALTER TABLE d.t ADD COLUMN c INT64", Effect.ANYTHING, ["update p:d.t"]),
    ("CREATE SCHEMA e", Effect.ANYTHING, ["create p:e"]),
    ("DROP SCHEMA `q.e`", Effect.ANYTHING, ["delete q:e", "delete q:e"]),
    ("SELECT * FROM d.INFORMATION_SCHEMA.COLUMNS", Effect.READS, ["get p:d", "list p:d"]),
    ("SELECT * FROM INFORMATION_SCHEMA.SCHEMATA", Effect.READS, ["get p"]),
    ("SELECT * FROM `region-eu`.INFORMATION_SCHEMA.JOBS", Effect.READS, []),
    ("TRUNCATE TABLE d.t; TRUNCATE TABLE d.u", Effect.ANYTHING, ["updateData p:d.t", "updateData p:d.u"]),
]


@pytest.mark.parametrize(("sql", "effect", "needs"), STATEMENTS)
def test_a_statement_needs_its_permissions(sql: str, effect: Effect, needs: list[str]) -> None:
    found = sql_needs.read(sql, "p", "home")
    assert (found.effect, found.opaque) == (effect, False)
    named = [
        f"{name.rsplit('.', 1)[1]} {at.project}"
        + (f":{at.dataset}" if at.dataset else "")
        + (f".{at.table}" if at.table else "")
        for name, at in found.needs
    ]
    assert sorted(named) == sorted(needs)
    for name, _ in found.needs:
        assert name in ALL_PERMISSIONS
        with pytest.raises(Refusal, match=name):
            found.check(frozenset(ALL_PERMISSIONS) - {name}, "p")
    found.check(frozenset(ALL_PERMISSIONS), "p")


@pytest.mark.parametrize(
    "sql",
    [
        "BEGIN DELETE FROM d.t WHERE TRUE; END",
        "EXECUTE IMMEDIATE 'DROP TABLE d.t'",
        "CALL d.p()",
        "GRANT `roles/bigquery.admin` ON SCHEMA d TO 'user:x@example.org'",
        "CREATE FUNCTION d.f() AS (1)",
        "FOR r IN (SELECT 1) DO DELETE FROM d.t WHERE TRUE; END FOR",
        "SELECT FROM WHERE (",
    ],
)
def test_what_cannot_be_read_needs_every_permission(sql: str) -> None:
    found = sql_needs.read(sql, "p", None)
    assert (found.effect, found.opaque) == (Effect.ANYTHING, True)
    found.check(frozenset(ALL_PERMISSIONS), "p")
    for missing in ALL_PERMISSIONS:
        with pytest.raises(Refusal, match="Access Denied"):
            found.check(frozenset(ALL_PERMISSIONS) - {missing}, "p")
