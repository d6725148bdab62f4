"""Our dbt package on tables that Tidemill has written: with dbt itself, and without."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests import dbt_package, dbt_program
from tests.dbt_package import Package
from tests.dbt_program import needs_dbt
from tests.installation import CONNECTION, Installation
from tests.syncs import NAME, Crm, People, prepare
from tests.syncs import run as run_sync

from tidemill.app import App
from tidemill.bigquery.local.service import DEFAULT_PROJECT

SESSION = "0190a000-0000-7000-8000-000000000001"
ROW = {n: f"00000000-0000-5000-8000-{n:012d}" for n in range(4)}
USES = dict.fromkeys((f"tidemill_use_{name}" for name in ("amplitude", "runs", "syncs")), True)


@pytest.fixture
def app(installation: Installation) -> Iterator[App]:
    with installation.app(outbound_allow="127.0.0.1") as opened:
        yield opened


def load(app: App, folder: Path, format_name: str, *lines: dict[str, Any]) -> None:
    file = folder / f"{os.urandom(6).hex()}.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    assert app.events.load(str(file), format_name).rejects == 0


def event(uuid: str, name: str = "hit", who: str = "ana", **properties: Any) -> dict[str, Any]:
    at = "2026-01-02T03:04:05Z"
    return {"uuid": uuid, "event": name, "distinct_id": who, "timestamp": at, "properties": properties}


def imported(uuid: str, row: int, run: int, name: str = "order", **properties: Any) -> dict[str, Any]:
    """What an import that follows its rows makes of one."""
    kept = {"$import_id": "a" * 32, "$import": "orders", "$import_run": run, "$import_row": ROW[row], **properties}
    return event(uuid, name, "buyer", **kept)


class Warehouse:
    """Tables that exports and a sync have written, and the package on them."""

    def __init__(self, installation: Installation, people: People) -> None:
        self._installation, self._people = installation, people
        self.variables = {
            **USES,
            "tidemill_dataset": installation.dataset,
            "tidemill_syncs_dataset": f"{installation.dataset}_state",
        }
        self.into = f"{installation.dataset}_dbt"
        installation.local.create_dataset(self.into, "EU")

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        return self._people.ask(sql)

    def rows(self, model: str, columns: str, order: str = "1, 2") -> list[tuple[Any, ...]]:
        """Rows of a model that was built."""
        return self.ask(f"SELECT {columns} FROM `{self.into}.{model}` ORDER BY {order}")

    def double(self, table: str) -> None:
        """Have each row in a table twice: what BigQuery does not prevent."""
        self.ask(
            f"INSERT INTO `{self._installation.dataset}.{table}` SELECT * FROM `{self._installation.dataset}.{table}`"
        )


@pytest.fixture
def warehouse(
    request: pytest.FixtureRequest, installation: Installation, app: App, people: People, crm: Crm, tmp_path: Path
) -> Warehouse:
    people.rows[7] = ("p7@example.com", "bad")
    people.save()
    prepare(app, installation, people, crm, write_back_days=30)
    run_sync(app)
    of_json = {"json_type": request.param == "JSON"}  # each of the tests with one of the two: it takes a while
    for name, fields in {
        "events": {"run_log": True, **of_json},
        "persons": of_json,
        "sessions": {},
        "amplitude_events": {"team_id": 1},
        "merge_ids": {"team_id": 1},
    }.items():
        app.exports.create(CONNECTION, {"name": name, "model": name, **fields}, by="me")
    fill(app, tmp_path)
    for name in ("events", "persons", "sessions", "amplitude_events", "merge_ids", "events"):
        app.exports.run(name, by="me")
    assert app.identity.delete(1, "gone")
    app.exports.run("persons", by="me")
    found = Warehouse(installation, people)
    found.double("events")
    return found


def fill(app: App, folder: Path) -> None:
    """Events of people who join, of a session, and of an import that has run three times."""
    load(
        app,
        folder,
        "posthog",
        event("e1", "$pageview", **{"$session_id": SESSION, "$current_url": "https://a/"}),
        event("e2", who="p"),
        event("e3", who="q"),
        event("e4", who="r"),
        event("e5", "$merge_dangerously", "q", alias="p"),
        event("e6", "$merge_dangerously", "r", alias="q"),
        event("e7", "$set", "ana", **{"$set": {"plan": "pro"}}),
        event("e8", "$set", "gone", **{"$set": {"plan": "free"}}),
        # Row 0 stays, row 1 changes twice, row 2 is deleted, row 3 is deleted and comes back.
        *(imported(f"i{row}", row, 1, amount=1) for row in range(4)),
        imported("i1b", 1, 2, amount=2),
        imported("i1c", 1, 3, amount=3),
        imported("i2d", 2, 2, "$deleted"),
        imported("i3d", 3, 2, "$deleted"),
        imported("i3e", 3, 3, amount=4),
        event("e9", "$deleted", note="of somebody else"),
    )


def assert_built(warehouse: Warehouse) -> None:
    """The models say what the tables hold."""
    events = warehouse.rows("stg_tidemill__events", "uuid, event, import_run, import_row, import_name")
    assert [row for row in events if row[3] is not None] == [
        ("i0", "order", 1, ROW[0], "orders"),
        ("i1c", "order", 3, ROW[1], "orders"),
        ("i3e", "order", 3, ROW[3], "orders"),
    ]
    assert [row[0] for row in events if row[3] is None] == [f"e{n}" for n in range(1, 10)]
    ids = dict(warehouse.rows("stg_tidemill__person_distinct_ids", "distinct_id, person_id"))
    assert set(ids) == {"ana", "buyer", "p", "q", "r"}, "and nobody who was deleted"
    assert ids["p"] == ids["q"] == ids["r"]
    people = {row[0]: row[1] for row in warehouse.rows("stg_tidemill__persons", "person_id, distinct_ids", "1")}
    assert people[ids["p"]] == ["p", "q", "r"]
    assert len(people) == len(set(ids.values()))
    assert warehouse.rows("stg_tidemill__sessions", "session_id, pageview_count") == [(SESSION, 1)]
    merges = warehouse.rows(
        "stg_tidemill__merge_ids", "amplitude_id, merged_amplitude_id, resolved_amplitude_id, merge_count"
    )
    (first, second, end, steps), (_, last, resolved, _) = merges
    assert (steps, second, last, end, resolved) == (2, merges[1][0], end, end, end)
    assert first != end
    numbers = dict(warehouse.rows("stg_tidemill__amplitude_events", "uuid, resolved_amplitude_id"))
    assert numbers["e2"] == numbers["e3"] == numbers["e4"] == end
    runs = warehouse.rows("stg_tidemill__runs", "export, status, row_count, run_seconds >= 0", "logged_at")
    assert runs == [("events", "completed", 18, True), ("events", "empty", 0, True)]
    ((export, table, covered),) = warehouse.rows(
        "stg_tidemill__coverage", "export, table_name, covers_until <= last_logged_at"
    )
    assert (export, str(table).endswith(".events"), covered) == ("events", True, True)
    assert warehouse.rows("stg_tidemill__sync_runs", "sync_name, run_number, status, written") == [
        (NAME, 1, "completed", 19)
    ]
    refused = ("7", NAME, "rejected", "webhook_rejected")
    assert warehouse.rows("stg_tidemill__sync_rejects", "row_key, sync_name, status, failure_code") == [refused]
    assert len(warehouse.rows("stg_tidemill__sync_changelog", "row_key, sync_name")) == 20
    assert {row[1] for row in warehouse.rows("stg_tidemill__sync_snapshot", "row_key, sync_name")} == {NAME}


@pytest.mark.parametrize("warehouse", ["JSON"], indirect=True)
def test_its_statements_say_what_the_tables_hold(warehouse: Warehouse) -> None:
    package = Package(DEFAULT_PROJECT, warehouse.into, warehouse.variables)
    for model in package.models():
        warehouse.ask(f"CREATE VIEW {package.relation(model)} AS {package.sql(model)}")
    assert_built(warehouse)


@needs_dbt
@pytest.mark.parametrize("warehouse", ["STRING"], indirect=True)
def test_dbt_builds_it_and_its_tests_hold(warehouse: Warehouse, installation: Installation, tmp_path: Path) -> None:
    (tmp_path / "key.json").write_text(json.dumps(installation.local.key("tidemill-admin")))
    output = {
        "type": "bigquery",
        "method": "service-account",
        "keyfile": str(tmp_path / "key.json"),
        "project": DEFAULT_PROJECT,
        "dataset": warehouse.into,
        "location": "EU",
        "threads": 2,
        "api_endpoint": installation.local.status().url,
    }
    profile = {"tidemill": {"target": "here", "outputs": {"here": output}}}
    (tmp_path / "profiles.yml").write_text(json.dumps(profile))
    words = ["build", "--profile", "tidemill", "--target-path", str(tmp_path / "target"), "--log-path", str(tmp_path)]
    words += ["--vars", json.dumps(warehouse.variables)]
    done = dbt_program.run(*words, folder=dbt_package.FOLDER, profiles=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "ERROR=0" in done.stdout
    assert_built(warehouse)
    results = json.loads((tmp_path / "target" / "run_results.json").read_text())["results"]
    assert {one["status"] for one in results} == {"success", "pass"}
    assert sum(one["unique_id"].startswith("test.") for one in results) > 30
