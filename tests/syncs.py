"""Syncs for tests: a table of the embedded BigQuery, a model of it, and somebody's server that takes rows."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from tests.contract.api import Asked
from tests.contract.apis.webhook import WebhookApi
from tests.installation import CONNECTION, Installation

from tidemill.app import App
from tidemill.reverse_etl.views import RunView
from tidemill.reverse_etl.watch import Watch

NAME, TABLE = "crm", "people"
_REFUSALS: dict[str, dict[str, Any]] = {
    "bad": {"reason": "no such plan"},
    "busy": {"reason": "not now", "retry": True},
}
MAPPING = {"n": {"@path": "$.id"}, "email": {"@path": "$.email"}, "plan": {"@path": "$.plan"}}


class Killed(BaseException):
    """The process dies there: nothing of it goes on, as after `kill -9`."""


def killed_there(*_: object) -> None:
    """In place of something that a process does not come to."""
    raise Killed


class Crm(WebhookApi):
    """Keeps people as they were sent last. It takes none whose plan is `bad`, and none now that is `busy`."""

    def handle(self, asked: Asked) -> Any:
        """See Api."""
        said = asked.json()
        errors = [
            {"index": index, **_REFUSALS[row["data"]["plan"]]}
            for index, row in enumerate(said["rows"])
            if row["data"].get("plan") in _REFUSALS
        ]
        refused = {error["index"] for error in errors}
        for index, row in enumerate(said["rows"]):
            if index in refused:
                continue
            self.sent.append(row)
            if row["op"] == "deleted":
                self.people.pop(row["key"], None)
            else:
                self.people[row["key"]] = row["data"]
        from tests.contract.api import Reply

        return Reply(200, {"errors": errors})

    def __init__(self) -> None:
        self.people: dict[str, dict[str, Any]] = {}
        self.sent: list[dict[str, Any]] = []
        super().__init__()

    @property
    def ids(self) -> list[str]:
        """Of rows, in the order in which they came."""
        return [row["id"] for row in self.sent]


class People:
    """The table of the model."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self.rows: dict[int, tuple[str, str]] = {}

    @property
    def table(self) -> str:
        """Its name."""
        return f"{self._installation.dataset}.{TABLE}"

    def save(self) -> None:
        """Have the table hold these rows."""
        values = ", ".join(
            f"STRUCT({n} AS id, '{email}' AS email, '{plan}' AS plan)" for n, (email, plan) in self.rows.items()
        )
        none = "SELECT CAST(NULL AS INT64) AS id, '' AS email, '' AS plan LIMIT 0"
        source = f"SELECT * FROM UNNEST([{values}])" if values else none
        self.ask(f"CREATE OR REPLACE TABLE `{self.table}` AS {source}")

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """Run a statement."""
        client = self._installation.client()
        with contextlib.closing(client):
            import uuid

            return client.query(sql, job_id=f"test_{uuid.uuid4().hex}").rows

    def expected(self) -> dict[str, dict[str, Any]]:
        """What the other side should know."""
        return {
            str(n): {"n": n, "email": email, "plan": plan} for n, (email, plan) in self.rows.items() if plan != "bad"
        }


@pytest.fixture
def crm() -> Iterator[Crm]:
    """The other side."""
    found = Crm()
    yield found
    found.close()


@pytest.fixture
def people(installation: Installation) -> People:
    """The table, with twenty rows."""
    made = People(installation)
    made.rows = {n: (f"p{n}@example.com", "free") for n in range(20)}
    made.save()
    return made


def prepare(app: App, installation: Installation, people: People, crm: Crm, **fields: Any) -> None:
    """A sync of that table to that server."""
    installation.connect(app)
    access = fields.pop("access", "full")
    kept = {} if access == "read-only" else {"state_dataset": f"{installation.dataset}_state"}
    steps = list(app.reverse_etl.sources.enable(CONNECTION, {"access": access, **kept}, by="me"))
    assert not [step for step in steps if step.status == "failed"], steps
    app.reverse_etl.models.add(CONNECTION, {"name": "people", "table": people.table, "key": ("id",)}, by="me")
    settings = app.reverse_etl.destinations.make("webhook", crm.settings())
    app.reverse_etl.destinations.add("webhook", "hook", settings, by="me")
    given = {"name": NAME, "mapping": MAPPING, "mode": "mirror", "delete_brake": 1.0, "interval": "none", **fields}
    app.reverse_etl.syncs.create("people", "hook", given, by="me")


def quiet() -> Watch:
    """A watch that nobody looks at."""
    return Watch(lambda _what, _done, _all: None)


def run(app: App, **options: Any) -> RunView:
    """Run the sync to its end."""
    return app.reverse_etl.syncs.run(NAME, quiet(), by="me", **options)


def state(installation: Installation, people: People, app: App) -> dict[str, Mapping[str, Any]]:
    """What is remembered, by key."""
    sync = app.reverse_etl.syncs.get(NAME)
    found = people.ask(f"SELECT key, TO_JSON_STRING(s) FROM `{installation.dataset}_state.state_{sync.id.hex}` s")
    return {str(key): json.loads(text) for key, text in found}
