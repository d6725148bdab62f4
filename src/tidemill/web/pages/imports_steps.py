"""The steps by which an import is made, and where they are."""

from __future__ import annotations

import urllib.parse
from typing import TYPE_CHECKING

from markupsafe import Markup

from tidemill.web import marks
from tidemill.web.region import Region, show

if TYPE_CHECKING:
    from tidemill.app import App
    from tidemill.reverse_etl.triggers import Triggered

_STEPS = (("source", "Rows"), ("map", "Mapping"), ("try", "Dry run"), ("schedule", "Schedule"))


def path_of(name: str, step: str = "", **query: str) -> str:
    """The address of an import, or of a step of it."""
    path = marks.path("/imports", name, *([step] if step else []))
    return f"{path}?{urllib.parse.urlencode(query)}" if query else path


def steps(current: str, name: str = "") -> Region:
    """Show where one is. Steps of an import that there is can be gone to."""

    def item(number: int, key: str, title: str) -> Markup:
        here = Markup(' aria-current="step"') if key == current else Markup()
        text = f"{number}. {title}"
        if name and key not in {current, "source"}:
            return Markup('<li><a href="{}">{}</a></li>').format(path_of(name, key), text)
        return Markup("<li{}>{}</li>").format(here, text)

    items = marks.join(item(number, key, title) for number, (key, title) in enumerate(_STEPS, 1))
    return show(Markup('<nav class="import-steps" aria-label="Steps"><ol>{}</ol></nav>').format(items))


def run_now(app: App, name: str, by: str) -> Triggered:
    """Have a worker run it."""
    app.imports.assert_may_run(name)
    return app.sync_triggers.trigger(name, by=by)
