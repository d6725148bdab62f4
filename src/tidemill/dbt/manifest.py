"""Models of a dbt project, as its manifest (and its catalog, if there is one) tells of them."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import msgspec

from tidemill.dbt import artifacts, keys
from tidemill.dbt.artifacts import Node
from tidemill.errors import ConfigError

#: What stands in the warehouse as a table or view once it is built.
BUILT = frozenset({"model", "seed", "snapshot"})
_SCHEMA = re.compile(r"/dbt/(?P<artifact>[a-z-]+)/v(?P<version>\d{1,6})\.json$")
_T = TypeVar("_T")
_WRITE = "dbt parse writes one into the project's folder target."


@dataclasses.dataclass(frozen=True)
class Column:
    """A column. `type`: as BigQuery calls it; none if neither the project nor a catalog says it."""

    name: str
    type: str | None
    description: str


@dataclasses.dataclass(frozen=True)
class Relation:
    """Where a model stands in BigQuery."""

    project: str
    dataset: str
    table: str

    def __str__(self) -> str:
        return f"{self.project}.{self.dataset}.{self.table}"


@dataclasses.dataclass(frozen=True)
class Model:
    """A model, seed or snapshot.

    `relation`: none if nothing is built (ephemeral). `columns`: by name in small letters; empty if nobody described
    them, and `complete` if they are all that there are (a catalog says so). `keys`: columns that the project promises
    to be unique, the best promise first. `not_null`: columns, in small letters, that it promises to be there.
    """

    unique_id: str
    name: str
    package: str
    path: str
    description: str
    materialized: str
    relation: Relation | None
    columns: Mapping[str, Column]
    complete: bool
    keys: tuple[tuple[str, ...], ...]
    not_null: frozenset[str]
    checksum: str
    deprecated_at: str | None
    tests: frozenset[str]


@dataclasses.dataclass(frozen=True)
class Manifest:
    """A project's models by unique id, and the unique ids of those that are disabled."""

    schema_version: int
    dbt_version: str
    project: str
    adapter: str
    generated_at: str
    models: Mapping[str, Model]
    disabled: frozenset[str]

    def find(self, name: str) -> Model:
        """The model of that unique id or name.

        Raises
        ------
        ConfigError
            There is none, or several.
        """
        if name in self.models:
            return self.models[name]
        found = [model for model in self.models.values() if name in {model.name, f"{model.package}.{model.name}"}]
        if len(found) == 1:
            return found[0]
        if found:
            raise ConfigError(
                "dbt_model_ambiguous",
                f"Several models are called {name}: {', '.join(model.unique_id for model in found)}.",
                hint="Name it by its unique id.",
            )
        raise ConfigError("dbt_model_unknown", f"The dbt project has no model {name}.", hint=self._alike(name))

    def _alike(self, name: str) -> str:
        if name in self.disabled:
            return "It is there, and disabled."
        close = difflib.get_close_matches(name, [model.name for model in self.models.values()], 3)
        return f"Is it {' or '.join(close)}?" if close else "What there is: tidemill dbt models"


def read(text: bytes, catalog: bytes | None = None, *, what: str = "manifest.json") -> Manifest:
    """A manifest from its text; `what` it is called in messages. Types and columns come from `catalog.json`, too, where
    it is given.

    Raises
    ------
    ConfigError
        It is no manifest, one that is too old, or damaged.
    """
    version = _version(text, what, "manifest")
    if version < artifacts.OLDEST_SCHEMA:
        made_by = artifacts.HEAD.decode(text).metadata.dbt_version or "an old dbt"
        raise ConfigError(
            "manifest_version",
            f"{what} has version v{version} of the manifest's schema, which dbt {made_by} wrote.",
            hint=f"v{artifacts.OLDEST_SCHEMA} and newer are read: dbt {artifacts.OLDEST_DBT} and newer write them.",
        )
    given = _decoded(artifacts.MANIFEST, text, what)
    seen = _catalog(catalog)
    nodes = {key: node for key, node in (given.nodes or {}).items() if _enabled(node)}
    off = {key for key, node in (given.nodes or {}).items() if not _enabled(node)} | set(given.disabled or {})
    tests = keys.by_model(nodes.values())
    models = {
        key: _model(node, seen.get(key), tests.get(key, ()))
        for key, node in nodes.items()
        if node.resource_type in BUILT
    }
    return Manifest(
        schema_version=version,
        dbt_version=given.metadata.dbt_version,
        project=given.metadata.project_name or _project(models.values()),
        adapter=given.metadata.adapter_type or "",
        generated_at=given.metadata.generated_at or "",
        models=models,
        disabled=frozenset(off - set(models)),
    )


def _version(text: bytes, what: str, wanted: str) -> int:
    """Version of the artifact's schema; ConfigError if it is another artifact, or none."""
    try:
        said = artifacts.HEAD.decode(text).metadata.dbt_schema_version
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ConfigError("manifest_invalid", f"{what} is no {wanted} of dbt: {error}", hint=_WRITE) from None
    found = _SCHEMA.search(said)
    if found is None:
        raise ConfigError(
            "manifest_invalid", f"{what} does not say which version of dbt's schemas it has ({said!r}).", hint=_WRITE
        )
    if found["artifact"] != wanted:
        raise ConfigError(
            "manifest_invalid", f"{what} is dbt's {found['artifact']}, not the {wanted}.", hint=f"Give {wanted}.json."
        )
    return int(found["version"])


def _decoded(decoder: msgspec.json.Decoder[_T], text: bytes, what: str) -> _T:
    try:
        return decoder.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ConfigError("manifest_invalid", f"{what} cannot be read: {error}", hint=_WRITE) from None


def _catalog(text: bytes | None) -> dict[str, artifacts.CatalogNode]:
    if text is None:
        return {}
    _version(text, "catalog.json", "catalog")
    return _decoded(artifacts.CATALOG, text, "catalog.json").nodes or {}


def _enabled(node: Node) -> bool:
    return node.config is None or node.config.enabled is not False


def _project(models: Iterable[Model]) -> str:
    """Manifests before v11 do not name their project: it is the package that most models are of."""
    packages = [model.package for model in models]
    return max(sorted(set(packages)), key=packages.count, default="")


def _model(node: Node, seen: artifacts.CatalogNode | None, tests: Sequence[Node]) -> Model:
    config = node.config or artifacts.Config()
    materialized = config.materialized or node.resource_type
    promised = keys.promised(node, tests)
    return Model(
        unique_id=node.unique_id,
        name=node.name,
        package=node.package_name or "",
        path=node.original_file_path or "",
        description=node.description or "",
        materialized=materialized,
        relation=None if materialized == "ephemeral" else _relation(node),
        columns=_columns(node, seen),
        complete=seen is not None,
        keys=promised.unique,
        not_null=promised.not_null,
        checksum=node.checksum.checksum if node.checksum else "",
        deprecated_at=node.deprecation_date,
        tests=frozenset(test.unique_id for test in tests),
    )


def _relation(node: Node) -> Relation | None:
    """From `relation_name`, as dbt quotes it; from its parts where a node has none (a manifest by `dbt ls`)."""
    parts = re.findall(r"`([^`]*)`|\"([^\"]*)\"", node.relation_name or "")
    names = [one or other for one, other in parts] or [node.database, node.schema, node.alias or node.name]
    if len(names) == 1:
        names = str(names[0]).split(".")
    return Relation(*map(str, names)) if len(names) == 3 and all(names) else None


def _columns(node: Node, seen: artifacts.CatalogNode | None) -> dict[str, Column]:
    said = {column.name.lower(): column for column in (node.columns or {}).values() if column.name}
    if seen is None:
        return {name: Column(one.name, one.data_type or None, one.description or "") for name, one in said.items()}
    found = {}
    for one in (seen.columns or {}).values():
        described = said.get(one.name.lower())
        found[one.name.lower()] = Column(one.name, one.type or None, (described and described.description) or "")
    return found
