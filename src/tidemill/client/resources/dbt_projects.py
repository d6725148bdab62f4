"""Dbt projects. Written by tests/client_writer.py."""

from __future__ import annotations

from collections.abc import Iterator

from tidemill.client import core
from tidemill.client.core import Core, Model
from tidemill.client.models.dbt_projects import (
    CloudRunAnswer,
    DbtModelAnswer,
    DbtProjectAnswer,
    DbtProjectChanges,
    DbtProjectItem,
    DbtProjectStatus,
    DbtProjectWanted,
    RefreshedAnswer,
)


class DbtProjects:
    """Dbt projects."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def find(
        self,
        *,
        search: str | None = None,
        connection: str | None = None,
        failing: bool | None = None,
        sort: str | None = None,
        limit: int = 50,
    ) -> Iterator[DbtProjectItem]:
        """dbt projects, by name, or as it is asked for."""
        return self._core.pages(
            "/api/v1/dbt-projects",
            {"search": search, "connection": connection, "failing": failing, "sort": sort, "limit": limit},
            DbtProjectItem,
        )

    def create(self, wanted: DbtProjectWanted) -> DbtProjectAnswer:
        """Save a dbt project. It is read first."""
        return core.made(self._core.ask("POST", "/api/v1/dbt-projects", body=wanted), DbtProjectAnswer)

    def show(self, name: str) -> DbtProjectAnswer:
        """One dbt project."""
        return core.made(self._core.ask("GET", core.path("/api/v1/dbt-projects/{name}", name=name)), DbtProjectAnswer)

    def edit(self, name: str, wanted: DbtProjectChanges, *, match: Model | str) -> DbtProjectAnswer:
        """Change a dbt project; it is read anew if it is elsewhere now."""
        return core.made(
            self._core.ask("PATCH", core.path("/api/v1/dbt-projects/{name}", name=name), body=wanted, match=match),
            DbtProjectAnswer,
        )

    def delete(self, name: str, *, match: Model | str) -> None:
        """Delete a dbt project and its secrets. Refused while source models are made of it."""
        self._core.ask("DELETE", core.path("/api/v1/dbt-projects/{name}", name=name), match=match)

    def status(self, name: str) -> DbtProjectStatus:
        """What is known of a project, and how it was read the last time."""
        return core.made(
            self._core.ask("GET", core.path("/api/v1/dbt-projects/{name}/status", name=name)), DbtProjectStatus
        )

    def models(self, name: str, *, limit: int = 50) -> Iterator[DbtModelAnswer]:
        """Models of a project that stand in the warehouse, by name."""
        return self._core.pages(
            core.path("/api/v1/dbt-projects/{name}/models", name=name), {"limit": limit}, DbtModelAnswer
        )

    def cloud_runs(self, name: str, *, limit: int = 20) -> list[CloudRunAnswer]:
        """Runs of dbt Cloud that a webhook told of, with the syncs that they triggered; newest first."""
        return [
            CloudRunAnswer.model_validate(one)
            for one in self._core.ask(
                "GET", core.path("/api/v1/dbt-projects/{name}/cloud-runs", name=name), query={"limit": limit}
            ).json()
        ]

    def refresh(self, name: str) -> RefreshedAnswer:
        """Read a project anew. Syncs of models that have changed so that they would break are paused."""
        return core.made(
            self._core.ask("POST", core.path("/api/v1/dbt-projects/{name}/refresh", name=name)), RefreshedAnswer
        )
