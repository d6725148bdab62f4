"""The installation as somebody may use it: ``acting(app, actor).exports.pause("daily")`` asks access/rules.py first.

What is changed is written into the audit log.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from tidemill.access.guard import Guard
from tidemill.access.rules import RULES
from tidemill.errors import TidemillError

if TYPE_CHECKING:
    from tidemill.access.actor import Actor
    from tidemill.app import App

_PARTS = frozenset(path.partition(".")[0] for path in RULES)
#: What of something changes by itself: it tells nothing of what was done to it.
_BY_ITSELF = frozenset(
    {
        "connected_at",
        "connected_by",
        "created_at",
        "created_by",
        "error",
        "failing_since",
        "given_up",
        "health",
        "id",
        "last",
        "last_seen_at",
        "last_sent_at",
        "made_at",
        "made_by",
        "models",
        "next_at",
        "overdue_since",
        "pending",
        "position",
        "read_at",
        "rejects",
        "revision",
        "runs",
        "status",
        "succeeded",
        "syncs",
        "trouble",
        "troubles",
        "updated_at",
        "used_by",
        "waiting",
        "what_to_do",
    }
)


#: What of these kinds somebody has said, though it is called as what changes by itself elsewhere.
_SAID = {"channel": frozenset({"syncs"})}


def acting(app: App, actor: Actor) -> App:
    """What somebody may do with an installation that is open. Its parts look like those of the App.

    A call raises AccessError, if they may not.
    """
    return cast("App", _Acting(app, actor))


class _Acting:
    """See `acting`. Who is at the command line gets the other parts as they are."""

    def __init__(self, app: App, actor: Actor) -> None:
        self._app, self.actor = app, actor

    def __getattr__(self, name: str) -> Any:
        if name in _PARTS:
            part = getattr(self._app, name)
            return Guard(part, name, RULES, self.actor, lambda: self._app.audit, self._snapshot)
        if self.actor.kind == "shell":
            return getattr(self._app, name)
        raise AttributeError(f"{name} is not in access/rules.py: nobody may use it from outside")

    def _snapshot(self, kind: str, name: str) -> dict[str, Any] | None:
        """How something stands, without what changes by itself; None: there is none, or it cannot be told now."""
        found = None
        with contextlib.suppress(TidemillError, LookupError):
            found = _SNAPSHOTS[kind](self._app, name)
        if found is None:
            return None
        hidden = _BY_ITSELF - _SAID.get(kind, frozenset())
        return {field: value for field, value in vars(found).items() if field not in hidden}


_SNAPSHOTS: dict[str, Callable[[App, str], Any]] = {
    "connection": lambda app, name: app.connections.get(name),
    "export": lambda app, name: app.books.exports.get(name),  # the service would open the event store
    "source": lambda app, name: app.reverse_etl.sources.get(name),
    "model": lambda app, name: app.reverse_etl.models.get(name),
    "destination": lambda app, name: app.reverse_etl.destinations.get(name),
    "sync": lambda app, name: app.reverse_etl.syncs.get(name),
    "import": lambda app, name: app.imports.get(name),
    "dbt": lambda app, name: app.dbt.get(name),
    "channel": lambda app, name: app.notify.get(name),
    "user": lambda app, name: app.users.get(name),
}
