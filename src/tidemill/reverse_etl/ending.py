"""Ends all that the syncs of a connection do, and deletes them with their models: for who deletes the connection.

The connection is marked by then: nothing new is begun. So what is asked to stop here stays stopped.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable

from tidemill.bigquery.client import Client
from tidemill.bigquery.retry import Policy
from tidemill.errors import AccessError, ConfigError, ConflictError, NotFoundError, TidemillError
from tidemill.reverse_etl.work import Parts
from tidemill.store.records import Connection
from tidemill.store.records_sync import Source, SourceModel, Sync

_ASKS_WITHIN_SECONDS = 30.0
#: What says that BigQuery cannot be asked by this credential any more, or that nothing is there to ask about.
_LASTING = (AccessError, ConfigError, NotFoundError)
#: Parts of the ids of jobs that take long, where it may not be asked which are at work.
_JOBS = ("plan", "exact", "look", "commit", "model")
_REASON = {"code": "connection_deleting", "message": "The connection of its model is being deleted.", "hint": ""}


class Ending:
    """See the module. `bury`: whether a worker is dead, for who wants its work."""

    def __init__(self, parts: Parts, bury: Callable[[str], bool]) -> None:
        self._parts, self._books, self._bury = parts, parts.books, bury

    def models(self, connection_id: uuid.UUID) -> list[SourceModel]:
        """The source models of a connection, by name."""
        return self._books.models.of_connection(connection_id)

    def syncs(self, connection_id: uuid.UUID) -> list[Sync]:
        """The syncs of these models."""
        return [sync for model in self.models(connection_id) for sync in self._books.syncs.of_model(model.id)]

    def is_import(self, sync: Sync) -> bool:
        """Whether it delivers into Tidemill."""
        return self._books.accounts.by_id(sync.destination_id).kind == "tidemill"

    def at_work(self, sync: Sync) -> list[str]:
        """The run of a sync that is at work, or was when its process ended."""
        run = self._books.runs.running(sync.id)
        if run is None:
            return []
        return [f"run {run.number}{'' if self._is_held(sync) else ' (interrupted)'}"]

    def _is_held(self, sync: Sync) -> bool:
        with self._parts.locks.attempt(f"sync:{sync.id}") as held:
            return not held

    def request(self, sync: Sync, by: str) -> None:
        """Ask the run of a sync to stop. By its schedule, or for who has triggered it, none is begun."""
        self._books.syncs.pause(sync.id, by, _REASON)
        self._books.triggers.fail(sync.id, _REASON)
        run = self._books.runs.running(sync.id)
        if run is not None:
            self._books.runs.request_cancel(run.id)

    def still(self, sync: Sync) -> list[str]:
        """The sync, if a living process is at work on it. A worker that gives no sign of life is cut off in time."""
        if not self._is_held(sync):
            return []
        worker = self._books.syncs.by_id(sync.id).worker
        if worker is not None:
            self._bury(worker)
        run = self._books.runs.running(sync.id)
        return [f"run {run.number} of {sync.name}" if run else sync.name]

    def delete(self, sync: Sync, *, force: bool) -> list[str]:
        """Delete one that nobody is at work on, and what is remembered of its rows. Gives remarks.

        `force`: also if BigQuery does not answer whether jobs are at work.

        Raises
        ------
        ConflictError
            Somebody is at work on it; or BigQuery does not answer.
        """
        with self._parts.locks.attempt(f"sync:{sync.id}") as held:
            if not held:
                raise ConflictError("sync_running", f"A run of {sync.name} is running.", hint="Run the command again.")
            model = self._books.models.by_id(sync.model_id)
            connection = self._books.connections.by_id(model.connection_id)
            remarks = self._removed(sync, connection, self._books.sources.of(connection), force=force)
            with contextlib.suppress(NotFoundError):  # somebody else has deleted it
                self._books.syncs.delete(sync.id)
            return remarks

    def _removed(self, sync: Sync, connection: Connection, source: Source, *, force: bool) -> list[str]:
        remarks = []
        try:
            with self._parts.client(connection, source) as client:
                client.policy = Policy(deadline=_ASKS_WITHIN_SECONDS)
                try:
                    self._settle(client, source, sync)
                except _LASTING as error:  # what is kept here can be removed all the same
                    remarks.append(
                        f"It could not be looked whether BigQuery is at jobs of {sync.name}: {error.message}"
                    )
                self._parts.planner(client, source, sync).remove()
        except TidemillError as error:
            if not (force or isinstance(error, _LASTING)):
                raise ConflictError(
                    "jobs_unknown",
                    f"BigQuery does not answer, so what {sync.name} has delivered is still there: {error.message}",
                    hint="Run the command again when it answers. To delete the connection all the same: --force",
                ) from None
            remarks.append(left(source, sync, error))
        return remarks

    def _settle(self, client: Client, source: Source, sync: Sync) -> None:
        """See that nothing that a dead process has begun is at work in BigQuery."""
        run = self._books.runs.running(sync.id)
        begun = f"tidemill_sync_{sync.id.hex}_"
        try:
            jobs = [job for job in client.at_work() if job.startswith(begun)]
        except AccessError:
            jobs = [f"{begun}{run.id.hex}_{what}" for what in _JOBS] if run is not None else []
        dataset = source.state_dataset or self._books.connections.by_id(source.connection_id).dataset
        for job in jobs:
            client.settle(job, dataset, f"state_{sync.id.hex}")

    def delete_models(self, connection_id: uuid.UUID) -> None:
        """Delete the models of a connection, whose syncs are gone. It is no source any more."""
        for model in self.models(connection_id):
            with contextlib.suppress(NotFoundError):
                self._books.models.delete(model.id)
        self._books.sources.delete(connection_id)


def left(source: Source, sync: Sync, error: TidemillError) -> str:
    """What is said where the state of a sync could not be removed."""
    where = f"the table state_{sync.id.hex}" if source.state_dataset else f"the files syncs/{sync.id.hex}"
    return f"What {sync.name} has delivered is still in {where}: {error.message}"
