"""Every statement that we emit: its text, and what Google's analyzer says of it."""

from __future__ import annotations

import ast
import datetime as dt
import inspect
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.zetasql_check import analyze

from tidemill.bigquery import sql
from tidemill.bigquery.sql import Merge
from tidemill.models import registry
from tidemill.models.events import EVENTS
from tidemill.models.merge_ids import MERGE_IDS
from tidemill.models.persons import PERSONS
from tidemill.models.sessions import SESSIONS
from tidemill.models.types import Type

FINAL = ("project-123", "my-dataset", "events")
STAGE = ("project-123", "my-dataset", "events stage")
FIRST, LAST = dt.datetime(2024, 1, 1, tzinfo=dt.UTC), dt.datetime(2024, 1, 2, 3, 4, 5, 678901, tzinfo=dt.UTC)
TIMES, PARTITION = ("timestamp", "bq_ingested_timestamp"), {"timestamp": (FIRST, LAST)}
IDS: dict[str, sql.Bounds] = {"team_id": (1, 2), "session_id": ('a"\\\n', "ü雪😀")}
COLUMNS = [column.name for column in EVENTS.columns]

VISITS = [column.name for column in SESSIONS.columns]
PEOPLE = [column.name for column in PERSONS.columns]
MERGED, KEY = [column.name for column in MERGE_IDS.columns], "amplitude_id"
TABLES = registry.MODELS

#: Name of the function, the statement, and the model of the tables that it is about.
STATEMENTS = [
    ("replace_older", sql.replace_older(Merge(FINAL, STAGE, PEOPLE, PERSONS.key, PERSONS.versions)), "persons"),
    ("replace_older", sql.replace_older(Merge(FINAL, STAGE, PEOPLE, PERSONS.key, ("created_at",))), "persons"),
    ("replace_older", sql.replace_older(Merge(FINAL, STAGE, VISITS, SESSIONS.key, SESSIONS.versions, IDS)), "sessions"),
    ("resolved_events", sql.resolved_events(FINAL, STAGE), "amplitude_events"),
    ("insert_missing", sql.insert_missing(Merge(FINAL, STAGE, MERGED, MERGE_IDS.key, (), {KEY: (1, 9)})), "merge_ids"),
    ("sums", sql.sums(FINAL, MERGE_IDS.columns[:1], None, None), "merge_ids"),
    ("replace", sql.replace(Merge(FINAL, STAGE, PEOPLE, PERSONS.key, ("created_at",))), "persons"),
    ("replace", sql.replace(Merge(FINAL, STAGE, PERSONS.key, PERSONS.key)), "persons"),
    ("insert_missing", sql.insert_missing(Merge(FINAL, STAGE, COLUMNS, EVENTS.key, TIMES, PARTITION)), "events"),
    ("insert_missing", sql.insert_missing(Merge(FINAL, STAGE, ["uuid", "team_id"], EVENTS.key)), "events"),
    ("keys", sql.keys(FINAL, EVENTS.key), "events"),
    ("delete_rows", sql.delete_rows(FINAL, {"team_id": 1}, "distinct_id", ['a"ü', "b"]), "persons"),
    (
        "delete_rows",
        sql.delete_rows(FINAL, {}, "distinct_id", ["b"], {"person_id": ["c"]}),
        "persons",
    ),
    ("insert_row", sql.insert_row(FINAL, {"uuid": 'a"ü', "timestamp": FIRST, "team_id": 1}), "events"),
    ("insert_row", sql.insert_row(FINAL, {"session_id": "a", "urls": ["b", "c"], "duration": 2}), "sessions"),
    ("insert_row", sql.insert_row(FINAL, {"urls": []}), "sessions"),
    (
        "count_rows",
        sql.count_rows(FINAL, [{"uuid": 'a"b', "team_id": 1, "timestamp": FIRST}, {"uuid": "c", "timestamp": None}]),
        "events",
    ),
    ("nothing", sql.nothing(), "events"),
    ("create_dataset", sql.create_dataset("project-123", "__tidemill_reverse_etl", "europe-west1"), "events"),
    ("create_dataset", sql.create_dataset("project-123", "__tidemill_reverse_etl", None), "events"),
    ("without_expiration", sql.without_expiration("project-123", "my-dataset"), "events"),
    ("nullable", sql.nullable(".".join(FINAL), "uuid"), "events"),
    (
        "grant_on_dataset",
        sql.grant_on_dataset("roles/bigquery.dataEditor", *FINAL[:2], "serviceAccount:a@b.c"),
        "events",
    ),
    *(
        (
            "replace_older",
            sql.replace_older(Merge(FINAL, STAGE, VISITS, SESSIONS.key, SESSIONS.versions, {}, part)),
            "sessions",
        )
        for part in (
            ("start_timestamp", None, PARTITION["timestamp"][0]),
            ("start_timestamp", *PARTITION["timestamp"]),
            ("start_timestamp", PARTITION["timestamp"][0], None),
            ("start_timestamp", None, None),
        )
    ),
    *(("partitions", sql.partitions(FINAL, "timestamp", Type.TIMESTAMP, size), "events") for size in ("HOUR", "YEAR")),
    ("keys", sql.keys(FINAL, ["uuid"]), "events"),
    ("top_events", sql.top_events(FINAL, 5), "events"),
    ("sums", sql.sums(FINAL, (EVENTS.columns[0], EVENTS.columns[7]), "timestamp", dt.date(2026, 1, 2)), "events"),
    ("sums", sql.sums(FINAL, (*PERSONS.columns[:2], *PERSONS.columns[4:6]), None, None), "persons"),
]


@pytest.mark.parametrize("json_type", [True, False])
@pytest.mark.parametrize(("statement", "model"), [given[1:] for given in STATEMENTS])
def test_google_understands_it(statement: str, model: str, json_type: bool) -> None:
    columns = {
        column.name: f"ARRAY<{column.type.value}>" if column.repeated else column.type.value
        for column in TABLES[model].columns_for(json_type=json_type)
    }
    staged = (
        {"amplitude_id": "BIGNUMERIC", "merged_amplitude_id": "BIGNUMERIC"} if "RECURSIVE" in statement else columns
    )
    assert analyze(statement, {".".join(FINAL): columns, ".".join(STAGE): staged})


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("SELECT nope FROM `p.d.t`", "Unrecognized name: nope"),
        ("SELECT SUM(name) FROM `p.d.t`", "No matching signature"),
        ("SELEC 1", "Syntax error"),
        ("SELECT 1 FROM `p.d.other`", "Table not found"),
    ],
)
def test_the_analyzer_would_find_a_mistake(statement: str, says: str) -> None:
    with pytest.raises(AssertionError, match=says):
        analyze(statement, {"p.d.t": {"name": "STRING"}})


def test_no_statement_is_left_out() -> None:
    public = {
        name
        for name, function in inspect.getmembers(sql, inspect.isfunction)
        if function.__module__ == sql.__name__ and not name.startswith("_")
    }
    assert public - {"moment", "literal"} == {name for name, *_ in STATEMENTS}


def test_the_text_of_the_merge() -> None:
    columns = ["uuid", "team_id", "timestamp"]
    text = sql.insert_missing(Merge(FINAL, STAGE, columns, EVENTS.key, ("timestamp",), PARTITION))
    assert text == (
        "MERGE `project-123.my-dataset.events` AS final\n"
        "USING (SELECT `uuid`, `team_id`, `timestamp` FROM `project-123.my-dataset.events stage` WHERE TRUE "
        "QUALIFY ROW_NUMBER() OVER (PARTITION BY `team_id`, `uuid` ORDER BY `timestamp` DESC) = 1) AS stage\n"
        "ON final.`team_id` = stage.`team_id` AND final.`uuid` = stage.`uuid` "
        "AND final.`timestamp` BETWEEN TIMESTAMP '2024-01-01 00:00:00.000000+00:00' "
        "AND TIMESTAMP '2024-01-02 03:04:05.678901+00:00'\n"
        "WHEN NOT MATCHED THEN INSERT (`uuid`, `team_id`, `timestamp`) "
        "VALUES (stage.`uuid`, stage.`team_id`, stage.`timestamp`)"
    )


@given(st.datetimes(timezones=st.just(dt.UTC)))
def test_a_moment_is_the_same_when_it_is_read_back(value: dt.datetime) -> None:
    text = sql.moment(value).removeprefix("TIMESTAMP '").removesuffix("'")
    assert dt.datetime.fromisoformat(text) == value


def test_a_moment_is_written_in_utc_with_four_digits_of_year() -> None:
    east = dt.timezone(dt.timedelta(hours=2))
    assert sql.moment(dt.datetime(2024, 1, 1, 1, tzinfo=east)) == "TIMESTAMP '2023-12-31 23:00:00.000000+00:00'"
    assert sql.moment(dt.datetime(33, 1, 1, tzinfo=dt.UTC)) == "TIMESTAMP '0033-01-01 00:00:00.000000+00:00'"


def test_a_date_and_time_without_a_zone_is_one() -> None:
    assert sql.literal(dt.datetime.fromisoformat("2024-01-01T02:03:00")) == "DATETIME '2024-01-01 02:03:00'"
    assert "DATETIME_TRUNC(`at`, DAY)" in sql.partitions(FINAL, "at", Type.DATETIME, "DAY")
    assert "DATE_TRUNC(`at`, MONTH)" in sql.partitions(FINAL, "at", Type.DATE, "MONTH")


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_text_is_the_same_when_it_is_read_back(value: str) -> None:
    text = sql.literal(value)
    assert ast.literal_eval(text) == value  # such escapes mean the same to Python
    assert "\n" not in text
    assert not re.sub(r'\\([nr"\\]|x00)', "", text[1:-1]).count("\\")  # no others than GoogleSQL knows


def test_bounds_of_the_key_are_named_so_that_blocks_are_left_out() -> None:
    text = sql.replace_older(
        Merge(FINAL, STAGE, VISITS, SESSIONS.key, SESSIONS.versions, {"session_id": ("0190", "0191")})
    )
    assert 'AND final.`session_id` BETWEEN "0190" AND "0191"\nWHEN MATCHED' in text


def test_two_keys_that_read_the_same_when_joined_are_two() -> None:
    """(1, "23") and (12, "3"): their parts must not run together."""
    assert sql.keys(FINAL, EVENTS.key).endswith("GROUP BY `team_id`, `uuid`")
