"""Roles of people: each is a set of permissions."""

from __future__ import annotations

import enum

from tidemill.access.permissions import Permission as P  # noqa: N817 - a table of them


class Role(enum.StrEnum):
    """A role of a user."""

    ADMIN = "admin"  # connections, secrets, users, and all that follows
    EDITOR = "editor"  # exports, syncs, imports and what they are made of
    VIEWER = "viewer"  # looks only


_OF_ADMINS = frozenset({P.KEYS_READ, P.TOKENS_READ, P.USERS_READ, P.AUDIT_READ})
_VIEWER = frozenset(one for one in P if one.endswith(":read")) - _OF_ADMINS
_EDITOR = _VIEWER | {
    P.EXPORTS_WRITE,
    P.MODELS_WRITE,
    P.SYNCS_WRITE,
    P.SYNCS_TRIGGER,
    P.IMPORTS_WRITE,
    P.DBT_WRITE,
    P.DBT_CHECK,
    P.EVENTS_WRITE,
}
#: What each may do.
PERMISSIONS: dict[Role, frozenset[P]] = {Role.ADMIN: frozenset(P), Role.EDITOR: _EDITOR, Role.VIEWER: _VIEWER}
