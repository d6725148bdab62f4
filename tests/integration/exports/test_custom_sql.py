"""What is said of a query that cannot be exported, and of words that do not go together with one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.installation import CONNECTION, Installation, write_events

from tidemill.errors import ConfigError
from tidemill.events.sources import custom_sql

NEW = "inserted_at >= {data_interval_start} AND inserted_at < {data_interval_end}"

#: Queries, and what is said of them.
SAID = [
    ("", "there is no statement in it"),
    ("-- nothing", "there is no statement in it"),
    ("DELETE FROM events", "exported: it is no SELECT[.]"),
    ("SELECT 1 AS a; SELECT 2 AS a -- two", "it is not one statement"),
    ("SELECT 1 AS a; 'b", "unterminated"),
    ("SELECT uuid FROM events WHERE inserted_at > {start}", "{start} is no placeholder: there are {data_interval_st"),
    (
        "SELECT uuid FROM events WHERE inserted_at > { End } AND true",
        "{ End } is no placeholder: .* {data_interval_end}",
    ),
    ("SELECT uuid, event, upper(event) AS Event FROM events", "than one column is called 'event'; name them with AS"),
    ("SELECT * FROM events AS a JOIN events AS b USING (uuid)", "than one column is called 'event'"),
    ("\n\nSELECT uuid,\nnope FROM events", "LINE 4: nope"),
    ("SELECT nope FROM events", "LINE 1: "),
    ("-- é\nSELECT uuid uuid uuid\nFROM events", 'near "uuid" in line 2'),
    (f"SELECT {'+'.join(['1'] * 600)} AS a FROM events", "too many terms"),
    (f"SELECT {'+'.join(['1'] * 5000)} AS a FROM events", "too many terms"),
    (f"SELECT * FROM {'(SELECT * FROM ' * 600}events{')' * 600}", "deep"),
]
ENDINGS = ["", ";", " ;\n;", "; -- done", " -- done\n;\n-- really; /* yes", "; /* it's ; */ -- done", "\n/* a */;"]


def test_what_is_wrong_with_a_query_is_said_in_words_that_help(installation: Installation) -> None:
    with installation.app() as app:
        for sql, said in SAID:
            with pytest.raises(ConfigError, match=f"(?s){said.replace('{', '[{]')}") as caught:
                custom_sql.describe(app.lake, sql)
            assert caught.value.code == "sql_refused", sql
        for ending in ENDINGS:
            described = custom_sql.describe(app.lake, f"\nSELECT uuid, '; -- {{b}}' AS e FROM events{ending}")
            assert [column.name for column in described] == ["uuid", "e"], ending
        named = custom_sql.describe(app.lake, "WITH events AS (SELECT uuid AS a FROM events) (FROM events ORDER BY a)")
        assert [column.name for column in named] == ["a"]


def test_words_that_do_not_go_together_are_refused(installation: Installation) -> None:
    sql = f"SELECT uuid FROM events WHERE {NEW}"
    cases: list[tuple[dict[str, Any], str, str]] = [
        ({"sql": ""}, "query_empty", "is empty"),
        ({"sql": " \n", "key": ["uuid"]}, "query_empty", "is empty"),
        ({"key": ["uuid"]}, "key_without_query", "--key and --version"),
        ({"versions": ["n"]}, "key_without_query", "--key and --version"),
        ({"sql": sql, "model": "persons"}, "model_and_query", "persons"),
        ({"sql": sql, "model": "events"}, "model_and_query", "events"),
        ({"sql": sql, "table": None}, "table_missing", "--table is missing"),
        ({"model": "custom", "table": None}, "table_missing", "--table is missing"),
        ({"model": "merge_ids", "team_id": 1, "json_type": False}, "json_type", "No column of merge_ids"),
        ({"sql": sql, "json_type": True}, "json_type", "No column of custom"),
    ]
    with installation.app() as app:
        installation.connect(app)
        for fields, code, said in cases:
            with pytest.raises(ConfigError, match=said) as caught:
                app.exports.create(CONNECTION, {"name": "x", "table": "x", **fields}, by="t")
            assert (caught.value.code, bool(caught.value.hint)) == (code, True)
        assert app.exports.find() == []
        app.exports.create(CONNECTION, {"name": "x", "table": "x", "model": "custom", "sql": sql}, by="t")


def test_a_query_on_the_command_line_that_is_empty_or_the_name_of_a_file(
    installation: Installation, tmp_path: Path
) -> None:
    with installation.app() as app:
        installation.connect(app)
    (tmp_path / "comm.sql").write_text("SELECT 1 AS a FROM events")
    (tmp_path / "empty.sql").touch()
    for given, said in (
        ("", "[query_empty]"),
        ("@empty.sql", "[query_empty]"),
        ("comm.sql", "To read it from the file: --sql @comm.sql"),
        ("x" * 5000, "[sql_refused]"),
        ("~nobody-of-that-name/a.sql", "[sql_refused]"),
    ):
        words = ("export", "create", "x", "--connection", CONNECTION, "--table", "x", "--key", "a", "--sql", given)
        done = subprocess.run(
            [sys.executable, "-m", "tidemill", *words],
            cwd=tmp_path, env=installation.environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    assert installation.run("export", "list", "--json").stdout.strip() == "[]"


def test_who_deletes_an_export_that_appends_is_told_that_a_new_one_sends_all_rows_again(
    installation: Installation, tmp_path: Path
) -> None:
    with installation.app() as app:
        installation.connect(app)
        write_events(tmp_path / "events.jsonl", 3)
        app.events.load(str(tmp_path / "events.jsonl"))
        for name, key in (("unused", ()), ("appends", ()), ("merges", ("uuid",))):
            sql = f"SELECT uuid FROM events WHERE {NEW}"
            app.exports.create(CONNECTION, {"name": name, "table": name, "sql": sql, "key": key}, by="t")
            if name != "unused":  # which has sent nothing
                app.exports.run(name, by="t")
    assert "drop that one first" not in installation.run("export", "delete", "unused", "--yes").stderr
    assert "drop that one first" in installation.run("export", "delete", "appends", "--yes").stderr
    assert "drop that one first" not in installation.run("export", "delete", "merges", "--yes").stderr


def test_a_value_that_cannot_be_cast_is_null_in_the_example_of_the_how_to(installation: Installation) -> None:
    page = (Path(__file__).parents[3] / "docs" / "howto" / "custom-sql.md").read_text()
    sql = page.split("-- orders.sql\n")[1].split("```")[0]
    assert "TRY_CAST(" in sql
    with installation.app() as app:
        names = [column.name for column in custom_sql.describe(app.lake, sql)]
    assert names == ["uuid", "distinct_id", "timestamp", "total"]


@pytest.mark.parametrize(
    "where",
    [
        "event = 'e1' || chr(0) AND distinct_id = 'd1'') this would be SQL of the catalog'",
        "event > 'e1' || chr(0) AND distinct_id >= 'd1'') this would be SQL of the catalog'",
        "event IN ('e1' || chr(0), 'e2'') this would be SQL of the catalog')",
    ],
)
def test_what_a_query_compares_texts_with_is_never_sql_of_the_catalog(
    installation: Installation, tmp_path: Path, where: str
) -> None:
    with installation.app() as app:
        (tmp_path / "events.jsonl").write_text(
            "\n".join(json.dumps({"event": f"e{n % 3}", "distinct_id": f"d{n}", "uuid": f"u{n}"}) for n in range(2_000))
        )
        app.events.load(str(tmp_path / "events.jsonl"))
        with app.lake.cursor() as cursor:
            found = cursor.execute(
                custom_sql.over(f"SELECT count(*) FROM events WHERE NOT ({where})", "true")
            ).fetchall()
            cursor.execute(custom_sql.over(f"SELECT uuid FROM events WHERE {where}", "true")).fetchall()
    assert found == [(2_000,)] or "event >" in where
