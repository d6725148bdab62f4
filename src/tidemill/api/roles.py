"""The parts of a server: one process, or one machine, may do some of them, and others the rest."""

from __future__ import annotations

import enum


class Role(enum.StrEnum):
    """What a server does."""

    CAPTURE = "capture"  # takes events from SDKs
    API = "api"  # the HTTP API; tells how things stand
    WORKER = "worker"  # moves runs and streams
    SCHEDULER = "scheduler"  # says which runs are due
    WEB = "web"  # the web app


#: Those that answer by HTTP, in the server's first process.
HTTP = frozenset({Role.CAPTURE, Role.API})
#: Those that have a process of their own, which does what nobody asked for.
BACKGROUND = frozenset({Role.WORKER, Role.SCHEDULER})
