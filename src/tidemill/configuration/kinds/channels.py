"""Channels by which people are told that something is wrong."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from tidemill.access.permissions import Permission
from tidemill.configuration import documents
from tidemill.configuration.documents import Document
from tidemill.configuration.kinds.destinations import chosen
from tidemill.configuration.kinds.kind import (
    KEPT,
    Change,
    Doing,
    Fields,
    Kind,
    Need,
    Secret,
    World,
    kept,
    shortened,
    typed,
)
from tidemill.configuration.problems import one_of
from tidemill.errors import ConfigError
from tidemill.notify import spec as specs
from tidemill.notify.spec import KINDS
from tidemill.store.records_notify import Cause

if TYPE_CHECKING:
    from tidemill.app import App
    from tidemill.notify.service import ChannelView

_TOLD = ("causes", "exports", "syncs")
#: What a channel is told of that is not there any more.
_DELETED = "(deleted)"


class Channels(Kind):
    """See the module."""

    section, title = "channels", "channel"
    writes = Permission.CHANNELS_WRITE
    fixed = ("kind",)

    def document(self, given: Any) -> type[Document]:
        """See Kind."""
        return documents.channel(chosen(given, list(KINDS)))

    def found(self, app: App) -> dict[str, Fields]:
        """See Kind."""
        found = {}
        for view in app.notify.find():
            hidden: Fields = dict.fromkeys(documents.secrets(documents.channel(view.kind)))
            hidden |= dict.fromkeys(app.notify.kept(view.name), KEPT)
            found[view.name] = {"kind": view.kind, **view.settings, **hidden, **_told(view)}
        return found

    def whole(self, world: World, name: str, given: Fields) -> Fields:
        """See Kind."""
        settings, stay = _settings(given), kept(given)
        spec = world.app.notify.rewritten(name, settings, stay) if stay else specs.make(given["kind"], settings)
        hidden = {field: given.get(field) for field in documents.secrets(documents.channel(given["kind"]))}
        told = {field: sorted(set(given.get(field) or ())) for field in _TOLD}
        if unknown := [cause for cause in told["causes"] if cause not in set(Cause)]:
            raise ConfigError(
                "cause_unknown", f"{unknown[0]!r} is nothing that people are told of.", hint=one_of(Cause)
            )
        return {"kind": given["kind"], **spec.shown(), **hidden, **told}

    def short(self, world: World, name: str, fields: Fields) -> Fields:
        """See Kind."""
        spec = KINDS[fields["kind"]]
        defaults: Fields = {name: one.default for name, one in spec.model_fields.items() if not one.is_required()}
        needed = ["kind", *(name for name, one in spec.model_fields.items() if one.is_required())]
        return shortened(fields, {**defaults, **{field: [] for field in _TOLD}}, needed)

    def needs(self, fields: Fields) -> Iterator[Need]:
        """See Kind. Imports are syncs, too."""
        yield from (Need("exports", "exports", name) for name in fields.get("exports") or ())
        yield from (Need("syncs", "syncs", name) for name in fields.get("syncs") or ())

    def differing(self, app: App, name: str, given: Mapping[str, SecretStr]) -> Collection[str]:
        """See Kind."""
        return app.notify.differing(name, given)

    def create(self, doing: Doing, change: Change) -> None:
        """See Kind."""
        told = {field: change.after[field] for field in _TOLD}
        doing.app.notify.add(change.after["kind"], change.name, _settings(change.after), by=doing.by, **told)

    def change(self, doing: Doing, change: Change) -> None:
        """See Kind."""
        if set(change.fields) - set(_TOLD):
            doing.app.notify.edit(change.name, _settings(change.after))
        causes, exports, syncs = (change.after[field] for field in _TOLD)
        if change.touches("causes"):
            doing.app.notify.edit(change.name, {}, causes=causes)
        if change.touches("exports", "syncs"):
            doing.app.notify.edit(change.name, {}, exports=[], syncs=[])
            if exports or syncs:
                named = {"exports": exports or None, "syncs": syncs or None}
                doing.app.notify.edit(change.name, {}, **named)

    def delete(self, doing: Doing, name: str) -> None:
        """See Kind."""
        doing.app.notify.remove(name)


def _told(view: ChannelView) -> Fields:
    exports = [name for name in view.exports if name != _DELETED]
    if view.exports and not exports and not view.syncs:
        exports = [_DELETED]  # without it, it would be told of all
    return {"causes": sorted(view.causes), "exports": sorted(exports), "syncs": sorted(view.syncs)}


def _settings(fields: Fields) -> dict[str, Any]:
    """With secrets, as the service has them; without what is not said."""
    document = documents.channel(fields["kind"])
    shown = typed(document, {name: value for name, value in fields.items() if name not in {"kind", *_TOLD}})
    hidden = {name: value.value for name, value in fields.items() if isinstance(value, Secret)}
    return {**{name: value for name, value in shown.items() if value is not None}, **hidden}
