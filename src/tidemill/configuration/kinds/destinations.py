"""Destinations: accounts of tools that rows are delivered to."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from tidemill.access.permissions import Permission
from tidemill.configuration import documents
from tidemill.configuration.documents import Document
from tidemill.configuration.kinds.kind import (
    KEPT,
    Change,
    Doing,
    Fields,
    Kind,
    Secret,
    World,
    canonical,
    kept,
    shortened,
    typed,
)
from tidemill.configuration.problems import meant, one_of
from tidemill.destinations import registry
from tidemill.destinations.port import Settings
from tidemill.errors import ConfigError

if TYPE_CHECKING:
    from tidemill.app import App


class Destinations(Kind):
    """See the module."""

    section, title = "destinations", "destination"
    writes = Permission.DESTINATIONS_WRITE
    fixed = ("kind",)

    def document(self, given: Any) -> type[Document]:
        """See Kind."""
        return documents.destination(chosen(given, list(registry.everything())))

    def found(self, app: App) -> dict[str, Fields]:
        """See Kind."""
        service, found = app.reverse_etl.destinations, {}
        for view in service.find():
            document = documents.destination(view.kind)
            hidden: Fields = dict.fromkeys(view.secrets)
            hidden |= dict.fromkeys(service.kept(view.name), KEPT)
            shown = {**_defaults(view.kind), **view.settings}
            shown = {name: value for name, value in shown.items() if name in document.model_fields}
            found[view.name] = {"kind": view.kind, **shown, **hidden}
        return found

    def whole(self, world: World, name: str, given: Fields) -> Fields:
        """See Kind."""
        settings, document = _settings(world.app, name, given), documents.destination(given["kind"])
        hidden = {field: given.get(field) for field in documents.secrets(document)}
        shown = settings.model_dump(mode="json", exclude={*hidden})
        return {"kind": given["kind"], **shown, **hidden}

    def short(self, world: World, name: str, fields: Fields) -> Fields:
        """See Kind."""
        document = documents.destination(fields["kind"])
        needed = [field for field, said in document.model_fields.items() if said.is_required()]
        return shortened(fields, _defaults(fields["kind"]), needed)

    def differing(self, app: App, name: str, given: Mapping[str, SecretStr]) -> Collection[str]:
        """See Kind."""
        return app.reverse_etl.destinations.differing(name, given)

    def create(self, doing: Doing, change: Change) -> None:
        """See Kind."""
        kind, settings = change.after["kind"], self._tested(doing, change)
        doing.app.reverse_etl.destinations.add(kind, change.name, settings, by=doing.by)

    def change(self, doing: Doing, change: Change) -> None:
        """See Kind."""
        doing.app.reverse_etl.destinations.save(change.name, self._tested(doing, change))

    def _tested(self, doing: Doing, change: Change) -> Settings:
        settings = _settings(doing.app, change.name, change.after)
        if doing.test:
            doing.app.reverse_etl.destinations.test(change.after["kind"], settings)
        return settings

    def delete(self, doing: Doing, name: str) -> None:
        """See Kind."""
        doing.app.reverse_etl.destinations.delete(name)


def chosen(given: Any, known: Collection[str]) -> str:
    """The kind of a thing that there are several kinds of. ConfigError if there is no such kind."""
    kind = given.get("kind") if isinstance(given, dict) else None
    if kind not in known:
        said = "kind is missing." if kind is None else f"There is no kind {kind!r}."
        guess = meant(str(kind), sorted(known)) if kind is not None else ""
        raise ConfigError("kind_unknown", f"{said}{guess}", hint=one_of(sorted(known)))
    return str(kind)


def _settings(app: App, name: str, fields: Fields) -> Settings:
    """Checked, with secrets; also with those that stay."""
    hidden = {name: value.value for name, value in fields.items() if isinstance(value, Secret)}
    shown = typed(documents.destination(fields["kind"]), fields)
    shown.pop("kind")
    if stay := kept(fields):
        return app.reverse_etl.destinations.rewritten(name, {**shown, **hidden}, stay)
    return app.reverse_etl.destinations.make(fields["kind"], {**shown, **hidden})


def _defaults(kind: str) -> Fields:
    """Of settings that are left out."""
    fields = registry.get(kind).settings.model_fields
    values = {name: None if one.is_required() else one.get_default() for name, one in fields.items()}
    return canonical(documents.destination(kind), values)
