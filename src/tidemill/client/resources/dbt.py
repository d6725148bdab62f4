"""Dbt. Written by tests/client_writer.py."""

from __future__ import annotations

from typing import Any

from tidemill.client import core
from tidemill.client.core import Core
from tidemill.client.models.dbt import AfterRunAnswer, ReadableAnswer, ReadableRequest


class Dbt:
    """Dbt."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def in_use(self, name: str) -> dict[str, Any]:
        """The project as it is known, and its models in use: what `tidemill dbt check --server` compares with."""
        found: dict[str, Any] = self._core.ask("GET", core.path("/api/v1/dbt/{name}/in-use", name=name)).json()
        return found

    def readable(self, name: str, wanted: ReadableRequest) -> ReadableAnswer:
        """Whether a model in use could be read if it stood there."""
        return core.made(
            self._core.ask("POST", core.path("/api/v1/dbt/{name}/readable", name=name), body=wanted), ReadableAnswer
        )

    def after_run(self, wanted: dict[str, Any], *, project: str | None = None) -> list[AfterRunAnswer]:
        """Have workers run the syncs whose models a run of dbt has built, and whose tests hold."""
        return [
            AfterRunAnswer.model_validate(one)
            for one in self._core.ask("POST", "/api/v1/dbt/after-run", query={"project": project}, body=wanted).json()
        ]
