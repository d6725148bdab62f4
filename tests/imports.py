"""Imports for tests: tables of the embedded BigQuery, and what should come of them, computed plainly."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Mapping
from typing import Any

from tests.installation import CONNECTION, Installation

from tidemill.app import App
from tidemill.imports.spec import Kind
from tidemill.reverse_etl.views import RunView
from tidemill.reverse_etl.watch import Watch


class Shop:
    """Tables of one's own in the embedded BigQuery."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation

    def name(self, table: str) -> str:
        """The name of a table of these, with its dataset."""
        return f"{self._installation.dataset}.{table}"

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """Run a statement; `{d}` is the dataset."""
        with contextlib.closing(self._installation.client()) as client:
            return client.query(sql.replace("{d}", self._installation.dataset), job_id=f"test_{uuid.uuid4().hex}").rows


def quiet() -> Watch:
    """A watch that tells nobody."""
    return Watch(lambda _what, _done, _all: None)


def prepare(app: App, installation: Installation, access: str = "full") -> Shop:
    """A source, and its tables."""
    installation.connect(app)
    kept = {} if access == "read-only" else {"state_dataset": f"{installation.dataset}_state"}
    steps = list(app.reverse_etl.sources.enable(CONNECTION, {"access": access, **kept}, by="tester"))
    assert not [step for step in steps if step.status == "failed"], steps
    return Shop(installation)


def make(
    app: App,
    shop: Shop,
    name: str,
    table: str,
    kind: Kind,
    fields: Mapping[str, Any],
    *,
    key: tuple[str, ...] = ("id",),
) -> None:
    """An import of a table."""
    app.imports.create(name, connection=CONNECTION, source={"table": shop.name(table), "key": key}, by="tester")
    app.imports.map(name, kind, fields)


def run(app: App, name: str, **asked: Any) -> RunView:
    """Run an import."""
    return app.imports.run(name, quiet(), by="tester", **asked)


def stored(app: App, event: str | None = None) -> list[dict[str, Any]]:
    """Events of the store, with their properties read, by uuid."""
    found = app.events.show(limit=1_000_000, **({"event": event} if event else {}))
    made = [{**one, "properties": json.loads(one["properties"])} for one in found]
    return sorted(made, key=lambda one: str(one["uuid"]))


def properties(app: App, distinct_id: str) -> dict[str, Any]:
    """What is known of a person."""
    found: dict[str, Any] = json.loads(app.identity.show(1, distinct_id).properties)
    return found
