"""Steps that tick off one after another: of a test of a connection, say."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from markupsafe import Markup

from tidemill.web import marks, visit
from tidemill.web.icons import icon
from tidemill.web.region import Region

if TYPE_CHECKING:
    from tidemill.app import App

_SIGNS = {"passed": ("good", "check"), "failed": ("bad", "cross"), "warning": ("warning", "warning")}


class Step(Protocol):
    """As tests give them: bigquery/access_steps.py."""

    @property
    def title(self) -> str:
        """What is looked at."""

    @property
    def status(self) -> str:
        """passed, failed, warning, skipped."""

    @property
    def message(self) -> str:
        """What was found."""

    @property
    def hint(self) -> str:
        """What to do: a sentence, or commands."""


class Steps:
    """A list of steps on a page."""

    def __init__(self) -> None:
        self.found: list[Step] = []
        self._region = Region().classes("steps-region").props('role="status" aria-live="polite"')

    async def run(self, work: Callable[[App], Iterator[Step]]) -> bool:
        """Do them, each shown when it is done: ``await steps.run(lambda app: app.connections.test(name))``. Whether
        none failed."""
        self.found = []
        self._render(running=True)

        def show(step: Step) -> None:
            self.found.append(step)
            self._render(running=True)

        try:
            await visit.each(work, show)
        finally:
            self._render(running=False)
        return not any(step.status == "failed" for step in self.found)

    def show(self, found: Sequence[Step]) -> None:
        """Show these, which were done elsewhere."""
        self.found = list(found)
        self._render(running=False)

    def _render(self, *, running: bool) -> None:
        items = list(map(_item, self.found))
        if running:
            items.append(Markup('<li class="step step-active"><span class="spinner"></span><div>Looking …</div></li>'))
        self._region.show(Markup('<ol class="steps">{}</ol>').format(marks.join(items)) if items else Markup())


def _item(step: Step) -> Markup:
    kind, sign = _SIGNS.get(step.status, ("quiet", "info"))
    return Markup(
        '<li class="step step-{}">{}<div><p class="step-title">{}<span class="unseen">: {}</span></p>'
        '<p class="muted">{}</p>{}</div></li>'
    ).format(kind, icon(sign, 16), step.title, step.status, step.message, marks.hint(step.hint))
