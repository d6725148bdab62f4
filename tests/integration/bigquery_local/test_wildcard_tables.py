"""Tables by the beginning of their names, as BigQuery has them."""

from __future__ import annotations

import pytest
from google.api_core import exceptions as api
from google.cloud import bigquery
from tests.integration.bigquery_local.warehouse import Warehouse, make


@pytest.fixture
def shards(client: bigquery.Client, warehouse: Warehouse) -> str:
    """Three tables; the one that was made last has a column more, and its columns in another order."""
    made = {"events_20260101": ("a INT64", "b STRING"), "events_intraday_20260103": ("a INT64", "b STRING")}
    for name, columns in made.items():
        make(client, warehouse.name(name), *columns)
        client.query_and_wait(f"INSERT INTO `{warehouse.name(name)}` (a, b) VALUES (1, '{name[-1]}')")
    client.query_and_wait(f"CREATE TABLE `{warehouse.name('events_20260102')}` AS SELECT 'x' AS c, '2' AS b, 1 AS a")
    return warehouse.name("events_*")


def ask(client: bigquery.Client, sql: str) -> list[tuple[object, ...]]:
    return sorted((tuple(row.values()) for row in client.query_and_wait(sql)), key=str)


def test_columns_are_those_of_the_table_that_was_made_last_by_name(client: bigquery.Client, shards: str) -> None:
    found = client.query_and_wait(f"SELECT * FROM `{shards}` ORDER BY b")
    assert [field.name for field in found.schema] == ["c", "b", "a"]
    assert [tuple(row.values()) for row in found] == [(None, "1", 1), ("x", "2", 1), (None, "3", 1)]


def test_rows_are_chosen_by_the_rest_of_the_name(client: bigquery.Client, shards: str) -> None:
    either = "_TABLE_SUFFIX = '20260101' OR _TABLE_SUFFIX BETWEEN 'intraday_20260101' AND 'intraday_99999999'"
    assert ask(client, f"SELECT e.b, _TABLE_SUFFIX AS s FROM `{shards}` e WHERE {either}") == [
        ("1", "20260101"),
        ("3", "intraday_20260103"),
    ]
    assert ask(
        client, f"SELECT e.* EXCEPT (c), _TABLE_SUFFIX FROM `{shards}` AS e WHERE _TABLE_SUFFIX < '20260102'"
    ) == [("1", 1, "20260101")]
    assert ask(client, f"SELECT COUNT(*) FROM `{shards}` WHERE _TABLE_SUFFIX > 'z'") == [(0,)]


def test_the_rest_of_the_name_is_in_no_row_as_a_whole(
    client: bigquery.Client, warehouse: Warehouse, shards: str
) -> None:
    table = warehouse.name("events_20260102")
    assert ask(client, f"SELECT TO_JSON_STRING(e) FROM `{shards}` AS e WHERE _TABLE_SUFFIX = '20260102'") == [
        ('{"c":"x","b":"2","a":1}',)
    ]
    mine = client.query_and_wait(f"SELECT E.* FROM `{shards}` AS e JOIN `{table}` AS t ON t.b = e.b")
    assert [field.name for field in mine.schema] == ["c", "b", "a"]
    other = f"SELECT t.*, e.b AS mine FROM `{shards}` AS e JOIN `{table}` AS t ON t.b = e.b"
    assert ask(client, other) == [("x", "2", 1, "2")]
    both = f"SELECT e.*, f.* FROM `{shards}` AS e JOIN `{shards}` AS f ON f.b = e.b WHERE e._TABLE_SUFFIX = '20260102'"
    assert ask(client, f"SELECT COUNT(*) FROM ({both})") == [(1,)]


def test_tables_are_joined_as_any_others(client: bigquery.Client, warehouse: Warehouse, shards: str) -> None:
    table = warehouse.name("events_20260101")
    joined = (
        f"SELECT w.b, t.b FROM `{shards}` AS w JOIN `{table}` AS t ON t.a = w.a WHERE w._TABLE_SUFFIX != '20260102'"
    )
    assert ask(client, joined) == [("1", "1"), ("3", "1")]
    again = f"SELECT b FROM `{shards}` WHERE _TABLE_SUFFIX NOT IN (SELECT _TABLE_SUFFIX FROM `{table[:-1]}*`)"
    assert ask(client, again) == [("1",), ("2",), ("3",)]


def test_a_table_is_made_of_them(client: bigquery.Client, warehouse: Warehouse, shards: str) -> None:
    into = warehouse.name("all")
    client.query_and_wait(f"CREATE OR REPLACE TABLE `{into}` AS SELECT * FROM (SELECT * FROM `{shards}`)")
    assert ask(client, f"SELECT b FROM `{into}`") == [("1",), ("2",), ("3",)]


def test_there_must_be_one_and_no_view(client: bigquery.Client, warehouse: Warehouse, shards: str) -> None:
    with pytest.raises(api.NotFound, match=r"nothing_\* does not match any table"):
        client.query_and_wait(f"SELECT * FROM `{warehouse.name('nothing_*')}`")
    client.query_and_wait(f"CREATE VIEW `{warehouse.name('events_view')}` AS SELECT 1 AS a")
    with pytest.raises(api.BadRequest, match="Views cannot be queried through prefix"):
        client.query_and_wait(f"SELECT * FROM `{shards}` WHERE _TABLE_SUFFIX = '20260101'")
