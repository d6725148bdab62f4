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


_MOVE, _LOOK, _SETTINGS = "Move data", "Look at data", "Settings"
PLACES: tuple[Place, ...] = (
    Place("/", "Home", "home", None, "home"),
    Place("/connections", "Connections", "plug", Permission.CONNECTIONS_READ, "connections", _MOVE),
    Place("/exports", "Exports", "export", Permission.EXPORTS_READ, "exports", _MOVE),
    # What is made before what has a name: /models/_new is no model.
    Place("/models/_new", "Add a model", "model", Permission.MODELS_WRITE, "model_form", listed=False),
    Place("/models", "Models", "model", Permission.MODELS_READ, "models", _MOVE),
    Place("/destinations/_new", "Add", "target", Permission.DESTINATIONS_WRITE, "destination_form", listed=False),
    Place("/destinations", "Destinations", "target", Permission.DESTINATIONS_READ, "destinations", _MOVE),
    Place("/syncs/_new", "Make a sync", "sync", Permission.SYNCS_WRITE, "sync_new", listed=False),
    Place("/syncs", "Syncs", "sync", Permission.SYNCS_READ, "syncs", _MOVE),
    Place("/imports", "Imports", "import", Permission.IMPORTS_READ, "imports", _MOVE),
    Place("/dbt", "dbt projects", "branch", Permission.DBT_READ, "dbt", _MOVE),
    Place("/jobs", "All jobs", "clock", Permission.EXPORTS_READ, "jobs", _MOVE),
    Place("/events", "Events", "events", Permission.EVENTS_READ, "events", _LOOK),
    Place("/people", "People", "person", Permission.PERSONS_READ, "people", _LOOK),
    Place("/settings/users", "Users", "users", Permission.USERS_READ, "users", _SETTINGS),
    Place("/settings/tokens", "API tokens", "token", Permission.TOKENS_READ, "tokens", _SETTINGS),
    Place("/settings/keys", "SDK keys", "key", Permission.KEYS_READ, "keys", _SETTINGS),
    Place("/settings/notifications", "Notifications", "bell", Permission.CHANNELS_READ, "channels", _SETTINGS),
    Place("/settings/audit", "Audit log", "list", Permission.AUDIT_READ, "audit", _SETTINGS),
    Place("/settings/health", "Health", "pulse", Permission.HEALTH_READ, "health", _SETTINGS),
    # Reached from those.
    Place("/connections/new/bigquery", "Add", "plug", Permission.CONNECTIONS_WRITE, "connection_new", listed=False),
    Place("/connections/{name}", "Connection", "plug", Permission.CONNECTIONS_READ, "connection", listed=False),
    Place("/exports/new/data", "New export", "plus", Permission.EXPORTS_WRITE, "export_new", listed=False),
    Place("/exports/{name}", "Export", "export", Permission.EXPORTS_READ, "export", listed=False),
    Place("/settings/notifications/NAME", "Channel", "bell", Permission.CHANNELS_READ, "channel", listed=False),
    Place("/imports-new", "New import", "plus", Permission.IMPORTS_WRITE, "imports_new", listed=False),
    Place("/imports/NAME", "Import", "import", Permission.IMPORTS_READ, "imports_one", listed=False),
    Place("/imports/NAME/map", "Mapping", "import", Permission.IMPORTS_READ, "imports_map", listed=False),
    Place("/dbt/NAME", "dbt project", "branch", Permission.DBT_READ, "dbt_one", listed=False),
)


def has(path: str) -> bool:
    """Whether there is such a page: others lead to it only then."""
    return any(place.path == path for place in PLACES)
