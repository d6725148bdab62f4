"""Syncs: rows of source models into destinations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tidemill.access.permissions import Permission
from tidemill.configuration import documents, words
from tidemill.configuration.documents import Document
from tidemill.configuration.kinds.kind import Change, Doing, Fields, Kind, Need, World, canonical, typed
from tidemill.configuration.problems import one_of
from tidemill.configuration.words import SyncScheduleDocument
from tidemill.destinations import registry
from tidemill.destinations.port import Action, Mode
from tidemill.errors import ConfigError
from tidemill.reverse_etl import mapping as mappings
from tidemill.reverse_etl import spec as specs
from tidemill.reverse_etl.spec import SyncSpec
from tidemill.schedules.calendar import Schedule

if TYPE_CHECKING:
    from tidemill.app import App

#: In place of a number or a share: there is none any more.
_NONE = "none"
_MAY_BE_NONE = ("deviation", "max_bytes_billed", "write_back_days")


class Syncs(Kind):
    """See the module."""

    section, title = "syncs", "sync"
    writes = Permission.SYNCS_WRITE
    fixed = ("model", "destination", "action", "extraction", "cursor")
    essential = ("model", "destination", "action", "mapping")
    mapped = ("mapping",)

    def document(self, given: Any) -> type[Document]:
        """See Kind."""
        return documents.SYNC

    def found(self, app: App) -> dict[str, Fields]:
        """See Kind."""
        views = app.reverse_etl.syncs.find()
        return {view.name: _fields(view.spec, view.model, view.destination) for view in views}

    def whole(self, world: World, name: str, given: Fields) -> Fields:
        """See Kind. The columns of the model are looked at when it is made."""
        account = world.get("destinations", given["destination"]) or {}
        action = _action(account["kind"], given.get("action"))
        values = {**_values(given), "name": name, "action": action.name}
        values["mode"] = values.get("mode") or action.modes[0]
        values["schedule"] = words.scheduled(given.get("schedule"), Schedule())
        made: SyncSpec = specs.make(SyncSpec, "sync", values)
        if made.mode not in action.modes:
            known = one_of(mode.value for mode in action.modes)
            raise ConfigError("sync_mode", f"{action.title} has no mode {made.mode.value}.", hint=known)
        if not made.mapping and made.mode is not Mode.DELETE:
            raise ConfigError("mapping_empty", "Nothing is mapped.", hint='Write FIELD: {"@path": "$.COLUMN"}.')
        mappings.compile(made.mapping)
        return _fields(made, given["model"], given["destination"])

    def needs(self, fields: Fields) -> Iterator[Need]:
        """See Kind."""
        yield Need("model", "models", fields["model"])
        yield Need("destination", "destinations", fields["destination"])

    def create(self, doing: Doing, change: Change) -> None:
        """See Kind."""
        fields = {**_values(change.after), **change.after["schedule"], "name": change.name}
        destination = change.after["destination"]
        doing.app.reverse_etl.syncs.create(change.after["model"], destination, fields, by=doing.by)

    def change(self, doing: Doing, change: Change) -> None:
        """See Kind."""
        values = typed(documents.SYNC, {name: change.after[name] for name in change.fields if name != "schedule"})
        none = {name: _NONE for name in _MAY_BE_NONE if name in values and values[name] is None}
        schedule = words.told(change.after["schedule"]) if change.touches("schedule") else {}
        doing.app.reverse_etl.syncs.edit(change.name, {**values, **none, **schedule}, reset=doing.reset)

    def delete(self, doing: Doing, name: str) -> None:
        """See Kind."""
        doing.app.reverse_etl.syncs.delete(name)


def _action(kind: str, name: str | None) -> Action:
    tool = registry.get(kind)
    known = {action.name: action for action in tool.actions}
    if name is None and len(known) == 1:
        return tool.actions[0]
    if name not in known:
        said = (
            f"{tool.title} can do more than one thing with rows." if name is None else f"There is no action {name!r}."
        )
        raise ConfigError("sync_action", said, hint=f"Write action. {one_of(known)}")
    return known[name]


def _values(given: Fields) -> dict[str, Any]:
    """What is written of the sync itself, but for its schedule."""
    left_out = {"model", "destination", "schedule"}
    values = typed(documents.SYNC, {name: value for name, value in given.items() if name not in left_out})
    return {name: value for name, value in values.items() if value is not None}


def _fields(spec: SyncSpec, model: str, destination: str) -> Fields:
    values = {name: getattr(spec, name, None) for name in documents.SYNC.model_fields if name != "schedule"}
    written = words.written_schedule(spec.schedule, SyncScheduleDocument)
    return {**canonical(documents.SYNC, {**values, "model": model, "destination": destination}), "schedule": written}
