"""An engine that begins when it is first used: most commands of the command line never run a workflow."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tidemill.engine.port import Handle

if TYPE_CHECKING:
    from tidemill.engine.dbos_engine import DbosEngine


class LazyEngine:
    """See port.Engine."""

    def __init__(self, dsn: str, url: str) -> None:
        self._dsn, self._url = dsn, url
        self._workflows: dict[str, Callable[..., Any]] = {}
        self._made: DbosEngine | None = None
        self._making = threading.Lock()

    @property
    def _engine(self) -> DbosEngine:
        from tidemill.engine.dbos_engine import DbosEngine  # 0.4 s

        with self._making:
            if self._made is None:
                self._made = DbosEngine(self._dsn, self._url)
                for name, workflow in self._workflows.items():
                    self._made.register(name, workflow)
            return self._made

    @property
    def worker(self) -> str:
        """See port.Engine."""
        return self._engine.worker

    def register(self, name: str, workflow: Callable[..., Any]) -> None:
        """See port.Engine."""
        self._workflows[name] = workflow

    def launch(self) -> None:
        """See port.Engine."""
        self._engine.launch()

    def start(self, name: str, workflow_id: str, *arguments: Any) -> Handle:
        """See port.Engine."""
        return self._engine.start(name, workflow_id, *arguments)

    def step(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """See port.Engine."""
        return self._engine.step(name, function, *arguments)

    def recover(self, workflow_id: str) -> Handle | None:
        """See port.Engine."""
        return self._engine.recover(workflow_id)

    def alive(self, worker: str) -> bool:
        """See port.Engine."""
        return self._engine.alive(worker)

    def assert_alive(self) -> None:
        """See port.Engine."""
        if self._made is not None:
            self._made.assert_alive()

    def bury(self, worker: str) -> bool:
        """See port.Engine."""
        return self._engine.bury(worker)

    def prune(self) -> None:
        """See port.Engine."""
        self._engine.prune()

    def close(self) -> None:
        """See port.Engine."""
        if self._made is not None:
            self._made.close()
