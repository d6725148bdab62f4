"""What a statement would read, and when a table changed last: by these it is told whether anything can have changed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from google.cloud import bigquery
from tests.integration.bigquery_local.warehouse import Warehouse, load_lines, make

Change = Callable[[bigquery.Client, str], object]


def reads(client: bigquery.Client, sql: str) -> set[str]:
    job = client.query(sql, job_config=bigquery.QueryJobConfig(dry_run=True))
    return {table.table_id for table in job.referenced_tables}


def test_a_dry_run_tells_the_tables_behind_views(client: bigquery.Client, warehouse: Warehouse) -> None:
    make(client, warehouse.name("t"), "a INT64")
    make(client, warehouse.name("u"), "a INT64")
    client.query(f"CREATE VIEW `{warehouse.name('v')}` AS SELECT a FROM `{warehouse.name('t')}`").result()
    sql = f"WITH u AS (SELECT 1 AS a) SELECT v.a FROM `{warehouse.name('v')}` AS v JOIN u USING (a)"
    assert reads(client, sql) == {"v", "t"}
    assert reads(client, "SELECT 1") == set()


@pytest.mark.parametrize(
    "change",
    [
        lambda client, name: client.query(f"INSERT INTO `{name}` (a) VALUES (1)").result(),
        lambda client, name: client.query(f"UPDATE `{name}` SET a = 2 WHERE a = 1").result(),
        lambda client, name: load_lines(client, name, {"a": 1}),
        lambda client, name: client.insert_rows_json(name, [{"a": 1}]),
    ],
    ids=["insert", "update", "load", "stream"],
)
def test_a_change_is_seen(client: bigquery.Client, warehouse: Warehouse, change: Change) -> None:
    make(client, warehouse.name("t"), "a INT64")
    make(client, warehouse.name("other"), "a INT64")
    client.query(f"INSERT INTO `{warehouse.name('t')}` (a) VALUES (1)").result()
    before = client.get_table(warehouse.name("t")).modified
    other = client.get_table(warehouse.name("other")).modified
    client.query(f"SELECT * FROM `{warehouse.name('t')}`").result()
    assert client.get_table(warehouse.name("t")).modified == before
    change(client, warehouse.name("t"))
    assert client.get_table(warehouse.name("t")).modified > before
    assert client.get_table(warehouse.name("other")).modified == other
