"""A project that dbt itself builds, on the embedded BigQuery: its models are delivered, after each run of dbt anew."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests import dbt_program
from tests.dbt_program import needs_dbt
from tests.installation import CONNECTION, Installation
from tests.syncs import NAME, Crm, quiet

from tidemill.app import App
from tidemill.bigquery.local.service import DEFAULT_PROJECT
from tidemill.dbt.changes import Weight

SHOP = Path(__file__).parent.parent.parent / "data" / "dbt" / "shop"
MAPPING = {"email": {"@path": "$.email"}, "spent": {"@path": "$.spent"}}


@dataclasses.dataclass
class Dbt:
    """The project, in a folder of its own, and where it is built."""

    folder: Path
    profiles: Path

    def run(self, *words: str) -> str:
        """Run dbt; what it said."""
        options = ("--profile", "shop", "--log-path", str(self.profiles / "logs"))
        done = dbt_program.run(*words, *options, folder=self.folder, profiles=self.profiles)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def change(self, name: str, old: str, new: str) -> None:
        """Change a file of the project."""
        text = (self.folder / name).read_text()
        assert old in text
        (self.folder / name).write_text(text.replace(old, new))


@pytest.fixture
def app(installation: Installation) -> Iterator[App]:
    with installation.app(outbound_allow="127.0.0.1") as opened:
        yield opened


@pytest.fixture
def dbt(installation: Installation, tmp_path: Path) -> Dbt:
    made = Dbt(tmp_path / "shop", tmp_path / "profiles")
    shutil.copytree(SHOP, made.folder)
    made.profiles.mkdir()
    key = made.profiles / "key.json"
    key.write_text(json.dumps(installation.local.key("tidemill-admin")))
    output = {"type": "bigquery", "method": "service-account", "keyfile": str(key), "location": "EU", "threads": 2}
    output |= {"project": DEFAULT_PROJECT, "dataset": installation.dataset}
    output |= {"api_endpoint": installation.local.status().url}
    profile = {"shop": {"target": "here", "outputs": {"here": output}}}
    (made.profiles / "profiles.yml").write_text(json.dumps(profile))
    return made


def deliver(app: App, installation: Installation, dbt: Dbt, crm: Crm) -> None:
    """A sync of the model `people`."""
    installation.connect(app)
    kept = {"access": "full", "state_dataset": f"{installation.dataset}_state"}
    assert not [step for step in app.reverse_etl.sources.enable(CONNECTION, kept, by="me") if step.status == "failed"]
    app.dbt.add({"name": "shop", "folder": str(dbt.folder)}, by="me")
    app.reverse_etl.models.add(CONNECTION, app.dbt_models.fields("shop/people", {"name": "people"}), by="me")
    settings = app.reverse_etl.destinations.make("webhook", crm.settings())
    app.reverse_etl.destinations.add("webhook", "hook", settings, by="me")
    given = {"name": NAME, "interval": "none", "delete_brake": 1.0, "mapping": MAPPING, "mode": "mirror"}
    app.reverse_etl.syncs.create("people", "hook", given, by="me")


def after(app: App, dbt: Dbt) -> list[tuple[str, bool]]:
    """What the last run of dbt triggers."""
    text = (dbt.folder / "target" / "run_results.json").read_bytes()
    found = app.dbt_models.after(text, what="run_results.json", project="shop", by="me")
    return [(one.sync, one.number is not None) for one in found]


def spent(crm: Crm) -> dict[str, Any]:
    return {row["email"]: row["spent"] for row in crm.people.values()}


@needs_dbt
def test_what_dbt_builds_is_delivered_and_what_would_break_is_seen(
    installation: Installation, app: App, dbt: Dbt, crm: Crm
) -> None:
    dbt.run("build")
    deliver(app, installation, dbt, crm)
    models = {model.name: model for model in app.dbt.models("shop")}
    assert set(models) == {"people", "orders", "days", "stg_people", "stg_orders"} | {
        "raw_people",
        "raw_orders",
        "people_history",
    }
    assert {name: models[name].keys for name in ("people", "orders", "days", "people_history", "raw_people")} == {
        "people": (("person_id",),),
        "orders": (("order_id",),),
        "days": (("person_id", "ordered_on"),),
        "people_history": (),  # a row for each version of a person
        "raw_people": (),
    }
    assert models["people"].description == "One row a person, with what they *spent*."
    app.reverse_etl.syncs.run(NAME, quiet(), by="me")
    assert spent(crm) == {"ana@example.com": 12, "ben@example.com": 5, "cid@example.com": 0}

    dbt.change("seeds/raw_orders.csv", "11,1,returned", "11,1,paid")
    dbt.run("build")
    assert after(app, dbt) == [(NAME, True)]
    assert app.worker.look()
    app.worker.drain()
    assert spent(crm)["ana@example.com"] == 15

    dbt.run("run", "--select", "orders")
    assert after(app, dbt) == [], "it has built something else"

    dbt.change(
        "models/schema.yml",
        "data_tests: [unique, not_null]\n      - name: email",
        "data_tests: [not_null]\n      - name: email",
    )
    dbt.run("parse")
    report = app.dbt.check("shop", (dbt.folder / "target" / "manifest.json").read_bytes())
    assert [(change.code, change.weight) for change in report.changes] == [("key_not_unique", Weight.BREAKING)]
    assert app.dbt.refresh("shop").paused == (NAME,)


@needs_dbt
def test_a_project_without_a_manifest_is_parsed_where_it_would_be_built(
    installation: Installation, app: App, tmp_path: Path
) -> None:
    installation.connect(app)
    shutil.copytree(SHOP, tmp_path / "shop")
    with installation.app(dbt=dbt_program.find()) as opened:
        view = opened.dbt.add({"name": "shop", "folder": str(tmp_path / "shop"), "connection": CONNECTION}, by="me")
        assert (view.project, view.models) == ("shop", 9)
        _, people = opened.dbt.pick("shop", "people")
    assert str(people.relation) == f"{DEFAULT_PROJECT}.{installation.dataset}.people"
    assert people.columns["spent"].type == "float64"
    assert not (tmp_path / "shop" / "target").exists(), "the folder stays as it is"
