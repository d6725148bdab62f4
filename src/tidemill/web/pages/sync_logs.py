"""What runs of a sync tell, live."""

from __future__ import annotations

import urllib.parse
from typing import TYPE_CHECKING

from markupsafe import Markup
from nicegui import ui

from tidemill.web import marks, visit
from tidemill.web.live import live
from tidemill.web.region import Region

if TYPE_CHECKING:
    from tidemill.app import App
    from tidemill.reverse_etl.service import SyncView
    from tidemill.schedules.lines import LineView

_LEVELS = ("debug", "info", "warning", "error")
_KINDS = {"warning": marks.WARNING, "error": marks.BAD, "info": marks.ACTIVE}
_MOST = 500
_EVERY_SECONDS = 1.0


async def logs(found: SyncView, run: int | None, level: str, search: str) -> None:
    """Lines of a run; without its number, of the last that had something to do."""
    name, level = found.name, level if level in _LEVELS else "info"
    given = {"tab": "logs", "run": str(run or ""), "level": level, "search": search[:200]}
    path = visit.current().path

    def told(act: str, value: str) -> None:
        changed = {**given, act.removeprefix("field:"): value[:200]}
        wanted = {key: text for key, text in changed.items() if text and key in given}
        ui.navigate.to(f"{urllib.parse.quote(path)}?{urllib.parse.urlencode(wanted)}")

    Region(_bar(given), on_act=told)
    place = Region()

    def look(app: App) -> list[LineView]:
        return app.reverse_etl.logs.of(name, run, level=level, search=search or None, limit=_MOST)

    def renew(lines: list[LineView]) -> None:
        if not lines:
            text = "Runs tell here what they do, as soon as one has something to do."
            place.show(marks.empty("No line", text, sign="list"))
            return
        items = marks.join(map(_line, lines))
        place.show(Markup('<div class="log" tabindex="0" role="log" aria-label="Log"><ol>{}</ol></div>').format(items))

    await live(("sync log", name, run, level, search), look, renew, every=_EVERY_SECONDS)


def _bar(given: dict[str, str]) -> Markup:
    options = marks.join(
        Markup('<option value="{}"{}>{}</option>').format(
            one, Markup(" selected") if one == given["level"] else Markup(), f"{one.capitalize()} and above"
        )
        for one in _LEVELS
    )
    return Markup(
        '<div class="table-bar"><label><span class="unseen">Level</span><select data-field="level">{}</select></label>'
        '<label><span class="unseen">Run</span><input data-field="run" inputmode="numeric" placeholder="Run: the last" '
        'value="{}"></label><label><span class="unseen">Search</span><input data-field="search" '
        'placeholder="Search, then Enter" value="{}"></label></div>'
    ).format(options, given["run"], given["search"])


def _line(line: LineView) -> Markup:
    more = ", ".join(f"{name} {value}" for name, value in line.fields.items() if name != "hint")
    hint = Markup("<br>{}").format(marks.muted(str(line.fields["hint"]))) if line.fields.get("hint") else Markup()
    return Markup(
        '<li data-key="line-{}">{}<span>{}</span><span class="log-text">{}{} {}{}</span></li>'
    ).format(
        line.id, marks.when(line.at, exact=True), marks.badge(line.level, _KINDS.get(line.level, marks.QUIET)),
        Markup("<strong>{}</strong> ").format(f"Run {line.run}:") if line.run else Markup(),
        line.message, marks.muted(more), hint,
    )  # fmt: skip
