"""Settings, notifications: channels by which people are told what is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from markupsafe import Markup
from nicegui import ui

from tidemill.access.permissions import Permission
from tidemill.web import dialogs, frame, marks, notices, visit
from tidemill.web.buttons import button
from tidemill.web.form import Form
from tidemill.web.page import page
from tidemill.web.pages.channel_fields import KINDS, THINGS, fields, names_in, said_of
from tidemill.web.pages.keys import shown_once
from tidemill.web.region import show
from tidemill.web.table import Asked, Column, Filter, Page, Table, row_button, table

if TYPE_CHECKING:
    from tidemill.app import App
    from tidemill.notify.service import ChannelView, Tested

#: What removing one does.
REMOVES = ("Nobody is told by it any more.", "Its secret, and its messages that are not sent yet, are deleted.")
_FILTERS = (
    Filter("search", "Search names"),
    Filter("kind", "Kind", tuple((option.value, option.label) for option in KINDS)),
    Filter("state", "State", (("working", "Working"), ("failing", "Failing"))),
)


@page("Notifications", Permission.CHANNELS_READ, "/settings/notifications")
async def channels() -> None:
    """All channels."""
    looks, may = visit.current(), visit.current().may(Permission.CHANNELS_WRITE)
    shown: list[Table[ChannelView]] = []

    async def act(what: str, name: str) -> None:
        if what == "test":
            await test(name)
        elif what == "remove" and await dialogs.confirm(f"Remove the channel {name}?", REMOVES, action="Remove"):
            await visit.call(lambda app: app.notify.remove(name))
            notices.notice(f"The channel {name} is removed.")
        await shown[0].refresh()

    async def make() -> None:
        await _make(looks.actor.by)
        await shown[0].refresh()

    if may:
        with frame.actions():
            button("Add a channel", make, kind="primary", sign="plus")
    show(Markup('<p class="lead">People are told once of each trouble, and once when it is over.</p>'))
    nothing = marks.empty(
        "Nobody is told yet", "Add a channel, so that a failed run does not stay unseen.", sign="bell"
    )
    shown.append(
        await table(_columns(may=may), _fetch, caption="Channels", empty=nothing, row_key=lambda one: one.id,
                    on_act=act, sort="name", filters=_FILTERS)
    )  # fmt: skip


def _columns(*, may: bool) -> list[Column[ChannelView]]:
    found: list[Column[ChannelView]] = [
        Column("name", "Name", lambda one: marks.thing("/settings/notifications", one.name), sort=True),
        Column("kind", "Kind", lambda one: marks.tag(one.kind), sort=True),
        Column("to", "To", lambda one: one.to, wide=True),
        Column("causes", "Told of", lambda one: ", ".join(one.causes) or "all", wide=True),
        Column("last_sent_at", "Last sent", lambda one: marks.when(one.last_sent_at, otherwise="never"), sort=True),
        Column("state", "State", state),
    ]
    if may:
        found.append(Column("act", "", _acts, end=True))
    return found


def state(one: ChannelView) -> Markup:
    """Whether it works."""
    if one.trouble:
        said = Markup('<p class="muted">{} {}</p>').format(one.trouble, one.what_to_do or "")
        return marks.badge("failing", marks.BAD) + said
    if one.waiting:
        return marks.badge(f"{one.waiting:,} on the way", marks.ACTIVE)
    return marks.badge("ok") if one.last_sent_at else marks.badge("not used yet", marks.QUIET)


def _acts(one: ChannelView) -> Markup:
    return row_button("Test", "test", one.name, label=f"Test {one.name}") + row_button(
        "Remove", "remove", one.name, label=f"Remove {one.name}"
    )


def _fetch(app: App, asked: Asked) -> Page[ChannelView]:
    failing = asked["state"] == "failing" if asked["state"] else None
    search, kind = asked["search"] or None, asked["kind"] or None
    return Page.of(app.notify.page(search=search, kind=kind, failing=failing, wanted=asked.wanted))


async def test(name: str) -> None:
    """Send a message now, and tell what became of it."""

    def work(app: App) -> list[Tested]:
        return list(app.notify.test(name))

    for one in await visit.slowly(work):
        if one.error:
            notices.notice(f"{one.channel}: {one.error.message}", "bad", one.error.hint, one.error.code)
        else:
            notices.notice(f"A test message was taken by {one.channel}.")


async def _make(by: str) -> None:
    """Ask for what is needed, and add it. The key of a webhook is shown this once."""
    with dialogs.dialog("Add a channel") as window:
        box = ui.element("div").classes("stack")

        async def sent(given: dict[str, Any], _act: str) -> None:
            kind, said = given["kind"], said_of(given["kind"], given)
            chosen = {"causes": given.get("causes") or (), **{name: names_in(given.get(name)) for name in THINGS}}
            _, key = await visit.call(lambda app: app.notify.add(kind, given["name"], said, **chosen, by=by))
            if key is None:
                window.submit(True)
                return
            box.clear()
            with box:
                shown_once(key, "By this key its requests are signed. It is shown once.")
                with ui.element("div").classes("dialog-actions"):
                    button("Done", lambda: window.submit(True), kind="primary")

        with box:
            Form(fields(), "Add it", sent)
    await dialogs.answer(window)
