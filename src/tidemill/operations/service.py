"""What a user can have workers do that takes long and must be done to its end: take back what an import has brought,
delete a person, try rows of a sync again. Who asks for it need not wait, and may go away."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from tidemill.access import records
from tidemill.errors import NotFoundError
from tidemill.operations.views import OperationView, PlaceView
from tidemill.store.operations import Operation, Operations

if TYPE_CHECKING:
    from tidemill.exports.service import ExportService
    from tidemill.imports.service import ImportService
    from tidemill.reverse_etl.service import ReverseEtl

__all__ = ["OperationService", "OperationView", "PlaceView"]

#: Kinds of operations.
UNDO, PERSON, ROWS, DELETES = "import_undo", "person_delete", "sync_rows", "sync_deletes"
#: Deletions that are shown at once.
_MOST = 100


class OperationService:
    """See the module. The services are opened when they must be."""

    def __init__(
        self,
        book: Operations,
        imports: Callable[[], ImportService],
        exports: Callable[[], ExportService],
        reverse_etl: Callable[[], ReverseEtl],
    ) -> None:
        self._book, self._imports, self._exports, self._reverse_etl = book, imports, exports, reverse_etl

    def undo(self, name: str, *, by: str) -> OperationView:
        """Have a worker take back all that an import has brought, here and in the tables of exports. Its run is stopped
        first, and so is the import. It goes on if the import is renamed or deleted meanwhile."""
        found = self._imports().get(name)
        return self._added(UNDO, _sync(found.id), found.name, {"sync": str(found.id)}, by)

    def delete_person(self, team_id: int, distinct_id: str, *, events: bool, by: str) -> OperationView:
        """Have a worker delete a person here and in the tables, with `events` all that it sent, too. When that is done,
        nothing of the person is kept in the operation.

        Raises
        ------
        NotFoundError
            There never was such a person; nor, with `events`, anything that was sent under the id.
        """
        self._exports().assert_known(team_id, distinct_id, events=events)
        wanted = {"team_id": team_id, "distinct_id": distinct_id, "events": events}
        return self._added(PERSON, f"person:{team_id}:{distinct_id}", distinct_id, wanted, by)

    def retry_rows(
        self, name: str, *, by: str, keys: Sequence[str] = (), text: str | None = None, code: str | None = None
    ) -> OperationView:
        """Have a worker run a sync, or an import, for rows alone that it could not deliver; see
        SyncRejectService.retry.

        Raises
        ------
        NotFoundError
            There is no such row.
        ConfigError
            They are too many; or those that were chosen have no key.
        """
        found = self._reverse_etl().syncs.get(name)
        if not self._reverse_etl().rejects.to_retry(name, keys=keys, text=text, code=code):
            raise NotFoundError(
                "row_unknown", "There is no row that could be tried again.", hint="See which there are, and why."
            )
        wanted = {"sync": str(found.id), "keys": sorted(keys), "text": text, "code": code}
        return self._added(ROWS, _sync(found.id), found.name, wanted, by)

    def run_with_deletes(self, name: str, *, by: str) -> OperationView:
        """Have a worker run a sync, however many rows it deletes."""
        found = self._reverse_etl().syncs.get(name)
        return self._added(DELETES, _sync(found.id), found.name, {"sync": str(found.id)}, by)

    def _added(self, kind: str, subject: str, name: str, wanted: dict[str, Any], by: str) -> OperationView:
        found, already = self._book.add(kind, subject, name, wanted, by, audit_id=records.current())
        return OperationView.of(found, already=already)

    # See

    def undo_of(self, name: str) -> OperationView | None:
        """The last time that an import was taken back; None if it never was."""
        return self._last(name, UNDO)

    def undo_by_id(self, name: str, operation_id: uuid.UUID) -> OperationView:
        """How that stands; also of an import that was deleted since."""
        return self._one(operation_id, name, UNDO)

    def deletion(self, operation_id: uuid.UUID) -> OperationView:
        """How the deletion of a person stands."""
        return self._one(operation_id, None, PERSON)

    def waiting(self) -> tuple[int, dt.datetime | None]:
        """How many are not over, and since when the oldest waits that no worker has ever begun."""
        return self._book.waiting()

    def deletions(self) -> list[OperationView]:
        """Deletions of persons that are not over, the oldest first."""
        return [OperationView.of(one) for one in self._book.open(PERSON, _MOST)]

    def of_sync(self, name: str) -> OperationView | None:
        """The last time that rows of a sync were tried again, or that it was run with its deletes."""
        return self._last(name, ROWS, DELETES)

    def retry_by_id(self, name: str, operation_id: uuid.UUID) -> OperationView:
        """How it stands with rows of a sync that are to be tried again."""
        return self._one(operation_id, name, ROWS)

    def _last(self, name: str, *kinds: str) -> OperationView | None:
        """By its id alone: pages ask once a second."""
        sync_id = self._reverse_etl().syncs.parts.books.syncs.get(name).id
        found = self._book.last_of(_sync(sync_id), *kinds)
        return OperationView.of(found) if found is not None else None

    def _one(self, operation_id: uuid.UUID, name: str | None, kind: str) -> OperationView:
        found = self._book.by_id(operation_id)
        if found.kind != kind or (name is not None and not self._is_of(found, name)):
            raise NotFoundError("operation_unknown", "There is no such operation.", hint="It is kept for a month.")
        return OperationView.of(found)

    def _is_of(self, found: Operation, name: str) -> bool:
        """Whether it is about what is called so, or was when it was asked for."""
        if found.name.lower() == name.lower():
            return True
        try:
            return found.subject == _sync(self._reverse_etl().syncs.get(name).id)
        except NotFoundError:
            return False


def _sync(sync_id: uuid.UUID) -> str:
    return f"sync:{sync_id}"
