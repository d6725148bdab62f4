"""The test upload of an export, on a page: its steps, and the rows that were sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from markupsafe import Markup
from nicegui import ui

from tidemill.web import marks
from tidemill.web.buttons import button
from tidemill.web.region import Region, show
from tidemill.web.steps import Steps

if TYPE_CHECKING:
    from tidemill.app import App
    from tidemill.exports.listing import ExportSettings
    from tidemill.exports.trial.views import Told, Uploaded

#: What it does, in words.
SAID = (
    "The newest rows of this export, 100 at most, are loaded into a small table beside the target, with its columns "
    "and types, and read back. Then that table is deleted. Nothing is billed, and nothing else changes."
)


class TrialPart:
    """A place for it on a page."""

    def __init__(self) -> None:
        self._steps, self._rows = Steps(), Region()

    async def run(self, test: Callable[[App, Told], Iterator[Any]]) -> bool:
        """Do it, each step shown when it is done. Whether none failed."""
        found: list[Uploaded] = []
        self._rows.show("")
        good = await self._steps.run(lambda app: test(app, found.append))
        if found:
            self._rows.show(uploaded(found[0]))
        return good


async def tab(found: ExportSettings) -> None:
    """The tab of an export."""
    name = found.name

    async def run() -> None:
        said.show("")
        good = await part.run(lambda app, told: app.exports.trials.saved(name, told=told))
        said.show("The test is passed." if good else "The test is not passed: do what the failed step says.")

    show(Markup('<p class="lead">{}</p>').format(SAID))
    with ui.element("div").classes("row-of"):
        button("Test it now", run, kind="primary", sign="play")
    part, said = TrialPart(), Region().props('role="status" aria-live="polite"')


def uploaded(found: Uploaded) -> Markup:
    """What was sent, and what came back."""
    facts: list[tuple[str, str | Markup]] = [
        ("Rows sent", marks.number(found.rows)),
        ("Came back as sent", _came_back(found)),
        ("Would be set aside", marks.number(found.set_aside)),
        ("Table", marks.copy(found.target)),
        ("It took", marks.duration(found.seconds)),
    ]
    parts = [marks.facts(facts)]
    if found.reasons:
        items = marks.join(
            Markup('<li><div class="decision-head"><code>{}</code> {}</div><p>{}</p></li>').format(
                one.id, marks.tag(one.code), one.message
            )
            for one in found.reasons
        )
        parts.append(
            Markup('<div class="stack"><h3>What would be set aside</h3><ul class="list">{}</ul></div>').format(items)
        )
    if found.first:
        parts.append(_table(found))
    elif not found.rows:
        parts.append(Markup('<p class="muted">There is no row to show yet. The first come with the first events.</p>'))
    return marks.panel("What was sent", Markup('<div class="stack">{}</div>').format(marks.join(parts)))


def _came_back(found: Uploaded) -> Markup:
    if found.returned is None or found.different is None:
        return marks.muted("not looked at")
    return marks.number(max(0, found.returned - found.different))


def _table(found: Uploaded) -> Markup:
    head = marks.join(Markup('<th scope="col">{}</th>').format(name) for name in found.columns)
    rows = marks.join(
        Markup("<tr>{}</tr>").format(marks.join(Markup("<td>{}</td>").format(_cell(text)) for text in row))
        for row in found.first
    )
    return Markup(
        '<div class="stack"><h3>Some of the rows</h3><div class="table-scroll rows-shown" tabindex="0" role="region" '
        'aria-label="Some of the rows"><table><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div></div>'
    ).format(head, rows)


def _cell(text: str | None) -> Markup:
    if text is None:
        return marks.muted("NULL")
    return Markup('<span title="{}">{}</span>').format(text, text if len(text) <= 60 else f"{text[:60]}…")
