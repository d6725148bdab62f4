"""A web app with a worker, the embedded BigQuery, a table in it, and somebody's server that takes rows."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.installation import CONNECTION, Installation
from tests.syncs import MAPPING, Crm, People
from tests.web_server import Web, serving_web

from tidemill.bigquery.local.service import LocalBigQuery

NAME = "people to crm"


@dataclasses.dataclass
class Moving:
    """All of it. `people`: the table; `crm`: the other side."""

    web: Web
    people: People
    crm: Crm

    def prepare(self, name: str = NAME, **fields: object) -> None:
        """A model, a destination and a sync, all of that name; it runs by hand."""
        reverse_etl = self.web.app.reverse_etl
        model = {"name": name, "table": self.people.table, "key": ("id",)}
        reverse_etl.models.add(CONNECTION, model, by="tests")
        settings = reverse_etl.destinations.make("webhook", self.crm.settings())
        reverse_etl.destinations.add("webhook", name, settings, by="tests")
        given = {"name": name, "mapping": MAPPING, "mode": "mirror", "interval": "none", **fields}
        reverse_etl.syncs.create(name, name, given, by="tests")


@pytest.fixture(scope="module")
def moving(
    made_home: Path, tmp_path_factory: pytest.TempPathFactory, local_bigquery: LocalBigQuery
) -> Iterator[Moving]:
    """Twenty people, of whom one is not taken: her plan is none that there is."""
    dataset = f"d_{os.urandom(6).hex()}"
    local_bigquery.set_faults([])
    local_bigquery.create_dataset(dataset, "EU")
    words = ("--role", "worker", "--role", "scheduler")
    folder, crm = tmp_path_factory.mktemp("web"), Crm()
    with serving_web(made_home, folder, *words, TIDEMILL_OUTBOUND_ALLOW="127.0.0.1") as web:
        installation = Installation(Path(web.app.settings.home_path), local_bigquery, dataset, {})
        people = People(installation)
        people.rows = {n: (f"p{n}@example.com", "bad" if n == 7 else "free") for n in range(20)}
        people.save()
        installation.connect(web.app)
        fields = {"access": "full", "state_dataset": f"{dataset}_state"}
        steps = list(web.app.reverse_etl.sources.enable(CONNECTION, fields, by="tests"))
        assert not [step for step in steps if step.status == "failed"], steps
        yield Moving(web, people, crm)
    crm.close()


@pytest.fixture(scope="module")
def web(moving: Moving) -> Web:
    """Its web app."""
    return moving.web
