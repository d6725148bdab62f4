"""What a user can do to try an export: a test upload of its own rows, before it is made or at any time."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from tidemill.bigquery.access_steps import Step
from tidemill.bigquery.credentials import Auth
from tidemill.exports import draft as drafts
from tidemill.exports.trial.steps import Trial
from tidemill.exports.trial.views import Told, untold
from tidemill.store.records import Connection, Export

if TYPE_CHECKING:
    from tidemill.exports.work import Parts
    from tidemill.store.books import Books


class TrialService:
    """Test uploads."""

    def __init__(self, parts: Parts, books: Books, auth_for: Callable[[Connection], Auth]) -> None:
        self._parts, self._books, self._auth_for = parts, books, auth_for

    def draft(self, connection_name: str, fields: dict[str, Any], *, told: Told = untold) -> Iterator[Step]:
        """Test an export that is not saved, by its newest rows; see trial/steps.py. Nothing here changes.

        Raises
        ------
        ConfigError
            A field is wrong.
        ConflictError
            The connection is being deleted.
        """
        connection = self._books.connections.usable(connection_name)
        draft = drafts.new(self._parts.lake, connection, fields)
        export = _export(connection, draft)
        location = connection.location if draft.dataset == connection.dataset else None
        yield from Trial(self._parts, self._auth_for(connection), export, location, is_new=True).run(told)

    def saved(self, export: str, *, told: Told = untold) -> Iterator[Step]:
        """The same of one that is saved. Its table, runs and position stay as they are."""
        owner = self._books.exports.get(export)
        connection = self._books.connections.by_id(owner.connection_id)
        location = connection.location if owner.dataset == connection.dataset else None
        yield from Trial(self._parts, self._auth_for(connection), owner, location, is_new=False).run(told)


def _export(connection: Connection, draft: drafts.Draft) -> Export:
    """The export as it would be saved."""
    moment = dt.datetime.now(dt.UTC)
    return Export(
        id=uuid.uuid4(),
        name=draft.spec.name,
        connection_id=connection.id,
        model=draft.spec.model,
        project=connection.project,
        dataset=draft.dataset,
        table_id=draft.spec.table,
        spec=draft.spec.model_dump(mode="json"),
        position=0,
        created_at=moment,
        created_by="",
        updated_at=moment,
    )
