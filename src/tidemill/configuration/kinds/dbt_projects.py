"""dbt projects."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from tidemill.access.permissions import Permission
from tidemill.access.reach import assert_elsewhere, of_repository
from tidemill.configuration import documents
from tidemill.configuration.documents import Document
from tidemill.configuration.kinds.kind import (
    KEPT,
    Change,
    Doing,
    Fields,
    Kind,
    Need,
    Secret,
    World,
    canonical,
    kept,
    typed,
)
from tidemill.dbt import spec as specs
from tidemill.dbt.spec import ProjectSpec
from tidemill.errors import ConfigError

if TYPE_CHECKING:
    from tidemill.app import App

_SECRETS = tuple(documents.secrets(documents.PROJECT))
#: If a project is elsewhere now, all is said that belongs to the place.
_OF_PLACE = ("folder", "git", "manifest", "catalog", "branch", "subfolder", "host_key", "ssh_key", "token")
_OF_CLOUD = ("cloud_host", "cloud_token")
#: If one of these is another, a secret goes to somebody else.
_TO = {"token": ("folder", "git", "manifest"), "ssh_key": ("folder", "git", "manifest"), "cloud_token": ("cloud_host",)}
#: In place of a secret that is there, so that the rest can be checked.
_STANDS_FOR = SecretStr("a secret that is long enough")


class DbtProjects(Kind):
    """See the module."""

    section, title = "dbt_projects", "dbt project"
    writes = Permission.DBT_WRITE
    essential = ("folder", "git", "manifest", *_SECRETS)

    def document(self, given: Any) -> type[Document]:
        """See Kind."""
        return documents.PROJECT

    def found(self, app: App) -> dict[str, Fields]:
        """See Kind."""
        found = {}
        for view in app.dbt.find():
            hidden = dict.fromkeys(view.secrets, KEPT)
            stands_for = dict.fromkeys(hidden, _STANDS_FOR)
            spec = specs.make({**view.spec, **stands_for, "name": view.name, "connection": view.connection})
            found[view.name] = _fields(spec, hidden)
        return found

    def whole(self, world: World, name: str, given: Fields) -> Fields:
        """See Kind."""
        hidden = {field: given[field] for field in _SECRETS if given.get(field) is not None}
        stands_for = dict.fromkeys(kept(given), _STANDS_FOR)
        return _fields(specs.make({**_values(given), **stands_for, "name": name}), hidden)

    def short(self, world: World, name: str, fields: Fields) -> Fields:
        """See Kind."""
        return {field: value for field, value in fields.items() if value not in (None, "")}

    def needs(self, fields: Fields) -> Iterator[Need]:
        """See Kind."""
        if fields.get("connection") is not None:
            yield Need("connection", "connections", fields["connection"])

    def differing(self, app: App, name: str, given: Mapping[str, SecretStr]) -> Collection[str]:
        """See Kind."""
        return app.dbt.differing(name, given)

    def refusal(self, world: World, name: str, before: Fields, change: Change) -> str | None:
        """See Kind. A secret is sent to no other server than that for which it was given."""
        again = [field for field in change.kept if change.touches(*_TO.get(field, ()))]
        if not again:
            return None
        return f"It is elsewhere now, so {' and '.join(again)} must be given again, in secrets."

    def inside(self, change: Change) -> str | None:
        """See Kind. Of files of the server a role, or a token, says nothing."""
        try:
            assert_elsewhere({"fields": _told(change)})
        except ConfigError as error:
            return f"{error.message} {error.hint}"
        return None

    def permissions(self, change: Change | None) -> Collection[Permission]:
        """See Kind. Which repository dbt runs is said by whom it is trusted with."""
        also = of_repository({"fields": _told(change)}) if change is not None else None
        return (self.writes,) if also is None else (self.writes, also)

    def create(self, doing: Doing, change: Change) -> None:
        """See Kind. The project is read."""
        doing.app.dbt.add({**_values(change.after), "name": change.name}, by=doing.by)

    def change(self, doing: Doing, change: Change) -> None:
        """See Kind. The project is read anew, if it is elsewhere now."""
        values = _values(change.after)
        doing.app.dbt.edit(change.name, {field: values.get(field) for field in _named(change)})

    def delete(self, doing: Doing, name: str) -> None:
        """See Kind."""
        doing.app.dbt.delete(name)


def _named(change: Change) -> set[str]:
    """Fields that are told of a change: all that belong together, unless a secret among them stays."""
    found = set(change.fields)
    for together in (_OF_PLACE, _OF_CLOUD):
        if change.touches(*together) and not set(together) & set(change.kept):
            found |= set(together)
    return found


def _told(change: Change) -> Fields:
    """Fields that the service is told of."""
    return change.after if change.before is None else {field: change.after.get(field) for field in _named(change)}


def _values(fields: Fields) -> dict[str, Any]:
    """As the service has them."""
    hidden = {name: value.value for name, value in fields.items() if isinstance(value, Secret)}
    return {**typed(documents.PROJECT, fields), **hidden}


def _fields(spec: ProjectSpec, hidden: Fields) -> Fields:
    shown = {name: getattr(spec, name) for name in ProjectSpec.model_fields if name not in {*_SECRETS, "name"}}
    return {**canonical(documents.PROJECT, shown), **dict.fromkeys(_SECRETS), **hidden}
