"""Joins dbt projects with source models: the ones do not know the others."""

from __future__ import annotations

import dataclasses
import datetime as dt
import logging
import uuid
from collections.abc import Callable, Collection, Container, Mapping
from typing import Any

from tidemill.dbt import runs
from tidemill.dbt.changes import Change, Use
from tidemill.dbt.manifest import Model
from tidemill.dbt.runs import DbtRun
from tidemill.dbt.service import DbtService
from tidemill.dbt.webhooks import Results, Webhooks
from tidemill.errors import AccessError, ConfigError, ConflictError, NotFoundError, TidemillError
from tidemill.reverse_etl import alarms, mapping
from tidemill.reverse_etl.service import ReverseEtl
from tidemill.reverse_etl.spec import SyncSpec
from tidemill.reverse_etl.triggers import TriggerService
from tidemill.store.dbt_cloud_runs import CloudRun
from tidemill.store.records_sync import SourceModel, Sync
from tidemill.store.sync_books import SyncBooks

#: Who pauses syncs.
BY = "dbt"
_log = logging.getLogger(__name__)
#: What fails by a bug of ours is not tried for ever.
_MOST_TRIES = 6
#: Nothing is known to have failed.
_ANYTHING = DbtRun(frozenset(), frozenset())


class DbtConsumers:
    """Source models that are made of dbt projects, and their syncs: `dbt.service.Consumers`."""

    def __init__(self, books: SyncBooks, reverse_etl: Callable[[], ReverseEtl]) -> None:
        self._books, self._reverse_etl = books, reverse_etl

    def uses(self, project_id: uuid.UUID) -> list[Use]:
        """One for each source model: they may have other keys of one model of dbt's."""
        found = []
        for model in self._books.models.of_dbt(project_id):
            syncs = self._books.syncs.of_model(model.id)
            columns = {name: None for sync in syncs for name in _delivered(sync)}
            names = tuple(sync.name for sync in syncs)
            found.append(Use(_unique_id(model), names, tuple(map(str, model.spec["key"])), tuple(columns)))
        return found

    def names_of(self, project_ids: Collection[uuid.UUID]) -> Mapping[uuid.UUID, list[str]]:
        """Names of source models, of each project."""
        return self._books.pages.of_projects(project_ids)

    def pause(self, project_id: uuid.UUID, broken: Change) -> list[str]:
        """Pause the syncs that are meant, and have people told."""
        reason = {"code": f"dbt_{broken.code}", "message": f"The dbt model {broken.message}", "hint": broken.hint}
        return [
            sync.name
            for model in self._books.models.of_dbt(project_id)
            if _unique_id(model) == broken.model
            for sync in self._books.syncs.of_model(model.id)
            if sync.name in broken.syncs
            and self._books.syncs.pause(sync.id, BY, reason, alarms.model_changed(sync, reason))
        ]

    def move(self, project_id: uuid.UUID, unique_id: str, relation: str) -> None:
        """Rows are read there from now on."""
        for model in self._books.models.of_dbt(project_id):
            if _unique_id(model) == unique_id and model.spec["table"] != relation:
                self._books.models.change(model.id, spec={**model.spec, "table": relation})

    def readable(self, project_id: uuid.UUID, unique_id: str, relation: str) -> bool | None:
        """Whether the connections of the source models may read the table; None if it is not there yet."""
        answers: set[bool | None] = set()
        for model in self._books.models.of_dbt(project_id):
            if _unique_id(model) == unique_id:
                answers.add(self._readable(model, relation))
        return False if False in answers else None if None in answers or not answers else True

    def _readable(self, model: SourceModel, relation: str) -> bool | None:
        connection = self._books.connections.by_id(model.connection_id)
        try:
            with self._reverse_etl().sources.client(connection, self._books.sources.of(connection)) as client:
                client.dry_run(f"SELECT 1 FROM `{relation}` LIMIT 0")
        except AccessError:
            return False
        except TidemillError:  # it is not built yet, or BigQuery is away
            return None
        return True


@dataclasses.dataclass(frozen=True)
class AfterRun:
    """What a run of dbt means for a sync. `number`: of the run that it was triggered for; `reason`: why it was not, or
    which run that one waits for."""

    sync: str
    model: str
    number: int | None
    reason: str


class DbtModels:
    """Source models of dbt projects."""

    def __init__(self, projects: DbtService, webhooks: Webhooks, books: SyncBooks, triggers: TriggerService) -> None:
        self._projects, self._webhooks, self._books, self._triggers = projects, webhooks, books, triggers

    def after(self, text: bytes, *, what: str, project: str | None, by: str) -> list[AfterRun]:
        """Have the syncs run whose models a run of dbt has built, and whose tests hold. One that is at work has perhaps
        read what was there before, and runs once more. `text`: its run_results.json; `project`: the one that is meant,
        if not all that have such models.

        Raises
        ------
        ConfigError
            It is no run_results.json.
        NotFoundError
            There is no such project.
        """
        return self._after_run(runs.read(text, what=what), project, by, anew=True)

    def cloud_runs(self, project: str, limit: int) -> list[CloudRun]:
        """The last runs of dbt Cloud that a webhook told of, the newest first, with the syncs that they triggered.

        Raises
        ------
        NotFoundError
            There is no such project.
        """
        return self._webhooks.told(project, limit)

    def after_cloud(self) -> bool:
        """Have the syncs run whose models a run of dbt Cloud has built, that a webhook has told of; whether there was
        one. If it is not known what it built, all syncs of the project do: those of tables that have not changed end
        at once."""
        taken = self._webhooks.take()
        if taken is None:
            return False
        try:
            results = self._webhooks.results(taken)
            if results is not None:
                self._after_cloud(taken, results)
        except NotFoundError:  # the project, or a sync, was deleted meanwhile
            _log.info("run %s of dbt Cloud: what it is about was deleted meanwhile", taken.run)
        except Exception as error:  # noqa: BLE001 - what else is due goes on; this is seen to again after a while
            if isinstance(error, TidemillError):
                _log.warning("run %s of dbt Cloud cannot be seen to now: %s", taken.run, error)
                return True
            _log.exception("run %s of dbt Cloud cannot be seen to", taken.run)
            if taken.tries >= _MOST_TRIES:
                self._webhooks.finish(taken, taken.syncs, "Seeing to it failed; the server's log says why.")
        return True

    def _after_cloud(self, taken: CloudRun, results: Results) -> None:
        """A sync that is at work since before dbt was done has read what was there then: another run of it comes."""
        done = {one["sync"] for one in taken.syncs}
        found = self._after_run(results.run, self._webhooks.project(taken), f"dbt Cloud, run {taken.run}", done)
        late = [one for one in found if self._began_before(one, taken.told_at)]
        kept = [*taken.syncs, *(dataclasses.asdict(one) for one in found if one not in late)]
        if late:
            said = (
                f"Waits for the end of {', '.join(f'{one.sync} (run {one.number})' for one in late)}, then once more."
            )
            self._webhooks.later(taken, kept, said)
        else:
            self._webhooks.finish(taken, kept, results.note)

    def _began_before(self, one: AfterRun, moment: dt.datetime) -> bool:
        run = self._triggers.state(one.sync, one.number).run if one.number is not None else None
        return run is not None and run.began_at < moment

    def _after_run(
        self, run: DbtRun | None, project: str | None, by: str, done: Container[str] = (), *, anew: bool = False
    ) -> list[AfterRun]:
        """`run`: None if it is not known what was built; so it may be everything. `done`: names of syncs that have been
        triggered for it; `anew`: by a run that begins from now on."""
        return [
            self._after(run or _ANYTHING, known.models.get(_unique_id(model)), model, sync, by, anew=anew)
            for project_id, known in self._projects.known(project)
            for model in self._books.models.of_dbt(project_id)
            if run is None or _unique_id(model) in run.built | run.failed
            for sync in self._books.syncs.of_model(model.id)
            if sync.name not in done
        ]

    def _after(
        self, run: DbtRun, known: Model | None, model: SourceModel, sync: Sync, by: str, *, anew: bool
    ) -> AfterRun:
        name = _unique_id(model)
        broken = sorted(known.tests & run.failed) if known else []
        if name in run.failed:
            return AfterRun(sync.name, name, None, "The model was not built.")
        if broken:
            return AfterRun(sync.name, name, None, f"Tests do not hold: {', '.join(broken)}.")
        try:
            number = self._triggers.trigger(sync.name, by=by, anew=anew).number
        except ConflictError as error:
            return AfterRun(sync.name, name, None, error.message)
        at_work = self._books.runs.running(sync.id)
        waits = at_work is not None and at_work.number < number
        return AfterRun(sync.name, name, number, _once_more(at_work.number) if at_work and waits else "")

    def fields(self, named: str, given: dict[str, Any]) -> dict[str, Any]:
        """Fields of a source model. `named`: PROJECT/MODEL. What is `given` counts more than what the project says of
        the key and of the model.

        Raises
        ------
        NotFoundError
            There is no such project.
        ConfigError
            It has no such model, or does not say what its key is.
        """
        project, slash, name = named.partition("/")
        if not slash or not name:
            raise ConfigError("dbt_model", f"{named!r} names no model.", hint="--dbt PROJECT/MODEL")
        project_id, model = self._projects.pick(project, name)
        key = given.get("key") or (model.keys[0] if model.keys else None)
        if not key:
            hint = "Test it in the project (unique, not_null), or name the columns: --key."
            raise ConfigError("model_key", f"The dbt project does not say what the key of {model.name} is.", hint=hint)
        origin = {"project": str(project_id), "model": model.unique_id}
        described = given.get("description") or model.description.replace("\0", "")[:10_000]
        return {**given, "table": str(model.relation), "key": tuple(key), "description": described, "dbt": origin}


def _once_more(number: int) -> str:
    return f"Run {number} is at work since before: once more after it."


def _delivered(sync: Sync) -> list[str]:
    """Columns that a sync needs. One that delivers whole rows needs those that it has delivered; an import has no
    mapping, and says itself what it reads."""
    spec = SyncSpec.model_validate(sync.spec)
    read = mapping.compile(spec.mapping).columns if spec.taken is None else set(spec.taken["columns"])
    found = sorted(read) if read is not None else list(sync.columns or ())
    return [*found, spec.cursor] if spec.cursor else found


def _unique_id(model: SourceModel) -> str:
    return str(model.spec["dbt"]["model"])
