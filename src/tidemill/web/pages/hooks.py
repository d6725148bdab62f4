"""Hooks of an export, a sync or an import: addresses by which somebody outside has it run. Each is shown once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from markupsafe import Markup
from nicegui import ui

from tidemill.access.permissions import Permission
from tidemill.web import dialogs, marks, notices, visit
from tidemill.web.buttons import button
from tidemill.web.paged import paged
from tidemill.web.pages.keys import shown_once
from tidemill.web.region import show
from tidemill.web.table import Asked, Column, Page, Table, row_button, table

if TYPE_CHECKING:
    from tidemill.access.hooks import HookService, HookView
    from tidemill.app import App

Kind = Literal["export", "sync", "import"]
_EVERY_SECONDS = 5.0
#: Who makes one must be able to do what it does, and to change what it is of.
_OF_SYNC = (Permission.SYNCS_WRITE, Permission.SYNCS_TRIGGER)
_MAY = {"export": (Permission.EXPORTS_WRITE,), "sync": _OF_SYNC, "import": _OF_SYNC}


async def hooks(kind: Kind, name: str) -> None:
    """Those of one thing, and making another."""
    may = all(map(visit.current().may, _MAY[kind]))
    shown: list[Table[HookView]] = []

    async def act(_what: str, start: str) -> None:
        does = ["Who calls its address is answered that there is none, at once.", "It cannot be made valid again."]
        if await dialogs.confirm(f"Revoke the hook {start}?", does, action="Revoke"):
            await visit.call(lambda app: _service(app, kind).revoke(name, start))
            notices.notice(f"The hook {start} is revoked.")
            await shown[0].refresh()

    async def make() -> None:
        await _make(kind, name)
        await shown[0].refresh()

    show(
        Markup('<p class="lead">Whoever knows the address of a hook may have this {} run, and can do nothing else. '
               "A worker does it.</p>").format(kind)
    )  # fmt: skip
    if may:
        with ui.element("div"):
            button("Make a hook", make, kind="primary", sign="plus")
    nothing = marks.empty(
        "No hook yet", "With one, a program outside has it run by a request: after a load, or from a CI.", sign="plug"
    )

    def fetch(app: App, asked: Asked) -> Page[HookView]:
        return paged(_service(app, kind).find(name), asked)

    shown.append(
        await table(_columns(may=may), fetch, caption=f"Hooks of {name}", empty=nothing, row_key=lambda one: one.start,
                    on_act=act, sort="-created_at", every=_EVERY_SECONDS)
    )  # fmt: skip


def _service(app: App, kind: Kind) -> HookService:
    return app.export_hooks if kind == "export" else app.sync_hooks


def _columns(*, may: bool) -> list[Column[HookView]]:
    found: list[Column[HookView]] = [
        Column("start", "Begins with", lambda one: Markup("<code>{}…</code>").format(one.start)),
        Column("created_at", "Made", lambda one: marks.when(one.created_at), sort=True),
        Column("created_by", "By", lambda one: one.created_by, sort=True),
        Column("last_used_at", "Last used", lambda one: marks.when(one.last_used_at, otherwise="never"), sort=True),
    ]
    if may:
        found.append(Column("act", "", _act, end=True))
    return found


def _act(one: HookView) -> Markup:
    return row_button("Revoke", "revoke", one.start, label=f"Revoke {one.start}")


async def _make(kind: Kind, name: str) -> None:
    """Make one, and show its address this once."""
    by = visit.current().actor.by
    secret, _ = await visit.call(lambda app: _service(app, kind).create(name, by=by))
    address = f"https://YOUR-SERVER/api/v1/hooks/{secret}"
    with dialogs.dialog(f"A hook of {name}", wide=True) as window:
        shown_once(
            address,
            "Its address is shown this once. YOUR-SERVER is that of the API (port 8010, behind TLS). It is called by "
            "POST, without a token; keep it as a password is kept.",
        )
        show(Markup("<p>For example:</p>{}").format(marks.command(f"curl --fail --request POST {address}")))
        with dialogs.actions():
            button("Done", lambda: window.submit(True), kind="primary")
    await dialogs.answer(window)
