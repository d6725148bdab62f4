"""Takes back what an import has brought, here and in the tables of exports. Whoever is killed meanwhile is followed by
who does it again: what is left to do is written down before (exports/erasure.py)."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from tidemill.errors import ConflictError, NotFoundError
from tidemill.imports import taking
from tidemill.reverse_etl.service import ReverseEtl
from tidemill.schedules import telling
from tidemill.store.records_sync import Sync
from tidemill.store.sync_books import SyncBooks

_UNDONE = {"code": "cancelled", "message": "What it had taken was taken back.", "hint": ""}


class Erasing(Protocol):
    """See ExportService."""

    def take_back(self, file_key: str, said: str, *, by: str, told: Callable[[Any], None]) -> None:
        """Delete events that came by an import, here and in tables."""

    def brought(self, file_key: str, said: str) -> int:
        """How many of them are here."""


class Undoing:
    """See the module."""

    def __init__(
        self, books: SyncBooks, reverse_etl: ReverseEtl, erasing: Erasing, stop: Callable[[Sync, str], None]
    ) -> None:
        """`stop(sync, by)`: it begins nothing by itself any more, and its run is asked to stop."""
        self._books, self._reverse_etl, self._erasing, self._stop = books, reverse_etl, erasing, stop

    def undo(self, sync_id: uuid.UUID, *, by: str, told: Callable[[Any], None]) -> None:
        """See ImportService.undo. Of an import that was deleted meanwhile, too.

        Raises
        ------
        ConflictError
            A run of it is at work.
        """
        try:
            sync = self._books.syncs.by_id(sync_id)
        except NotFoundError:
            self._take_back(sync_id, by, told)
            return
        with alone(self._reverse_etl, sync.id, sync.name):
            self._stop(sync, by)
            left = self._books.runs.running(sync.id)
            if left is not None:  # nobody is at it, and what it has taken is taken back
                self._books.runs.finish(left.id, "cancelled", _UNDONE)
            self._reverse_etl.syncs.reset(sync.name, "forget")
            self._take_back(sync.id, by, told)

    def stop(self, sync_id: uuid.UUID, by: str) -> None:
        """Have its run stop, if it has one, and begin no other."""
        with contextlib.suppress(NotFoundError):  # it was deleted
            self._stop(self._books.syncs.by_id(sync_id), by)

    def left(self, sync_id: uuid.UUID) -> int:
        """How many events are here that it has brought."""
        return self._erasing.brought(taking.file_key(sync_id), _said(sync_id))

    def _take_back(self, sync_id: uuid.UUID, by: str, told: Callable[[Any], None]) -> None:
        self._erasing.take_back(taking.file_key(sync_id), _said(sync_id), by=by, told=told)


@contextlib.contextmanager
def alone(reverse_etl: ReverseEtl, sync_id: uuid.UUID, name: str) -> Iterator[None]:
    """Nobody else takes rows of an import in, for the time of the block; ConflictError if somebody does."""
    with reverse_etl.syncs.parts.locks.attempt(f"sync:{sync_id}") as held:
        if not held:
            raise ConflictError(
                "sync_running",
                f"{name} is running.",
                hint=f"Wait for it, or stop it: {telling.command('import stop', name)}",
            )
        yield


def _said(sync_id: uuid.UUID) -> str:
    """What is in the properties of each event of an import."""
    return f'"$import_id":"{sync_id}"'
