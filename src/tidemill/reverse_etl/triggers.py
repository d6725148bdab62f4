"""Runs of syncs that somebody wants now, of whatever schedule: workers do them. It needs neither BigQuery nor a
destination."""

from __future__ import annotations

import dataclasses
import time
import uuid
from collections.abc import Callable

from tidemill.bearer import digest
from tidemill.errors import NotFoundError
from tidemill.reverse_etl.views import RunView
from tidemill.reverse_etl.work import Locks
from tidemill.schedules import telling
from tidemill.store.records_sync import Sync
from tidemill.store.sync_books import SyncBooks
from tidemill.store.sync_triggers import Once

_LOOKS_EVERY_SECONDS = 1.0
WAITING, _FAILED = "waiting", "failed"
_NOT_OVER = frozenset({WAITING, "running"})


@dataclasses.dataclass(frozen=True)
class Triggered:
    """`number`: of the run; `already`: it was at work or waited before it was asked for, and nothing was begun."""

    sync: str
    number: int
    already: bool


@dataclasses.dataclass(frozen=True)
class RunState:
    """How a run stands that was triggered. `status`: waiting (there is none yet), running, completed, skipped, failed,
    cancelled; `run`: None if it has not begun; `error`: why it failed, or what it waits for."""

    sync: str
    number: int
    status: str
    run: RunView | None
    error: dict[str, str] | None

    @property
    def is_over(self) -> bool:
        """Whether it stays like that."""
        return self.status not in _NOT_OVER


class TriggerService:
    """See the module."""

    def __init__(self, books: SyncBooks, locks: Locks) -> None:
        self._books, self._locks = books, locks

    def trigger(
        self,
        name: str,
        *,
        by: str,
        force: bool = False,
        anew: bool = False,
        once: tuple[uuid.UUID, str] | None = None,
    ) -> Triggered:
        """Have a worker run a sync, whether or not it has a schedule. If a run of it is at work, or waits, it is that.

        `force`: also if no table of the model has changed; `anew`: a run that is at work may have read too early, so it
        is the one after it; `once`: a token and a key: the same within a day is the same call, and is answered the
        same.

        Raises
        ------
        ConflictError
            It is paused.
        NotFoundError
            There is none of that name.
        ConfigError
            The key was used for another call.
        """
        sync = self._books.syncs.get(name)
        known = Once(once[0], digest(once[1])) if once else None
        found = self._books.triggers.add(
            sync.id, by, forced=force, anew=anew, at_hand=lambda: self._is_held(sync), once=known
        )
        return Triggered(sync.name, found.number, found.already)

    def _is_held(self, sync: Sync) -> bool:
        """Whether somebody is at work on it. Whoever was interrupted is not, and a worker goes on with that."""
        with self._locks.attempt(f"sync:{sync.id}") as held:
            return not held

    def state(self, name: str, number: int) -> RunState:
        """How a run stands; also one that has not begun, if somebody has triggered it.

        Raises
        ------
        NotFoundError
            There is no such sync, or run.
        """
        sync = self._books.syncs.get(name)
        trigger = self._books.triggers.of_run(sync.id, number)  # before the run is looked for: it may begin meanwhile
        try:
            run = RunView.of(self._books.runs.numbered(sync.id, number), sync.name)
        except NotFoundError:
            if trigger is None:
                raise
        else:
            return RunState(sync.name, number, run.status, run, run.error)
        if trigger.error is not None:
            return RunState(sync.name, number, _FAILED, None, trigger.error)
        return RunState(sync.name, number, WAITING, None, _held_up(sync))

    def wait(self, name: str, number: int, sleep: Callable[[float], None] = time.sleep) -> RunState:
        """How a run stands when it is over."""
        while not (found := self.state(name, number)).is_over:
            sleep(_LOOKS_EVERY_SECONDS)
        return found


def _held_up(sync: Sync) -> dict[str, str] | None:
    if sync.paused_at is None:
        return None
    hint = f"Go on: {telling.of(sync, 'unpause')}"
    return {"code": "sync_paused", "message": f"{sync.name} was paused before the run began.", "hint": hint}
