"""What a user can do with a configuration: write, plan and apply it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from tidemill.configuration import applying, checking, planning, reading, writing
from tidemill.configuration.applying import Applied, Telling
from tidemill.configuration.origins import Origin, Outside, Shell
from tidemill.configuration.planning import Act, Plan, Step
from tidemill.configuration.problems import InvalidError, Problems
from tidemill.configuration.reading import Text

if TYPE_CHECKING:
    from tidemill.app import App

__all__ = [
    "Act",
    "Applied",
    "Configuration",
    "InvalidError",
    "Outside",
    "Plan",
    "Step",
    "Telling",
    "Text",
    "schema",
]


class Configuration:
    """The configuration of an installation, as code."""

    def __init__(self, app: App, origin: Origin | None = None) -> None:
        """`app`: as far as somebody may use it; `origin`: where files come from, if not from the command line."""
        self._app, self._origin = app, origin or Shell()

    def text(self) -> str:
        """What the installation is set up to do, as a file; secrets are references."""
        return writing.text(self._app)

    def plan(self, texts: Iterable[Text], *, prune: bool = False) -> Plan:
        """What would be done so that the installation is as files say. `prune`: what they do not have is deleted, of
        the sections that they have.

        Raises
        ------
        InvalidError
            With all that is wrong in the files, by file, line and column.
        """
        problems = Problems()
        trees = [tree for text in texts if (tree := reading.read(text, problems)) is not None]
        problems.settle()  # of what cannot be read nothing is known: all that refers to it would be wrong
        entries = checking.entries(trees, problems, self._origin)
        outside = self._origin.is_outside
        return planning.plan(self._app, entries, problems, prune=prune, outside=outside)

    def assert_same(self, shown: Plan, now: Plan) -> None:
        """Raise ConflictError if somebody has changed something since a plan was made."""
        applying.assert_same(shown, now)

    def apply(
        self, plan: Plan, *, by: str, test: bool = True, reset: str | None = None, telling: Telling | None = None
    ) -> Applied:
        """Do what was planned, up to the first step that fails. `test`: credentials are tested before they are saved;
        `reset`: what becomes of rows that were delivered, where a mapping changes: resend, or leave.

        Raises
        ------
        ConfigError
            A mapping changes, and `reset` is not said: nothing is done.
        """
        applying.assert_resets(plan, reset)
        return applying.apply(plan, by=by, test=test, reset=reset, telling=telling or Telling())


def schema() -> dict[str, Any]:
    """The JSON Schema of a file, for editors."""
    from tidemill.configuration.schema import schema as made

    return made()
