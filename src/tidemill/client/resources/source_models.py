"""Source models. Written by tests/client_writer.py."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from tidemill.client import core
from tidemill.client.core import Core, Model
from tidemill.client.models.shared import InspectionAnswer, PreviewAnswer
from tidemill.client.models.source_models import KeysAnswer, SourceModelAnswer, SourceModelChanges, SourceModelWanted


class SourceModels:
    """Source models."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def find(
        self,
        *,
        search: str | None = None,
        connection: str | None = None,
        kind: Literal["sql", "table", "dbt"] | None = None,
        sort: str | None = None,
        limit: int = 50,
    ) -> Iterator[SourceModelAnswer]:
        """Source models, by name, or as it is asked for."""
        return self._core.pages(
            "/api/v1/source-models",
            {"search": search, "connection": connection, "kind": kind, "sort": sort, "limit": limit},
            SourceModelAnswer,
        )

    def create(self, wanted: SourceModelWanted) -> SourceModelAnswer:
        """Save a source model, after BigQuery has looked at it, which costs nothing."""
        return core.made(self._core.ask("POST", "/api/v1/source-models", body=wanted), SourceModelAnswer)

    def show(self, name: str) -> SourceModelAnswer:
        """One source model."""
        return core.made(self._core.ask("GET", core.path("/api/v1/source-models/{name}", name=name)), SourceModelAnswer)

    def edit(self, name: str, wanted: SourceModelChanges, *, match: Model | str) -> SourceModelAnswer:
        """Change a source model. Refused if syncs need what it would not have any more."""
        return core.made(
            self._core.ask("PATCH", core.path("/api/v1/source-models/{name}", name=name), body=wanted, match=match),
            SourceModelAnswer,
        )

    def delete(self, name: str, *, match: Model | str) -> None:
        """Delete a source model. Refused while syncs use it; nothing in BigQuery is changed."""
        self._core.ask("DELETE", core.path("/api/v1/source-models/{name}", name=name), match=match)

    def look(self, name: str) -> InspectionAnswer:
        """What BigQuery sees in it, without running it: columns, bytes, costs."""
        return core.made(
            self._core.ask("POST", core.path("/api/v1/source-models/{name}/look", name=name)), InspectionAnswer
        )

    def preview(self, name: str, *, rows: int = 10) -> PreviewAnswer:
        """The first rows. The whole statement is run, and billed."""
        return core.made(
            self._core.ask("POST", core.path("/api/v1/source-models/{name}/preview", name=name), query={"rows": rows}),
            PreviewAnswer,
        )

    def check(self, name: str) -> KeysAnswer:
        """Count the rows, and those whose key is none, by a statement that reads the key, and is billed."""
        return core.made(self._core.ask("POST", core.path("/api/v1/source-models/{name}/check", name=name)), KeysAnswer)
