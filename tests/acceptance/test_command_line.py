"""The command line, as a user types it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import typer
from tests.installation import CONNECTION, Installation, write_events
from typer.testing import CliRunner

from tidemill.cli.main import app

#: A number that no database holds.
TOO_LARGE = "99999999999999999999"


def commands() -> list[list[str]]:
    """Every command there is, from the help of the program itself."""
    found: list[list[str]] = []

    def walk(command: object, words: list[str]) -> None:
        inner = getattr(command, "commands", None)
        if inner is None:
            found.append(words)
            return
        for name, child in inner.items():
            walk(child, [*words, name])

    walk(typer.main.get_command(app), [])
    return found


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_has_help_with_an_example(words: list[str]) -> None:
    done = CliRunner().invoke(app, [*words, "--help"])
    assert done.exit_code == 0
    assert "Example:" in done.stdout


def test_from_key_to_rows_by_the_command_line_alone(installation: Installation, tmp_path: Path) -> None:
    installation.environment["TIDEMILL_HOME"] = str(installation.home)
    key = tmp_path / "key.json"
    key.write_text(json.dumps(installation.local.key()))
    target = f"tidemill-local:{installation.dataset}"
    added = installation.run("connection", "add", CONNECTION, "--dataset", target, "--key", str(key))
    assert added.returncode == 0, added.stderr
    assert "was understood as the dataset" in added.stderr
    uuids = write_events(tmp_path / "events.jsonl", 30)
    loaded = installation.run("events", "load", str(tmp_path / "events.jsonl"), "--json")
    assert json.loads(loaded.stdout)[0]["rows"] == 30
    made = installation.run(
        "export", "create", "daily", "--connection", CONNECTION, "--table", f"{target}:MyExportTable"
    )
    assert made.returncode == 0, made.stderr
    assert "was understood as the table MyExportTable" in made.stderr
    assert "scheduler" not in made.stderr
    timed = installation.run(
        "export", "create", "timed", "--connection", CONNECTION, "--interval", "day", "--table", "t"
    )
    assert "00:00 UTC first, if tidemill serve does" in timed.stderr
    tried = installation.run("export", "test", "daily")
    assert tried.returncode == 0, tried.stderr + tried.stdout
    assert uuids[-1] in tried.stdout, "some of the rows are shown"
    run = installation.run("export", "run", "daily", "--json")
    (view,) = json.loads(run.stdout)
    assert (view["status"], view["rows_done"]) == ("completed", 30)
    assert installation.uuids("MyExportTable") == uuids
    nothing = installation.run("export", "run", "daily")
    assert "nothing new" in nothing.stderr
    shown = installation.run("export", "run", "show", view["short_id"], "--json")
    assert json.loads(shown.stdout)["chunks"][0]["job_id"].startswith("tidemill_")
    listed = json.loads(installation.run("connection", "list", "--json").stdout)
    assert (listed[0]["location"], listed[0]["status"]["state"]) == ("EU", "ready")
    assert "private_key" not in added.stdout + added.stderr + json.dumps(listed)
    for name in ("BEGIN PRIVATE KEY", json.loads(key.read_text())["private_key_id"]):
        stored = b"".join(path.read_bytes() for path in installation.home.rglob("*") if path.is_file())
        assert name.encode() not in stored


def test_exit_codes_say_what_kind_of_error_it_was(installation: Installation, tmp_path: Path) -> None:
    cases = {
        ("export", "run", "none"): 4,
        ("connection", "show", "none"): 4,
        ("events", "load", str(tmp_path / "none.jsonl")): 2,
        ("export", "create", "x", "--connection", "none", "--table", "t"): 4,
        ("events", "count", "--by", "mood"): 2,
        ("export", "run", "retry", "00000000"): 4,
        ("model", "show", "none"): 4,
        ("events", "load"): 2,
        ("persons", "show", "a", "--team", TOO_LARGE): 2,
        ("events", "count", "--team", TOO_LARGE): 2,
        ("export", "create", "x", "--connection", "none", "--team", TOO_LARGE): 2,
        ("export", "runs", "--limit", TOO_LARGE): 2,
        ("events", "rejects", "dismiss", TOO_LARGE, "--yes"): 2,
    }
    for words, code in cases.items():
        done = installation.run(*words)
        assert done.returncode == code, (words, done.stderr)
        assert ("too large a number" in done.stderr) == (TOO_LARGE in words)
        assert "Traceback" not in done.stderr
    (tmp_path / "key.json").write_text('{"type": "authorized_user"}')
    wrong = installation.run("connection", "add", "x", "--dataset", "d", "--key", str(tmp_path / "key.json"))
    assert wrong.returncode == 2
    assert "--adc" in wrong.stderr


def test_a_taken_name_is_said_before_the_connection_is_tested(installation: Installation) -> None:
    with installation.app() as app:
        installation.connect(app)
    before = len(installation.local.requests())
    done = installation.run("connection", "add", CONNECTION.upper(), "--dataset", installation.dataset, "--adc")
    assert done.returncode == 5
    assert "already" in done.stderr
    assert len(installation.local.requests()) == before


def test_a_connection_with_a_missing_permission_is_not_saved_and_leaves_nothing(
    installation: Installation, tmp_path: Path
) -> None:
    key = tmp_path / "key.json"
    key.write_text(json.dumps(installation.local.key("limited-two", deny=["bigquery.tables.create"])))
    done = installation.run("connection", "add", CONNECTION, "--dataset", installation.dataset, "--key", str(key))
    assert done.returncode == 3
    assert "bigquery.tables.create" in done.stdout
    assert "GRANT" in done.stdout
    assert installation.run("connection", "list", "--json").stdout.strip() == "[]"
    client = installation.client()
    assert client.list_tables(installation.dataset) == []
    client.close()


def test_the_demo_runs_twice_and_adds_nothing_the_second_time(tmp_path: Path, installation: Installation) -> None:
    home = str(tmp_path / "demo")
    for added in (True, False):
        done = installation.run("demo", TIDEMILL_HOME=home)
        assert done.returncode == 0, done.stderr
        assert "0 missing, 0 duplicated" in done.stdout
        assert "39,244" in done.stdout
        assert ("nothing to add" in done.stdout) is not added
    assert installation.run("local", "stop", TIDEMILL_HOME=home).returncode == 0


def test_of_several_files_the_good_ones_go_in_and_each_bad_one_is_named(
    installation: Installation, tmp_path: Path
) -> None:
    write_events(tmp_path / "a.jsonl", 3)
    (tmp_path / "b.jsonl").touch()
    (tmp_path / "c.csv").write_text("price,color\n1,red\n")
    write_events(tmp_path / "d.jsonl", 3, first=100)
    done = installation.run("events", "load", *(str(tmp_path / n) for n in ("a.jsonl", "b.jsonl", "c.csv", "d.jsonl")))
    assert done.returncode == 2
    assert "b.jsonl is empty" in done.stderr
    assert "c.csv: " in done.stderr
    assert installation.run("events", "count").stdout.strip() == "6"
    alone = installation.run("events", "load", str(tmp_path / "b.jsonl"), "--json")
    assert (alone.returncode, json.loads(alone.stdout)["error"]["code"]) == (2, "file_empty")


def test_what_an_event_says_does_not_steer_the_terminal(installation: Installation, tmp_path: Path) -> None:
    event = {"uuid": "u", "event": "\x1b[31mred", "distinct_id": "a", "timestamp": "2026-01-01T00:00:00Z"}
    (tmp_path / "a.jsonl").write_text(json.dumps({**event, "properties": {}}))
    installation.run("events", "load", str(tmp_path / "a.jsonl"))
    shown = installation.run("events", "count", "--by", "event").stdout + installation.run("events", "show").stdout
    assert "\x1b" not in shown
    assert "\\x1b[31mred" in shown


def test_output_that_goes_nowhere_is_no_bug(installation: Installation, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"event":"sighted","distinct_id":"Ünal 雪","uuid":"1"}\n')
    installation.run("events", "load", str(tmp_path / "a.jsonl"))
    words = installation.command("events", "show")
    for redirect, code in ((">&-", 0), (">/dev/full", 2), ("2>&-", 0)):
        for more in ([], ["--json"]):
            shell = f'"$@" {redirect}'
            done = subprocess.run(
                ["sh", "-c", shell, "sh", *words, *more], env=installation.environment, capture_output=True, check=False
            )
            assert done.returncode == code, (redirect, done.stderr)
            assert b"Traceback" not in done.stderr
            assert (b"No space left" in done.stderr) == (code == 2)
    for more in ([], ["--json"]):
        ascii_only = installation.environment | {"PYTHONIOENCODING": "ascii"}
        done = subprocess.run([*words, *more], env=ascii_only, capture_output=True, check=True)
        assert b"Traceback" not in done.stderr
    assert json.loads(done.stdout)[0]["distinct_id"] == "Ünal 雪"


def test_a_key_goes_into_a_file_of_its_own(installation: Installation, tmp_path: Path) -> None:
    """The target of a link keeps what it has and may; what is no file is left alone, and no permission is changed."""
    other = tmp_path / "other"
    other.write_text("mine")
    other.chmod(0o644)
    (tmp_path / "link.json").symlink_to(other)
    installation.run("local", "key", "--out", str(tmp_path / "link.json"))
    assert other.read_text() == "mine"
    assert other.stat().st_mode & 0o777 == 0o644
    assert json.loads((tmp_path / "link.json").read_text())["type"] == "service_account"
    assert (tmp_path / "link.json").stat().st_mode & 0o777 == 0o600
    before = {path: path.read_text() for path in (installation.home / "bigquery").rglob("*.json")}
    assert before
    for target in (tmp_path, Path("/dev/full"), tmp_path / "none" / "key.json"):
        failed = installation.run("local", "key", "--deny", "bigquery.jobs.create", "--out", str(target))
        assert failed.returncode == 2
        assert str(target.parent) in failed.stderr
    assert {path: path.read_text() for path in (installation.home / "bigquery").rglob("*.json")} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "link.json", "other"]


def test_a_path_that_cannot_be_written_is_named(installation: Installation, tmp_path: Path) -> None:
    done = installation.run("events", "rejects", "export", "--out", str(tmp_path / "nowhere" / "x"))
    assert done.returncode == 2
    assert "nowhere" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_embedded_bigquery_that_is_stopped_is_named_with_the_command_that_starts_it(
    installation: Installation, tmp_path: Path
) -> None:
    key = {**installation.local.key("stopped"), "token_uri": "http://127.0.0.1:9/token"}
    (tmp_path / "key.json").write_text(json.dumps(key))
    added = installation.run(
        *("connection", "add", "w", "--dataset", "d", "--key", str(tmp_path / "key.json"), "--no-test")
    )
    assert added.returncode == 0, added.stderr
    done = installation.run("connection", "test", "w", TIDEMILL_RETRY_DEADLINE_SECONDS="1")
    assert "tidemill local start" in done.stdout


def test_a_person_is_shown_and_deleted(installation: Installation, tmp_path: Path) -> None:
    event = {"uuid": "u", "event": "$identify", "distinct_id": "ana", "timestamp": "2026-01-01T00:00:00Z"}
    properties = {"$anon_distinct_id": "anon", "$set": {"plan": "pro"}}
    (tmp_path / "a.jsonl").write_text(json.dumps({**event, "properties": properties}))
    installation.run("events", "load", str(tmp_path / "a.jsonl"))
    shown = json.loads(installation.run("persons", "show", "anon", "--json").stdout)
    assert (shown["distinct_ids"], shown["properties"], shown["identified"]) == (
        ["ana", "anon"],
        '{"plan":"pro"}',
        True,
    )
    assert installation.run("persons", "delete", "ana", "--yes").returncode == 0
    gone = installation.run("persons", "show", "ana")
    assert (gone.returncode, "person_unknown" in gone.stderr) == (4, True)
