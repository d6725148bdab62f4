"""What features may ask of the engine. A workflow is a function whose steps are remembered: started again after a
crash, it goes on after the last step that finished.

The rules for a workflow: it does nothing outside of steps; the same arguments and step results lead to the same steps
in the same order; arguments and results are small plain data (ids and counts, never rows or secrets). A step may run
more than once and must be harmless then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol


class Handle(Protocol):
    """A workflow that was started."""

    def wait(self) -> Any:
        """Its result, once it is there. Raises what the workflow raised."""


class Engine(Protocol):
    """Runs workflows in this process, and remembers them in the database."""

    def register(self, name: str, workflow: Callable[..., Any]) -> None:
        """Make a workflow known under a name that never changes. Before `launch`."""

    def launch(self) -> None:
        """Begin. Costs about half a second; `start` does it when needed."""

    def start(self, name: str, workflow_id: str, *arguments: Any) -> Handle:
        """Start a workflow here, or find the one with that id.

        Inside a workflow: a child of it, whose id begins with its parent's and a colon.
        """

    def step(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """Inside a workflow: do this, and remember the result."""

    def recover(self, workflow_id: str) -> Handle | None:
        """Take over that workflow, with its children, from a process that is dead; None if it is over or never began.

        No other is touched: whoever takes one over is the one that waits for it.

        Raises
        ------
        ConflictError
            A living process has it.
        """

    def alive(self, worker: str) -> bool:
        """Whether the process that is known as that worker has its session; it may be frozen."""

    def assert_alive(self) -> None:
        """Raise UnavailableError if this process has begun, and was taken for dead since."""

    def bury(self, worker: str) -> bool:
        """Whether that worker is dead, for who wants its work. One that gives no sign of life is cut off from the
        database, in time."""

    def prune(self) -> None:
        """Forget workflows that were over a day ago, some at a time. To be called now and then."""

    @property
    def worker(self) -> str:
        """What this process is known as."""

    def close(self) -> None:
        """Stop. Unfinished workflows stay for whoever recovers them."""
