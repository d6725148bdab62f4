"""Tables through the gate: what BigQuery keeps of them, and what it refuses to change."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest
from google.api_core import exceptions as api
from google.cloud import bigquery
from tests.integration.bigquery_local.warehouse import Warehouse, load_lines, make, rows

SOON = dt.datetime.now(dt.UTC).replace(microsecond=0) + dt.timedelta(days=1)


@pytest.fixture
def table(client: bigquery.Client, warehouse: Warehouse) -> bigquery.Table:
    return make(client, warehouse.name("t"), "a INT64 REQUIRED", "b STRING", expires=SOON)


def test_a_table_knows_where_it_is_and_when_it_ends(client: bigquery.Client, table: bigquery.Table) -> None:
    assert (table.location, table.expires) == ("EU", SOON)
    table.expires = SOON + dt.timedelta(days=1)
    assert client.update_table(table, ["expires"]).expires == SOON + dt.timedelta(days=1)
    table.expires = None
    assert client.update_table(table, ["expires"]).expires is None
    assert client.get_table(table).expires is None


def test_a_table_that_is_made_anew_does_not_end_when_the_one_before_would(
    client: bigquery.Client, warehouse: Warehouse, table: bigquery.Table
) -> None:
    client.query_and_wait(f"DROP TABLE `{table.full_table_id.replace(':', '.')}`")
    assert make(client, warehouse.name("t"), "a INT64").expires is None
    client.delete_table(warehouse.name("t"))
    client.query_and_wait(f"CREATE TABLE `{warehouse.name('t')}` (a INT64)")
    assert client.get_table(warehouse.name("t")).expires is None


def test_new_tables_live_as_long_as_the_dataset_says(client: bigquery.Client, warehouse: Warehouse) -> None:
    make(client, warehouse.name("before"), "a INT64")
    dataset = client.get_dataset(warehouse.dataset)
    dataset.default_table_expiration_ms = 7_200_000
    client.update_dataset(dataset, ["default_table_expiration_ms"])
    makers: dict[str, Callable[[str], object]] = {
        "rest": lambda name: make(client, name, "a INT64"),
        "sql": lambda name: client.query_and_wait(f"CREATE TABLE `{name}` AS SELECT 1 AS a"),
        "load": lambda name: load_lines(client, name, {"a": 1}, schema=[bigquery.SchemaField("a", "INT64")]),
    }
    for name, maker in makers.items():
        maker(warehouse.name(name))
        made = client.get_table(warehouse.name(name))
        assert made.expires - made.created == dt.timedelta(hours=2)
    assert make(client, warehouse.name("own"), "a INT64", expires=SOON).expires == SOON
    assert client.get_table(warehouse.name("before")).expires is None


def test_a_partition_filter_stays_required(client: bigquery.Client, warehouse: Warehouse) -> None:
    made = bigquery.Table(warehouse.name("p"), [bigquery.SchemaField("t", "TIMESTAMP")])
    made.time_partitioning = bigquery.TimePartitioning(field="t")
    made.require_partition_filter = True
    assert client.create_table(made).require_partition_filter is True
    found = client.get_table(made)
    assert found.require_partition_filter is True
    found.require_partition_filter = False
    client.update_table(found, ["require_partition_filter"])
    assert not client.get_table(made).require_partition_filter


REFUSED: dict[str, tuple[list[str], str]] = {
    "a type": (["a STRING REQUIRED", "b STRING"], "Field a has changed type from INTEGER to STRING"),
    "a column that is gone": (["a INT64 REQUIRED"], "Field b is missing in new schema"),
    "a mode": (["a INT64 REQUIRED", "b STRING REQUIRED"], "Field b has changed mode from NULLABLE to REQUIRED"),
    "a list": (["a INT64 REPEATED", "b STRING"], "Field a has changed mode from REQUIRED to REPEATED"),
    "a new column": (["a INT64 REQUIRED", "b STRING", "c STRING REQUIRED"], "Cannot add required fields"),
}


@pytest.mark.parametrize("change", REFUSED)
def test_what_cannot_be_changed_of_a_schema(
    client: bigquery.Client, warehouse: Warehouse, table: bigquery.Table, change: str
) -> None:
    columns, said = REFUSED[change]
    table.schema = [bigquery.SchemaField(*column.split(" ")) for column in columns]
    with pytest.raises(api.BadRequest, match="Provided Schema does not match Table") as caught:
        client.update_table(table, ["schema"])
    assert said in str(caught.value)
    assert f"tidemill-local:{warehouse.dataset}.t." in str(caught.value)
    found = client.get_table(warehouse.name("t")).schema
    assert [(field.name, field.field_type, field.mode) for field in found] == [
        ("a", "INTEGER", "REQUIRED"),
        ("b", "STRING", "NULLABLE"),
    ]


def test_columns_are_added_and_relaxed(client: bigquery.Client, warehouse: Warehouse, table: bigquery.Table) -> None:
    load_lines(client, warehouse.name("t"), {"a": 1, "b": "x"})
    table.schema = [
        bigquery.SchemaField("tags", "STRING", "REPEATED"),
        bigquery.SchemaField("b", "STRING", description="what b is"),
        bigquery.SchemaField("r", "RECORD", fields=[bigquery.SchemaField("x", "INT64")]),
        bigquery.SchemaField("a", "INT64"),
    ]
    changed = client.update_table(table, ["schema"])
    assert [field.name for field in changed.schema] == ["a", "b", "tags", "r"]
    assert changed.schema[1].description == "what b is"
    record = bigquery.SchemaField("r", "RECORD", fields=[bigquery.SchemaField(n, "INT64") for n in ("x", "y")])
    table.schema = [*changed.schema[:3], record]
    client.update_table(table, ["schema"])
    assert load_lines(client, warehouse.name("t"), {"r": {"x": 1, "y": 2}, "tags": ["t"]}).error_result is None
    found = [tuple(row.values()) for row in client.list_rows(warehouse.name("t"))]
    assert found == [(1, "x", [], None), (None, None, ["t"], {"x": 1, "y": 2})]


def test_a_column_that_is_added_by_hand_is_seen(
    client: bigquery.Client, warehouse: Warehouse, table: bigquery.Table
) -> None:
    name = warehouse.name("t")
    client.query_and_wait(f"ALTER TABLE `{name}` ADD COLUMN c FLOAT64")
    client.query_and_wait(f"ALTER TABLE `{name}` ALTER COLUMN a DROP NOT NULL")
    client.query_and_wait(f"ALTER TABLE `{name}` DROP COLUMN b")
    found = [(field.name, field.field_type, field.mode) for field in client.get_table(table).schema]
    assert found == [("a", "INTEGER", "NULLABLE"), ("c", "FLOAT", "NULLABLE")]
    assert load_lines(client, name, {"c": 1.5}).error_result is None
    assert rows(client, name) == [(None, 1.5)]


@pytest.mark.parametrize("statement", ["INSERT INTO `{t}` (b) VALUES ('x')", "UPDATE `{t}` SET a = NULL WHERE TRUE"])
def test_a_required_column_refuses_nulls_from_statements(
    client: bigquery.Client, warehouse: Warehouse, table: bigquery.Table, statement: str
) -> None:
    load_lines(client, warehouse.name("t"), {"a": 1})
    with pytest.raises(api.BadRequest, match="Required field a cannot be null"):
        client.query_and_wait(statement.format(t=warehouse.name(table.table_id)))
    assert rows(client, warehouse.name("t")) == [(1, None)]
