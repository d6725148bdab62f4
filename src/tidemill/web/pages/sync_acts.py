"""What can be done with a sync: run, cancel, pause, reset and delete it. What cannot be undone is asked for first."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from markupsafe import Markup
from nicegui import ui

from tidemill.reverse_etl.service import Watch
from tidemill.web import dialogs, marks, notices, visit
from tidemill.web.form import Field, Form, Option
from tidemill.web.live import stale
from tidemill.web.region import Region

if TYPE_CHECKING:
    from tidemill.app import App
    from tidemill.reverse_etl.service import SyncView

T = TypeVar("T")
#: Of a run that was stopped before it deleted more than it may.
BRAKE = "delete_brake"
_SPINNER = Markup('<span class="spinner"></span>')
_RESETS = (
    Option("resend", "Send all rows again", "what the destination has is written over"),
    Option("leave", "Leave what was delivered", "rows are compared by the mapping of now; others are sent"),
    Option("adopt", "Take the model as delivered", "the next run sends nothing; later changes are sent"),
    Option("forget", "Forget what was delivered", "all rows are sent as new ones; rows that are gone are not deleted"),
)


async def watched(work: Callable[[App, Watch], T], place: Region, what: str) -> T:
    """Do something that takes long, and show how far it is. It stops if the page is closed."""
    loop, began = asyncio.get_running_loop(), time.monotonic()

    def show(step: str, done: int, total: int) -> None:
        if place.is_deleted:
            return
        seconds = time.monotonic() - began
        rate = done / seconds if seconds > 1 and done else None
        bar = (
            marks.progress(done, total or None, rate=rate) if done or total else Markup('<span class="spinner"></span>')
        )
        place.show(Markup('<div role="status"><p>{}</p>{}</div>').format(step or what, bar))

    def report(step: str, done: int, total: int) -> None:
        loop.call_soon_threadsafe(show, step, done, total)

    watch = Watch(report)
    watch.stop_when(lambda: place.is_deleted)
    show(what, 0, 0)
    try:
        return await visit.slowly(lambda app: work(app, watch))
    finally:
        await asyncio.sleep(0)  # what was reported last is shown before what comes of it
        if not place.is_deleted:
            place.show("")


async def trigger(found: SyncView) -> None:
    """Have a worker run it now."""
    name, by = found.name, visit.current().actor.by
    asked = await visit.call(lambda app: app.sync_triggers.trigger(name, by=by, force=True))
    stale(("sync", name))
    said = "is at work, or waits already" if asked.already else "is asked for: the next free worker does it"
    notices.notice(f"Run {asked.number} {said}.")


async def cancel(found: SyncView) -> None:
    """Stop its run."""
    name = found.name
    does = "What was delivered is remembered; the next run goes on from there."
    if await dialogs.confirm("Cancel the run?", does, action="Cancel the run"):
        run, is_held = await visit.call(lambda app: app.reverse_etl.syncs.cancel(name))
        said = "stops as soon as it can" if is_held else "is ended by the next worker: nobody is at it now"
        notices.notice(f"Run {run.number} {said}.")
        stale(("sync", name))


async def pause(found: SyncView) -> None:
    """Begin no run by itself any more."""
    name, by = found.name, visit.current().actor.by
    await visit.call(lambda app: app.reverse_etl.syncs.pause(name, by))
    notices.notice(f"{name} is paused: no run begins by itself. One that is at work goes on.")
    stale(("sync", name))


async def unpause(found: SyncView) -> None:
    """Have runs begin by themselves again."""
    name = found.name
    await visit.call(lambda app: app.reverse_etl.syncs.unpause(name))
    notices.notice(f"{name} goes on.")
    stale(("sync", name))


async def reset(found: SyncView) -> None:
    """Have the next run take what was delivered otherwise."""
    name = found.name

    async def sent(given: dict[str, Any], _act: str) -> None:
        await visit.call(lambda app: app.reverse_etl.syncs.reset(name, given["how"]))
        window.submit(True)

    with dialogs.dialog(f"Reset {name}") as window:
        Region("What was delivered is remembered for each row. Here the next run is told to take it otherwise.")
        Form([Field("how", "The next run is to", "radio", options=_RESETS, value="resend")], "Reset", sent)
    if await dialogs.answer(window):
        notices.notice("The next run does so.")
        stale(("sync", name))


async def deletes(found: SyncView) -> None:
    """Run it, however many rows it deletes."""
    name, by = found.name, visit.current().actor.by
    error = (found.last.error if found.last else None) or {}
    does = [error.get("message", ""), "They are deleted in the destination. That cannot be undone here."]
    if not await dialogs.confirm(f"Run {name} with its deletes?", does, action="Run, and delete", name=name):
        return
    await visit.call(lambda app: app.operations.run_with_deletes(name, by=by))
    notices.notice(f"{name} is run with its deletes by a worker.", detail="This page may be closed.")
    stale(("operation", name))
    stale(("sync", name))


async def delete(found: SyncView) -> None:
    """Delete it."""
    name = found.name
    does = [
        "The sync, its runs, and the rows that it could not deliver are deleted here.",
        "What it remembers of delivered rows is deleted from BigQuery.",
        f"What it brought stays in {found.destination}.",
    ]
    if await dialogs.confirm(f"Delete {name}?", does, name=name):
        remark = await visit.slowly(lambda app: app.reverse_etl.syncs.delete(name))
        if remark:
            notices.notice(remark, "warning")
            await asyncio.sleep(3)
        ui.navigate.to("/syncs")
