"""Imports. Written by tests/client_writer.py."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from tidemill.client import core
from tidemill.client.core import Core, Event, Model
from tidemill.client.models.imports import (
    DryRunAnswer,
    DryRunWanted,
    ImportAnswer,
    ImportChanges,
    ImportItem,
    ImportStatus,
    ImportWanted,
    MappingWanted,
    RepairedAnswer,
    RepairWanted,
)
from tidemill.client.models.shared import (
    CancelledAnswer,
    InspectionAnswer,
    LineAnswer,
    NumberAnswer,
    OperationAnswer,
    PreviewAnswer,
    RejectsChosen,
    RejectsDropped,
    RemarkAnswer,
    ResetWanted,
    SyncRejectAnswer,
    SyncRunAnswer,
    SyncTriggerAnswer,
    TriggerRequest,
)


class Imports:
    """Imports."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def find(
        self,
        *,
        search: str | None = None,
        connection: str | None = None,
        status: list[Literal["draft", "ready", "scheduled", "running", "paused", "stopped", "completed"]] | None = None,
        kind: Literal["people", "events", "deletions"] | None = None,
        health: Literal["green", "yellow", "red"] | None = None,
        created_by: str | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        sort: str | None = None,
        limit: int = 50,
    ) -> Iterator[ImportItem]:
        """Imports, by name, or as it is asked for, each with how it stands."""
        return self._core.pages(
            "/api/v1/imports",
            {
                "search": search,
                "connection": connection,
                "status": status,
                "kind": kind,
                "health": health,
                "created_by": created_by,
                "created_after": created_after,
                "created_before": created_before,
                "sort": sort,
                "limit": limit,
            },
            ImportItem,
        )

    def create(self, wanted: ImportWanted) -> ImportAnswer:
        """Make a draft. Say then what becomes of its rows: the mapping."""
        return core.made(self._core.ask("POST", "/api/v1/imports", body=wanted), ImportAnswer)

    def show(self, name: str) -> ImportAnswer:
        """One import, as it was said."""
        return core.made(self._core.ask("GET", core.path("/api/v1/imports/{name}", name=name)), ImportAnswer)

    def edit(self, name: str, wanted: ImportChanges, *, match: Model | str) -> ImportAnswer:
        """Change name, schedule or limits of an import."""
        return core.made(
            self._core.ask("PATCH", core.path("/api/v1/imports/{name}", name=name), body=wanted, match=match),
            ImportAnswer,
        )

    def delete(self, name: str, *, match: Model | str) -> RemarkAnswer:
        """Delete an import, with its runs. What it has brought stays: undo takes that back first."""
        return core.made(
            self._core.ask("DELETE", core.path("/api/v1/imports/{name}", name=name), match=match), RemarkAnswer
        )

    def status(self, name: str) -> ImportStatus:
        """How an import stands."""
        return core.made(self._core.ask("GET", core.path("/api/v1/imports/{name}/status", name=name)), ImportStatus)

    def map_rows(self, name: str, wanted: MappingWanted, *, match: Model | str) -> ImportAnswer:
        """Say what becomes of the rows."""
        return core.made(
            self._core.ask("PUT", core.path("/api/v1/imports/{name}/mapping", name=name), body=wanted, match=match),
            ImportAnswer,
        )

    def suggest(self, name: str, *, kind: Literal["people", "events", "deletions"] = "people") -> dict[str, Any]:
        """Fields of a mapping, by names and types of the columns; and `cursor`, a column that may be one."""
        found: dict[str, Any] = self._core.ask(
            "POST", core.path("/api/v1/imports/{name}/suggest", name=name), query={"kind": kind}
        ).json()
        return found

    def look(self, name: str) -> InspectionAnswer:
        """The columns of its rows, and what they cost; nothing is billed."""
        return core.made(self._core.ask("POST", core.path("/api/v1/imports/{name}/look", name=name)), InspectionAnswer)

    def preview(self, name: str, *, rows: int = 10) -> PreviewAnswer:
        """The first rows; nothing is imported. The statement is billed."""
        return core.made(
            self._core.ask("POST", core.path("/api/v1/imports/{name}/preview", name=name), query={"rows": rows}),
            PreviewAnswer,
        )

    def dry_run(self, name: str, wanted: DryRunWanted | None = None) -> DryRunAnswer:
        """Try random rows. The plan is made, and billed; nothing is stored, unless it is asked for."""
        return core.made(
            self._core.ask("POST", core.path("/api/v1/imports/{name}/dry-run", name=name), body=wanted), DryRunAnswer
        )

    def stop(self, name: str) -> ImportStatus:
        """End it: it begins nothing any more, and its run is cancelled. What it took stays."""
        return core.made(self._core.ask("POST", core.path("/api/v1/imports/{name}/stop", name=name)), ImportStatus)

    def undo(self, name: str) -> OperationAnswer:
        """Have a worker take back all that it has brought, here and in the tables of exports. Its run is stopped
        first. It may be asked for again, if it has failed: then it goes on."""
        return core.made(self._core.ask("POST", core.path("/api/v1/imports/{name}/undo", name=name)), OperationAnswer)

    def show_undo(self, name: str, operation: UUID) -> OperationAnswer:
        """How it stands with what is taken back. Until it is over, Retry-After says when to look again."""
        return core.made(
            self._core.ask("GET", core.path("/api/v1/imports/{name}/undo/{operation}", name=name, operation=operation)),
            OperationAnswer,
        )

    def repair(self, name: str, wanted: RepairWanted) -> RepairedAnswer:
        """Take in rows that were refused, repaired. Others stay refused."""
        return core.made(
            self._core.ask("POST", core.path("/api/v1/imports/{name}/rejects/repair", name=name), body=wanted),
            RepairedAnswer,
        )

    def trigger(self, name: str, wanted: TriggerRequest | None = None) -> SyncTriggerAnswer:
        """Have a worker run it, whether or not it has a schedule. If a run of it is at work, or waits, it is that
        one, and nothing more is begun."""
        return core.made(
            self._core.ask("POST", core.path("/api/v1/imports/{name}/trigger", name=name), body=wanted),
            SyncTriggerAnswer,
        )

    def runs(
        self,
        name: str,
        *,
        status: Literal["running", "completed", "skipped", "failed", "cancelled"] | None = None,
        limit: int = 50,
    ) -> Iterator[SyncRunAnswer]:
        """Its runs, newest first."""
        return self._core.pages(
            core.path("/api/v1/imports/{name}/runs", name=name), {"status": status, "limit": limit}, SyncRunAnswer
        )

    def run(self, name: str, number: int) -> SyncRunAnswer:
        """How a run stands. While it is not over, Retry-After says when to look again."""
        return core.made(
            self._core.ask("GET", core.path("/api/v1/imports/{name}/runs/{number}", name=name, number=number)),
            SyncRunAnswer,
        )

    def progress(self, name: str, number: int) -> Iterator[Event]:
        """How a run goes on, as Server-Sent Events, until it is over."""
        return self._core.events(core.path("/api/v1/imports/{name}/runs/{number}/events", name=name, number=number))

    def cancel(self, name: str) -> CancelledAnswer:
        """Ask its run to stop. What it has delivered is remembered."""
        return core.made(self._core.ask("POST", core.path("/api/v1/imports/{name}/cancel", name=name)), CancelledAnswer)

    def logs(
        self,
        name: str,
        number: int,
        *,
        level: Literal["debug", "info", "warning", "error"] | None = None,
        step: str | None = None,
        search: str | None = None,
        since: str | None = None,
        limit: int = 50,
    ) -> Iterator[LineAnswer]:
        """What a run has told, oldest first."""
        return self._core.pages(
            core.path("/api/v1/imports/{name}/runs/{number}/logs", name=name, number=number),
            {"level": level, "step": step, "search": search, "since": since, "limit": limit},
            LineAnswer,
        )

    def rejects(
        self, name: str, *, text: str | None = None, code: str | None = None, limit: int = 50
    ) -> Iterator[SyncRejectAnswer]:
        """Rows that are not delivered, by key."""
        return self._core.pages(
            core.path("/api/v1/imports/{name}/rejects", name=name),
            {"text": text, "code": code, "limit": limit},
            SyncRejectAnswer,
        )

    def export_rejects(
        self, name: str, *, text: str | None = None, code: str | None = None, form: Literal["json", "csv"] = "json"
    ) -> Iterator[str]:
        """All rows that are not delivered, with their reasons, by key, as they are read."""
        return self._core.lines(
            core.path("/api/v1/imports/{name}/rejects/export", name=name), {"text": text, "code": code, "form": form}
        )

    def retry_rejects(self, name: str, wanted: RejectsChosen | None = None) -> OperationAnswer:
        """Have a worker try rows again, as they are now: 10,000 at most."""
        return core.made(
            self._core.ask("POST", core.path("/api/v1/imports/{name}/rejects/retry", name=name), body=wanted),
            OperationAnswer,
        )

    def show_retry(self, name: str, operation: UUID) -> OperationAnswer:
        """How it stands with rows that are to be tried again. Until it is over, Retry-After says when to look
        again."""
        return core.made(
            self._core.ask(
                "GET", core.path("/api/v1/imports/{name}/rejects/retry/{operation}", name=name, operation=operation)
            ),
            OperationAnswer,
        )

    def drop_rejects(self, name: str, wanted: RejectsDropped) -> NumberAnswer:
        """Give rows up, as they are: they are sent when they have changed."""
        return core.made(
            self._core.ask("POST", core.path("/api/v1/imports/{name}/rejects/drop", name=name), body=wanted),
            NumberAnswer,
        )

    def pause(self, name: str) -> None:
        """Begin no run by itself any more. What runs, ends."""
        self._core.ask("POST", core.path("/api/v1/imports/{name}/pause", name=name))

    def unpause(self, name: str) -> None:
        """Have runs begin by themselves again."""
        self._core.ask("POST", core.path("/api/v1/imports/{name}/unpause", name=name))

    def reset(self, name: str, wanted: ResetWanted) -> None:
        """Have the next run take what was delivered in another way."""
        self._core.ask("POST", core.path("/api/v1/imports/{name}/reset", name=name), body=wanted)
