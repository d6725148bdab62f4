"""Models. Written by tests/client_writer.py."""

from __future__ import annotations

from tidemill.client import core
from tidemill.client.core import Core
from tidemill.client.models.models import ModelAnswer, WholeModelAnswer


class Models:
    """Models."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def find(self) -> list[ModelAnswer]:
        """All models. There are few."""
        return [ModelAnswer.model_validate(one) for one in self._core.ask("GET", "/api/v1/export-models").json()]

    def show(self, name: str) -> WholeModelAnswer:
        """One model."""
        return core.made(self._core.ask("GET", core.path("/api/v1/export-models/{name}", name=name)), WholeModelAnswer)
