"""Audit. Written by tests/client_writer.py."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Literal

from tidemill.client.core import Core
from tidemill.client.models.audit import AuditRecord


class Audit:
    """Audit."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def find(
        self,
        *,
        sort: str | None = None,
        limit: int = 50,
        actor: str | None = None,
        action: str | None = None,
        kind: str | None = None,
        name: str | None = None,
        outcome: Literal["begun", "done", "refused", "failed"] | None = None,
        after: datetime | None = None,
        before: datetime | None = None,
    ) -> Iterator[AuditRecord]:
        """Records, newest first, or as it is asked for."""
        return self._core.pages(
            "/api/v1/audit",
            {
                "sort": sort,
                "limit": limit,
                "actor": actor,
                "action": action,
                "kind": kind,
                "name": name,
                "outcome": outcome,
                "after": after,
                "before": before,
            },
            AuditRecord,
        )

    def export(
        self,
        *,
        form: Literal["json", "csv"] = "json",
        actor: str | None = None,
        action: str | None = None,
        kind: str | None = None,
        name: str | None = None,
        outcome: Literal["begun", "done", "refused", "failed"] | None = None,
        after: datetime | None = None,
        before: datetime | None = None,
    ) -> Iterator[str]:
        """All records that are so, newest first, as they are read."""
        return self._core.lines(
            "/api/v1/audit/export",
            {
                "form": form,
                "actor": actor,
                "action": action,
                "kind": kind,
                "name": name,
                "outcome": outcome,
                "after": after,
                "before": before,
            },
        )
