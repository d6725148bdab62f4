"""The parts of a server: one process, or one machine, may do some of them, and others the rest."""

from __future__ import annotations

import enum


class Role(enum.StrEnum):
    """What a server does."""

    CAPTURE = "capture"  # takes events from SDKs
    API = "api"  # the HTTP API; tells how things stand
    WORKER = "worker"  # moves runs and streams
    SCHEDULER = "scheduler"  # says which runs are due


#: Those that answer by HTTP.
HTTP = frozenset({Role.CAPTURE, Role.API})
