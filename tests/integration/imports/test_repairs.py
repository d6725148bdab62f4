"""Rows that were refused and are repaired: what is taken in, what is not, and what becomes of them afterwards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.imports import Shop, make, prepare, properties, quiet, run, stored
from tests.installation import Installation

from tidemill.app import App
from tidemill.errors import ConflictError, NotFoundError
from tidemill.imports import repairs
from tidemill.imports.spec import Kind

PEOPLE: dict[str, Any] = {
    "identity": "id",
    "properties": [{"column": "age", "name": "age", "type": "integer"}],
    "mode": "mirror",
    "delete_brake": 1.0,
}


@pytest.fixture
def app(installation: Installation) -> Any:
    with installation.app() as opened:
        yield opened


@pytest.fixture(params=["full", "read-only"])
def shop(app: App, installation: Installation, request: pytest.FixtureRequest) -> Shop:
    return prepare(app, installation, request.param)


def table(shop: Shop, *rows: tuple[str, str]) -> None:
    """A table of people, and their ages as texts."""
    some = ", ".join(f"STRUCT('{name}' AS id, '{age}' AS age)" for name, age in rows)
    shop.ask(f"CREATE OR REPLACE TABLE `{{d}}.people` AS SELECT id, age FROM UNNEST([{some}])")


def refused(app: App, tmp_path: Path) -> dict[str, dict[str, Any]]:
    """Rows as they are written to a file, by key."""
    app.reverse_etl.rejects.export("people", tmp_path / "refused.jsonl")
    rows = map(json.loads, (tmp_path / "refused.jsonl").read_text().split("\n")[:-1])
    return {row["key"]: row for row in rows}


def repaired(app: App, tmp_path: Path, age: str) -> list[dict[str, Any]]:
    """The same, all of that age."""
    return [{**row, "row": {**row["row"], "age": age}} for row in refused(app, tmp_path).values()]


def test_a_row_that_was_repaired_counts_as_delivered(app: App, shop: Shop, tmp_path: Path) -> None:
    table(shop, ("ana", "x"), ("bo", "x"), ("cy", "x"), ("dee", "4"))
    make(app, shop, "people", "people", Kind.PEOPLE, PEOPLE)
    assert run(app, "people").rejected == 3
    assert app.imports.repair("people", repaired(app, tmp_path, "7"), quiet()) == (3, [])
    assert refused(app, tmp_path) == {}
    over = run(app, "people", force=True)
    assert (over.added, over.updated, over.deleted, over.rejected) == (0, 0, 0, 0)
    assert properties(app, "ana") == {"age": 7}
    table(shop, ("ana", "x"), ("bo", "8"), ("dee", "4"))
    over = run(app, "people")
    assert (over.added, over.updated, over.deleted, over.written) == (0, 1, 1, 2)
    assert (properties(app, "ana"), properties(app, "bo")) == ({"age": 7}, {"age": 8})
    with pytest.raises(NotFoundError):
        properties(app, "cy")


def test_rows_that_cannot_be_repaired_are_told_and_the_others_are_taken(
    app: App, shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repairs, "_AT_ONCE", 2)
    table(shop, ("ana", "x"), ("bo", "x"), ("cy", "x"), ("two", "1"), ("two", "2"))
    make(app, shop, "people", "people", Kind.PEOPLE, PEOPLE)
    run(app, "people")
    rows = {row["key"]: row for row in repaired(app, tmp_path, "7")}
    assert rows["two"]["status"] == "invalid"
    rows["bo"]["row"] = None
    unknown = {"key": "nobody", "row": {"id": "nobody", "age": "1"}}
    number, errors = app.imports.repair("people", [unknown, *rows.values(), rows["ana"]], quiet())
    assert number == 2
    assert sorted((error.key, error.code) for error in errors) == [
        ("ana", "row_unknown"),  # it is there twice
        ("bo", "row_missing"),
        ("nobody", "row_unknown"),
        ("two", "key_duplicate"),
    ]
    assert all(error.message for error in errors)
    assert sorted(one["distinct_id"] for one in stored(app)) == ["ana", "cy"]
    assert sorted(refused(app, tmp_path)) == ["bo", "two"]


def test_rows_are_not_repaired_while_it_runs(app: App, shop: Shop, tmp_path: Path) -> None:
    table(shop, ("ana", "x"))
    make(app, shop, "people", "people", Kind.PEOPLE, PEOPLE)
    run(app, "people")
    rows = repaired(app, tmp_path, "7")
    locks = app.reverse_etl.syncs.parts.locks
    with locks.attempt(f"sync:{app.imports.get('people').id}"), pytest.raises(ConflictError) as caught:
        app.imports.repair("people", rows, quiet())
    assert caught.value.code == "sync_running"
    assert app.imports.repair("people", rows, quiet()) == (1, [])
