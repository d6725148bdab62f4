"""Exports of a query of one's own: what it may be, and that each event counts once in what it gives."""

from __future__ import annotations

import collections
import datetime as dt
import json
import os
from pathlib import Path
from typing import Any

import pytest
from tests.installation import CONNECTION, Installation

from tidemill.app import App
from tidemill.bigquery.local.service import DEFAULT_PROJECT
from tidemill.errors import Cancelled, ConfigError
from tidemill.events.sources import custom_sql
from tidemill.exports.service import RunProgress

NEW = "inserted_at >= {data_interval_start} AND inserted_at < {data_interval_end}"
SLICE = f"SELECT uuid, event, timestamp::DATE AS day, (properties->>'n')::BIGINT AS n FROM events WHERE {NEW}"


def load(app: App, folder: Path, count: int, day: int = 1) -> list[dict[str, Any]]:
    lines = [
        {
            "uuid": os.urandom(8).hex(),
            "event": f"e{n % 3}",
            "distinct_id": f"d{n % 5}",
            "timestamp": f"2026-01-{day + n % 3:02d}T00:00:00Z",
            "properties": {"n": n},
        }
        for n in range(count)
    ]
    file = folder / f"{os.urandom(6).hex()}.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    assert app.events.load(str(file), "posthog").rows == count
    return lines


def create(app: App, sql: str, **fields: Any) -> None:
    app.exports.create(CONNECTION, {"name": "mine", "table": "mine", "sql": sql, **fields}, by="t")


def rows(installation: Installation) -> list[dict[str, Any]]:
    client = installation.client()
    try:
        return [dict(row) for row in client.google().list_rows(f"{DEFAULT_PROJECT}.{installation.dataset}.mine")]
    finally:
        client.close()


def test_rows_of_new_events_are_appended_whatever_the_clock_said(installation: Installation, tmp_path: Path) -> None:
    with installation.app(commit_rows=7) as app:
        installation.connect(app)
        create(app, SLICE + ";")
        sent: list[dict[str, Any]] = []
        for turn in range(3):
            sent += load(app, tmp_path, 20)
            if turn == 1:  # as if the clock had been set back for the second half, and forward for the rest
                with app.lake.cursor() as cursor:
                    cursor.execute(
                        "UPDATE lake.commits SET committed_at = committed_at - INTERVAL 1 DAY WHERE rows = 7"
                    )
            (run,) = app.exports.run("mine", by="t")
            assert run.mode == "append"
            assert app.exports.run("mine", by="t") == []
        found = rows(installation)
    expected = {(e["uuid"], e["event"], dt.date.fromisoformat(e["timestamp"][:10]), e["properties"]["n"]) for e in sent}
    assert len(found) == len(sent)
    assert {tuple(row.values()) for row in found} == expected


def test_rows_with_a_key_are_replaced(installation: Installation, tmp_path: Path) -> None:
    sql = "SELECT timestamp::DATE AS day, count(*) AS hits, list(DISTINCT event) AS names FROM events GROUP BY 1"
    with installation.app() as app:
        installation.connect(app)
        create(app, sql, key=("day",))
        seen: collections.Counter[dt.date] = collections.Counter()
        for day in (1, 2, 2):
            seen.update(dt.date.fromisoformat(e["timestamp"][:10]) for e in load(app, tmp_path, 20, day))
            (run,) = app.exports.run("mine", by="t")
            assert run.mode == "replace"
            assert {row["day"]: row["hits"] for row in rows(installation)} == seen
        assert all(set(row["names"]) <= {"e0", "e1", "e2"} for row in rows(installation))
        with pytest.raises(ConfigError, match="are not kept"):
            app.exports.tables.verify("mine", by="t")
        with pytest.raises(ConfigError, match="versions"):
            app.exports.backfills.estimate("mine", "earliest", None, None)


@pytest.mark.parametrize("json_type", [False, True])
def test_rows_with_versions_keep_the_newest_and_can_be_backfilled(
    installation: Installation, tmp_path: Path, json_type: bool
) -> None:
    sql = (
        "SELECT distinct_id, count(*) AS n, max(timestamp) AS last, json_object('hits', count(*)) AS more, "
        "1.5::DECIMAL(10, 2) AS price FROM events "
        f"WHERE distinct_id IN (SELECT distinct_id FROM events WHERE {NEW}) GROUP BY 1"
    )
    with installation.app() as app:
        installation.connect(app)
        create(app, sql, key=("distinct_id",), versions=("n",), json_type=json_type)
        load(app, tmp_path, 20)
        app.exports.run("mine", by="t")
        load(app, tmp_path, 2)
        (run,) = app.exports.run("mine", by="t")
        assert run.mode == "upsert"
        before = sorted(map(repr, rows(installation)))
        client = installation.client()
        client.query(f"DELETE FROM `{installation.dataset}.mine` WHERE n = 4", job_id=f"test_{os.urandom(6).hex()}")
        client.close()
        estimate = app.exports.backfills.estimate("mine", "earliest", None, None)
        assert estimate.rows == 5  # of the query, and not of the events that it reads
        app.exports.backfills.begin("mine", estimate, by="t", parallel=1, progress=lambda _: None)
        assert sorted(map(repr, rows(installation))) == before
        assert {row["distinct_id"]: row["n"] for row in rows(installation)} == {
            "d0": 5,
            "d1": 5,
            "d2": 4,
            "d3": 4,
            "d4": 4,
        }


#: What is refused, and a word of the reason.
@pytest.mark.parametrize("versions", [(), ("v",)], ids=["by commit", "by version"])
def test_of_rows_with_one_key_the_newest_stays(
    installation: Installation, tmp_path: Path, versions: tuple[str, ...]
) -> None:
    """By version, then by the order of commits: also of those that come with one run."""
    sql = "SELECT distinct_id AS k, uuid AS u, event AS place, (properties->>'n')::BIGINT // 7 % 3 AS v FROM events"
    with installation.app(commit_rows=5) as app:
        installation.connect(app)
        create(app, sql, key=("k",), versions=versions)
        sent: list[dict[str, Any]] = []
        for _ in range(2):
            sent += load(app, tmp_path, 40)
            app.events.compact()  # files are no longer in the order of commits
            (run,) = app.exports.run("mine", by="t")
            keys = len({each["distinct_id"] for each in sent})
            assert f"{len(sent) - keys} rows of the query had the key of another one" in " ".join(run.notes)
            newest: dict[str, tuple[int, str]] = {}
            for each in sent:
                version = each["properties"]["n"] // 7 % 3 if versions else 0
                if version >= newest.get(each["distinct_id"], (0, ""))[0]:
                    newest[each["distinct_id"]] = (version, each["uuid"])
            # A row that is there already is replaced by a greater version only.
            found = {row["k"]: row["u"] for row in rows(installation)}
            if not versions:
                assert found == {key: name for key, (_, name) in newest.items()}
            elif len(sent) == 40:
                assert found == {key: name for key, (_, name) in newest.items()}
                first = found
            else:
                assert found == first


REFUSED = [
    ("SELEC 1", "syntax"),
    ("SELECT 1; SELECT 2", "one statement"),
    ("DELETE FROM events", "SELECT"),
    ("COPY (SELECT 1) TO 'x.csv'", "SELECT"),
    ("SET threads = 1", "SELECT"),
    ("SELECT nope FROM events", "nope"),
    ("SELECT * FROM read_text('/etc/passwd')", "read_text"),
    ("SELECT * FROM '/etc/passwd'", "/etc/passwd"),
    ("SELECT * FROM glob('/*')", "glob"),
    ("SELECT * FROM lake.events", "lake.events"),
    ("SELECT * FROM lake.main.commits", "commits"),
    ("SELECT * FROM metadata.tidemill.connections", "connections"),
    ("SELECT * FROM postgres_query('metadata', 'SELECT 1')", "postgres_query"),
    ("SELECT * FROM events, duckdb_settings()", "duckdb_settings"),
    ("WITH a AS (SELECT * FROM query('SELECT 1')) SELECT * FROM a", "query"),
    ("SELECT (SELECT content FROM read_blob('/etc/passwd')) FROM events", "read_blob"),
    ("SELECT current_setting('temp_directory') AS a FROM events", "current_setting"),
    ("SELECT * FROM (DESCRIBE events)", "describes"),
    (
        "SELECT 1 AS a FROM (WITH duckdb_databases AS (SELECT 1) FROM duckdb_databases), duckdb_databases",
        "duckdb_databases",
    ),
    (
        'WITH "metadata.tidemill.connections" AS (SELECT 1 AS a) SELECT name AS a FROM metadata.tidemill.connections',
        "calle",
    ),
    ('WITH "lake.events" AS (SELECT 1 AS a) SELECT uuid AS a FROM lake.events', "lake.events"),
    ("SELECT (WITH \"/a.parquet\" AS (SELECT 1) SELECT 1) AS a FROM '/a.parquet'", "/a.parquet"),
    ("WITH connections AS (SELECT 1 AS a) SELECT a FROM metadata.tidemill.connections", "metadata"),
    ("WITH events AS (SELECT 1 AS a) SELECT uuid AS a FROM lake.main.events", "lake"),
    ("SELECT 1 AS a FROM events ORDER BY getvariable('x')", "getvariable"),
    ("SELECT count(*) FILTER (current_query() > '') OVER () AS a FROM events", "current_query"),
    ("SELECT pg_catalog.pg_get_viewdef(1) AS a FROM events", "pg_get_viewdef"),
    ("SELECT sleep_ms(1000) AS a FROM events", "sleep_ms"),
    ("SELECT nowhere(uuid) AS a FROM events", "nowhere"),
    ("SELECT {'a': 1} AS a FROM events", "STRUCT"),
    ("SELECT count(*) FROM events", "count_star"),
    ("SELECT uuid AS row_id FROM events", "row_id"),
    ("SELECT uuid AS a FROM events\0", "NUL"),
    ("SELECT '\udcff' AS a FROM events", "UTF-8"),
    ("SELECT uuid COLLATE NOCASE AS a FROM events", "collation"),
    ("SELECT 1 AS row_place FROM events", "row_place"),
]


def test_what_is_no_query_over_events_is_refused_and_nothing_is_saved(installation: Installation) -> None:
    with installation.app() as app:
        installation.connect(app)
        for sql, said in REFUSED:
            with pytest.raises(ConfigError, match=f"(?i){said}") as caught:
                create(app, sql, key=("a",))
            assert caught.value.code == "sql_refused", sql
        assert app.exports.find() == []


def test_the_events_store_opens_no_file_of_others_whatever_a_query_says(installation: Installation) -> None:
    with installation.app() as app, app.lake.cursor() as cursor:
        for statement in (
            "SELECT * FROM read_text('/etc/passwd')",
            "COPY (SELECT 1) TO '/tmp/tidemill-out.csv'",
            "ATTACH '/tmp/tidemill.db' AS other",
            "SET enable_external_access = true",
            "SET allowed_directories = ['/']",
            "INSTALL httpfs",
        ):
            with pytest.raises(Exception, match=r"disabled|Cannot"):
                cursor.execute(statement)


def test_an_append_that_would_repeat_itself_is_refused(installation: Installation) -> None:
    with installation.app() as app:
        installation.connect(app)
        for fields, code in (
            ({}, "query_not_bounded"),
            ({"versions": ("n",)}, "key_missing"),
            ({"key": ("nope",)}, "column_unknown"),
            ({"key": ("uuid",), "include_events": ("a",)}, "event_filter"),
            ({"key": ("uuid",), "partition_by": "uuid"}, "partition_type"),
        ):
            with pytest.raises(ConfigError) as caught:
                create(app, "SELECT uuid, 1 AS n, properties::JSON AS p FROM events", **fields)
            assert caught.value.code == code
        with pytest.raises(ConfigError) as caught:
            app.exports.create(CONNECTION, {"name": "x", "model": "custom", "table": "t"}, by="t")
        assert caught.value.code == "query_missing"
        create(app, f"SELECT uuid, timestamp::DATE AS day FROM events WHERE {NEW}", partition_by="day")
        assert app.exports.get("mine").model == "custom"


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT CASE WHEN event <> 'e1' THEN uuid END AS uuid FROM events", "the key uuid is NULL"),
        ("SELECT uuid, distinct_id::BIGINT AS n FROM events", "d0"),
        ("SELECT uuid, CASE event WHEN 'e1' THEN TIMESTAMPTZ 'infinity' END AS t FROM events", "the column t holds"),
        ("SELECT uuid, CASE event WHEN 'e1' THEN '10000-01-01'::DATE END AS t FROM events", "the column t holds"),
        ("SELECT uuid, [event, nullif(event, 'e1')] AS names FROM events", "the list names holds a NULL"),
        ("SELECT uuid, (hash(uuid) // 1)::UHUGEINT * 9 AS n FROM events", "range"),
    ],
)
def test_a_query_that_fails_later_says_why_and_sends_nothing(
    installation: Installation, tmp_path: Path, sql: str, said: str
) -> None:
    with installation.app() as app:
        installation.connect(app)
        create(app, sql, key=("uuid",))
        load(app, tmp_path, 10)
        with pytest.raises(ConfigError, match=said) as caught:
            app.exports.run("mine", by="t")
        assert caught.value.code == "sql_failed"
        assert "TRY_CAST" in caught.value.hint
        assert "drop the table first" in caught.value.hint
        assert rows(installation) == []
        app.exports.delete("mine")


def test_on_the_command_line(installation: Installation, tmp_path: Path) -> None:
    with installation.app() as app:
        installation.connect(app)
        load(app, tmp_path, 10)
    file = tmp_path / "query.sql"
    file.write_text("-- each person\nSELECT distinct_id, count(*) AS hits FROM events GROUP BY ALL;\n")
    made = installation.run(
        *("export", "create", "people", "--connection", CONNECTION, "--table", "mine"),
        *("--sql", f"@{file}", "--key", "distinct_id", "--json"),
    )
    assert made.returncode == 0, made.stderr
    shown = json.loads(made.stdout)
    assert (shown["model"], shown["key"], shown["versions"]) == ("custom", ["distinct_id"], [])
    assert shown["sql"] == file.read_text()
    assert installation.run("export", "run", "people").returncode == 0
    assert {row["distinct_id"]: row["hits"] for row in rows(installation)} == {f"d{n}": 2 for n in range(5)}
    wrong = installation.run("export", "create", "x", "--connection", CONNECTION, "--sql", "@/nowhere")
    assert (wrong.returncode, "cannot be read" in wrong.stderr) == (2, True)


@pytest.mark.parametrize("json_type", [False, True])
def test_numbers_that_json_has_not_arrive(installation: Installation, tmp_path: Path, json_type: bool) -> None:
    sql = (
        "SELECT (properties->>'n')::BIGINT AS n, CASE n WHEN 0 THEN 'nan' WHEN 1 THEN 'inf' WHEN 2 THEN '-inf' WHEN 3 "
    )
    sql += "THEN '1.5' END::DOUBLE AS x, properties::JSON AS p FROM events"
    with installation.app() as app:
        installation.connect(app)
        create(app, sql, key=("n",), json_type=json_type)
        load(app, tmp_path, 5)
        app.exports.run("mine", by="t")
        found = {row["n"]: row["x"] for row in rows(installation)}
    assert str(found.pop(0)) == "nan"
    assert found == {1: float("inf"), 2: float("-inf"), 3: 1.5, 4: None}


def test_a_query_that_takes_too_long_is_cancelled(installation: Installation, tmp_path: Path) -> None:
    steps = "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t WHERE n < 1000000000) "
    with installation.app() as app:
        installation.connect(app)
        create(app, steps + "SELECT max(n) AS n FROM t, (SELECT count(*) FROM events)", key=("n",))
        load(app, tmp_path, 5)

        def stop(progress: RunProgress) -> None:
            if progress.doing.startswith("writing"):
                app.exports.runs.interrupt()

        with pytest.raises(Cancelled):
            app.exports.run("mine", by="t", progress=stop)
        (run,) = app.exports.runs.find("mine", limit=1)
        assert run.status == "cancelled"


def test_decimals_get_a_type_that_holds_all_their_digits(installation: Installation) -> None:
    """What the embedded BigQuery holds of BIGNUMERIC are fewer: README of bigquery/local."""
    kinds = {"DECIMAL(38, 9)": "NUMERIC", "DECIMAL(9, 2)": "NUMERIC", "DECIMAL(38, 12)": "BIGNUMERIC"}
    kinds |= {"DECIMAL(38, 0)": "BIGNUMERIC", "DECIMAL(29, 0)": "NUMERIC", "DECIMAL(18, 10)": "BIGNUMERIC"}
    with installation.app() as app:
        for kind, wanted in kinds.items():
            (column,) = custom_sql.describe(app.lake, f"SELECT 1::{kind} AS x FROM events")
            assert column.type == wanted


def test_an_export_of_a_query_can_be_edited(installation: Installation) -> None:
    with installation.app() as app:
        installation.connect(app)
        create(app, "SELECT uuid FROM events", key=("uuid",))
        assert app.exports.edit("mine", {"run_log": True, "interval": "day"}).run_log
        assert app.exports.get("mine").sql == "SELECT uuid FROM events"
        with pytest.raises(ConfigError, match="cannot be verified"):
            app.exports.edit("mine", {"verify_days": "all"})
