"""One export: how it stands, and a tab for each that can be seen of it or done to it."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from markupsafe import Markup
from nicegui import ui

from tidemill.access.permissions import Permission
from tidemill.web import frame, live, marks, notices, visit
from tidemill.web.buttons import button
from tidemill.web.marks import ACTIVE, BAD, GOOD, QUIET, WARNING
from tidemill.web.page import page
from tidemill.web.pages import (
    export_backfills,
    export_edit,
    export_rows,
    export_runs,
    export_trial,
    export_verify,
    export_watch,
)
from tidemill.web.pages.exports import pause
from tidemill.web.pages.hooks import hooks
from tidemill.web.region import Region
from tidemill.web.tabs import tabs

if TYPE_CHECKING:
    from tidemill.app import App
    from tidemill.exports.listing import ExportSettings
    from tidemill.exports.views import ExportView

_EVERY_SECONDS = 3.0


async def _hooks(found: ExportSettings) -> None:
    await hooks("export", found.name)


_TABS = {
    "runs": ("Runs", export_runs.tab),
    "configuration": ("Configuration", export_edit.tab),
    "backfills": ("Backfills", export_backfills.tab),
    "metrics": ("Metrics", export_watch.metrics),
    "logs": ("Logs", export_watch.logs),
    "rejects": ("Rejects", export_rows.rejects),
    "notifications": ("Notifications", export_rows.notifications),
    "verify": ("Verify", export_verify.tab),
    "test": ("Test", export_trial.tab),
    "hooks": ("Hooks", _hooks),
}
#: What only who may change something has a use for, with what that takes.
_FOR = {"notifications": Permission.CHANNELS_READ, "test": Permission.EXPORTS_WRITE}
#: What a stream has none of: nobody has it run.
_OF_RUNS = {"hooks"}
_PARENTS = (("Exports", "/exports"),)


@page("{name}", Permission.EXPORTS_READ, "/exports/{name}", parents=_PARENTS)
async def export(name: str, made: str = "") -> None:
    """One of them."""
    found = await visit.call(lambda app: app.exports.listed.get(name))
    if made:
        notices.notice(f"{found.name} is made.")
        ui.run_javascript("history.replaceState(history.state, '', location.pathname)")
    standing = Region().classes("stack")
    first: list[ExportView] = []

    def shown(view: ExportView) -> None:
        standing.show(_standing(view))
        first[:] = first or [view]

    await live.live(("export", name), functools.partial(_look, name=name), shown, every=_EVERY_SECONDS)
    if visit.current().may(Permission.EXPORTS_WRITE) and not found.spec.streams:
        _actions(found.name, is_paused=bool(first[0].paused))
    left_out = _OF_RUNS if found.spec.streams else set()
    chosen = {key: one for key, one in _TABS.items() if visit.current().may(_FOR.get(key)) and key not in left_out}
    here = tabs(f"Of {found.name}", [(key, title) for key, (title, _) in chosen.items()])
    await chosen[here][1](found)


def _look(app: App, *, name: str) -> ExportView:
    return app.exports.get(name)


def _actions(name: str, *, is_paused: bool) -> None:
    async def run() -> None:
        by = visit.current().actor.by
        wanted = await visit.call(lambda app: app.exports.triggers.run(name, by=by))
        ui.navigate.to(f"{marks.path('/exports', name)}?tab=runs&wanted={wanted.id}")

    async def turn() -> None:
        await pause("unpause" if is_paused else "pause", name)
        ui.navigate.reload()

    with frame.actions():
        button("Unpause" if is_paused else "Pause", turn, sign="play" if is_paused else "pause")
        button("Run now", run, kind="primary", sign="export")


def _standing(view: ExportView) -> Markup:
    """How it stands, in figures; and what is to be done, if something is."""
    behind = f"{view.waiting_rows:,} rows wait" if view.waiting_rows else "nothing waits"
    if view.lag_seconds:
        behind += f", for {marks.span(view.lag_seconds)}"
    kinds = {"completed": GOOD, "streaming": GOOD, "failed": BAD, "in trouble": BAD, "running": ACTIVE}
    kind = kinds.get(view.last_status or "", WARNING if view.last_status else QUIET)
    last = view.last_finished_at if view.mode != "stream" else view.last_sent_at
    ended = Markup("ended {}").format(marks.when(last)) if last else "has not run yet"
    figures = [
        marks.figure("Status", (view.last_status or "never ran").capitalize(), ended, kind),
        marks.figure("Waiting", f"{view.waiting_rows:,}", behind, QUIET),
        marks.figure("Rows in all", f"{view.totals.rows:,}", f"by {view.totals.runs_completed:,} runs", QUIET),
        marks.figure("Set aside", f"{view.set_aside:,}", "rows, with the reason", WARNING if view.set_aside else GOOD),
    ]
    nextly = Markup()
    if view.mode != "stream":
        when = view.paused and f"paused {view.paused}"
        nextly = Markup('<p class="muted">Next run: {}. Table: {}</p>').format(
            when or marks.when(view.next_run_at, otherwise="by hand"), marks.copy(view.target)
        )
    trouble = Markup()
    if view.trouble or view.what_to_do:
        kind = "bad" if view.trouble else "warning"
        trouble = notices.box(view.trouble or "Something is to be done.", kind, hint=view.what_to_do or "")
    return marks.figures(figures) + nextly + trouble
