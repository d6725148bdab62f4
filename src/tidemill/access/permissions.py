"""What a token may do."""

from __future__ import annotations

import enum


class Permission(enum.StrEnum):
    """A scope of a token."""

    SYNCS_TRIGGER = "syncs:trigger"  # have syncs run
    SYNCS_READ = "syncs:read"  # see how runs of syncs stand
    DESTINATIONS_READ = "destinations:read"  # see what destinations take
    DBT_CHECK = "dbt:check"  # see what of dbt projects is in use
