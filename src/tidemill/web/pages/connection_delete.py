"""How a connection is deleted: what uses it is shown, it is asked, and what runs is stopped before one's eyes."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup
from nicegui import ui

from tidemill.errors import ConflictError
from tidemill.web import dialogs, live, marks, visit
from tidemill.web.pages.connections import PLACE
from tidemill.web.region import Region

if TYPE_CHECKING:
    from tidemill.app import App
    from tidemill.connection_users import Deleted, Use

#: So long is waited until all that runs has stopped; then it can be asked to go on.
_WAITS_SECONDS = 120.0
_MOST_LINES = 8
#: BigQuery does not say whether it is at jobs of ours.
_UNKNOWN = "jobs_unknown"


def topic(name: str) -> Hashable:
    """What pages that show a connection look at."""
    return "connection", name


async def delete(name: str, progress: Region) -> None:
    """Ask, and delete it with all that uses it. It goes on if the page is closed; if it is broken off, it can be done
    again."""
    uses = await visit.call(lambda app: app.connection_users.uses(name))
    if not await dialogs.confirm(f"Delete the connection {name}?", _does(uses), name=name):
        return
    try:
        deleted = await _done(name, progress, force=False)
    except ConflictError as error:
        if error.code != _UNKNOWN or progress.is_deleted:
            raise
        does = [error.message, "A job that is still at work there may write once more."]
        if not await dialogs.confirm("Delete it all the same?", does, action="Delete all the same"):
            return
        deleted = await _done(name, progress, force=True)
    if progress.is_deleted:
        return
    if deleted.remarks:
        progress.show(_remarks(deleted))
    else:
        ui.navigate.to(f"{PLACE}?deleted=1")


async def _done(name: str, progress: Region, *, force: bool) -> Deleted:
    by, loop = visit.current().actor.by, asyncio.get_running_loop()
    lines = ["Stopping what is at work."]

    def told(text: str) -> None:
        lines.append(text)
        if not progress.is_deleted:
            progress.show(_going(lines))
        live.stale(topic(name))

    def say(text: str) -> None:
        loop.call_soon_threadsafe(told, text)

    def work(app: App) -> Deleted:
        return app.connection_users.delete(name, by=by, say=say, wait_seconds=_WAITS_SECONDS, force=force)

    progress.show(_going(lines))
    try:
        return await visit.slowly(work)
    except Exception:
        if not progress.is_deleted:
            progress.show("")
        raise
    finally:
        live.stale(topic(name))


def _does(uses: Sequence[Use]) -> list[str | Markup]:
    found: list[str | Markup] = ["Its credential is deleted. Data in BigQuery stays."]
    found += [
        Markup("<strong>{}</strong>, {}, is {}.").format(
            use.name,
            use.kind,
            f"stopped and deleted: at work now: {', '.join(use.at_work)}" if use.at_work else "deleted",
        )
        for use in uses
    ]
    if any(use.kind == "import" for use in uses):
        found.append("What imports have brought stays, and cannot be taken back then: undo them before, for that.")
    return found


def _going(lines: Sequence[str]) -> Markup:
    items = marks.join(Markup("<li>{}</li>").format(line) for line in lines[-_MOST_LINES:])
    return Markup(
        '<div class="notice notice-warning"><p class="notice-title"><span class="spinner"></span>'
        "<span>It is being deleted</span></p><ul>{}</ul></div>"
    ).format(items)


def _remarks(deleted: Deleted) -> Markup:
    items = marks.join(Markup("<li>{}</li>").format(one) for one in deleted.remarks)
    return Markup(
        '<div class="notice notice-good"><p class="notice-title">The connection {} is deleted.</p><ul>{}</ul>{}</div>'
    ).format(deleted.connection, items, marks.link("All connections", PLACE))
