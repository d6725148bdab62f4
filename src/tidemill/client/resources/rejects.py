"""Rejects. Written by tests/client_writer.py."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from tidemill.client import core
from tidemill.client.core import Core
from tidemill.client.models.rejects import DismissedAnswer, RejectAnswer, RejectsWanted
from tidemill.client.models.shared import ExportTriggerAnswer


class Rejects:
    """Rejects."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def find(
        self, name: str, *, run: str | None = None, code: str | None = None, limit: int = 50
    ) -> Iterator[RejectAnswer]:
        """Rows that runs set aside, and that no later run tried again, newest first."""
        return self._core.pages(
            core.path("/api/v1/exports/{name}/rejects", name=name),
            {"run": run, "code": code, "limit": limit},
            RejectAnswer,
        )

    def export(
        self, name: str, *, run: str | None = None, code: str | None = None, form: Literal["json", "csv"] = "json"
    ) -> Iterator[str]:
        """Their events, as they are read: mended and loaded, they are new events."""
        return self._core.lines(
            core.path("/api/v1/exports/{name}/rejects/export", name=name), {"run": run, "code": code, "form": form}
        )

    def retry(self, name: str, wanted: RejectsWanted | None = None) -> ExportTriggerAnswer:
        """Have a worker try them again."""
        return core.made(
            self._core.ask("POST", core.path("/api/v1/exports/{name}/rejects/retry", name=name), body=wanted),
            ExportTriggerAnswer,
        )

    def dismiss(self, name: str, wanted: RejectsWanted | None = None) -> DismissedAnswer:
        """List them no longer: somebody has seen to them."""
        return core.made(
            self._core.ask("POST", core.path("/api/v1/exports/{name}/rejects/dismiss", name=name), body=wanted),
            DismissedAnswer,
        )

    def find_all(self, *, run: str | None = None, code: str | None = None, limit: int = 50) -> list[RejectAnswer]:
        """Rows that runs of all exports set aside, and that no later run tried again, newest first."""
        return [
            RejectAnswer.model_validate(one)
            for one in self._core.ask("GET", "/api/v1/rejects", query={"run": run, "code": code, "limit": limit}).json()
        ]
