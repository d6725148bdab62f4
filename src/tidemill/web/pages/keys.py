"""Settings, SDK keys: by which SDKs send events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from markupsafe import Markup
from nicegui import ui

from tidemill.access.permissions import Permission
from tidemill.web import dialogs, frame, marks, notices, visit
from tidemill.web.buttons import button
from tidemill.web.form import Field, Form
from tidemill.web.page import page
from tidemill.web.region import Region, show
from tidemill.web.table import Asked, Column, Filter, Page, Table, row_button, table

if TYPE_CHECKING:
    from tidemill.app import App
    from tidemill.capture.service import KeyView

_STATES = (("valid", "Valid"), ("revoked", "Revoked"))
_FIELDS = (
    Field("name", "Name", help="Where it is used: web, ios, server.", placeholder="web"),
    Field("team_id", "Team", "number", help="Events that come with it belong to this team.", value=1, least=1),
    Field(
        "events_per_second", "Events a second", "number", required=False, least=1,
        help="More are refused for the moment. Empty: as many as come.",
    ),
)  # fmt: skip


@page("SDK keys", Permission.KEYS_READ, "/settings/keys")
async def keys() -> None:
    """All keys."""
    looks, may = visit.current(), visit.current().may(Permission.KEYS_WRITE)
    shown: list[Table[KeyView]] = []

    async def act(what: str, name: str) -> None:
        if what == "revoke" and await dialogs.confirm(
            f"Revoke the key {name}?",
            ["What sends by it is refused from now on, in a minute at the latest.", "It cannot be made valid again."],
            action="Revoke",
        ):
            await visit.call(lambda app: app.keys.revoke(name))
            notices.notice(f"The key {name} is revoked.")
            await shown[0].refresh()

    async def make() -> None:
        if await _make(looks.actor.by):
            await shown[0].refresh()

    if may:
        with frame.actions():
            button("Make a key", make, kind="primary", sign="plus")
    show(Markup('<p class="lead">SDKs of PostHog, Segment, RudderStack and Amplitude send events with these.</p>'))
    nothing = marks.empty(
        "No key yet", "An app needs one to send events to Tidemill. It is shown once, when it is made.", sign="key"
    )
    columns = _columns(may=may)
    filters = (Filter("search", "Search names"), Filter("state", "State", _STATES))
    shown.append(
        await table(columns, _fetch, caption="SDK keys", filters=filters, empty=nothing, row_key=lambda key: key.id,
                    on_act=act, sort="-created_at")
    )  # fmt: skip


def _columns(*, may: bool) -> list[Column[KeyView]]:
    found: list[Column[KeyView]] = [
        Column("name", "Name", lambda key: Markup("<strong>{}</strong>").format(key.name), sort=True),
        Column("start", "Begins with", lambda key: Markup("<code>{}…</code>").format(key.start)),
        Column("team_id", "Team", lambda key: str(key.team_id), sort=True, end=True),
        Column(
            "events_per_second", "Events a second",
            lambda key: marks.number(key.events_per_second) if key.events_per_second else marks.muted("no limit"),
            end=True, wide=True,
        ),
        Column("created_at", "Made", lambda key: marks.when(key.created_at), sort=True, wide=True),
        Column("created_by", "By", lambda key: key.created_by, sort=True, wide=True),
        Column("state", "State", _state),
    ]  # fmt: skip
    if may:
        found.append(Column("act", "", _act, end=True))
    return found


def _state(key: KeyView) -> Markup:
    return marks.badge("revoked", marks.QUIET) if key.revoked_at else marks.badge("valid", marks.GOOD)


def _act(key: KeyView) -> Markup:
    return Markup() if key.revoked_at else row_button("Revoke", "revoke", key.name, label=f"Revoke {key.name}")


def _fetch(app: App, asked: Asked) -> Page[KeyView]:
    search, state = asked["search"] or None, asked["state"] or None
    return Page.of(app.keys.page(search=search, state=state, revoked=True, wanted=asked.wanted))


async def _make(by: str) -> bool:
    """Ask for what is needed, make it, and show it this once. Whether one was made."""
    with dialogs.dialog("Make a key for SDKs") as window:
        box = ui.element("div").classes("stack")

        async def sent(given: dict[str, Any], _act: str) -> None:
            made, _ = await visit.call(lambda app: app.keys.create(**given, by=by))
            box.clear()
            with box:
                shown_once(made, "This key is shown once. Put it where your SDK has its write key, or project key.")
                with ui.element("div").classes("dialog-actions"):
                    button("Done", lambda: window.submit(True), kind="primary")

        with box:
            Form(_FIELDS, "Make the key", sent)
    done = await dialogs.answer(window)
    return bool(done) or len(box.default_slot.children) > 1


def shown_once(secret: str, text: str) -> Region:
    """A secret that cannot be seen again."""
    return show(Markup("<p>{}</p>{}").format(text, marks.command(secret)))
