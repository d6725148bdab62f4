"""Runs. Written by tests/client_writer.py."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Literal
from uuid import UUID

from tidemill.client import core
from tidemill.client.core import Core, Event
from tidemill.client.models.runs import ExportRunAnswer, ExportRunDetail, RetryWanted
from tidemill.client.models.shared import ExportTriggerAnswer, LineAnswer


class Runs:
    """Runs."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def find_all(
        self,
        *,
        status: Literal["running", "completed", "failed", "cancelled"] | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        limit: int = 50,
    ) -> Iterator[ExportRunAnswer]:
        """Runs of all exports, newest first."""
        return self._core.pages(
            "/api/v1/runs",
            {"status": status, "created_after": created_after, "created_before": created_before, "limit": limit},
            ExportRunAnswer,
        )

    def find(
        self,
        name: str,
        *,
        status: Literal["running", "completed", "failed", "cancelled"] | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        backfill: UUID | None = None,
        limit: int = 50,
    ) -> Iterator[ExportRunAnswer]:
        """Runs of an export, newest first."""
        return self._core.pages(
            core.path("/api/v1/exports/{name}/runs", name=name),
            {
                "status": status,
                "created_after": created_after,
                "created_before": created_before,
                "backfill": backfill,
                "limit": limit,
            },
            ExportRunAnswer,
        )

    def show(self, name: str, run: str) -> ExportRunDetail:
        """One run, with its chunks."""
        return core.made(
            self._core.ask("GET", core.path("/api/v1/exports/{name}/runs/{run}", name=name, run=run)), ExportRunDetail
        )

    def progress(self, name: str, run: str) -> Iterator[Event]:
        """How a run goes on, as Server-Sent Events, until it is over."""
        return self._core.events(core.path("/api/v1/exports/{name}/runs/{run}/events", name=name, run=run))

    def cancel(self, name: str, run: str) -> ExportRunAnswer:
        """Stop a run, and its jobs in BigQuery. It is waited for that, a minute at most: the answer says how it
        stands."""
        return core.made(
            self._core.ask("POST", core.path("/api/v1/exports/{name}/runs/{run}/cancel", name=name, run=run)),
            ExportRunAnswer,
        )

    def retry(self, name: str, run: str, wanted: RetryWanted | None = None) -> ExportTriggerAnswer:
        """Have a worker go on with a run that failed, was cancelled or interrupted; of a completed one, with what
        it set aside."""
        return core.made(
            self._core.ask(
                "POST", core.path("/api/v1/exports/{name}/runs/{run}/retry", name=name, run=run), body=wanted
            ),
            ExportTriggerAnswer,
        )

    def again(self, name: str, run: str) -> ExportTriggerAnswer:
        """Have a worker send all rows of a completed run again, merged with what the table holds."""
        return core.made(
            self._core.ask("POST", core.path("/api/v1/exports/{name}/runs/{run}/again", name=name, run=run)),
            ExportTriggerAnswer,
        )

    def logs(
        self,
        name: str,
        run: str,
        *,
        level: Literal["debug", "info", "warning", "error"] | None = None,
        step: str | None = None,
        search: str | None = None,
        since: str | None = None,
        limit: int = 50,
    ) -> Iterator[LineAnswer]:
        """What a run has told, oldest first."""
        return self._core.pages(
            core.path("/api/v1/exports/{name}/runs/{run}/logs", name=name, run=run),
            {"level": level, "step": step, "search": search, "since": since, "limit": limit},
            LineAnswer,
        )

    def logs_of_export(
        self,
        name: str,
        *,
        level: Literal["debug", "info", "warning", "error"] | None = None,
        step: str | None = None,
        search: str | None = None,
        since: str | None = None,
        limit: int = 200,
    ) -> list[LineAnswer]:
        """What the last run told that had something to do, and what was told since of no run; oldest first."""
        return [
            LineAnswer.model_validate(one)
            for one in self._core.ask(
                "GET",
                core.path("/api/v1/exports/{name}/logs", name=name),
                query={"level": level, "step": step, "search": search, "since": since, "limit": limit},
            ).json()
        ]
