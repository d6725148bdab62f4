"""The same against real services.

TIDEMILL_LIVE_KEY (a key file) and TIDEMILL_LIVE_DATASET name a Google project. TIDEMILL_LIVE_HUBSPOT, and likewise of
each tool, names a JSON file, ``{"settings": {…}, "action": "objects", "fields": {…}}``, with a record that may be
written into that account.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.installation import CONNECTION
from tests.syncs import MAPPING, NAME, Crm, run
from tests.unit.destinations import by_hand

from tidemill.app import App
from tidemill.bigquery import read_rows
from tidemill.bigquery.client import Client
from tidemill.bigquery.credentials import Auth
from tidemill.destinations import registry
from tidemill.destinations.port import Mode, Status
from tidemill.settings import Settings

pytestmark = pytest.mark.live
_PROJECT = ("TIDEMILL_LIVE_KEY", "TIDEMILL_LIVE_DATASET")


class Project:
    """A table in a real project, for a model, which is dropped in the end. `access`: how it is read."""

    def __init__(self, app: App, client: Client, dataset: str, access: str) -> None:
        self._client, self._dataset, self._table = client, dataset, f"tidemill_live_{secrets.token_hex(4)}"
        self.app, self.access = app, access

    def save(self, rows: dict[int, str]) -> None:
        """Have the table hold people with these plans."""
        values = ", ".join(
            f"STRUCT({n} AS id, 'p{n}@example.com' AS email, '{plan}' AS plan)" for n, plan in rows.items()
        )
        self._ask(f"CREATE OR REPLACE TABLE `{self.table}` AS SELECT * FROM UNNEST([{values}])")

    @property
    def table(self) -> str:
        """Its name."""
        return f"{self._dataset}.{self._table}"

    def enable(self) -> list[Any]:
        """Make the connection a source, tested. Gives the steps of the test."""
        kept = {} if self.access == "read-only" else {"state_dataset": self._dataset}
        return list(self.app.reverse_etl.sources.enable(CONNECTION, {"access": self.access, **kept}, by="live test"))

    def drop(self) -> None:
        """Leave nothing behind."""
        with contextlib.suppress(Exception):
            self.app.reverse_etl.syncs.delete(NAME)
        self._client.delete_table(self._dataset, self._table)

    def _ask(self, sql: str) -> None:
        self._client.query(sql, job_id=f"test_{uuid.uuid4().hex}")


@pytest.fixture(params=["limited", "read-only"])
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Project]:
    """A project, by each way that a source is read without the right to make datasets."""
    missing = [name for name in _PROJECT if name not in os.environ]
    if missing:
        pytest.skip(f"no real project is named: {', '.join(missing)} is not set")
    key, dataset = Path(os.environ[_PROJECT[0]]).read_text(), os.environ[_PROJECT[1]]
    settings = Settings(home=tmp_path / "home", outbound_allow="127.0.0.1")
    with App(settings) as app:
        draft = app.connections.draft(name=CONNECTION, dataset=dataset, key=key)
        app.connections.add(draft, by="live test")
        with contextlib.closing(Client(Auth(key=key), draft.spec.project)) as client:
            client.location = client.get_dataset(dataset).location
            made = Project(app, client, dataset, request.param)
            try:
                yield made
            finally:
                made.drop()


def test_a_real_project_can_be_a_source(project: Project) -> None:
    assert [step.message for step in project.enable() if step.status == "failed"] == []
    again = list(project.app.reverse_etl.sources.test(CONNECTION))
    assert [step.message for step in again if step.status == "failed"] == []


def test_a_model_of_a_real_table_is_checked_and_shown(project: Project) -> None:
    project.enable()
    project.save({1: "free", 2: "pro"})
    models = project.app.reverse_etl.models
    sql = f"SELECT id, email FROM `{project.table}`; -- as people write it"
    made, found = models.add(CONNECTION, {"name": "people", "sql": sql, "key": ("id",)}, by="live test")
    assert [column.name for column in found.columns] == ["id", "email"]
    keys = models.check(made.name)
    assert (keys.good, keys.rows) == (True, 2)
    assert len(models.preview(made.name).rows) == 2


def test_a_real_table_is_delivered_and_then_what_changed(
    project: Project, crm: Crm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_rows, "is_closed", lambda _: False)  # REST does not stand in for the Storage Read API
    project.enable()
    plans = dict.fromkeys(range(30), "free")
    project.save(plans)
    service = project.app.reverse_etl
    service.models.add(CONNECTION, {"name": "people", "table": project.table, "key": ("id",)}, by="live test")
    service.destinations.add("webhook", "hook", service.destinations.make("webhook", crm.settings()), by="live test")
    fields = {"name": NAME, "mapping": MAPPING, "mode": "mirror", "delete_brake": 1.0, "interval": "none"}
    service.syncs.create("people", "hook", fields, by="live test")
    first = run(project.app)
    assert (first.status, first.written) == ("completed", 30)
    del plans[0]
    plans |= {1: "pro", 30: "free"}
    project.save(plans)
    second = run(project.app)
    assert (second.status, second.added, second.updated, second.deleted, second.written) == ("completed", 1, 1, 1, 3)
    assert {int(key): row["plan"] for key, row in crm.people.items()} == plans


@pytest.mark.parametrize("kind", registry.everything())
def test_a_tool_takes_the_credential_and_one_record(kind: str) -> None:
    variable = f"TIDEMILL_LIVE_{kind.upper()}"
    if variable not in os.environ:
        pytest.skip(f"{variable} names no file with an account of {kind}")
    given = json.loads(Path(os.environ[variable]).read_text())
    destination = registry.get(kind)
    action = destination.action(given["action"])
    with by_hand.client(destination, given["settings"]) as client:
        assert client.test()
    mode = Mode(given["mode"]) if "mode" in given else None
    record = by_hand.record(action, given["fields"], mode=mode, key="live", version=secrets.token_hex(8))
    (outcome,) = by_hand.delivered(destination, given["settings"], action, [record]).values()
    assert outcome.status is Status.WRITTEN, outcome.message
