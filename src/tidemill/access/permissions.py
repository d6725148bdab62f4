"""What somebody may do: scopes of tokens, and what the roles of people are made of."""

from __future__ import annotations

import enum


class Permission(enum.StrEnum):
    """One of them. What is written may be read by it, too, as far as the answer tells of it."""

    CONNECTIONS_READ = "connections:read"  # see connections, test them
    CONNECTIONS_WRITE = "connections:write"  # make, change and delete them, and their credentials
    EXPORTS_READ = "exports:read"  # see exports, their runs, backfills, logs, rows set aside
    EXPORTS_WRITE = "exports:write"  # make, change, delete, run and backfill them
    MODELS_READ = "models:read"  # see source models, and rows of theirs
    MODELS_WRITE = "models:write"  # make, change and delete them
    DESTINATIONS_READ = "destinations:read"  # see destinations, and what they take
    DESTINATIONS_WRITE = "destinations:write"  # make, change and delete them, and their credentials
    SYNCS_READ = "syncs:read"  # see syncs, and how their runs stand
    SYNCS_WRITE = "syncs:write"  # make, change and delete them
    SYNCS_TRIGGER = "syncs:trigger"  # have syncs run
    IMPORTS_READ = "imports:read"  # see imports, and how their runs stand
    IMPORTS_WRITE = "imports:write"  # make, change, run, undo and delete them
    DBT_READ = "dbt:read"  # see dbt projects
    DBT_WRITE = "dbt:write"  # make, change and delete them
    DBT_RUN = "dbt:run"  # with dbt:write: say of which repository, branch and folder the server parses them
    DBT_CHECK = "dbt:check"  # see what of dbt projects is in use
    EVENTS_READ = "events:read"  # see events, and lines set aside
    EVENTS_WRITE = "events:write"  # load events, take lines that were set aside
    PERSONS_READ = "persons:read"  # see people
    PERSONS_DELETE = "persons:delete"  # delete people and their events
    KEYS_READ = "keys:read"  # see keys of SDKs
    KEYS_WRITE = "keys:write"  # make and revoke them
    CHANNELS_READ = "channels:read"  # see who is told what is wrong
    CHANNELS_WRITE = "channels:write"  # change that
    TOKENS_READ = "tokens:read"  # see tokens
    TOKENS_WRITE = "tokens:write"  # make and revoke them
    USERS_READ = "users:read"  # see users
    USERS_WRITE = "users:write"  # make, change and delete them
    AUDIT_READ = "audit:read"  # see who did what
    HEALTH_READ = "health:read"  # see how the installation is
