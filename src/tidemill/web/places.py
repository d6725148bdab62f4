"""The pages that are in the navigation: one line each. A page that is reached from another one needs none.

`module` is in `web/pages/`; it is imported when the web app begins. Who lacks `permission` does not see the line.
"""

from __future__ import annotations

import dataclasses

from tidemill.access.permissions import Permission


@dataclasses.dataclass(frozen=True)
class Place:
    """A line of the navigation. `group`: under which heading; `listed`: False for a module of pages without a line."""

    path: str
    title: str
    icon: str
    permission: Permission | None
    module: str
    group: str = ""
    listed: bool = True


PLACES: tuple[Place, ...] = (
    Place("/", "Home", "home", None, "home"),
    Place("/connections", "Connections", "plug", Permission.CONNECTIONS_READ, "connections", "Move data"),
    Place("/connections/new/bigquery", "Add", "plug", Permission.CONNECTIONS_WRITE, "connection_new", listed=False),
    Place("/connections/{name}", "Connection", "plug", Permission.CONNECTIONS_READ, "connection", listed=False),
    # Move data: connections, exports, models, syncs, imports, destinations, dbt
    # Look at data: events, people
    Place("/settings/users", "Users", "users", Permission.USERS_READ, "users", "Settings"),
    Place("/settings/tokens", "API tokens", "token", Permission.TOKENS_READ, "tokens", "Settings"),
    Place("/settings/keys", "SDK keys", "key", Permission.KEYS_READ, "keys", "Settings"),
    Place("/settings/notifications", "Notifications", "bell", Permission.CHANNELS_READ, "channels", "Settings"),
    Place("/settings/audit", "Audit log", "list", Permission.AUDIT_READ, "audit", "Settings"),
    Place("/settings/health", "Health", "pulse", Permission.HEALTH_READ, "health", "Settings"),
)


def has(path: str) -> bool:
    """Whether there is such a page: others lead to it only then."""
    return any(place.path == path for place in PLACES)
