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
    Place("/imports", "Imports", "import", Permission.IMPORTS_READ, "imports", "Move data"),
    Place("/dbt", "dbt projects", "branch", Permission.DBT_READ, "dbt", "Move data"),
    Place("/events", "Events", "events", Permission.EVENTS_READ, "events", "Look at data"),
    Place("/people", "People", "person", Permission.PERSONS_READ, "people", "Look at data"),
    Place("/imports-new", "New import", "plus", Permission.IMPORTS_WRITE, "imports_new", listed=False),
    Place("/imports/NAME", "Import", "import", Permission.IMPORTS_READ, "imports_one", listed=False),
    Place("/imports/NAME/map", "Mapping", "import", Permission.IMPORTS_READ, "imports_map", listed=False),
    Place("/dbt/NAME", "dbt project", "branch", Permission.DBT_READ, "dbt_one", listed=False),
    Place("/models/_new", "Add a model", "model", Permission.MODELS_WRITE, "model_form", "Move data", listed=False),
    Place("/models", "Models", "model", Permission.MODELS_READ, "models", "Move data"),
    Place(
        "/destinations/_new",
        "Add a destination",
        "target",
        Permission.DESTINATIONS_WRITE,
        "destination_form",
        "Move data",
        listed=False,
    ),
    Place("/destinations", "Destinations", "target", Permission.DESTINATIONS_READ, "destinations", "Move data"),
    Place("/syncs/_new", "Make a sync", "sync", Permission.SYNCS_WRITE, "sync_new", "Move data", listed=False),
    Place("/syncs", "Syncs", "sync", Permission.SYNCS_READ, "syncs", "Move data"),
    Place("/exports", "Exports", "export", Permission.EXPORTS_READ, "exports", "Move data"),
    Place("/exports/new/data", "New export", "plus", Permission.EXPORTS_WRITE, "export_new", listed=False),
    Place("/exports/{name}", "Export", "export", Permission.EXPORTS_READ, "export", listed=False),
    Place("/jobs", "All jobs", "clock", Permission.EXPORTS_READ, "jobs", "Move data"),
    # Move data: connections, models, syncs, imports, destinations, dbt
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
