"""A sync: how it stands, live; what can be done with it; and its parts, each in a tab of its own."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from markupsafe import Markup
from nicegui import ui

from tidemill.access.permissions import Permission
from tidemill.web import frame, logs, marks, notices, visit
from tidemill.web.buttons import button
from tidemill.web.live import live
from tidemill.web.page import page
from tidemill.web.pages import operations, sync_acts, sync_rows, sync_runs, sync_settings, sync_tries
from tidemill.web.pages.hooks import hooks
from tidemill.web.region import Region
from tidemill.web.tabs import tabs

if TYPE_CHECKING:
    from nicegui.element import Element

    from tidemill.app import App
    from tidemill.reverse_etl.service import RunView, SyncView

_TABS = (
    ("runs", "Runs"),
    ("rows", "Rows not delivered"),
    ("mapping", "Mapping"),
    ("configuration", "Configuration"),
    ("try", "Try it"),
    ("logs", "Logs"),
    ("metrics", "Metrics"),
    ("hooks", "Hooks"),
)
_EVERY_SECONDS = 1.5
_OVERDUE = Markup(
    '<div class="notice notice-warning"><p>A run is due since {}, and no worker has begun it.</p>{}</div>'
)


@page("{name}", Permission.SYNCS_READ, "/syncs/{name}", parents=(("Syncs", "/syncs"),))
async def sync(name: str, tab: str = "", saved: str = "") -> None:
    """One."""
    found = await visit.call(lambda app: app.reverse_etl.syncs.get(name))
    if found.group == "import":  # it has a page, and permissions, of its own
        ui.navigate.to(marks.path("/imports", found.name))
        return
    if saved:
        notices.notice("The settings are saved.")
    shown = _Shown(found)
    shown.buttons()
    await operations.follow(("operation", found.name), lambda app: app.operations.of_sync(found.name))
    head = Region()

    def renew(now: SyncView) -> None:
        shown.renew(now)
        head.show(_head(now))

    await live(("sync", found.name), lambda app: _look(app, found.name), renew, every=_EVERY_SECONDS)
    await _part(found, tabs("Parts of the sync", _TABS, tab))


async def _part(found: SyncView, tab: str) -> None:
    match tab:
        case "rows":
            await sync_rows.rows(found)
        case "mapping":
            await sync_settings.mapping(found)
        case "configuration":
            await sync_settings.configuration(found)
        case "try":
            sync_tries.tries(found)
        case "logs":
            await logs.of_sync(found.name)
        case "metrics":
            await sync_runs.metrics(found)
        case "hooks":
            await hooks("sync", found.name)
        case _:
            await sync_runs.runs(found)


def _look(app: App, name: str) -> SyncView:
    return app.reverse_etl.syncs.get(name)


class _Shown:
    """The buttons of the page: which there are depends on how the sync stands."""

    def __init__(self, found: SyncView) -> None:
        self.found = found
        self._shown: dict[str, Element] = {}

    def buttons(self) -> None:
        """Show those that who looks may use."""
        looks = visit.current()
        with frame.actions():
            if looks.may(Permission.SYNCS_TRIGGER):
                self._shown["run"] = button("Run now", self._run, kind="primary", sign="play")
                self._shown["cancel"] = button("Cancel the run", lambda: sync_acts.cancel(self.found), kind="danger")
                self._shown["deletes"] = button("Run with its deletes", lambda: sync_acts.deletes(self.found))
            if looks.may(Permission.SYNCS_WRITE):
                self._shown["pause"] = button("Pause", lambda: sync_acts.pause(self.found), sign="pause")
                self._shown["unpause"] = button("Go on", lambda: sync_acts.unpause(self.found), sign="play")
                button("Reset", lambda: sync_acts.reset(self.found))
                button("Delete", lambda: sync_acts.delete(self.found), kind="danger", sign="trash")

    async def _run(self) -> None:
        await sync_acts.trigger(self.found)

    def renew(self, now: SyncView) -> None:
        """How it stands now."""
        self.found = now
        is_running, is_paused = now.last is not None and now.last.status == "running", now.paused_by is not None
        error = now.last.error if now.last else None
        visible = {
            "run": not is_paused and not is_running,
            "cancel": is_running,
            "deletes": not is_running and bool(error and error.get("code") == sync_acts.BRAKE),
            "pause": not is_paused,
            "unpause": is_paused,
        }
        for name, element in self._shown.items():
            element.set_visibility(visible[name])


def _head(now: SyncView) -> Markup:
    """How it stands."""
    parts = [
        Markup('<p class="row-of">{} {} <span aria-hidden="true">→</span> {} {}</p>').format(
            marks.badge(now.status), marks.thing("/models", now.model),
            marks.thing("/destinations", now.destination), marks.muted(now.kind),
        )
    ]  # fmt: skip
    if now.paused_by is not None:
        parts.append(_notice("warning", f"Paused by {now.paused_by}.", now.pause_reason))
    if now.overdue_since is not None:
        parts.append(
            _OVERDUE.format(marks.when(now.overdue_since), marks.command("tidemill serve --role worker"))
        )  # fmt: skip
    if now.pending is not None:
        said = {"resend": "sends all rows again", "leave": "leaves what was delivered as it is, by the new mapping",
                "adopt": "takes all rows as delivered", "forget": "begins as if nothing was delivered"}  # fmt: skip
        parts.append(_notice("warning", f"The next run {said.get(now.pending, now.pending)}.", None))
    parts += [
        _notice("bad", one.message, {"hint": one.what_to_do, "code": one.code}) for one in now.troubles if one.message
    ]
    if now.last is not None and now.last.error and now.last.status != "running" and not now.troubles:
        parts.append(notices.kept(now.last.error))
    if now.last is not None and now.last.status == "running":
        parts.append(running(now.last))
    return Markup('<div class="stack">{}</div>').format(marks.join(parts))


def _notice(kind: str, text: str, reason: dict[str, str] | None) -> Markup:
    reason = reason or {}
    said = Markup("<p>{}</p>").format(reason["message"]) if reason.get("message") else Markup()
    return notices.box(text, kind, body=said, hint=reason.get("hint", ""), code=reason.get("code", ""))


def running(run: RunView) -> Markup:
    """How far a run is."""
    seconds = (dt.datetime.now(dt.UTC) - run.began_at).total_seconds()
    done = run.written + run.rejected + run.to_retry
    progress = marks.progress(done, run.extracted or None, rate=done / seconds if seconds > 1 and done else None)
    return Markup('<div class="panel panel-body"><p><strong>Run {}</strong>: {}</p>{}</div>').format(
        run.number, run.step, progress
    )
