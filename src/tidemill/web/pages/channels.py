"""Settings, notifications: channels by which people are told what is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from markupsafe import Markup
from nicegui import ui
from pydantic import SecretStr

from tidemill.access.permissions import Permission
from tidemill.web import dialogs, frame, marks, notices, visit
from tidemill.web.buttons import button
from tidemill.web.form import Field, Form, Option
from tidemill.web.page import page
from tidemill.web.pages.keys import shown_once
from tidemill.web.region import show
from tidemill.web.table import Asked, Column, Filter, Page, Table, row_button, table

if TYPE_CHECKING:
    from tidemill.app import App
    from tidemill.notify.service import ChannelView, Tested

_KINDS = (
    Option("email", "E-mail", "by an SMTP server of yours"),
    Option("slack", "Slack", "by an incoming webhook"),
    Option("webhook", "Webhook", "an HTTP request, signed"),
)
_CAUSES = (
    Option("failed", "A run failed"), Option("paused", "Something was paused after failures"),
    Option("overdue", "A run is overdue"), Option("missing", "An interval has no run"),
    Option("rejects", "Many rows were set aside"), Option("stream", "A stream stands still"),
    Option("deviation", "A sync has far more or fewer rows than mostly"),
)  # fmt: skip
_EMAIL, _SLACK, _WEBHOOK = (("kind", (option.value,)) for option in _KINDS)
_FIELDS = (
    Field("kind", "Kind", "radio", options=_KINDS, value="email"),
    Field("name", "Name", placeholder="on-call"),
    Field("to", "To", help="Addresses, with commas.", when=_EMAIL, placeholder="ana@example.com"),
    Field("sender", "From", "mail", when=_EMAIL),
    Field("host", "SMTP server", when=_EMAIL, placeholder="smtp.example.com"),
    Field("port", "Port", "number", value=587, when=_EMAIL, least=1, greatest=65_535),
    Field(
        "security", "Encryption", "select", value="starttls", when=_EMAIL,
        options=(Option("starttls", "STARTTLS"), Option("tls", "TLS"), Option("none", "None")),
    ),
    Field("user", "User", required=False, when=_EMAIL),
    Field("password", "Password", "secret", required=False, when=_EMAIL),
    Field("slack_url", "Address of the incoming webhook", "secret", when=_SLACK, help="It is kept encrypted."),
    Field("webhook_url", "Address", "secret", when=_WEBHOOK, help="It is kept encrypted."),
    Field("causes", "Told of", "choices", options=_CAUSES, required=False, help="None chosen: of all."),
)  # fmt: skip
_FILTERS = (
    Filter("search", "Search names"),
    Filter("kind", "Kind", tuple((option.value, option.label) for option in _KINDS)),
    Filter("state", "State", (("working", "Working"), ("failing", "Failing"))),
)
_HIDDEN = {"password", "url"}


@page("Notifications", Permission.CHANNELS_READ, "/settings/notifications")
async def channels() -> None:
    """All channels."""
    looks, may = visit.current(), visit.current().may(Permission.CHANNELS_WRITE)
    shown: list[Table[ChannelView]] = []

    async def act(what: str, name: str) -> None:
        if what == "test":
            await _test(name)
        elif what == "remove" and await dialogs.confirm(
            f"Remove the channel {name}?",
            ["Nobody is told by it any more.", "Its secret, and its messages that are not sent yet, are deleted."],
            action="Remove",
        ):
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
        Column("name", "Name", lambda one: Markup("<strong>{}</strong>").format(one.name), sort=True),
        Column("kind", "Kind", lambda one: marks.tag(one.kind), sort=True),
        Column("to", "To", lambda one: one.to, wide=True),
        Column("causes", "Told of", lambda one: ", ".join(one.causes) or "all", wide=True),
        Column("last_sent_at", "Last sent", lambda one: marks.when(one.last_sent_at, otherwise="never"), sort=True),
        Column("state", "State", _state),
    ]
    if may:
        found.append(Column("act", "", _acts, end=True))
    return found


def _state(one: ChannelView) -> Markup:
    if one.trouble:
        said = Markup('<p class="muted">{} {}</p>').format(one.trouble, one.what_to_do or "")
        return marks.badge("failing", marks.BAD) + said
    return marks.badge(f"{one.waiting:,} on the way", marks.ACTIVE) if one.waiting else marks.badge("ok")


def _acts(one: ChannelView) -> Markup:
    return row_button("Test", "test", one.name, label=f"Test {one.name}") + row_button(
        "Remove", "remove", one.name, label=f"Remove {one.name}"
    )


def _fetch(app: App, asked: Asked) -> Page[ChannelView]:
    failing = asked["state"] == "failing" if asked["state"] else None
    search, kind = asked["search"] or None, asked["kind"] or None
    return Page.of(app.notify.page(search=search, kind=kind, failing=failing, wanted=asked.wanted))


async def _test(name: str) -> None:
    """Send a message now, and tell what became of it."""

    def work(app: App) -> list[Tested]:
        return list(app.notify.test(name))

    for one in await visit.slowly(work):
        if one.error:
            notices.notice(f"{one.channel}: {one.error.message}", "bad", one.error.hint, one.error.code)
        else:
            notices.notice(f"A test message was taken by {one.channel}.")


def _fields(given: dict[str, Any]) -> dict[str, Any]:
    """What the kind has, of what was typed; secrets as such."""
    kind = given["kind"]
    if kind in {"slack", "webhook"}:
        return {"url": SecretStr(given[f"{kind}_url"] or "")}
    names = ("to", "sender", "host", "port", "security", "user", "password")
    found = {name: given[name] for name in names if given.get(name) is not None}
    found["to"] = tuple(one.strip() for one in str(found.get("to", "")).split(",") if one.strip())
    return {name: SecretStr(value) if name in _HIDDEN else value for name, value in found.items()}


async def _make(by: str) -> None:
    """Ask for what is needed, and add it. The key of a webhook is shown this once."""
    with dialogs.dialog("Add a channel") as window:
        box = ui.element("div").classes("stack")

        async def sent(given: dict[str, Any], _act: str) -> None:
            kind, name, fields = given["kind"], given["name"], _fields(given)
            _, key = await visit.call(
                lambda app: app.notify.add(kind, name, fields, causes=given.get("causes") or (), by=by)
            )
            if key is None:
                window.submit(True)
                return
            box.clear()
            with box:
                shown_once(key, "By this key its requests are signed. It is shown once.")
                with ui.element("div").classes("dialog-actions"):
                    button("Done", lambda: window.submit(True), kind="primary")

        with box:
            Form(_FIELDS, "Add it", sent)
    await dialogs.answer(window)
