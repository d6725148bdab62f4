"""What a user can do with syncs: create, run, list, show, pause, reset, cancel and delete them."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from tidemill.errors import ConfigError, ConflictError, NotFoundError, TidemillError
from tidemill.paging import Page, Wanted
from tidemill.reverse_etl import drafts, due, judging, write_back
from tidemill.reverse_etl import mapping as mappings
from tidemill.reverse_etl.ending import left
from tidemill.reverse_etl.run import Runner
from tidemill.reverse_etl.spec import ModelSpec, SyncSpec
from tidemill.reverse_etl.views import RunView, SyncView
from tidemill.reverse_etl.watch import Watch
from tidemill.reverse_etl.work import Parts, since
from tidemill.schedules import telling
from tidemill.store.records_sync import SourceModel, Sync, SyncRun
from tidemill.store.sync_states import BY_SCHEDULE

#: What is due so long ago, and is not begun, is shown as overdue.
LATE = dt.timedelta(minutes=5)
RESETS = ("resend", "leave", "adopt", "forget")
#: The columns of a model, and what they are: by a dry run.
Columns = Callable[[SourceModel], list[str]]


class SyncService:
    """Syncs."""

    def __init__(self, parts: Parts, columns: Columns) -> None:
        """`columns(model)`: names of the columns that a model gives now."""
        self.parts, self._books, self._columns = parts, parts.books, columns
        self.runner = Runner(parts)

    def create(self, model: str, destination: str, fields: Mapping[str, Any], *, by: str) -> SyncView:
        """Save a new sync.

        Raises
        ------
        ConfigError
            Something of it is wrong.
        ConflictError
            The name is taken.
        """
        self._books.syncs.assert_free(str(fields["name"]))
        source, account = self._books.models.get(model), self._books.accounts.get(destination)
        self._books.connections.usable(self._books.connections.by_id(source.connection_id).name)
        key = ModelSpec.model_validate(source.spec).key
        made = drafts.new(account, self._columns(source), key, fields)
        self._assert_possible(made, source)
        saved = self._books.syncs.add(
            name=made.name,
            model_id=source.id,
            destination_id=account.id,
            spec=made.model_dump(mode="json"),
            next_at=due.first(made, self._books.syncs.now()),
            made_by=by,
        )
        return self._view(saved)

    def edit(self, name: str, changes: Mapping[str, Any], *, reset: str | None = None) -> SyncView:
        """Change a sync. `reset`: what is done with rows that were delivered, if its mapping changes: resend, or leave.

        Raises
        ------
        ConfigError
            Something of it is wrong; or its mapping changes, and it is not said what is to be done.
        """
        saved = self._books.syncs.get(name)
        source, account = self._books.models.by_id(saved.model_id), self._books.accounts.by_id(saved.destination_id)
        before, columns = SyncSpec.model_validate(saved.spec), self._columns(source)
        made = drafts.changed(before, account, columns, ModelSpec.model_validate(source.spec).key, changes)
        self._assert_possible(made, source)
        more: dict[str, Any] = {}
        if made.makes != before.makes and self._may_have_delivered(saved):
            if reset not in {"resend", "leave"}:
                raise ConfigError(
                    "mapping_changed",
                    "The mapping changes what is sent of rows that are delivered already.",
                    hint="Say what is to be done with them: --resend sends them all again, --leave leaves them.",
                )
            more["pending"] = reset
            self._ask_anew(saved)
        if made.schedule != before.schedule and not self._books.triggers.waiting(saved.id):
            more["next_at"] = due.first(made, self._books.syncs.now())
        return self._view(self._books.syncs.change(saved.id, name=made.name, spec=made.model_dump(mode="json"), **more))

    def _may_have_delivered(self, sync: Sync) -> bool:
        """Whether rows are there by its mapping; a run that is not over goes on by the one that it began with."""
        return sync.columns is not None or self._books.runs.running(sync.id) is not None

    def _assert_possible(self, made: SyncSpec, model: SourceModel) -> None:
        connection = self._books.connections.by_id(model.connection_id)
        write_back.assert_possible(made, self._books.sources.of(connection), connection.name)

    def suggested(self, model: str, destination: str, action: str | None) -> dict[str, Any]:
        """A mapping by the names of the model's columns."""
        source, account = self._books.models.get(model), self._books.accounts.get(destination)
        return mappings.suggest(drafts.action_of(account, action).fields, self._columns(source))

    def run(
        self,
        name: str,
        watch: Watch,
        *,
        by: str,
        force: bool = False,
        deletes: bool = False,
        only: Sequence[str] | None = None,
    ) -> RunView:
        """Run a sync now, or go on with its run that was interrupted, and see it to its end. One that was cancelled is
        ended first, and then a new one begins; so it is if more was asked for than an interrupted one does.

        `force`: also if nothing has changed; `deletes`: however many rows it deletes; `only`: keys of the rows that are
        looked at, as they are listed where they were not delivered.

        Raises
        ------
        TidemillError
            Why it failed; its state is recorded. Cancelled likewise.
        """
        sync, begun = self._books.syncs.get(name), []

        def make(found: Sync) -> SyncRun:
            begun.append(found.id)
            return self.begin(found, by, force=force, deletes=deletes, only=only)

        over = self.runner.execute(sync, make, watch)
        another = watch.of_another()
        asks = force or deletes or only is not None or over.status == "cancelled"
        if not begun and asks and not another.cancelled():
            another.say(f"Run {over.number} is {over.status}, with {over.written:,} rows written. A new one begins.")
            over = self.runner.execute(sync, make, another)
        self._books.syncs.tell(sync.id, judging.by_hand(self._books, sync, over))
        return RunView.of(over, sync.name)

    def run_once(
        self,
        sync_id: uuid.UUID,
        operation: str,
        watch: Watch,
        *,
        by: str,
        deletes: bool = False,
        only: Callable[[str], Sequence[str]] | None = None,
    ) -> RunView:
        """The run of a sync that an operation is to do, over: as it ended, if it has; gone on with, if it was
        interrupted; or a new one. What others have left is brought to its end before. `only`: gives keys of its rows,
        by the sync's name, when it begins."""

        def make(found: Sync) -> SyncRun:
            chosen = only(found.name) if only is not None else None
            return self.begin(found, by, deletes=deletes, only=chosen, operation=operation)

        sync = self._books.syncs.by_id(sync_id)
        over = self._books.runs.of_operation(sync_id, operation)
        while over is None or over.status == "running" or over.spec.get("operation") != operation:
            over = self.runner.execute(sync, make, watch.of_another())
        self._books.syncs.tell(sync.id, judging.by_hand(self._books, sync, over))
        return RunView.of(over, sync.name)

    def begin(
        self,
        sync: Sync,
        by: str,
        *,
        force: bool = False,
        deletes: bool = False,
        only: Sequence[str] | None = None,
        operation: str | None = None,
    ) -> SyncRun:
        """A new run of a sync, with what is said of it and its model now. `operation`: by which it is known again."""
        spec = self.spec_of(sync)
        if (taken := spec["sync"]["taken"]) is not None and taken["spec"] is None:
            raise ConfigError(
                "import_draft",
                f"{sync.name} is a draft: it is not said what becomes of its rows.",
                hint=f"Say so: {telling.command('import map', sync.name)} --help",
            )
        if sync.columns not in (None, spec["columns"]) and sync.pending is None:
            raise ConflictError(
                "columns_changed",
                "The columns that the mapping reads are others than before: all rows would count as changed.",
                hint=f"Say what is to be done: {telling.of(sync, 'reset')} --resend, or --leave",
            )
        last = self._books.runs.find(sync.id, limit=1)
        asked: dict[str, Any] = {"pending": sync.pending, "forced": force, "deletes": deletes}
        if operation is not None:
            asked["operation"] = operation
        if only is not None:
            asked |= {"only": list(only), "forced": True}
            if sync.pending is not None:
                raise ConflictError(
                    "sync_pending",
                    f"The next run of {sync.name} is to begin anew with all rows ({sync.pending}).",
                    hint=f"Run that first: {telling.of(sync, 'run')}",
                )
        return self._books.runs.begin(sync.id, {**spec, **asked, "since": since(last[0] if last else None)}, by)

    def begin_due(self, sync: Sync) -> SyncRun:
        """A new run of a sync that a worker has: by its schedule, or for who has triggered it."""
        waiting = self._books.triggers.waiting(sync.id)
        by = waiting[0].by if waiting else BY_SCHEDULE
        return self.begin(sync, by, force=any(trigger.forced for trigger in waiting))

    def spec_of(self, sync: Sync) -> dict[str, Any]:
        """What a run would keep of a sync and its model now."""
        source = self._books.models.by_id(sync.model_id)
        columns = drafts.hashed(SyncSpec.model_validate(sync.spec), self._columns(source))
        adopts = {"adopts": sync.pending} if sync.pending in {"adopt", "leave"} else {}
        return {"sync": sync.spec, "model": source.spec, "columns": columns, **adopts}

    def assert_of(self, name: str, group: str) -> None:
        """Raise NotFoundError if there is nothing of that name that commands of this group (sync, import) are about."""
        try:
            found = self._books.syncs.get(name)
        except NotFoundError:
            names = [sync.name for sync in self._books.syncs.find() if sync.group == group]
            hint = (
                f"{group.capitalize()}s: {', '.join(names)}." if names else f"Make one: tidemill {group} create --help"
            )
            raise NotFoundError(f"{group}_unknown", f"There is no {group} {name!r}.", hint=hint) from None
        if found.group != group:
            known = "an import" if group == "sync" else "a sync to another tool"
            raise NotFoundError(f"{group}_unknown", f"{found.name} is {known}.", hint=telling.of(found, "show"))

    def get(self, name: str) -> SyncView:
        """The sync of that name."""
        return self._view(self._books.syncs.get(name))

    def find(self, *, imports: bool = False) -> list[SyncView]:
        """All that go to other tools, or all imports, by name."""
        overdue = self._overdue()
        found = [sync for sync in self._books.syncs.find() if (sync.spec.get("taken") is not None) == imports]
        return [self._view(sync, overdue) for sync in found]

    def _overdue(self) -> set[uuid.UUID]:
        return {sync.id for sync in self._books.syncs.overdue(LATE)}

    def runs(self, name: str | None = None, limit: int = 20) -> list[RunView]:
        """The last runs, of all syncs or of one; the newest first."""
        of = self._books.syncs.get(name).id if name is not None else None
        found = self._books.runs.find(of, limit=limit)
        names = self._books.syncs.names({run.sync_id for run in found})
        return [RunView.of(run, names.get(run.sync_id, "")) for run in found]

    def page(self, name: str | None, wanted: Wanted, *, status: str | None = None) -> Page[RunView]:
        """Runs of all syncs or of one, by pages, the newest first; only those that stand like that."""
        of = self._books.syncs.get(name).id if name is not None else None
        page = self._books.runs.page(of, status, wanted)
        names = self._books.syncs.names({run.sync_id for run in page.items})
        return page.map(lambda run: RunView.of(run, names.get(run.sync_id, "")))

    def show_run(self, name: str, number: int | None = None) -> RunView:
        """A run of a sync, by its number; the last one without."""
        sync = self._books.syncs.get(name)
        if number is not None:
            return RunView.of(self._books.runs.numbered(sync.id, number), sync.name)
        found = self._books.runs.find(sync.id, limit=1)
        if not found:
            raise NotFoundError("sync_run_unknown", f"{sync.name} was never run.", hint=telling.of(sync, "run"))
        return RunView.of(found[0], sync.name)

    def pause(self, name: str, by: str) -> None:
        """Begin no run by itself any more."""
        sync = self._books.syncs.get(name)
        if not self._books.syncs.pause(sync.id, by, None):
            hint = telling.of(sync, "unpause")
            raise ConflictError("sync_paused", f"{sync.name} is paused already.", hint=hint)

    def unpause(self, name: str) -> None:
        """Have runs begin by themselves again; the first one at once, if it is due."""
        sync = self._books.syncs.get(name)
        if sync.paused_at is None:
            hint = telling.of(sync, "show")
            raise ConflictError("sync_not_paused", f"{sync.name} is not paused.", hint=hint)
        self._books.syncs.settle(sync.id, paused_at=None, paused_by=None, pause_reason=None, failures=0, tries=0)

    def reset(self, name: str, how: str) -> None:
        """Have the next run take what was delivered in another way: `resend` all rows; `leave` those that were
        delivered as they are, and send the others; `adopt` the model as it is, as delivered; `forget` that anything
        was."""
        if how not in RESETS:
            raise ConfigError("reset", f"{how!r} is no reset.", hint=f"One of {', '.join(RESETS)}.")
        sync = self._books.syncs.get(name)
        self._ask_anew(sync)
        self._books.syncs.settle(sync.id, pending=how)

    def _ask_anew(self, sync: Sync) -> None:
        """What is asked for now is for the next run: one that is not over is not to take it as done."""
        run = self._books.runs.running(sync.id)
        if run is not None:
            self._books.runs.note(run.id, spec={**run.spec, "asked_anew": True})

    def cancel(self, name: str) -> tuple[RunView, bool]:
        """Ask the run of a sync to stop. What it has delivered is remembered. Gives it, and whether a process is at it:
        if not, the next command that runs the sync, or a worker, brings it to its end."""
        sync = self._books.syncs.get(name)
        run = self._books.runs.running(sync.id)
        if run is None:
            hint = telling.of(sync, "runs")
            raise NotFoundError("sync_not_running", f"{sync.name} is not running.", hint=hint)
        self._books.runs.request_cancel(run.id)
        with self.parts.locks.attempt(f"sync:{sync.id}") as held:
            return RunView.of(self._books.runs.get(run.id), sync.name), not held

    def delete(self, name: str) -> str | None:
        """Delete a sync, its runs, and what is remembered of its rows; ConflictError while it runs. Gives a remark, if
        its state could not be deleted."""
        sync = self._books.syncs.get(name)
        with self.parts.locks.attempt(f"sync:{sync.id}") as held:
            if not held:
                raise ConflictError(
                    "sync_running",
                    f"A run of {sync.name} is running.",
                    hint=f"First: {telling.of(sync, 'cancel')}",
                )
            source = self._books.models.by_id(sync.model_id)
            connection = self._books.connections.by_id(source.connection_id)
            found = self._books.sources.of(connection)
            remark = None
            try:
                with self.parts.client(connection, found) as client:
                    self.parts.planner(client, found, sync).remove()
            except TidemillError as error:  # its credential may be gone, and it is to go all the same
                remark = left(found, sync, error)
            self._books.syncs.delete(sync.id)
            return remark

    def _view(self, sync: Sync, overdue: Collection[uuid.UUID] | None = None) -> SyncView:
        account = self._books.accounts.by_id(sync.destination_id)
        return SyncView.of(
            sync,
            model=self._books.models.by_id(sync.model_id).name,
            destination=account.name,
            kind=account.kind,
            late=sync.id in (self._overdue() if overdue is None else overdue),
            last=next(iter(self._books.runs.find(sync.id, limit=1)), None),
            rejects=self._books.rejects.count(sync.id),
            troubles=self._books.troubles.of(sync.id),
        )
