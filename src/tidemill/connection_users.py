"""Joins connections with all that uses them, which do not know each other: to show it, and to delete it with them."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from tidemill.errors import ConfigError, ConflictError, NotFoundError
from tidemill.paging import Page, Wanted
from tidemill.schedules import telling
from tidemill.store.connection_pages import (
    EXPORT,
    IMPORT,
    MODEL,
    PROJECT,
    SORTS,
    STREAM,
    SYNC,
    TIDEMILL,
    Chosen,
    ConnectionPages,
)
from tidemill.store.connections import Connections
from tidemill.store.dbt_projects import DbtProjects
from tidemill.store.exports import Exports
from tidemill.store.locks import Locks
from tidemill.store.records import Export
from tidemill.store.sync_books import SyncBooks

if TYPE_CHECKING:
    from tidemill.connections.service import Connection, ConnectionService
    from tidemill.connections.standing import Standing
    from tidemill.exports.ending import Ending as ExportEnding
    from tidemill.reverse_etl.ending import Ending as SyncEnding
    from tidemill.store import records

__all__ = ["KINDS", "SORTS", "ConnectionUsers", "Deleted", "Use"]

#: By what connections are found: a stream is an export. NOTHING: of those that nothing uses.
NOTHING = "nothing"
KINDS = (EXPORT, SYNC, IMPORT, NOTHING)
_LOOKS_EVERY_SECONDS = 0.2
#: How often what somebody has made at the last moment is deleted, too.
_ROUNDS = 5


@dataclasses.dataclass(frozen=True)
class Use:
    """Something that uses a connection. `at_work`: what of it runs now, or did when its process ended."""

    kind: str
    name: str
    at_work: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Deleted:
    """What was deleted with a connection, and what is to be known of it."""

    connection: str
    uses: tuple[Use, ...]
    remarks: tuple[str, ...]


class ConnectionUsers:
    """See the module. What runs something is opened when it must be: to list needs neither."""

    def __init__(
        self,
        connections: Connections,
        pages: ConnectionPages,
        exports: Exports,
        books: SyncBooks,
        projects: DbtProjects,
        locks: Locks,
        service: ConnectionService,
        exports_ending: Callable[[], ExportEnding],
        syncs_ending: Callable[[], SyncEnding],
    ) -> None:
        self._connections, self._exports, self._books, self._projects = connections, exports, books, projects
        self._pages, self._locks, self._service = pages, locks, service
        self._exports_ending, self._syncs_ending = exports_ending, syncs_ending

    def counts(self) -> Mapping[uuid.UUID, Counter[str]]:
        """How many of each kind use each connection."""
        found: dict[uuid.UUID, Counter[str]] = {saved.id: Counter() for saved in self._connections.find()}
        kinds = {account.id: account.kind for account in self._books.accounts.find()}
        models = {model.id: model.connection_id for model in self._books.models.find()}
        used = [(export.connection_id, _kind(export)) for export in self._exports.find()]
        used += [
            (models[sync.model_id], IMPORT if kinds.get(sync.destination_id) == TIDEMILL else SYNC)
            for sync in self._books.syncs.find()
            if sync.model_id in models
        ]
        used += [(owner, MODEL) for owner in models.values()]
        used += [(owner, PROJECT) for owner in self._projects.connections()]
        for owner, kind in used:
            found.setdefault(owner, Counter())[kind] += 1
        return found

    def page(
        self,
        *,
        after: dt.datetime | None = None,
        before: dt.datetime | None = None,
        by: str | None = None,
        used_by: str | None = None,
        search: str | None = None,
        wanted: Wanted = Wanted(),  # noqa: B008 - it is frozen
    ) -> Page[tuple[Connection, Mapping[str, int], Standing]]:
        """Connections, by one of SORTS, else oldest first, with how many of each kind use each, and how it stands.
        `used_by`: one of KINDS; `search`: in the name.

        Raises
        ------
        ConfigError
            There is no such kind.
        """
        if used_by is not None and used_by not in KINDS:
            raise ConfigError("use_unknown", f"{used_by!r} uses no connections.", hint=f"One of: {', '.join(KINDS)}.")
        from tidemill.connections.service import view

        page = self._pages.find(Chosen(after, before, by, used_by, search), wanted)
        counts, stand = self._pages.counts([saved.id for saved in page.items]), self._standings(page.items)
        return page.map(lambda saved: (view(saved), counts[saved.id], stand[saved.id]))

    def standings(self) -> Mapping[uuid.UUID, Standing]:
        """How each connection stands."""
        return self._standings(self._connections.find())

    def standing(self, name: str) -> Standing:
        """How a connection stands: by its last test, and what used it since."""
        saved = self._connections.get(name)
        return self._standings([saved])[saved.id]

    def _standings(self, found: Sequence[records.Connection]) -> Mapping[uuid.UUID, Standing]:
        from tidemill.connections import standing

        them = [saved.id for saved in found]
        tests, uses = self._connections.tests.of(them), self._pages.uses
        well, failed = uses.went_well(them), uses.failed(them, standing.REASONS)
        return {one.id: standing.of(one, tests.get(one.id), well.get(one.id), failed.get(one.id)) for one in found}

    def uses(self, name: str) -> list[Use]:
        """All that uses a connection, and what of it is at work now."""
        return self._uses(self._connections.get(name).id)

    def _uses(self, owner: uuid.UUID) -> list[Use]:
        exports, syncs = self._exports_ending(), self._syncs_ending()
        found = [Use(_kind(export), export.name, tuple(exports.at_work(export))) for export in exports.find(owner)]
        for sync in syncs.syncs(owner):
            kind = IMPORT if syncs.is_import(sync) else SYNC
            found.append(Use(kind, sync.name, tuple(syncs.at_work(sync))))
        found += [Use(MODEL, model.name, ()) for model in syncs.models(owner)]
        return found + [Use(PROJECT, name, ()) for name in self._projects.of_connection(owner)]

    def delete(
        self, name: str, *, by: str, say: Callable[[str], None], wait_seconds: float, force: bool = False
    ) -> Deleted:
        """Stop all that uses a connection, delete it, and then the connection. If it is broken off, it can be done
        again; until then nothing new is begun.

        `say`: told what is waited for; `force`: also if BigQuery does not answer whether it is at jobs of ours.

        Raises
        ------
        ConflictError
            Something does not stop within `wait_seconds`; somebody else deletes the connection; or models of another
            connection are made of a dbt project that is read by it: then nothing is done.
        """
        saved = self._connections.get(name)
        self._assert_projects_free(saved.id)
        with self._locks.attempt(f"connection:{saved.id}") as held:
            if not held:
                raise ConflictError(
                    "connection_deleting_elsewhere",
                    f"Another process is deleting the connection {saved.name}.",
                    hint="Wait for it. If it is gone, do it again in a minute.",
                )
            uses = tuple(self._uses(saved.id))
            with self._service.ending(name, by):
                remarks = self._end(saved.id, by, say, wait_seconds, force=force)
        return Deleted(saved.name, uses, tuple(remarks))

    def _assert_projects_free(self, owner: uuid.UUID) -> None:
        """That no dbt project that goes with the connection is of use to others."""
        for name in self._projects.of_connection(owner):
            models = self._books.models.of_dbt(self._projects.get(name).id)
            others = [model.name for model in models if model.connection_id != owner]
            if others:
                raise ConflictError(
                    "dbt_project_in_use",
                    f"The dbt project {name} is read by this connection, and models of others are made of it: "
                    f"{', '.join(others)}.",
                    hint=f"Delete these first: {telling.commands('model delete', others)}",
                )

    def _end(self, owner: uuid.UUID, by: str, say: Callable[[str], None], seconds: float, *, force: bool) -> list[str]:
        remarks = []
        for turn in range(_ROUNDS):
            self._stop(owner, by, say, seconds)
            remarks += self._remove(owner, say, force=force)
            try:
                with contextlib.suppress(NotFoundError):  # somebody else has deleted it
                    self._connections.delete(owner)
                break
            except ConflictError:  # somebody has made something at the last moment
                if turn == _ROUNDS - 1:
                    raise
        return remarks

    def _stop(self, owner: uuid.UUID, by: str, say: Callable[[str], None], seconds: float) -> None:
        """Have all that is at work stop, and wait for it. A stream that does not is cut off when it is deleted."""
        exports, syncs = self._exports_ending(), self._syncs_ending()
        for export in exports.find(owner):
            exports.request(export, by)
        for sync in syncs.syncs(owner):
            syncs.request(sync, by)
        until, said = time.monotonic() + seconds, ""
        while True:
            still = [what for export in exports.find(owner) for what in exports.still(export)]
            still += [what for sync in syncs.syncs(owner) for what in syncs.still(sync)]
            streams = [f"stream {export.name}" for export in exports.find(owner) if exports.streams_on(export)]
            if not still and not streams:
                return
            if time.monotonic() >= until:
                break
            if (text := ", ".join([*still, *streams])) != said:
                say(f"Waiting until these have stopped: {text}")
                said = text
            time.sleep(_LOOKS_EVERY_SECONDS)
        if still:
            raise ConflictError(
                "connection_still_used",
                f"These did not stop within {seconds:g} seconds: {', '.join(still)}. They were told to, and "
                "nothing new is begun.",
                hint="Run the command again, or end the processes that are at work on them.",
            )

    def _remove(self, owner: uuid.UUID, say: Callable[[str], None], *, force: bool) -> list[str]:
        exports, syncs, remarks = self._exports_ending(), self._syncs_ending(), []
        for export in exports.find(owner):
            remarks += exports.delete(export, force=force)
            say(f"Deleted: {_kind(export)} {export.name}")
        for sync in syncs.syncs(owner):
            remarks += syncs.delete(sync, force=force)
            say(f"Deleted: {'import' if syncs.is_import(sync) else 'sync'} {sync.name}")
        with contextlib.suppress(ConflictError):  # a sync was made at the last moment: the next round has it
            syncs.delete_models(owner)
        for name in self._projects.of_connection(owner):
            project = self._projects.get(name).id
            if not self._books.models.of_dbt(project):
                with contextlib.suppress(NotFoundError):
                    self._projects.delete(project)
        return remarks


def _kind(export: Export) -> str:
    return STREAM if export.spec.get("mode") == "stream" else EXPORT
