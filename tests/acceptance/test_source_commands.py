"""Sources and source models on the command line, as a user types it."""

from __future__ import annotations

import json
import subprocess
import typing
from pathlib import Path
from typing import Any

import pytest
from tests.installation import CONNECTION, Installation

from tidemill.bigquery import grants_source
from tidemill.bigquery.local.service import DEFAULT_PROJECT
from tidemill.cli import reverse_etl
from tidemill.reverse_etl.spec import Access

ACCOUNT = "tidemill@my-project.iam.gserviceaccount.com"


def test_access_is_what_it_may_be() -> None:
    assert typing.get_args(reverse_etl.Access) == tuple(Access)


def test_the_statements_are_printed_without_an_installation(installation: Installation) -> None:
    words = ("reverse-etl", "grants", "--service-account", ACCOUNT, "--location", "EU")
    done = installation.run(*words)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["gcloud", "gcloud", "CREATE", "GRANT"]
    assert lines[2] == 'CREATE SCHEMA IF NOT EXISTS `my-project.__tidemill_reverse_etl` OPTIONS (location = "EU");'
    assert "roles/bigquery.readSessionUser" in done.stderr
    assert json.loads(installation.run(*words, "--json").stdout)["statements"] == lines
    own = installation.run(*words, "--state-dataset", "__segment_reverse_etl").stdout
    assert own.count("`my-project.__segment_reverse_etl`") == 2
    for access, first in (("full", ["gcloud", "gcloud"]), ("read-only", ["gcloud", "gcloud"])):
        lines = installation.run(*words, "--access", access).stdout.splitlines()
        assert [line.split()[0] for line in lines] == first
    assert "default location" in installation.run(*words[:-2]).stderr
    assert "`elsewhere.__tidemill" in installation.run(*words, "--project", "elsewhere").stdout
    nowhere = installation.run(*words[:2], "--location", "EU")
    assert (nowhere.returncode, "--project" in nowhere.stderr) == (2, True)
    for wrong in (("--project", "My Project"), ("--access", "some"), ("--state-dataset", "a b")):
        assert installation.run(*words, *wrong).returncode == 2
    assert installation.run(*words, "--access", "read-only", "--state-dataset", "x").returncode == 2
    assert not installation.home.exists()


def test_models_that_are_exported_are_shown_without_an_installation(installation: Installation) -> None:
    listed = installation.run("model", "list")
    assert listed.returncode == 0, listed.stderr
    assert "No source models" in listed.stderr
    assert {model["kind"] for model in json.loads(installation.run("model", "list", "--json").stdout)} == {"export"}
    assert not installation.home.exists()


@pytest.fixture
def connected(installation: Installation, tmp_path: Path) -> Installation:
    """An installation with a connection, a table of people, and the permissions of limited access."""
    client = installation.client()
    table = f"{DEFAULT_PROJECT}.{installation.dataset}.people"
    rows = "SELECT id, IF(id = 3, NULL, 'é') AS name FROM UNNEST([1, 2, 3, 3]) AS id"
    client.google().query(f"CREATE TABLE `{table}` AS {rows}", location="EU").result()
    client.close()
    state = [f"{permission}@{_state(installation)}" for permission in grants_source.STATE]
    key = tmp_path / "key.json"
    key.write_text(json.dumps(installation.local.key("source", allow=[*grants_source.READING, *state])))
    words = ("connection", "add", CONNECTION, "--dataset", installation.dataset, "--key", str(key), "--no-test")
    assert installation.run(*words).returncode == 0
    return installation


def _state(installation: Installation) -> str:
    return f"__state_{installation.dataset}"


def _enable(installation: Installation, *more: str) -> subprocess.CompletedProcess[str]:
    words = ("--access", "limited", "--state-dataset", _state(installation))
    return installation.run("reverse-etl", "enable", CONNECTION, *words, *more)


def _added(installation: Installation, statement: Path) -> subprocess.CompletedProcess[str]:
    """A model of a statement in a file."""
    statement.write_text(f"-- people\nSELECT id, name\nFROM {installation.dataset}.people;\n")
    return installation.run(
        *("model", "add", "people", "--connection", CONNECTION, "--sql-file", str(statement), "--key", "ID"),
        *("--max-bytes-billed", "20GB", "--description", "Everybody"),
    )


def _json(installation: Installation, *words: str) -> Any:
    return json.loads(installation.run(*words, "--json").stdout)


def test_a_connection_becomes_a_source_and_is_none_any_more(connected: Installation, tmp_path: Path) -> None:
    refused = _enable(connected)
    assert refused.returncode == 3
    assert f"CREATE SCHEMA IF NOT EXISTS `{DEFAULT_PROJECT}.{_state(connected)}`" in refused.stdout
    assert "no source" in refused.stderr
    assert "is no source yet" in _added(connected, tmp_path / "people.sql").stderr
    connected.local.create_dataset(_state(connected), "EU")
    enabled = _enable(connected, "--json")
    assert enabled.returncode == 0, enabled.stderr
    assert json.loads(enabled.stdout)["access"] == "limited"
    assert _json(connected, "reverse-etl", "list")[0]["connection"] == CONNECTION
    assert _json(connected, "reverse-etl", "show", CONNECTION)["state_dataset"] == _state(connected)
    assert _json(connected, "reverse-etl", "test", CONNECTION)["passed"] is True
    assert _json(connected, "connection", "show", CONNECTION)["source"] == "limited"
    assert _added(connected, tmp_path / "people.sql").returncode == 0
    edited = connected.run("connection", "edit", CONNECTION, "--dataset", connected.dataset, "--no-test")
    assert "tidemill reverse-etl test warehouse" in edited.stderr
    kept = connected.run("connection", "delete", CONNECTION)
    assert kept.returncode == 2
    assert "people" in kept.stdout
    assert connected.run("reverse-etl", "disable", CONNECTION, "--yes").returncode == 5
    assert connected.run("model", "delete", "people", "--yes").returncode == 0
    disabled = connected.run("reverse-etl", "disable", CONNECTION, "--yes")
    assert disabled.returncode == 0
    assert "DROP SCHEMA" in disabled.stderr
    assert connected.run("connection", "delete", CONNECTION, "--yes").returncode == 0


@pytest.fixture
def source(connected: Installation) -> Installation:
    """The same, with the connection a source."""
    connected.local.create_dataset(_state(connected), "EU")
    assert _enable(connected).returncode == 0
    return connected


def test_a_model_is_made_and_seen_beside_those_that_are_exported(source: Installation, tmp_path: Path) -> None:
    added = _added(source, tmp_path / "people.sql")
    assert added.returncode == 0, added.stderr
    assert "2 columns, known by id" in added.stderr
    shown = _json(source, "model", "show", "people")
    assert (shown["kind"], shown["key"], shown["max_bytes_billed"]) == ("source", ["id"], 20_000_000_000)
    assert "FROM" in source.run("model", "show", "people").stdout
    kinds = {model["name"]: model["kind"] for model in _json(source, "model", "list")}
    assert (kinds["people"], kinds["events"]) == ("source", "export")
    listed = source.run("model", "list")
    assert listed.stdout.index("events") < listed.stdout.index("people")
    assert source.run("model", "edit", "people", "--max-bytes-billed", "none").returncode == 0
    assert _json(source, "model", "show", "people")["max_bytes_billed"] is None
    unknown = source.run("model", "show", "nobody")
    assert unknown.returncode == 4
    assert "events" in unknown.stderr


def test_a_models_rows_are_shown_and_its_key_is_checked(source: Installation, tmp_path: Path) -> None:
    assert _added(source, tmp_path / "people.sql").returncode == 0
    previewed = source.run("model", "preview", "people")
    assert previewed.returncode == 0, previewed.stderr
    assert "It reads nothing that is billed" in previewed.stderr
    assert "NULL" in previewed.stdout
    assert "é" in previewed.stdout
    rows = _json(source, "model", "preview", "people")["rows"]
    assert sorted(row["id"] for row in rows) == [1, 2, 3, 3]
    checked = source.run("model", "check", "people")
    assert checked.returncode == 1
    assert "1 key more than once, in 2 rows" in checked.stderr
    counted = _json(source, "model", "check", "people")["keys"]
    assert (counted["rows"], counted["duplicate_keys"], counted["good"]) == (4, 1, False)
    looked = source.run("model", "check", "people", "--no-query", "--json")
    assert looked.returncode == 0
    assert json.loads(looked.stdout)["keys"] is None
    edited = source.run("model", "edit", "people", "--sql", f"SELECT DISTINCT id FROM {source.dataset}.people")
    assert edited.returncode == 0, edited.stderr
    good = source.run("model", "check", "people")
    assert good.returncode == 0
    assert "3 rows, each with a key of its own" in good.stderr


def test_what_is_wrong_with_a_model_is_said(source: Installation, tmp_path: Path) -> None:
    people = f"{source.dataset}.people"
    words = ("model", "add", "people", "--connection", CONNECTION)
    cases: list[tuple[tuple[str, ...], int, str]] = [
        (("--table", people), 2, "--key user_id"),
        (("--key", "id"), 2, "--sql, or --table"),
        (("--key", "id", "--table", people, "--sql", "SELECT 1 AS id"), 2, "--sql and --table are given"),
        (("--key", "id", "--sql", f"SELECT id\nFROM {people}\nWHERE nope"), 2, "nope"),
        (("--key", "id", "--sql", "SELECT 1 AS id; SELECT 2"), 2, "more than one statement"),
        (("--key", "id", "--sql", "DROP TABLE x"), 2, "begins with DROP"),
        (("--key", "nope", "--table", people), 2, "It gives: id, name"),
        (("--key", "id", "--table", f"{people}_not"), 4, "does not find"),
        (("--key", "id", "--sql-file", str(tmp_path / "none.sql")), 2, "cannot be read"),
        (("--key", "id", "--table", people, "--max-bytes-billed", "much"), 2, "no number of bytes"),
        (("--key", "id", "--table", "people"), 2, "dataset.table"),
    ]
    for more, code, said in cases:
        done = source.run(*words, *more)
        assert done.returncode == code, (more, done.stderr)
        assert said in done.stderr, (more, done.stderr)
    assert (
        source.run("model", "add", "people", "--connection", "none", "--table", people, "--key", "id").returncode == 4
    )
    wrong = source.run(*words, "--key", "id", "--sql", "SELECT", "--json")
    assert json.loads(wrong.stdout)["error"]["code"] == "model_sql"
    for command in ("preview", "check", "edit", "delete"):
        assert source.run("model", command, "none", *(["--yes"] if command == "delete" else [])).returncode == 4
