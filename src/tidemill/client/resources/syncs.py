"""Syncs. Written by tests/client_writer.py."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal
from uuid import UUID

from tidemill.client import core
from tidemill.client.core import Core, Event, Model
from tidemill.client.models.shared import (
    CancelledAnswer,
    LineAnswer,
    NumberAnswer,
    OperationAnswer,
    RejectsChosen,
    RejectsDropped,
    RemarkAnswer,
    ResetWanted,
    SyncRejectAnswer,
    SyncRunAnswer,
    SyncTriggerAnswer,
    TriggerRequest,
)
from tidemill.client.models.syncs import (
    MappingAnswer,
    SuggestWanted,
    SyncAnswer,
    SyncChanges,
    SyncEstimateAnswer,
    SyncItem,
    SyncStatus,
    SyncWanted,
    TestRecordAnswer,
    TestRecordWanted,
)


class Syncs:
    """Syncs."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def find(
        self,
        *,
        search: str | None = None,
        model: str | None = None,
        destination: str | None = None,
        connection: str | None = None,
        status: Literal["paused", "running", "ready", "trouble"] | None = None,
        sort: str | None = None,
        limit: int = 50,
    ) -> Iterator[SyncItem]:
        """Syncs, by name, or as it is asked for, each with how it stands."""
        return self._core.pages(
            "/api/v1/syncs",
            {
                "search": search,
                "model": model,
                "destination": destination,
                "connection": connection,
                "status": status,
                "sort": sort,
                "limit": limit,
            },
            SyncItem,
        )

    def create(self, wanted: SyncWanted) -> SyncAnswer:
        """Make a sync. It delivers what has changed by its runs, when its schedule says, or when it is triggered."""
        return core.made(self._core.ask("POST", "/api/v1/syncs", body=wanted), SyncAnswer)

    def suggest(self, wanted: SuggestWanted) -> MappingAnswer:
        """A mapping by the names of the model's columns."""
        return core.made(self._core.ask("POST", "/api/v1/syncs/suggest", body=wanted), MappingAnswer)

    def show(self, name: str) -> SyncAnswer:
        """One sync, as it was said."""
        return core.made(self._core.ask("GET", core.path("/api/v1/syncs/{name}", name=name)), SyncAnswer)

    def edit(self, name: str, wanted: SyncChanges, *, match: Model | str) -> SyncAnswer:
        """Change a sync: for runs from now on."""
        return core.made(
            self._core.ask("PATCH", core.path("/api/v1/syncs/{name}", name=name), body=wanted, match=match), SyncAnswer
        )

    def delete(self, name: str, *, match: Model | str) -> RemarkAnswer:
        """Delete a sync, its runs, and what is remembered of its rows. Nothing is deleted in the destination."""
        return core.made(
            self._core.ask("DELETE", core.path("/api/v1/syncs/{name}", name=name), match=match), RemarkAnswer
        )

    def status(self, name: str) -> SyncStatus:
        """How a sync stands."""
        return core.made(self._core.ask("GET", core.path("/api/v1/syncs/{name}/status", name=name)), SyncStatus)

    def dry_run(self, name: str) -> SyncEstimateAnswer:
        """What a run would do now. The plan is made, and billed; nothing is sent or remembered."""
        return core.made(
            self._core.ask("POST", core.path("/api/v1/syncs/{name}/dry-run", name=name)), SyncEstimateAnswer
        )

    def test(self, name: str, wanted: TestRecordWanted | None = None) -> TestRecordAnswer:
        """Send one row, and see the request and the answer. The next run that gets so far sends it again, as the
        same."""
        return core.made(
            self._core.ask("POST", core.path("/api/v1/syncs/{name}/test", name=name), body=wanted), TestRecordAnswer
        )

    def trigger(self, name: str, wanted: TriggerRequest | None = None) -> SyncTriggerAnswer:
        """Have a worker run it, whether or not it has a schedule. If a run of it is at work, or waits, it is that
        one, and nothing more is begun."""
        return core.made(
            self._core.ask("POST", core.path("/api/v1/syncs/{name}/trigger", name=name), body=wanted), SyncTriggerAnswer
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
            core.path("/api/v1/syncs/{name}/runs", name=name), {"status": status, "limit": limit}, SyncRunAnswer
        )

    def run(self, name: str, number: int) -> SyncRunAnswer:
        """How a run stands. While it is not over, Retry-After says when to look again."""
        return core.made(
            self._core.ask("GET", core.path("/api/v1/syncs/{name}/runs/{number}", name=name, number=number)),
            SyncRunAnswer,
        )

    def progress(self, name: str, number: int) -> Iterator[Event]:
        """How a run goes on, as Server-Sent Events, until it is over."""
        return self._core.events(core.path("/api/v1/syncs/{name}/runs/{number}/events", name=name, number=number))

    def cancel(self, name: str) -> CancelledAnswer:
        """Ask its run to stop. What it has delivered is remembered."""
        return core.made(self._core.ask("POST", core.path("/api/v1/syncs/{name}/cancel", name=name)), CancelledAnswer)

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
            core.path("/api/v1/syncs/{name}/runs/{number}/logs", name=name, number=number),
            {"level": level, "step": step, "search": search, "since": since, "limit": limit},
            LineAnswer,
        )

    def rejects(
        self, name: str, *, text: str | None = None, code: str | None = None, limit: int = 50
    ) -> Iterator[SyncRejectAnswer]:
        """Rows that are not delivered, by key."""
        return self._core.pages(
            core.path("/api/v1/syncs/{name}/rejects", name=name),
            {"text": text, "code": code, "limit": limit},
            SyncRejectAnswer,
        )

    def export_rejects(
        self, name: str, *, text: str | None = None, code: str | None = None, form: Literal["json", "csv"] = "json"
    ) -> Iterator[str]:
        """All rows that are not delivered, with their reasons, by key, as they are read."""
        return self._core.lines(
            core.path("/api/v1/syncs/{name}/rejects/export", name=name), {"text": text, "code": code, "form": form}
        )

    def retry_rejects(self, name: str, wanted: RejectsChosen | None = None) -> OperationAnswer:
        """Have a worker try rows again, as they are now: 10,000 at most."""
        return core.made(
            self._core.ask("POST", core.path("/api/v1/syncs/{name}/rejects/retry", name=name), body=wanted),
            OperationAnswer,
        )

    def show_retry(self, name: str, operation: UUID) -> OperationAnswer:
        """How it stands with rows that are to be tried again. Until it is over, Retry-After says when to look
        again."""
        return core.made(
            self._core.ask(
                "GET", core.path("/api/v1/syncs/{name}/rejects/retry/{operation}", name=name, operation=operation)
            ),
            OperationAnswer,
        )

    def drop_rejects(self, name: str, wanted: RejectsDropped) -> NumberAnswer:
        """Give rows up, as they are: they are sent when they have changed."""
        return core.made(
            self._core.ask("POST", core.path("/api/v1/syncs/{name}/rejects/drop", name=name), body=wanted), NumberAnswer
        )

    def pause(self, name: str) -> None:
        """Begin no run by itself any more. What runs, ends."""
        self._core.ask("POST", core.path("/api/v1/syncs/{name}/pause", name=name))

    def unpause(self, name: str) -> None:
        """Have runs begin by themselves again."""
        self._core.ask("POST", core.path("/api/v1/syncs/{name}/unpause", name=name))

    def reset(self, name: str, wanted: ResetWanted) -> None:
        """Have the next run take what was delivered in another way."""
        self._core.ask("POST", core.path("/api/v1/syncs/{name}/reset", name=name), body=wanted)

    def all_runs(
        self,
        *,
        status: Literal["running", "completed", "skipped", "failed", "cancelled"] | None = None,
        limit: int = 50,
    ) -> Iterator[SyncRunAnswer]:
        """Runs of all syncs and imports, newest first."""
        return self._core.pages("/api/v1/sync-runs", {"status": status, "limit": limit}, SyncRunAnswer)
