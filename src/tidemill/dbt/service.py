"""What a user can do with dbt projects: add, see, change, read anew and delete them, pick models, check a change.

This is the door: who parses and renders imports what it needs from here.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import logging
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol

from pydantic import SecretStr

from tidemill.dbt import changes, fetching, manifest, packing
from tidemill.dbt import spec as specs
from tidemill.dbt.changes import Change, Readable, Use, Weight
from tidemill.dbt.fetching import Fetched, Means
from tidemill.dbt.in_use import InUse
from tidemill.dbt.in_use import read as read_in_use
from tidemill.dbt.manifest import Manifest, Model
from tidemill.dbt.remote import Server
from tidemill.dbt.reports import Report
from tidemill.dbt.spec import ProjectSpec
from tidemill.errors import ConfigError, ConflictError, TidemillError
from tidemill.outbound.client import Http
from tidemill.outbound.guard import Guard
from tidemill.paging import Page, Wanted
from tidemill.settings import Settings
from tidemill.store.connections import Connections
from tidemill.store.dbt_cloud_runs import CloudRun
from tidemill.store.dbt_projects import PROJECT_SORTS, DbtProject, DbtProjects
from tidemill.store.records import Connection
from tidemill.store.secrets import Secrets, differing

__all__ = [
    "PROJECT_SORTS",
    "Change",
    "CloudRun",
    "DbtService",
    "Model",
    "ProjectSpec",
    "ProjectView",
    "Refreshed",
    "Report",
    "Server",
    "read_in_use",
]

_log = logging.getLogger(__name__)
#: What belongs to the place where a project was: a credential is not sent to another one.
_OF_PLACE = ("folder", "git", "manifest", "catalog", "branch", "host_key", "ssh_key", "token")
_BUG = ConfigError("bug", "Reading it failed; the server's log says why.", hint="Please report it.")
_OF_CLOUD = frozenset({"webhook_secret", "cloud_host", "cloud_token"})
#: Fields that say where a project is: it is read anew when one is changed.
_PLACE = frozenset(ProjectSpec.model_fields) - {"name", "refresh"} - _OF_CLOUD


class Consumers(Protocol):
    """Who uses models of projects. `project_id`: of the project."""

    def uses(self, project_id: uuid.UUID) -> list[Use]:
        """Models in use."""

    def names_of(self, project_ids: Collection[uuid.UUID]) -> Mapping[uuid.UUID, Sequence[str]]:
        """Names of source models that are made of these."""

    def pause(self, project_id: uuid.UUID, broken: Change) -> list[str]:
        """Pause the syncs of a model that has changed so. Names of those that were not paused before."""

    def move(self, project_id: uuid.UUID, unique_id: str, relation: str) -> None:
        """The model stands elsewhere now."""

    def readable(self, project_id: uuid.UUID, unique_id: str, relation: str) -> bool | None:
        """Whether those who read that model may read it there; None if that is not known."""


@dataclasses.dataclass(frozen=True)
class ProjectView:
    """A dbt project. `spec`: where it is, without secrets, of which `secrets` are the names; `models`: how many it has;
    `used_by`: source models that are made of it; `error`: why it could not be read the last time."""

    id: uuid.UUID
    name: str
    connection: str | None
    spec: dict[str, Any]
    secrets: tuple[str, ...]
    project: str
    dbt_version: str
    models: int
    used_by: tuple[str, ...]
    revision: str
    read_at: dt.datetime
    next_at: dt.datetime | None
    error: dict[str, str] | None
    made_at: dt.datetime
    made_by: str


@dataclasses.dataclass(frozen=True)
class Refreshed:
    """A project that was read anew: what has changed for syncs, and which were paused for it."""

    project: ProjectView
    changes: tuple[Change, ...]
    paused: tuple[str, ...]


class DbtService:
    """dbt projects of an installation."""

    def __init__(
        self,
        settings: Settings,
        projects: DbtProjects,
        connections: Connections,
        secrets: Secrets,
        consumers: Consumers,
        stored: Callable[[Connection, str, str], bytes],
    ) -> None:
        """`stored`: an object of Google Cloud Storage, that a connection reads, by bucket and name."""
        self._settings, self._projects, self._connections = settings, projects, connections
        self._secrets, self._consumers, self._stored = secrets, consumers, stored

    def add(self, fields: Mapping[str, Any], *, by: str) -> ProjectView:
        """Save a new one, after it was read.

        Raises
        ------
        TidemillError
            It cannot be read: see `fetching.fetch` and `manifest.read`.
        ConflictError
            The name is taken.
        """
        spec = specs.make({name: value for name, value in fields.items() if value is not None})
        self._projects.assert_free(spec.name)
        read = self._read(spec)
        return self._view(self._projects.add(**self._fields(spec), **read, made_by=by))

    def edit(self, name: str, fields: Mapping[str, Any]) -> ProjectView:
        """Change one; it is read anew if it is elsewhere now. What is not named stays. Raises as `add`."""
        if not fields:
            raise ConfigError("nothing_to_change", "Nothing to change was named.", hint="tidemill dbt edit --help")
        saved = self._projects.get(name)
        before = self._spec(saved).model_dump()
        if {"folder", "git", "manifest"} & set(fields):
            before |= dict.fromkeys(_OF_PLACE) | {"subfolder": ""}
        if "cloud_host" in fields:
            before |= {"cloud_token": None}
        spec = specs.make({key: value for key, value in {**before, **fields}.items() if value is not None})
        if spec.name.lower() != saved.name.lower():
            self._projects.assert_free(spec.name)
        if _PLACE & set(fields):
            self._taken_over(saved, spec, self._fetched(spec))
        return self._view(self._projects.change(saved.id, **self._fields(spec), next_at=_next(spec)))

    def refresh(self, name: str) -> Refreshed:
        """Read one anew. Syncs of models that have changed so that they would break are paused, with the reason;
        models that stand elsewhere now are read there.

        Raises
        ------
        TidemillError
            It cannot be read now: what was known of it stays, and why is kept with it.
        """
        return self._refresh(self._projects.get(name))

    def refresh_due(self) -> bool:
        """Read one anew that is due by its schedule; whether there was one. What is wrong is kept with it."""
        saved = self._projects.take_due()
        if saved is None:
            return False
        try:
            self._refresh(saved)
        except TidemillError as error:
            _log.warning("the dbt project %s cannot be read: %s", saved.name, error)
        except Exception:  # noqa: BLE001 - a bug of ours must not end the server: what else is due goes on
            _log.exception("the dbt project %s cannot be read", saved.name)
            self._projects.change(saved.id, error=_told(_BUG))
        return True

    def _refresh(self, saved: DbtProject) -> Refreshed:
        spec = self._spec(saved)
        try:
            fetched = self._fetched(spec)
            found, paused = self._taken_over(saved, spec, fetched)
        except TidemillError as error:
            self._projects.change(saved.id, error=_told(error))
            raise
        return Refreshed(self._view(self._projects.get(saved.name)), tuple(found), tuple(paused))

    def _taken_over(self, saved: DbtProject, spec: ProjectSpec, fetched: Fetched) -> tuple[list[Change], list[str]]:
        """Keep what was read; those who use models hear of it before anybody can see it."""
        after = manifest.read(fetched.manifest, fetched.catalog)
        uses = self._consumers.uses(saved.id)
        found = changes.compare(self._manifest(saved), after, uses, readable=self._looks(saved), is_target=True)
        paused = []
        for change in found:
            if change.weight is Weight.BREAKING:
                paused += self._consumers.pause(saved.id, change)
        broken = {change.model for change in found if change.weight is Weight.BREAKING}
        for use in uses:
            model = after.models.get(use.unique_id)
            if model is not None and model.relation is not None and use.unique_id not in broken:
                self._consumers.move(saved.id, use.unique_id, str(model.relation))
        self._projects.change(saved.id, **self._packed(fetched, after), error=None, next_at=_next(spec))
        return found, paused

    def in_use(self, name: str) -> InUse:
        """What of a project is in use, to check a change with."""
        saved = self._projects.get(name)
        return self._in_use(saved)

    def readable(self, name: str, unique_id: str, relation: str) -> bool | None:
        """Whether those who read a model of a project may read it there; None if that is not known."""
        return self._consumers.readable(self._projects.get(name).id, unique_id, relation)

    def check(self, name: str, text: bytes, catalog: bytes | None = None, *, what: str = "manifest.json") -> Report:
        """What would become of syncs if the project changed into that manifest. Nothing is changed.

        Raises
        ------
        ConfigError
            It is no manifest.
        """
        saved = self._projects.get(name)
        return self._in_use(saved).check(text, catalog, what=what, readable=self._looks(saved))

    def _in_use(self, saved: DbtProject) -> InUse:
        return InUse(saved.name, saved.manifest, saved.catalog, tuple(self._consumers.uses(saved.id)))

    def _looks(self, saved: DbtProject) -> Readable:
        return lambda model: self._consumers.readable(saved.id, model.unique_id, str(model.relation))

    def known(self, name: str | None = None) -> list[tuple[uuid.UUID, Manifest]]:
        """Projects as they are known, by their ids here: all, or the one of that name."""
        found = self._projects.find() if name is None else [self._projects.get(name)]
        return [(saved.id, self._manifest(saved)) for saved in found]

    def models(self, name: str) -> list[Model]:
        """Models of a project, by name, that stand in the warehouse."""
        found = self._manifest(self._projects.get(name)).models.values()
        return sorted((model for model in found if model.relation is not None), key=lambda model: model.name)

    def pick(self, name: str, model: str) -> tuple[uuid.UUID, Model]:
        """The project's id, and its model of that name or unique id, to be made a source model.

        Raises
        ------
        ConfigError
            There is none, or it is not built.
        """
        saved = self._projects.get(name)
        found = self._manifest(saved).find(model)
        if found.relation is None:
            said = f"{found.name} is {found.materialized}: there is no table or view to read."
            raise ConfigError("model_not_built", said, hint="Build it as a table or a view.")
        return saved.id, found

    def get(self, name: str) -> ProjectView:
        """The one of that name; NotFoundError if there is none."""
        return self._view(self._projects.get(name))

    def find(self) -> list[ProjectView]:
        """All, by name."""
        return [self._view(saved) for saved in self._projects.find()]

    def page(
        self,
        *,
        search: str | None = None,
        connection: str | None = None,
        failing: bool | None = None,
        wanted: Wanted = Wanted(),  # noqa: B008 - it is frozen
    ) -> Page[ProjectView]:
        """The same by pages, by one of PROJECT_SORTS. `search`: in the name; `failing`: it could not be read the last
        time."""
        for old in self._projects.without_summary():  # once, after an upgrade
            self._projects.summarize(old, _summary(self._manifest(old)))
        page = self._projects.page(search, connection, failing, wanted)
        names = self._consumers.names_of([saved.id for saved, _ in page.items])
        return page.map(lambda one: self._shown(one[0], one[0].summary or {}, one[1], names.get(one[0].id, ())))

    def differing(self, name: str, given: Mapping[str, SecretStr]) -> tuple[str, ...]:
        """Names of secrets that a project has otherwise than they are given; of none, those that it has."""
        saved = self._projects.get(name)
        return differing(json.loads(self._secrets.decrypt(saved.secret)) if saved.secret else {}, given)

    def delete(self, name: str) -> None:
        """Delete one, and its secrets.

        Raises
        ------
        ConflictError
            Source models are made of it.
        """
        saved = self._projects.get(name)
        if used := self._consumers.names_of([saved.id]).get(saved.id):
            raise ConflictError(
                "dbt_project_in_use",
                f"Source models are made of {saved.name}: {', '.join(used)}.",
                hint=f"Delete them first: tidemill model delete {used[0]}",
            )
        self._projects.delete(saved.id)

    def _fetched(self, spec: ProjectSpec) -> Fetched:
        connection = self._connections.get(spec.connection) if spec.connection else None
        http = Http(Guard(self._settings.outbound_allow.split(",")))
        try:
            means = Means(
                http,
                lambda bucket, name: self._stored(_given(connection), bucket, name),
                (connection.project, spec.dataset or connection.dataset) if connection else None,
                self._settings.home_path / "dbt" / "known_hosts",
                self._settings.dbt,
                (self._settings.home_path,),
            )
            return fetching.fetch(spec, means)
        finally:
            http.close()

    def _read(self, spec: ProjectSpec) -> dict[str, Any]:
        fetched = self._fetched(spec)
        known = manifest.read(fetched.manifest, fetched.catalog)
        return {**self._packed(fetched, known), "next_at": _next(spec)}

    def _packed(self, fetched: Fetched, known: Manifest) -> dict[str, Any]:
        packed, catalog = packing.pack(fetched.manifest, fetched.catalog)
        kept = {"manifest": packed, "catalog": catalog, "summary": _summary(known)}
        return {**kept, "revision": fetched.revision, "read_at": dt.datetime.now(dt.UTC)}

    def _fields(self, spec: ProjectSpec) -> dict[str, Any]:
        hidden = spec.secrets
        return {
            "name": spec.name,
            "connection_id": self._connections.usable(spec.connection).id if spec.connection else None,
            "spec": spec.shown(),
            "secret": self._secrets.encrypt(json.dumps(hidden)) if hidden else None,
        }

    def _spec(self, saved: DbtProject) -> ProjectSpec:
        hidden = json.loads(self._secrets.decrypt(saved.secret)) if saved.secret else {}
        return specs.make({**saved.spec, **hidden, "name": saved.name, "connection": self._connection(saved)})

    def _connection(self, saved: DbtProject) -> str | None:
        return self._connections.by_id(saved.connection_id).name if saved.connection_id else None

    def _manifest(self, saved: DbtProject) -> Manifest:
        return packing.unpack(saved.manifest, saved.catalog)

    def _view(self, saved: DbtProject) -> ProjectView:
        used = self._consumers.names_of([saved.id]).get(saved.id, ())
        return self._shown(saved, _summary(self._manifest(saved)), self._connection(saved), used)

    def _shown(
        self, saved: DbtProject, summary: Mapping[str, Any], connection: str | None, used: Iterable[str]
    ) -> ProjectView:
        hidden = json.loads(self._secrets.decrypt(saved.secret)) if saved.secret else {}
        return ProjectView(
            id=saved.id,
            name=saved.name,
            connection=connection,
            spec=saved.spec,
            secrets=tuple(hidden),
            project=summary.get("project", ""),
            dbt_version=summary.get("dbt_version", ""),
            models=summary.get("models", 0),
            used_by=tuple(used),
            revision=saved.revision,
            read_at=saved.read_at,
            next_at=saved.next_at,
            error=saved.error,
            made_at=saved.made_at,
            made_by=saved.made_by,
        )


def _given(connection: Connection | None) -> Connection:
    if connection is None:  # the spec does not allow it
        raise ConfigError("dbt_place", "gs:// is read by a connection.", hint="Give --connection.")
    return connection


def _summary(known: Manifest) -> dict[str, Any]:
    """What a list tells of a project, so that it need not unpack it."""
    return {"project": known.project, "dbt_version": known.dbt_version, "models": len(known.models)}


def _next(spec: ProjectSpec) -> dt.datetime | None:
    pause = spec.refresh
    return dt.datetime.now(dt.UTC) + dt.timedelta(minutes=pause) if pause else None


def _told(error: TidemillError) -> dict[str, str]:
    return {"code": error.code, "message": error.message, "hint": error.hint}
