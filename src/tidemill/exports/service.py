"""What a user can do with exports: make, see, change, delete and run them; and the doors to what belongs to them."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Sequence
from typing import Any

from tidemill.exports import draft as drafts
from tidemill.exports.assembly import Assembly
from tidemill.exports.backfills import BackfillService
from tidemill.exports.ending import Ending
from tidemill.exports.erasure import Told
from tidemill.exports.listing import Listing
from tidemill.exports.logs import Logs
from tidemill.exports.runs import RunService
from tidemill.exports.schedules.wanted import Wanted
from tidemill.exports.set_aside import SetAside
from tidemill.exports.spec import ExportSpec
from tidemill.exports.tables import TableService
from tidemill.exports.triggers import TriggerService
from tidemill.exports.views import ExportView, RejectView, RunProgress, RunView
from tidemill.exports.watch import Report, untold
from tidemill.schedules.worker import Queue
from tidemill.store.records import Export

__all__ = ["Defined", "ExportService", "ExportView", "RejectView", "RunProgress", "RunView"]


@dataclasses.dataclass(frozen=True)
class Defined:
    """An export as it was defined. `connection`: its name; `project`, `dataset`: where its table is."""

    name: str
    connection: str
    project: str
    dataset: str
    spec: ExportSpec


@dataclasses.dataclass(frozen=True)
class _Place:
    project: str
    dataset: str


class ExportService:
    """Exports."""

    def __init__(self, made: Assembly) -> None:
        self._made, books = made, made.books
        self._connections, self._exports, self._shown = books.connections, books.exports, made.shown
        self.set_aside = SetAside(made.parts, made.rejects, made.dispatch, made.backfiller, made.shown)
        self.runs = RunService(made, self.set_aside)
        self.backfills = BackfillService(made)
        self.tables, self.trials = TableService(made), made.trials
        self.logs = Logs(books.exports, books.runs, made.seeing.lines)
        self.schedules, self.scheduler, self.streaming = made.schedules, made.scheduler, made.streaming
        #: For who deletes a connection.
        self.ending = Ending(made)
        self.listed, self.triggers = Listing(made), TriggerService(books, made.parts.engine)
        wanted = Wanted(made.parts.settings, books, made.dispatch, self.runs, self.set_aside)
        #: What workers do: first, what somebody waits for.
        self.queues: Sequence[Queue[Any]] = (wanted, *made.queues)

    def create(self, connection_name: str, fields: dict[str, Any], *, by: str) -> tuple[ExportView, list[str]]:
        """Save a new export. Gives it, with remarks on what was understood.

        Raises
        ------
        ConfigError
            A field is wrong.
        ConflictError
            The name, or the table, is taken by another export; or the connection is being deleted.
        """
        connection = self._connections.usable(connection_name)
        draft = drafts.new(self._made.parts.lake, connection, fields)
        made = draft.spec
        export = self._exports.add(
            name=made.name,
            connection_id=connection.id,
            model=made.model,
            project=connection.project,
            dataset=draft.dataset,
            table_id=made.table,
            spec=made.model_dump(mode="json"),
            created_by=by,
        )
        self.scheduler.settle(export)
        return self._shown.export(export), draft.remarks

    def draft(self, project: str, dataset: str, fields: dict[str, Any]) -> ExportSpec:
        """A new export into such a dataset, as it would be made; nothing is saved. Raises ConfigError as `create`."""
        return drafts.new(self._made.parts.lake, _Place(project, dataset), fields).spec

    def defined(self) -> list[Defined]:
        """All exports as they were defined, by name. How they stand is not looked at, unlike in `find`."""
        connections = {saved.id: saved.name for saved in self._connections.find()}
        return [
            Defined(one.name, connections[one.connection_id], one.project, one.dataset, _spec(one))
            for one in self._exports.find()
        ]

    def find(self, connection: str | None = None) -> list[ExportView]:
        """Exports by name, all or those of one connection."""
        owner = self._connections.get(connection).id if connection else None
        return [self._shown.export(export) for export in self._exports.find(owner)]

    def using(self, connection_id: Any) -> list[str]:
        """Names of the exports that use a connection."""
        return [export.name for export in self._exports.find(connection_id)]

    def get(self, name: str) -> ExportView:
        """The export of that name; NotFoundError if there is none."""
        return self._shown.export(self._exports.get(name))

    def edit(self, name: str, changes: dict[str, Any], *, as_of: dt.datetime | None = None) -> ExportView:
        """Change name, interval, delivery, event filters, run log or the limit of bytes; for runs from now on. `as_of`:
        when it was last changed, as far as whoever wants that knows.

        Raises
        ------
        ConfigError
            A field is wrong or fixed.
        ConflictError
            It was changed since it was seen.
        """
        export = self._exports.get(name)
        changed = drafts.changed(export, changes)
        made = self._exports.change(export.id, as_of=as_of, name=changed.name, spec=changed.model_dump(mode="json"))
        self.schedules.changed(export, made)
        return self._shown.export(made)

    def delete(self, name: str, *, as_of: dt.datetime | None = None) -> None:
        """Cancel the export's runs that nobody moves, and delete it. The table stays. `as_of`: as in `edit`.

        Raises
        ------
        ConflictError
            A living process moves a run, or a backfill, of it; or it was changed since it was seen.
        """
        export = self._exports.get(name)
        with self.streaming.quiet(export, anyway=True):
            self._made.backfiller.assert_not_moving(export)
            self._made.dispatch.abandon(export)
            refusing = self._made.rejects.runs(export.id)
            self._exports.delete(export.id, as_of=as_of)
            self._made.rejects.dismiss(refusing, None)

    def run(self, name: str, *, by: str, progress: Report = untold) -> list[RunView]:
        """Export what is new. A run that was interrupted, failed or cancelled is gone on with first.

        Gives the runs that were moved: none if there was nothing to do.

        Raises
        ------
        ConflictError
            A run of this export is running.
        """
        drafts.assert_by_runs(export := self._exports.get(name))
        return [self._shown.run(run) for run in self._made.dispatch.run(export, by, progress)]

    def erase_person(self, team_id: int, distinct_id: str, *, events: bool, by: str, told: Told) -> None:
        """Delete a person for good, as for a privacy request; see exports/erasure.py."""
        self._made.eraser.erase(team_id, distinct_id, events=events, by=by, told=told)

    def take_back(self, file_key: str, said: str, *, by: str, told: Told) -> None:
        """Delete what commits of this file key brought, here and in tables; see exports/erasure.py."""
        self._made.eraser.take_back(file_key, said, by=by, told=told)

    def brought(self, file_key: str, said: str) -> int:
        """How many events `take_back` would delete."""
        return self._made.eraser.brought(file_key, said)

    def assert_known(self, team_id: int, distinct_id: str, *, events: bool) -> None:
        """Raise NotFoundError if there is nothing that `erase_person` would delete."""
        self._made.eraser.assert_known(team_id, distinct_id, events=events)

    def places(self, team_id: int, *, events: bool) -> int:
        """How many places `erase_person` would look at."""
        return self._made.eraser.places(team_id, events=events)


def _spec(export: Export) -> ExportSpec:
    return ExportSpec.model_validate(export.spec)
