"""Health. Written by tests/client_writer.py."""

from __future__ import annotations

from tidemill.client import core
from tidemill.client.core import Core
from tidemill.client.models.health import HealthAnswer


class Health:
    """Health."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def examine(self) -> HealthAnswer:
        """Look at every part. One that fails does not hide the others."""
        return core.made(self._core.ask("GET", "/api/v1/health"), HealthAnswer)
