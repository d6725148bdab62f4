"""One channel: what it is told, how it works, its last messages; and how it is changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from tidemill.access.permissions import Permission
from tidemill.web import dialogs, frame, marks, notices, visit
from tidemill.web.buttons import button
from tidemill.web.form import Form
from tidemill.web.live import live, stale
from tidemill.web.page import page
from tidemill.web.paged import paged
from tidemill.web.pages.channel_fields import changes_of, fields
from tidemill.web.pages.channels import REMOVES, state, test
from tidemill.web.region import Region
from tidemill.web.table import Asked, Column, Page, table
from tidemill.web.tabs import tabs

if TYPE_CHECKING:
    from tidemill.app import App
    from tidemill.notify.service import ChannelView, MessageView

_HOME = "/settings/notifications"
_MOST_MESSAGES, _EVERY_SECONDS = 200, 3.0
_KINDS = {"sent": marks.GOOD, "given up": marks.BAD, "waiting": marks.ACTIVE}


@page("{name}", Permission.CHANNELS_READ, f"{_HOME}/{{name}}", parents=(("Notifications", _HOME),))
async def channel(name: str, saved: str = "") -> None:
    """One of them."""
    found = await visit.call(lambda app: app.notify.get(name))
    may = visit.current().may(Permission.CHANNELS_WRITE)
    if may:
        _actions(name)
    if saved:
        notices.notice("The changes are saved.")
    standing = Region()

    def shown(now: ChannelView) -> None:
        standing.show(_standing(now))

    await live(("channel", name), lambda app: app.notify.get(name), shown, every=_EVERY_SECONDS)
    kept = (("messages", "Messages"), ("edit", "Configuration")) if may else (("messages", "Messages"),)
    if tabs("Parts of the channel", kept) == "edit":
        _edit(found)
    else:
        await _messages(name)


def _actions(name: str) -> None:
    async def send() -> None:
        await test(name)
        stale(("channel", name))

    async def remove() -> None:
        if await dialogs.confirm(f"Remove the channel {name}?", REMOVES, action="Remove"):
            await visit.call(lambda app: app.notify.remove(name))
            frame.go(_HOME)

    with frame.actions():
        button("Send a test message", send, kind="primary", sign="bell")
        button("Remove", remove, kind="danger", sign="trash")


def _standing(now: ChannelView) -> Markup:
    of = {"Exports": now.exports, "Syncs": now.syncs}
    limited = any(of.values())
    pairs: list[tuple[str, str | Markup]] = [
        ("State", state(now)),
        ("Kind", marks.tag(now.kind)),
        ("To", now.to),
        ("Told of", ", ".join(now.causes) or "all"),
        *((title, ", ".join(names) or ("none" if limited else "all")) for title, names in of.items()),
        ("Last sent", marks.when(now.last_sent_at, otherwise="never")),
        ("Given up", marks.number(now.given_up)),
        ("Made", Markup("{} by {}").format(marks.when(now.made_at), now.made_by)),
    ]
    if now.failing_since is not None:
        pairs.insert(1, ("Failing since", marks.when(now.failing_since)))
    return marks.facts(pairs)


def _edit(found: ChannelView) -> None:
    async def sent(given: dict[str, Any], _act: str) -> None:
        settings, rest = changes_of(found, given)
        if not settings and not rest:
            notices.notice("Nothing was changed.", "warning")
            return
        made = await visit.call(lambda app: app.notify.edit(found.name, settings, **rest))
        frame.go(f"{marks.path(_HOME, made.name)}?tab=edit&saved=1")

    Form(fields(found), "Save", sent)


async def _messages(name: str) -> None:
    """Its last messages, the newest first."""
    columns: list[Column[MessageView]] = [
        Column("written_at", "Written", lambda one: marks.when(one.written_at)),
        Column("title", "Message", lambda one: one.title),
        Column("status", "Status", lambda one: marks.badge(one.status, _KINDS.get(one.status))),
        Column("sent_at", "Sent", lambda one: marks.when(one.sent_at), wide=True),
        Column("next_try_at", "Next try", lambda one: marks.when(one.next_try_at), wide=True),
        Column("tries", "Tries", lambda one: marks.number(one.tries), end=True, wide=True),
        Column("error", "Error", lambda one: one.error or marks.muted("–"), wide=True),
    ]

    def fetch(app: App, asked: Asked) -> Page[MessageView]:
        return paged(app.notify.messages(name, limit=_MOST_MESSAGES), asked)

    empty = marks.empty("No messages yet", "What it is told stands here; send a test message to see that it works.",
                        sign="bell")  # fmt: skip
    await table(columns, fetch, caption="Messages", empty=empty, every=_EVERY_SECONDS)
