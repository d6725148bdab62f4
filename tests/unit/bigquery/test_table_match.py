"""Which columns of a model go into an existing table."""

from __future__ import annotations

import pytest

from tidemill.bigquery import tables
from tidemill.bigquery.tables import Field, Table
from tidemill.errors import ConfigError
from tidemill.models.events import EVENTS

COLUMNS = EVENTS.columns_for(json_type=False)
FIELDS = tuple(Field(column.name, column.type.value) for column in COLUMNS)


def test_a_table_that_we_made_takes_all_columns() -> None:
    found = tables.match(COLUMNS, Table(FIELDS, 0), "p.d.t")
    assert (found.columns, found.missing) == (COLUMNS, ())


def test_columns_that_the_table_lacks_are_left_out_and_its_own_are_left_alone() -> None:
    found = tables.match(COLUMNS, Table((*FIELDS[:2], Field("mine", "NUMERIC"), Field("Team_ID", "INT64")), 0), "t")
    assert [column.name for column in found.columns] == ["uuid", "event", "team_id"]
    assert set(found.missing) == {column.name for column in COLUMNS} - {"uuid", "event", "team_id"}


def test_all_columns_of_a_wrong_type_are_named_before_anything_is_loaded() -> None:
    wrong = Table((Field("uuid", "INT64"), Field("event", "STRING", "REPEATED"), Field("timestamp", "DATETIME")), 0)
    with pytest.raises(ConfigError) as caught:
        tables.match(COLUMNS, wrong, "p.d.t")
    assert caught.value.code == "column_type"
    for text in ("uuid is INT64", "event is STRING REPEATED", "timestamp is DATETIME", "p.d.t"):
        assert text in caught.value.message
    assert "Nothing was loaded" in caught.value.hint


@pytest.mark.parametrize("json_type", [True, False])
def test_json_and_string_do_not_mix_and_the_option_is_named(json_type: bool) -> None:
    there = "STRING" if json_type else "JSON"
    with pytest.raises(ConfigError) as caught:
        tables.match(EVENTS.columns_for(json_type=json_type), Table((Field("properties", there),), 0), "t")
    assert "--json-type" in caught.value.hint


def test_a_required_column_that_we_cannot_fill_is_refused_unless_it_has_a_default() -> None:
    with pytest.raises(ConfigError) as caught:
        tables.match(COLUMNS, Table((*FIELDS, Field("mine", "STRING", "REQUIRED")), 0), "t")
    assert caught.value.code == "column_required"
    assert "mine" in caught.value.message
    filled = Table((*FIELDS, Field("mine", "STRING", "REQUIRED", has_default=True)), 0)
    assert tables.match(COLUMNS, filled, "t").missing == ()


def test_a_column_of_ours_that_is_required_is_refused_before_bigquery_refuses_the_load() -> None:
    with pytest.raises(ConfigError) as caught:
        tables.match(COLUMNS, Table((Field("uuid", "STRING", "REQUIRED"), *FIELDS[1:]), 0), "t")
    assert caught.value.code == "column_required"
    assert "ALTER COLUMN `uuid` DROP NOT NULL" in caught.value.hint


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("VIEW", "a view"),
        ("MATERIALIZED_VIEW", "a materialized view"),
        ("EXTERNAL", "an external table"),
        ("SNAPSHOT", "a table snapshot"),
        ("MODEL", "MODEL"),
    ],
)
def test_what_takes_no_rows_is_refused_before_anything_is_loaded(kind: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        tables.match(COLUMNS, Table(FIELDS, 0, kind=kind), "p.d.t")
    assert caught.value.code == "table_kind"
    assert f"p.d.t is {told}," in caught.value.message
    assert "Nothing was loaded" in caught.value.hint


def test_a_table_with_nothing_of_the_model_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        tables.match(COLUMNS, Table((Field("mine", "STRING"),), 0), "t")
    assert caught.value.code == "no_columns"
