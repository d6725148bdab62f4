"""Configuration. Written by tests/client_writer.py."""

from __future__ import annotations

from typing import Any

from tidemill.client import core
from tidemill.client.core import Core
from tidemill.client.models.configuration import AppliedAnswer, ApplyWanted, ConfigurationWanted, PlanAnswer


class Configuration:
    """Configuration."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def export(self) -> str:
        """What the installation is set up to do. In place of secrets stand names for them."""
        return self._core.ask("GET", "/api/v1/configuration").text

    def schema(self) -> dict[str, Any]:
        """The JSON Schema of a file, for editors."""
        found: dict[str, Any] = self._core.ask("GET", "/api/v1/configuration/schema").json()
        return found

    def plan(self, wanted: ConfigurationWanted) -> PlanAnswer:
        """What would be made, changed and deleted so that the installation is as files say. Nothing is changed."""
        return core.made(self._core.ask("POST", "/api/v1/configuration/plan", body=wanted), PlanAnswer)

    def apply(self, wanted: ApplyWanted) -> AppliedAnswer:
        """Make, change and delete what the plan with that id says, if it is that still. It may take minutes: send
        an Idempotency-Key, and the same call again is answered the same."""
        return core.made(self._core.ask("POST", "/api/v1/configuration/apply", body=wanted), AppliedAnswer)
