"""A dbt project in a folder, whose model is the table of tests/syncs.py, and a sync of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.dbt_projects import Project
from tests.installation import CONNECTION, Installation
from tests.syncs import MAPPING, NAME, Crm, People, run

from tidemill.app import App
from tidemill.bigquery.local.service import DEFAULT_PROJECT

SHOP = "shop"


class Shop:
    """A dbt project in a folder, whose model `people` is the table of the tests."""

    def __init__(self, folder: Path, installation: Installation) -> None:
        self.project, self._target = Project(), folder / "target"
        self.folder, self.dataset, self.google = folder, installation.dataset, DEFAULT_PROJECT
        self.project.of("people")["columns"] = {
            name: {"name": name, "data_type": kind}
            for name, kind in (("id", "INT64"), ("email", "STRING"), ("plan", "STRING"))
        }
        self.stands("people")
        self._target.mkdir()
        self.save()

    def stands(self, table: str) -> None:
        """Have the model stand there."""
        self.project.of("people")["relation_name"] = f"`{self.google}`.`{self.dataset}`.`{table}`"

    def save(self) -> None:
        """As dbt writes it."""
        (self._target / "manifest.json").write_bytes(self.project.text())

    def columns(self) -> dict[str, Any]:
        found: dict[str, Any] = self.project.of("people")["columns"]
        return found


@pytest.fixture
def shop(app: App, installation: Installation, people: People, crm: Crm, tmp_path: Path) -> Shop:
    """A project with a sync of its model `people`, which has run once."""
    assert people.rows
    found = Shop(tmp_path, installation)
    installation.connect(app)
    kept = {"access": "full", "state_dataset": f"{installation.dataset}_state"}
    steps = list(app.reverse_etl.sources.enable(CONNECTION, kept, by="me"))
    assert not [step for step in steps if step.status == "failed"], steps
    app.dbt.add({"name": SHOP, "folder": str(tmp_path)}, by="me")
    app.reverse_etl.models.add(CONNECTION, app.dbt_models.fields(f"{SHOP}/people", {"name": "people"}), by="me")
    settings = app.reverse_etl.destinations.make("webhook", crm.settings())
    app.reverse_etl.destinations.add("webhook", "hook", settings, by="me")
    app.reverse_etl.syncs.create(
        "people",
        "hook",
        {"name": NAME, "interval": "none", "delete_brake": 1.0, "mapping": MAPPING, "mode": "mirror"},
        by="me",
    )
    assert run(app).written == 20
    return found
