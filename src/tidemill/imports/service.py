"""What a user can do with imports: make, map, look at, try, schedule, run, stop and delete them.

An import is a sync to this installation: its plan, pieces, schedule, runs, rows that were refused, alarms and logs are
those of syncs. Here is what is said of it in the words of imports, and what only these have.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from tidemill import sizes
from tidemill.bigquery import ga4
from tidemill.bigquery.tables import Field
from tidemill.destinations.port import Op
from tidemill.errors import ConfigError, ConflictError, NotFoundError
from tidemill.imports import convert, drafts, repairs, suggestions, taking, verdicts
from tidemill.imports.listing import Listing
from tidemill.imports.spec import Kind, Taken
from tidemill.imports.taking import Taking
from tidemill.imports.undoing import Erasing, Undoing, alone
from tidemill.imports.verdicts import Wrong
from tidemill.imports.views import STOPPED, DryRun, ImportView, is_through
from tidemill.reverse_etl import costs
from tidemill.reverse_etl import spec as specs
from tidemill.reverse_etl.service import Inspection, Preview, ReverseEtl, RunView, SyncView, Watch, counted
from tidemill.reverse_etl.spec import SyncSpec
from tidemill.schedules import telling
from tidemill.settings import Settings
from tidemill.store.records_sync import Sync
from tidemill.store.sync_books import SyncBooks

__all__ = ["DryRun", "ImportService", "ImportView", "Kind", "Wrong"]

_SAMPLE = 100
_STORED = 5
#: What is said of the sync of an import, and not of what it makes.
OF_SYNC = (
    *(
        "mode",
        "extraction",
        "cursor",
        "cursor_unit",
        "cursor_overlap",
        "delete_brake",
        "most_rejects",
        "reject_share",
        "deviation",
    ),
    *("max_bytes_billed", "interval", "time_zone", "offset", "jitter", "pause_after"),
)
#: What is fixed when the first run has begun: rows would be known otherwise than before.
_FIXED = ("mode", "extraction", "cursor", "cursor_unit")


class ImportService:
    """Imports of an installation."""

    def __init__(
        self, settings: Settings, reverse_etl: ReverseEtl, books: SyncBooks, taking_in: Taking, erasing: Erasing
    ) -> None:
        self._settings, self._reverse_etl, self._books, self._taking = settings, reverse_etl, books, taking_in
        self.undoing = Undoing(books, reverse_etl, erasing, self._stopped)
        self.listed = Listing(reverse_etl)

    # Make

    def create(
        self,
        name: str,
        *,
        model: str | None = None,
        connection: str | None = None,
        source: Mapping[str, Any] | None = None,
        ga4: tuple[str, dt.date | None, bool] | None = None,
        by: str,
    ) -> ImportView:
        """Make a draft: of rows of a source model that there is, or of one that is made for it: the rows of a
        connection (`source`: sql or table, key, max_bytes_billed; or `ga4`: the dataset of an export of Google
        Analytics 4, the first day that is wanted, and whether days that are not over are), which goes with it.

        Raises
        ------
        ConfigError
            The statement or the key is wrong, or it is not said which rows.
        ConflictError
            The name is taken.
        """
        with contextlib.suppress(NotFoundError):
            what = "an import" if self._reverse_etl.syncs.get(name).group == "import" else "a sync"
            raise ConflictError("import_exists", f"There is {what} {name!r} already.", hint="Choose another name.")
        if (model is None) == (connection is None):
            raise ConfigError(
                "import_source",
                "It is not said which rows.",
                hint="Give --connection NAME with --sql or --table, and --key COLUMN; or --model NAME.",
            )
        own = model is None
        if connection is not None:
            if ga4 is not None:
                source = {**(source or {}), **self._reverse_etl.models.of_ga4(connection, *ga4)}
            made, _ = self._reverse_etl.models.add(connection, {**(source or {}), "name": name}, by=by)
            model = made.name
        assert model is not None  # noqa: S101 - one of both is given
        fields = {"name": name, "action": Kind.PEOPLE.value, "mapping": {}, "interval": "none", **drafts.cursor(ga4)}
        taken = Taken(own_model=own).model_dump(mode="json")
        home = self._reverse_etl.destinations.home()
        try:
            return self._view(self._reverse_etl.syncs.create(model, home, {**fields, "taken": taken}, by=by))
        except Exception:
            if own:
                self._reverse_etl.models.delete(model)
            raise

    def look(self, name: str) -> Inspection:
        """The columns of an import's rows, and what they cost; nothing is billed."""
        return self._reverse_etl.models.look(self._sync(name).model)

    def preview(self, name: str, number: int) -> Preview:
        """The first rows; nothing is imported. The statement is billed."""
        return self._reverse_etl.models.preview(self._sync(name).model, number)

    def suggested(self, name: str, kind: Kind) -> dict[str, Any]:
        """Fields of an ImportSpec, by the names and types of the columns; and `cursor`, a column that may be one."""
        found = self.look(name)
        fields = [Field(column.name, column.type, column.mode, fields=column.fields) for column in found.columns]
        suggested: dict[str, Any] = suggestions.suggest(fields, kind, found.key)
        of_ga4 = {ga4.CURSOR, *ga4.KEY} <= {field.name for field in fields}  # they are ours, and tell nobody anything
        ours = {ga4.CURSOR, *ga4.KEY} if of_ga4 else set()
        properties = [one.model_dump(mode="json") for one in suggested.get("properties", ()) if one.column not in ours]
        told = {"properties": properties, "skipped": tuple(sorted(ours)), "cursor": suggestions.cursor(fields)}
        return {**suggested, **told}

    def map(self, name: str, kind: Kind, fields: Mapping[str, Any], *, reset: str | None = None) -> ImportView:
        """Say what becomes of the rows. `fields`: those of ImportSpec, and of a sync (mode, extraction, cursor …). Each
        column is mapped or skipped. `reset`: what is done with rows that are taken already: resend, or leave.

        Raises
        ------
        ConfigError
            Something of it is wrong, or a column is neither mapped nor skipped.
        """
        sync = self._sync(name)
        taken = Taken.model_validate(sync.spec.taken)
        given = {field: value for field, value in fields.items() if value is not None}
        of_sync = {field: given.pop(field) for field in OF_SYNC if field in given}
        spec = drafts.made({"kind": kind, **given})
        found = self.look(name)
        columns = drafts.columns(spec, [column.name for column in found.columns])
        drafts.assert_whole(spec, [column.name for column in found.columns])
        mode = drafts.mode_of(of_sync.get("mode", drafts.mode(sync, taken, spec)))
        drafts.assert_known(spec, mode, found.key)
        if reset == "resend" and sync.pending != "forget":
            drafts.assert_resent(sync.name, taken, spec, mode)
        said = {"spec": spec, "columns": tuple(sorted(columns)), "order": drafts.order(spec)}
        changed = taken.model_copy(update=said)
        action = {"action": spec.kind.value, "mode": mode.value, **of_sync}
        return self._change(sync, {**action, "taken": changed.model_dump(mode="json")}, reset)

    def edit(self, name: str, changes: Mapping[str, Any], *, once: bool | None = None) -> ImportView:
        """Change what its sync is: name, schedule, limits. `once`: whether it is run once."""
        sync = self._sync(name)
        taken = Taken.model_validate(sync.spec.taken)
        given = {field: value for field, value in changes.items() if value is not None}
        if once is not None:
            given["taken"] = taken.model_copy(update={"once": once}).model_dump(mode="json")
        if taken.own_model and "max_bytes_billed" in given:  # preview and dry run keep to that of the model
            size = sizes.parse_bytes(str(given.pop("max_bytes_billed")))
            self._reverse_etl.models.edit(sync.model, {"max_bytes_billed": size})
            if not given:
                return self.get(name)
        if taken.spec is None and given.get("interval") not in {None, "none"}:
            raise drafts.is_draft(sync.name)
        if (taken.once if once is None else once) and given.get("interval") not in {None, "none"}:
            raise ConfigError(
                "import_once",
                f"{sync.name} is to be run once, so it has no interval.",
                hint="Leave --interval out; or give --repeat with it, and not --once.",
            )
        if once:
            given["interval"] = "none"
        return self._change(sync, given, None)

    def _change(self, sync: SyncView, changes: dict[str, Any], reset: str | None) -> ImportView:
        """Change the sync. What is fixed of one that has run may be changed of one that has not."""
        fixed = {field: changes.pop(field) for field in ("action", *_FIXED) if field in changes}
        differs = {field: value for field, value in fixed.items() if str(getattr(sync.spec, field)) != str(value)}
        if differs.get("extraction", "cursor") != "cursor":
            differs |= {"cursor": None, "cursor_unit": "none", "cursor_overlap": 0}
        saved = self._books.syncs.get(sync.name)
        if differs and (saved.columns is not None or self._books.runs.find(saved.id, limit=1)):
            raise ConfigError(
                "import_fixed",
                f"{', '.join(sorted(differs))} cannot be changed: runs of {sync.name} have begun.",
                hint="Undo and delete it, or make another import.",
            )
        if not differs:
            return self._view(self._reverse_etl.syncs.edit(sync.name, changes, reset=reset))
        kept = {name: getattr(sync.spec, name) for name in SyncSpec.model_fields}
        made: SyncSpec = specs.make(SyncSpec, "import", {**kept, **differs})
        self._books.syncs.change(saved.id, spec=made.model_dump(mode="json"))
        try:
            return self._view(self._reverse_etl.syncs.edit(sync.name, changes, reset=reset))
        except Exception:
            self._books.syncs.change(saved.id, spec=saved.spec)
            raise

    # Try

    def dry_run(self, name: str, watch: Watch, *, number: int = _SAMPLE, write: bool = False) -> DryRun:
        """Try random rows of those that a run would take, without taking them in; or, `write`, with: a run that takes
        them again leaves them as they are. The plan is made, and billed.

        Raises
        ------
        ConfigError
            It is a draft.
        """
        sync = self._sync(name)
        if Taken.model_validate(sync.spec.taken).spec is None:
            raise drafts.is_draft(sync.name)
        if write and sync.pending is not None:
            raise ConflictError(
                "sync_pending",
                f"The next run of {sync.name} is to begin anew with all rows ({sync.pending}).",
                hint=f"Run it first: {telling.command('import run', sync.name)}; or leave --write out.",
            )
        with self._reverse_etl.trials.planned(name, watch) as (job, planner):
            planned = planner.plan(job.wanted)
            ops = [op for op in (Op.ADDED, Op.UPDATED) if planned.pieces and getattr(planned.counts, op.value)]
            each = -(-number // max(1, len(ops)))
            sampled = [row for op in ops for row in planner.samples(job.wanted, op, each, at_random=True)][:number]
            billed = planned.bytes_billed + planner.billed()
        spec, source = taking.spec_of(job), taking.source_of(job)
        rows, unknown = self._taking.with_ids(spec, taking.of_rows(sampled, job.run.began_at))
        made = convert.made(spec, source, rows)
        refused = {**made.refused, **unknown}
        good = made.positions if not spec.existing_only or not made.positions else self._taking.known(spec, made)
        if write and sampled:
            with alone(self._reverse_etl, sync.id, sync.name):
                self._taking.keep(job, rows, made, unknown)
        return DryRun(
            rows=len(sampled),
            good=len(good),
            left_out=len(made.positions) - len(good),
            verdicts=tuple(verdicts.verdicts(spec, source, rows)),
            errors=tuple(Wrong(rows.keys[at], why.column or "", why.code, why.message) for at, why in refused.items()),
            stored=tuple(_stored(made.events, place) for place in range(min(_STORED, len(made.positions)))),
            counts=counted(dataclasses.asdict(planned)),
            bytes_billed=billed,
            dollars=costs.dollars(billed, self._settings.price_query_tib),
            written=write,
        )

    # Run

    def run(self, name: str, watch: Watch, *, by: str, again: bool = False, **asked: Any) -> RunView:
        """Run it now and wait for its end; see SyncService.run. `again`: though it is to be run once, and was."""
        if not again:
            self.assert_may_run(name)
        return self._reverse_etl.syncs.run(self._sync(name).name, watch, by=by, **asked)

    def assert_may_run(self, name: str) -> None:
        """Raise ConflictError if it is to be run once, and was."""
        sync = self._sync(name)
        if is_through(sync, Taken.model_validate(sync.spec.taken)):
            raise ConflictError(
                "import_completed",
                f"{sync.name} is to be run once, and was.",
                hint=f"{telling.command('import run', sync.name)} --again",
            )

    def stop(self, name: str, by: str) -> ImportView:
        """End it: it begins nothing by itself any more, and its run is cancelled. What it took stays."""
        self._stopped(self._books.syncs.get(self._sync(name).name), by)
        return self.get(name)

    def _stopped(self, sync: Sync, by: str) -> None:
        reason = {
            "code": STOPPED,
            "message": f"It was stopped by {by}.",
            "hint": telling.command("import unpause", sync.name),
        }
        if sync.paused_at is not None:
            self._books.syncs.settle(sync.id, pause_reason=reason)
        else:
            self._books.syncs.pause(sync.id, by, reason)
        if self._books.runs.running(sync.id) is not None:
            self._reverse_etl.syncs.cancel(sync.name)

    def undo(self, name: str, *, by: str, told: Callable[[Any], None]) -> None:
        """Take back all that it has brought, here and in the tables of exports; it is stopped, and begins anew if it is
        run again. `told`: see ExportService.take_back. May be repeated.

        Raises
        ------
        ConflictError
            It is running.
        TidemillError
            A table could not be reached, or a run may bring rows back. The others were done.
        """
        self.undoing.undo(self._sync(name).id, by=by, told=told)

    # See

    def get(self, name: str) -> ImportView:
        """The import of that name; NotFoundError if there is none."""
        return self._view(self._sync(name))

    def find(
        self,
        *,
        connection: str | None = None,
        status: Collection[str] = (),
        kind: str | None = None,
        created_by: str | None = None,
        created_on: tuple[dt.datetime, dt.datetime] | None = None,
    ) -> list[ImportView]:
        """All that are so, by name."""
        found = [self._view(sync) for sync in self._reverse_etl.syncs.find(imports=True)]
        return [
            one
            for one in found
            if (connection is None or one.connection.lower() == connection.lower())
            and (not status or one.status in status)
            and (kind is None or one.kind == kind)
            and (created_by is None or one.made_by == created_by)
            and (created_on is None or created_on[0] <= one.made_at < created_on[1])
        ]

    def delete(self, name: str) -> str | None:
        """Delete it. What it took stays; `undo` takes that back first. Gives a remark, as SyncService.delete."""
        sync = self._sync(name)
        remark = self._reverse_etl.syncs.delete(sync.name)
        if Taken.model_validate(sync.spec.taken).own_model and not self._reverse_etl.models.get(sync.model).syncs:
            self._reverse_etl.models.delete(sync.model)
        return remark

    # Repair

    def repair(self, name: str, rows: Iterable[Mapping[str, Any]], watch: Watch) -> tuple[int, list[Wrong]]:
        """Take in rows that were refused, repaired: each with its key as it is listed, and its columns. Those that are
        taken count as delivered, as they were refused. Gives how many, and what is wrong with the others.

        Raises
        ------
        ConflictError
            It is running.
        """
        sync = self._books.syncs.get(self._sync(name).name)
        if Taken.model_validate(self._sync(name).spec.taken).spec is None:
            raise drafts.is_draft(sync.name)
        with alone(self._reverse_etl, sync.id, sync.name):
            job = self._reverse_etl.trials.job(sync)
            return repairs.repair(self._taking, self._reverse_etl.rejects, self._books.rejects, job, rows, watch)

    def _sync(self, name: str) -> SyncView:
        self._reverse_etl.syncs.assert_of(name, "import")
        return self._reverse_etl.syncs.get(name)

    def _view(self, sync: SyncView) -> ImportView:
        told = self._books.runs.last_telling(sync.id)
        model = self._reverse_etl.models.get(sync.model)
        last = RunView.of(told, sync.name) if told else None
        return ImportView.of(sync, model.connection, last, model.max_bytes_billed)


def _stored(events: Mapping[str, Any], place: int) -> dict[str, Any]:
    """An event as it would be stored."""
    return {name: values[place] for name, values in events.items() if not isinstance(values, str)}
