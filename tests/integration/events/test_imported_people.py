"""What is imported becomes people, as what is captured does."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.integration.events.test_identity import load, persons

from tidemill.app import App
from tidemill.destinations.port import Op
from tidemill.events import parse
from tidemill.events.lake import Place
from tidemill.imports import convert
from tidemill.imports.made import Rows, Source
from tidemill.imports.spec import ImportSpec, Kind, Property
from tidemill.settings import Settings

NOW = 1_780_000_000_000_000
PEOPLE = ImportSpec(
    kind=Kind.PEOPLE,
    identity="id",
    properties=(Property(column="plan", name="plan"), Property(column="city", name="city")),
)


@pytest.fixture
def app(tmp_path: Path) -> App:
    return App(Settings(home=tmp_path / "home"))


def bring(app: App, spec: ImportSpec, run: int, rows: Sequence[dict[str, Any]], op: Op = Op.ADDED) -> int:
    """Import rows of a run, of which each has another key. Gives how many events are new."""
    source = Source(uuid.UUID(int=1), "Shop", run, mirrors=True)
    columns = {name: [row.get(name) for row in rows] for name in ("id", "plan", "city")}
    keys = [str(row["id"]) for row in rows]
    made = convert.made(spec, source, Rows(keys, [f"{run}:h"] * len(rows), [op] * len(rows), columns, NOW + run))
    batch = parse.to_arrow(made.events, len(made.positions), spec.team_id)
    return app.lake.append(app.lake.prepare([batch]), Place("import", run)).rows


def test_people_are_as_their_rows_were_last(app: App) -> None:
    with app:
        assert bring(app, PEOPLE, 1, [{"id": "u1", "plan": "free", "city": "Linz"}, {"id": "u2", "plan": "pro"}]) == 2
        assert bring(app, PEOPLE, 2, [{"id": "u1", "plan": "pro", "city": None}], Op.UPDATED) == 1
        assert bring(app, PEOPLE, 3, [{"id": "u1", "plan": "free", "city": None}], Op.UPDATED) == 1
        assert bring(app, PEOPLE, 3, [{"id": "u1", "plan": "free", "city": None}], Op.UPDATED) == 0, "once a run"
        app.identity.catch_up()
        found = persons(app)
    assert {name: properties for name, (_, properties, _, _) in found.items()} == {
        "u1": {"plan": "free"},
        "u2": {"plan": "pro"},
    }


def test_an_imported_event_makes_a_person_and_a_tombstone_makes_none(app: App) -> None:
    spec = ImportSpec(
        kind=Kind.EVENTS, identity="id", event="Order", properties=(Property(column="plan", name="plan"),)
    )
    with app:
        assert bring(app, spec, 1, [{"id": "u1", "plan": "free"}]) == 1
        assert bring(app, spec, 2, [{"id": "u1"}, {"id": "u9"}], Op.DELETED) == 2
        app.identity.catch_up()
        found = persons(app)
    assert {name: properties for name, (_, properties, _, _) in found.items()} == {"u1": {}}


def test_an_import_that_is_taken_back_leaves_what_came_from_a_device_to_who_used_it(app: App, tmp_path: Path) -> None:
    calls: list[dict[str, Any]] = [
        {"device_id": "b1", "user_id": "u1"},
        {"device_id": "b1", "user_id": "u2", "user_properties": {"$set": {"plan": "pro"}}},
        {"device_id": "b1", "user_properties": {"$set": {"city": "Graz"}}},
    ]
    lines = [
        {"uuid": f"e{n}", "event_type": "hit", "time": 1_700_000_000_000 + n, **one} for n, one in enumerate(calls)
    ]
    with app:
        load(app, tmp_path / "events.jsonl", lines, "amplitude")
        bring(app, PEOPLE, 1, [{"id": "u1", "plan": "x"}, {"id": "u2", "plan": "y"}, {"id": "u3", "plan": "z"}])
        app.identity.catch_up()
        with app.lake.cursor() as cursor, app.lake.alone(), app.lake.changing(cursor):
            cursor.execute("DELETE FROM lake.events WHERE kind = 'import'")
        assert app.identity.recompute(1, ["u1", "u2", "u3"]) == 3
        found = persons(app)
        assert app.identity.living(1, ["u1", "u2", "u3"]).keys() == {"u1", "u2"}
    assert (found["u1"][1], found["u2"][1]) == ({}, {"plan": "pro", "city": "Graz"})
