"""Backfills. Written by tests/client_writer.py."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

from tidemill.client import core
from tidemill.client.core import Core
from tidemill.client.models.backfills import BackfillWanted, EstimateAnswer, RangeWanted, ResumeWanted
from tidemill.client.models.shared import BackfillAnswer


class Backfills:
    """Backfills."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def find(self, name: str, *, limit: int = 50) -> Iterator[BackfillAnswer]:
        """Backfills of an export, newest first."""
        return self._core.pages(
            core.path("/api/v1/exports/{name}/backfills", name=name), {"limit": limit}, BackfillAnswer
        )

    def begin(self, name: str, wanted: BackfillWanted) -> BackfillAnswer:
        """Have workers export a range of time again, merged with what the table holds. An export has one at a time."""
        return core.made(
            self._core.ask("POST", core.path("/api/v1/exports/{name}/backfills", name=name), body=wanted),
            BackfillAnswer,
        )

    def estimate(self, name: str, wanted: RangeWanted) -> EstimateAnswer:
        """What a backfill would move. Nothing is begun."""
        return core.made(
            self._core.ask("POST", core.path("/api/v1/exports/{name}/backfills/estimate", name=name), body=wanted),
            EstimateAnswer,
        )

    def show(self, name: str, backfill: UUID) -> BackfillAnswer:
        """How a backfill stands."""
        return core.made(
            self._core.ask(
                "GET", core.path("/api/v1/exports/{name}/backfills/{backfill}", name=name, backfill=backfill)
            ),
            BackfillAnswer,
        )

    def pause(self, name: str, backfill: UUID) -> BackfillAnswer:
        """What is begun of it ends; nothing more is begun."""
        return core.made(
            self._core.ask(
                "POST", core.path("/api/v1/exports/{name}/backfills/{backfill}/pause", name=name, backfill=backfill)
            ),
            BackfillAnswer,
        )

    def cancel(self, name: str, backfill: UUID) -> BackfillAnswer:
        """Cancel it, with its runs and their jobs in BigQuery. What is in the table stays."""
        return core.made(
            self._core.ask(
                "POST", core.path("/api/v1/exports/{name}/backfills/{backfill}/cancel", name=name, backfill=backfill)
            ),
            BackfillAnswer,
        )

    def resume(self, name: str, backfill: UUID, wanted: ResumeWanted | None = None) -> BackfillAnswer:
        """Have workers go on with it; failed intervals are tried again."""
        return core.made(
            self._core.ask(
                "POST",
                core.path("/api/v1/exports/{name}/backfills/{backfill}/resume", name=name, backfill=backfill),
                body=wanted,
            ),
            BackfillAnswer,
        )
