"""Imports on the command line, as a user types them: the commands of the guide, and what they say of bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.installation import CONNECTION, Installation

MAPPED = ("--events", "--identity", "user_id", "--event", "Order Placed", "--time", "created_on", "--map")


@pytest.fixture
def shop(installation: Installation, tmp_path: Path) -> Installation:
    """An installation whose connection is a source, with a table of users and one of orders."""
    key = tmp_path / "key.json"
    key.write_text(json.dumps(installation.local.key("tidemill")))
    ask(installation, "CREATE TABLE {d}.users AS SELECT 'ana' AS user_id, 'ana@example.com' AS email, 'pro' AS plan")
    rows = ((1, "ana", "19.90"), (2, "ben", "5"), (3, "n/a", "7"), (4, "ben", "five"))
    orders = " UNION ALL ".join(
        f"SELECT {key} AS id, '{who}' AS user_id, '{total}' AS total" for key, who, total in rows
    )
    times = "TIMESTAMP '2026-11-20 10:00:00' AS created_on"
    ask(installation, f"CREATE TABLE {{d}}.orders AS SELECT *, {times} FROM ({orders})")
    added = ("connection", "add", CONNECTION, "--dataset", installation.dataset, "--key", str(key), "--no-test")
    assert installation.run(*added).returncode == 0
    enabled = installation.run("reverse-etl", "enable", CONNECTION, "--access", "read-only")
    assert enabled.returncode == 0, enabled.stderr
    return installation


def ask(installation: Installation, sql: str) -> None:
    """Do it in BigQuery."""
    client = installation.client()
    client.google().query(sql.format(d=installation.dataset), location="EU").result()
    client.close()


def said(shop: Installation, *words: str, code: int = 0) -> str:
    """What a command prints, and says, if it ends with this code."""
    done = shop.run(*words)
    assert done.returncode == code, (words, done.stdout, done.stderr)
    return done.stdout + done.stderr


def found(shop: Installation, *words: str, code: int = 0) -> Any:
    """The same, as JSON."""
    done = shop.run(*words, "--json")
    assert done.returncode == code, (words, done.stdout, done.stderr)
    return json.loads(done.stdout)


def create(shop: Installation, name: str, table: str, key: str) -> None:
    """A draft."""
    words = ("--connection", CONNECTION, "--table", f"{shop.dataset}.{table}", "--key", key)
    assert f"tidemill import preview {name}" in said(shop, "import", "create", name, *words)


def test_rows_become_events_what_is_refused_is_repaired_and_all_is_taken_back(
    shop: Installation, tmp_path: Path
) -> None:
    create(shop, "orders", "orders", "id")
    assert {row["total"] for row in found(shop, "import", "preview", "orders")["rows"]} == {"19.90", "5", "7", "five"}
    mapped = said(shop, "import", "map", "orders", *MAPPED, "total=price:float", "--skip", "id")
    assert "event Order Placed" in mapped
    tried = found(shop, "import", "dry-run", "orders", code=6)
    assert (tried["rows"], tried["good"], tried["written"]) == (4, 2, False)
    assert {error["column"] for error in tried["errors"]} == {"user_id", "total"}
    ran = said(shop, "import", "run", "orders", code=6)
    assert "2 rows rejected. See why: tidemill import rejects list orders" in ran
    shown = found(shop, "import", "show", "orders")
    assert (shown["status"], shown["health"], shown["succeeded"]) == ("ready", "yellow", 50.0)
    refused = {row["key"]: row["code"] for row in found(shop, "import", "rejects", "list", "orders")}
    assert refused == {"3": "identity_refused", "4": "property_type"}
    file = tmp_path / "refused.jsonl"
    said(shop, "import", "rejects", "export", "orders", "--code", "property_type", "--out", str(file))
    file.write_text(file.read_text().replace('"five"', '"5"'))
    assert "1 row taken" in said(shop, "import", "rejects", "repair", "orders", "--file", str(file))
    assert "import rejects list" in said(shop, "import", "rejects", "retry", "orders", code=6)
    assert found(shop, "import", "run", "show", "orders", "1")["rejected"] == 2
    assert "The plan is made" in said(shop, "import", "logs", "orders")
    assert len(found(shop, "events", "show")) == 3
    assert "events: 3 events deleted" in said(shop, "import", "undo", "orders", "--yes")
    assert found(shop, "events", "show") == []
    assert found(shop, "import", "list", "--status", "stopped")[0]["name"] == "orders"


def test_an_import_is_scheduled_changed_and_run_once(shop: Installation) -> None:
    create(shop, "users", "users", "user_id")
    assert "import_draft" in said(shop, "import", "run", "users", code=2)
    assert "import_draft" in said(shop, "import", "schedule", "users", "--interval", "hour", code=2)
    said(shop, "import", "map", "users", "--people", "--suggest")
    assert found(shop, "import", "schedule", "users", "--interval", "hour")["status"] == "scheduled"
    assert found(shop, "import", "edit", "users", "--max-bytes-billed", "1GB")["max_bytes_billed"] == 1_000_000_000
    assert "tidemill import edit --help" in said(shop, "import", "edit", "users", code=2)
    assert "tidemill import unpause users" in said(shop, "import", "pause", "users")
    said(shop, "import", "unpause", "users")
    said(shop, "import", "schedule", "users", "--once")
    assert found(shop, "import", "run", "users")["written"] == 1
    assert found(shop, "import", "list")[0]["status"] == "completed"
    assert "import_completed" in said(shop, "import", "run", "users", code=5)
    changed = said(shop, "import", "map", "users", "--people", "--identity", "user_id", "--skip-others", code=2)
    assert "--resend" in changed
    assert "--leave" in changed


def test_what_is_wrong_is_said_with_what_to_do(shop: Installation, tmp_path: Path) -> None:
    create(shop, "orders", "orders", "id")
    table = ("--connection", CONNECTION, "--table", f"{shop.dataset}.orders")
    map_ = ("import", "map", "orders", *MAPPED)
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"key": "1", "row": {}}\nno JSON\n')
    cases: list[tuple[tuple[str, ...], int, str]] = [
        (("import", "create", "more", *table), 2, "--key id"),
        (("import", "create", "orders", *table, "--key", "id"), 5, "There is an import 'orders' already."),
        (("import", "create", "more", "--key", "id", "--sql", "SELECT 1 AS id"), 2, "--connection NAME"),
        (("import", "create", "more", "--connection", CONNECTION, "--ga4", shop.dataset), 2, "ga4_tables"),
        (("import", "create", "more", "--connection", CONNECTION, "--ga4", "x", "--since", "today"), 2, "2026-01-31"),
        ((*map_, "amount=price", "--skip-others"), 2, "There is no column 'amount'."),
        ((*map_, "total=price:flaot", "--skip-others"), 2, "'flaot' is no type"),
        ((*map_, "created_on=day:date:yy", "--skip-others"), 2, "'yy' is no format"),
        ((*map_, "=price", "--skip-others"), 2, "is no COLUMN=PROPERTY:TYPE"),
        ((*map_, "total"), 2, "It is not said what becomes of id."),
        (("import", "map", "orders", "--identity", "user_id"), 2, "--people, --events or --deletions"),
        (("import", "dry-run", "orders"), 2, "import_draft"),
        (("import", "list", "--status", "lost"), 2, "One of draft, ready"),
        (("import", "list", "--type", "cats"), 2, "One of people, events, deletions."),
        (("import", "list", "--created-on", "today"), 2, "2026-01-01..2026-01-31"),
        (("import", "rejects", "repair", "orders", "--file", str(bad)), 2, "line 2: it is no JSON object"),
        (("import", "show", "nobody"), 4, "Imports: orders."),
        (("import", "reset", "orders", "--leave", "--adopt"), 2, "One of --resend, --leave and --adopt."),
        (("sync", "run", "orders"), 4, "orders is an import."),
        (("sync", "delete", "orders", "--yes"), 4, "tidemill import show orders"),
    ]
    for words, code, expected in cases:
        assert expected in said(shop, *words, code=code), words
    assert found(shop, "import", "show", "nobody", code=4)["error"]["code"] == "import_unknown"


def test_a_sync_to_another_tool_is_no_import(shop: Installation, tmp_path: Path) -> None:
    folder = {"TIDEMILL_OUTBOUND_FOLDERS": str(tmp_path)}
    people = ("--connection", CONNECTION, "--table", f"{shop.dataset}.users", "--key", "user_id")
    create(shop, "users", "users", "user_id")
    mapped = ("--map", 'folder="customers"', "--map", "columns=*", "--interval", "none")
    made: tuple[tuple[str, ...], ...] = (
        ("model", "add", "customers", *people),
        ("destination", "add", "files", "out", "--place", f"file://{tmp_path}/out"),
        ("sync", "create", "out", "--model", "customers", "--destination", "out", "--action", "jsonl", *mapped),
    )
    for words in made:
        done = shop.run(*words, **folder)
        assert done.returncode == 0, done.stderr
    assert [one["name"] for one in found(shop, "sync", "list")] == ["out"]
    assert [one["name"] for one in found(shop, "import", "list")] == ["users"]
    for other in (("run", "out"), ("logs", "out"), ("undo", "out", "--yes")):
        assert "out is a sync to another tool." in said(shop, "import", *other, code=4)
    home = ("sync", "create", "home", "--model", "customers", "--destination", "tidemill", "--action", "people")
    assert "tidemill import create --help" in said(shop, *home, "--map", "email=email", code=2)
    taken = ("import", "create", "out", "--connection", CONNECTION, "--key", "user_id", "--table", "x.y")
    assert "There is a sync 'out' already." in said(shop, *taken, code=5)
