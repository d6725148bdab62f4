"""Exports. Written by tests/client_writer.py."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal
from uuid import UUID

from tidemill.client import core
from tidemill.client.core import Core, Model
from tidemill.client.models.exports import (
    CheckAnswer,
    ExampleAnswer,
    ExportAnswer,
    ExportChanges,
    ExportCreated,
    ExportItemAnswer,
    ExportStatus,
    ExportTestAnswer,
    ExportWanted,
    RepairAnswer,
    UnpausedAnswer,
    UnpauseWanted,
    VerifiedAnswer,
    VerifyWanted,
)
from tidemill.client.models.shared import ExportTriggerAnswer


class Exports:
    """Exports."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def find(
        self,
        *,
        connection: str | None = None,
        model: str | None = None,
        mode: Literal["batch", "stream"] | None = None,
        status: Literal["running", "completed", "failed", "cancelled", "paused"] | None = None,
        search: str | None = None,
        sort: str | None = None,
        limit: int = 50,
    ) -> Iterator[ExportItemAnswer]:
        """Exports, by name, or as it is asked for."""
        return self._core.pages(
            "/api/v1/exports",
            {
                "connection": connection,
                "model": model,
                "mode": mode,
                "status": status,
                "search": search,
                "sort": sort,
                "limit": limit,
            },
            ExportItemAnswer,
        )

    def create(self, wanted: ExportWanted) -> ExportCreated:
        """Make an export. It runs when its schedule says, or when it is triggered."""
        return core.made(self._core.ask("POST", "/api/v1/exports", body=wanted), ExportCreated)

    def test_draft(self, wanted: ExportWanted) -> ExportTestAnswer:
        """Test an export that is not made: its newest rows, 100 at most, are loaded into a scratch table beside the
        target, read back, and compared. Nothing is billed, nothing of it stays."""
        return core.made(self._core.ask("POST", "/api/v1/exports/test", body=wanted), ExportTestAnswer)

    def show(self, name: str) -> ExportAnswer:
        """One export, as it was said."""
        return core.made(self._core.ask("GET", core.path("/api/v1/exports/{name}", name=name)), ExportAnswer)

    def edit(self, name: str, wanted: ExportChanges, *, match: Model | str) -> ExportAnswer:
        """Change an export: for runs from now on. Model, table and JSON type stay: make another export for those."""
        return core.made(
            self._core.ask("PATCH", core.path("/api/v1/exports/{name}", name=name), body=wanted, match=match),
            ExportAnswer,
        )

    def delete(self, name: str, *, match: Model | str) -> None:
        """Delete an export and the history of its runs. The table in BigQuery stays."""
        self._core.ask("DELETE", core.path("/api/v1/exports/{name}", name=name), match=match)

    def status(self, name: str) -> ExportStatus:
        """How an export stands, and what waits for its next run."""
        return core.made(self._core.ask("GET", core.path("/api/v1/exports/{name}/status", name=name)), ExportStatus)

    def pause(self, name: str) -> None:
        """No run begins any more by itself. What runs, ends."""
        self._core.ask("POST", core.path("/api/v1/exports/{name}/pause", name=name))

    def unpause(self, name: str, wanted: UnpauseWanted | None = None) -> UnpausedAnswer:
        """Runs begin again."""
        return core.made(
            self._core.ask("POST", core.path("/api/v1/exports/{name}/unpause", name=name), body=wanted), UnpausedAnswer
        )

    def trigger(self, name: str) -> ExportTriggerAnswer:
        """Have a worker export what is new, whatever the schedule says. At most one such run waits."""
        return core.made(
            self._core.ask("POST", core.path("/api/v1/exports/{name}/trigger", name=name)), ExportTriggerAnswer
        )

    def show_trigger(self, name: str, trigger: UUID) -> ExportTriggerAnswer:
        """How something stands that a worker is to do. Until it is over, Retry-After says when to look again."""
        return core.made(
            self._core.ask("GET", core.path("/api/v1/exports/{name}/triggers/{trigger}", name=name, trigger=trigger)),
            ExportTriggerAnswer,
        )

    def test(self, name: str) -> ExportTestAnswer:
        """Test an export by its newest rows, as before it is made. Its table, runs and position stay as they are."""
        return core.made(self._core.ask("POST", core.path("/api/v1/exports/{name}/test", name=name)), ExportTestAnswer)

    def check(self, name: str) -> CheckAnswer:
        """Hold the table against the event store, id by id, by a query in BigQuery: for tables of up to some
        millions of rows."""
        return core.made(
            self._core.ask("POST", core.path("/api/v1/exports/{name}/table/check", name=name)), CheckAnswer
        )

    def example(self, name: str) -> ExampleAnswer:
        """Ask the table of events what was frequent."""
        return core.made(
            self._core.ask("POST", core.path("/api/v1/exports/{name}/table/example", name=name)), ExampleAnswer
        )

    def verify(self, name: str, wanted: VerifyWanted | None = None) -> VerifiedAnswer:
        """Hold the table against the event store day by day, by one cheap query in BigQuery."""
        return core.made(
            self._core.ask("POST", core.path("/api/v1/exports/{name}/table/verify", name=name), body=wanted),
            VerifiedAnswer,
        )

    def repair(self, name: str, wanted: VerifyWanted | None = None) -> RepairAnswer:
        """Verify the table, and have workers bring in what it lacks, by a backfill of the days that differ."""
        return core.made(
            self._core.ask("POST", core.path("/api/v1/exports/{name}/table/repair", name=name), body=wanted),
            RepairAnswer,
        )

    def settle(self, name: str) -> None:
        """The table of an export that is in doubt after a restore holds no row that comes again: somebody has
        looked."""
        self._core.ask("POST", core.path("/api/v1/exports/{name}/table/settle", name=name))
