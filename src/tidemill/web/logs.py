"""The log of runs, wherever it is shown: lines as they come, the newest first; searched, held still, copied."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from markupsafe import Markup
from nicegui import ui

from tidemill.web import marks
from tidemill.web.buttons import button, say
from tidemill.web.icons import icon
from tidemill.web.numbers import whole
from tidemill.web.region import show
from tidemill.web.table import Asked, Column, Filter, Page, table

if TYPE_CHECKING:
    from tidemill.app import App
    from tidemill.schedules.lines import LineView
    from tidemill.web.table import Table

_EVERY_SECONDS = 1.5
#: Lines on a page of it; and those that can be gone back to. The command line and the API have all.
_LIMIT, _MOST = 100, 10_000
_LEVELS = (("info", "info, and worse"), ("warning", "warnings and errors"), ("error", "errors alone"))
_KINDS = {"error": marks.BAD, "warning": marks.WARNING}
_FILTERS = (Filter("search", "Search the log"), Filter("level", "Level", _LEVELS))
_BY_RUN = Filter("run", "Run: the last")
_COPY = Markup('<button type="button" class="button button-plain" data-copy-lines>{}<span>{}</span></button>')


#: Asks a service for lines, in their order: of the run whose number was named, or of the last; with what is wanted of
#: them: level, search and limit, which takes the newest.
Look: TypeAlias = "Callable[[App, int | None, dict[str, Any]], list[LineView]]"


async def log(look: Look, caption: str, *, by_run: bool = False) -> None:
    """Show it here. `by_run`: a run can be named, by its number; without one it is the last."""
    shown: list[Table[LineView]] = []

    async def hold() -> None:
        found = shown[0]
        found.paused = not found.paused
        say(held, "Follow" if found.paused else "Hold still")
        if not found.paused:
            await found.refresh()

    with ui.element("div").classes("log-part stack"):
        with ui.element("div").classes("log-bar"):
            held = button("Hold still", hold)
            show(_COPY.format(icon("copy", 16), "Copy these lines"))
        filters = (*_FILTERS, _BY_RUN) if by_run else _FILTERS
        nothing = marks.empty(
            "Nothing was told yet", "Runs tell here what they do, as they go on, without a reload.", sign="list"
        )
        shown.append(
            await table(
                columns(by_run=by_run), lambda app, asked: fetched(look, app, asked), caption=caption, filters=filters,
                empty=nothing, row_key=lambda line: line.id, limit=_LIMIT, every=_EVERY_SECONDS,
            )
        )  # fmt: skip


async def of_sync(name: str) -> None:
    """That of a sync or an import: of the run whose number is named, or of the last that had something to do."""

    await log(lambda app, run, wanted: app.reverse_etl.logs.of(name, run, **wanted), f"Log of {name}", by_run=True)


def fetched(look: Look, app: App, asked: Asked) -> Page[LineView]:
    """A page of it: no more is asked for than is shown."""
    start = min(whole(asked.cursor, 0), _MOST)
    end = min(start + asked.limit, _MOST)
    run = whole(asked["run"], most=2**31 - 1)
    wanted = {"level": asked["level"] or None, "search": asked["search"] or None, "limit": end + 1}
    lines = look(app, run, wanted)
    return Page(lines[::-1][start:end], str(end) if len(lines) > end and end < _MOST else "")


def columns(*, by_run: bool) -> list[Column[LineView]]:
    """Those of a log."""
    found: list[Column[LineView]] = [
        Column("at", "Time", lambda line: _exactly(line.at)),
        Column("level", "Level", lambda line: marks.badge(line.level, _KINDS.get(line.level, marks.QUIET))),
        Column("step", "Step", lambda line: marks.tag(line.step) if line.step else "", wide=True),
        Column("message", "What", _said),
    ]
    if by_run:
        found.insert(1, Column("run", "Run", lambda line: line.run or "–", end=True, wide=True))
    return found


def _exactly(time: dt.datetime) -> Markup:
    """To the second, in the viewer's zone."""
    utc = time.astimezone(dt.UTC)
    return Markup('<time datetime="{}" data-when="exact" tabindex="-1">{}</time>').format(
        utc.isoformat(timespec="milliseconds"), f"{utc:%Y-%m-%d %H:%M:%S} UTC"
    )


def _said(line: LineView) -> Markup:
    """The message; then what numbers and ids it has, and what is to be done."""
    fields = {name: value for name, value in line.fields.items() if value is not None and value != ""}
    hint = fields.pop("hint", "")
    more = ", ".join(f"{name} {value}" for name, value in fields.items())
    parts = [Markup('<span class="log-text">{}</span>').format(line.message)]
    parts += [Markup(' <span class="muted">{}</span>').format(more)] if more else []
    parts += [Markup('<br><span class="muted">{}</span>').format(hint)] if hint else []
    return marks.join(parts)
