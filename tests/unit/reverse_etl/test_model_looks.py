"""What is said of a source model without running it: its statement, its costs, its key."""

from __future__ import annotations

import pytest

from tidemill.bigquery.tables import Field
from tidemill.errors import ConfigError
from tidemill.reverse_etl import costs, model_check, statement
from tidemill.reverse_etl.model_check import Inspection
from tidemill.reverse_etl.spec import ModelSpec

TIB = 2**40


def _model(sql: str) -> ModelSpec:
    return ModelSpec(name="people", sql=sql, key=("id",))


@pytest.mark.parametrize(
    ("sql", "line"),
    [("SELECT nope", 1), ("\n\n  SELECT nope;", 3), ("-- why\nSELECT nope -- end", 2), ("\r\n\tSELECT nope ; # x", 2)],
)
def test_a_statement_stays_in_its_lines_and_columns(sql: str, line: int) -> None:
    asked = statement.of_model(_model(sql), "p")
    assert ";" not in asked
    assert asked.endswith("\n")
    assert asked.splitlines()[line - 1].index("nope") == sql.splitlines()[line - 1].index("nope")


def test_the_statement_of_a_table_reads_all_of_it() -> None:
    model = ModelSpec(name="people", table="analytics.people", key=("id",))
    assert statement.of_model(model, "project-123") == "SELECT * FROM `project-123.analytics.people`\n"
    other = ModelSpec(name="people", table="other-project.analytics.people", key=("id",))
    assert "`other-project.analytics.people`" in statement.of_model(other, "project-123")


def test_costs_are_those_of_the_bytes_and_ten_mib_for_each_table_at_least() -> None:
    assert costs.dollars(costs.billed(TIB, 1), 6.25) == 6.25
    assert costs.dollars(costs.billed(0, 0), 6.25) == 0
    assert costs.dollars(costs.billed(1, 2), 6.25) == round(20 * 2**20 / TIB * 6.25, 6)


COLUMNS = [
    Field("Id", "INT64"),
    Field("e_mail", "STRING"),
    Field("score", "FLOAT64"),
    Field("tags", "STRING", "REPEATED"),
    Field("address", "RECORD"),
    Field("extra", "JSON"),
    Field("place", "GEOGRAPHY"),
]


def test_a_key_is_written_as_the_statement_writes_it() -> None:
    assert model_check._key(["id", "E_MAIL"], COLUMNS) == ("Id", "e_mail")


@pytest.mark.parametrize(
    ("name", "kind"),
    [("score", "FLOAT64"), ("tags", "ARRAY"), ("address", "STRUCT"), ("extra", "JSON"), ("place", "GEOGRAPHY")],
)
def test_rows_are_not_told_apart_by_such_types(name: str, kind: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} is {kind}"):
        model_check._key([name], COLUMNS)


def test_a_column_that_is_not_there_is_said_with_those_that_are() -> None:
    with pytest.raises(ConfigError, match="no column nope, nor_this") as caught:
        model_check._key(["nope", "id", "nor_this"], COLUMNS)
    assert "Id, e_mail, score" in caught.value.hint


def test_a_column_without_a_name_is_to_get_one() -> None:
    with pytest.raises(ConfigError, match="no name; BigQuery calls the first f0_"):
        model_check._check_columns([Field("id", "INT64"), Field("f0_", "INT64")])


def test_more_than_may_be_billed_is_not_read() -> None:
    found = Inspection("SELECT 1\n", ("id",), (), 20_000_000, 0.0, (), "EU")
    model_check.assert_within(found, None)
    model_check.assert_within(found, 20_000_000)
    with pytest.raises(ConfigError, match="20,000,000 bytes, and 11,000,000 may be billed") as caught:
        model_check.assert_within(found, 11_000_000)
    assert "tidemill model edit" in caught.value.hint
