"""Connections: datasets of BigQuery, and the credentials for them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from tidemill.access.permissions import Permission
from tidemill.bigquery.grants import Use
from tidemill.configuration import documents
from tidemill.configuration.documents import Document
from tidemill.configuration.kinds.kind import KEPT, Change, Doing, Fields, Kind, Secret, World
from tidemill.errors import ConfigError, ConflictError

if TYPE_CHECKING:
    from tidemill.app import App
    from tidemill.connections.service import Connection, Draft


class Connections(Kind):
    """See the module."""

    section, title = "connections", "connection"
    writes = Permission.CONNECTIONS_WRITE
    essential = ("project", "dataset", "key", "impersonate")

    def document(self, given: Any) -> type[Document]:
        """See Kind."""
        return documents.CONNECTION

    def found(self, app: App) -> dict[str, Fields]:
        """See Kind."""
        return {saved.name: _fields(saved) for saved in app.connections.find()}

    def whole(self, world: World, name: str, given: Fields) -> Fields:
        """See Kind. Who acts as another account does so by the machine's own credentials, if there is no key."""
        fields = {field: given.get(field) for field in ("project", "dataset", "key", "adc", "impersonate")}
        fields["adc"] = bool(fields["adc"] or (fields["impersonate"] and fields["key"] is None))
        if fields["key"] is None and not fields["adc"]:
            raise ConfigError(
                "credential_missing",
                f"It is not said how {name} signs in.",
                hint="Write key: {env: NAME} or key: {file: PATH}; or adc: true, for the machine's own credentials.",
            )
        if fields["key"] is not KEPT:
            _draft(world.app, name, fields)
        return fields

    def differing(self, app: App, name: str, given: Mapping[str, SecretStr]) -> Collection[str]:
        """See Kind."""
        return app.connections.differing(name, given)

    def refusal(self, world: World, name: str, before: Fields, change: Change) -> str | None:
        """See Kind."""
        if "key" in change.kept and change.touches("impersonate") and change.after["impersonate"] is None:
            return "To act as another account no more, it takes the key again: give it in secrets."
        return None

    def changed_at(self, app: App, name: str) -> dt.datetime | None:
        """See Kind."""
        return app.connections.get(name).updated_at

    def create(self, doing: Doing, change: Change) -> None:
        """See Kind."""
        doing.app.connections.add(self._tested(doing, change), by=doing.by)

    def change(self, doing: Doing, change: Change) -> None:
        """See Kind."""
        if doing.app.connections.get(change.name).deleting_at is not None:
            raise ConflictError(
                "connection_deleting",
                f"The connection {change.name} is being deleted.",
                hint="Wait until it is gone, and plan again.",
            )
        doing.app.connections.save(change.name, self._tested(doing, change), as_of=doing.as_of)

    def _tested(self, doing: Doing, change: Change) -> Draft:
        draft = self._drafted(doing.app, change)
        use = self._use(doing.world, change.name) if doing.test else None
        if use is not None:
            steps = doing.app.connections.test_draft(draft, use)
            doing.steps(steps, f"the connection {change.name}")
        return draft

    @staticmethod
    def _drafted(app: App, change: Change) -> Draft:
        if "key" not in change.kept:
            return _draft(app, change.name, change.after)
        another = {"impersonate": change.after["impersonate"], "adc": True} if change.touches("impersonate") else {}
        where = {field: change.after[field] for field in ("project", "dataset")}
        return app.connections.changed(change.name, **where, **another)

    @staticmethod
    def _use(world: World, name: str) -> Use | None:
        """What it must be good for. One that is a source alone is tested as such."""
        modes = {one["mode"] for one in world.all("exports").values() if one["connection"] == name}
        if modes == {"stream"}:
            return Use.STREAMING
        return None if not modes and world.get("sources", name) is not None else Use.BATCH

    def delete(self, doing: Doing, name: str) -> None:
        """See Kind."""
        doing.app.connections.delete(name, as_of=doing.as_of)


def _fields(saved: Connection) -> Fields:
    is_another = saved.credential.startswith("impersonation")
    is_own = saved.credential.endswith("application default credentials")
    return {
        "project": saved.project,
        "dataset": saved.dataset,
        "key": None if is_own else KEPT,
        "adc": is_own,
        "impersonate": saved.account if is_another else None,
    }


def _draft(app: App, name: str, fields: Fields) -> Draft:
    key = fields["key"]
    return app.connections.draft(
        name=name,
        project=fields["project"],
        dataset=fields["dataset"],
        key=key.value.get_secret_value() if isinstance(key, Secret) else None,
        adc=bool(fields["adc"]),
        impersonate=fields["impersonate"],
    )
