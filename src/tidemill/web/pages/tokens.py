"""Settings, API tokens: by which programs use the HTTP API."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from markupsafe import Markup
from nicegui import ui

from tidemill.access.permissions import Permission
from tidemill.web import dialogs, frame, marks, notices, visit
from tidemill.web.buttons import button
from tidemill.web.form import Field, Form, Option
from tidemill.web.page import page
from tidemill.web.pages.keys import shown_once
from tidemill.web.region import show
from tidemill.web.table import Asked, Column, Filter, Page, Table, row_button, table

if TYPE_CHECKING:
    from tidemill.access.service import TokenView
    from tidemill.app import App

_DAY = 86_400
_STATES = (("valid", "Valid"), ("expired", "Expired"), ("revoked", "Revoked"))
_TERMS = (
    Option(str(30 * _DAY), "30 days"), Option(str(90 * _DAY), "90 days"), Option(str(365 * _DAY), "A year"),
    Option("never", "Until it is revoked"),
)  # fmt: skip
_FIELDS = (
    Field("name", "Name", help="What uses it: airflow, terraform.", placeholder="airflow"),
    Field("scopes", "What it may do", "choices", options=tuple(Option(str(one), str(one)) for one in Permission)),
    Field("expires", "It is good for", "select", options=_TERMS, value=str(90 * _DAY)),
)


@page("API tokens", Permission.TOKENS_READ, "/settings/tokens")
async def tokens() -> None:
    """All tokens."""
    looks, may = visit.current(), visit.current().may(Permission.TOKENS_WRITE)
    shown: list[Table[TokenView]] = []

    async def act(what: str, name: str) -> None:
        if what == "revoke" and await dialogs.confirm(
            f"Revoke the token {name}?",
            ["Programs that use it are refused at once.", "It cannot be made valid again."],
            action="Revoke",
        ):
            await visit.call(lambda app: app.tokens.revoke(name))
            notices.notice(f"The token {name} is revoked.")
            await shown[0].refresh()

    async def make() -> None:
        await _make(looks.actor.by)
        await shown[0].refresh()

    if may:
        with frame.actions():
            button("Make a token", make, kind="primary", sign="plus")
    show(Markup('<p class="lead">Programs use the HTTP API with these: schedulers, pipelines, scripts.</p>'))
    nothing = marks.empty(
        "No token yet", "Make one for each program, with no more than it needs. It is shown once.", sign="token"
    )
    filters = (Filter("search", "Search names"), Filter("state", "State", _STATES))
    shown.append(
        await table(_columns(may=may), _fetch, caption="API tokens", filters=filters, empty=nothing,
                    row_key=lambda token: token.id, on_act=act, sort="-created_at")
    )  # fmt: skip


def _columns(*, may: bool) -> list[Column[TokenView]]:
    found: list[Column[TokenView]] = [
        Column("name", "Name", lambda token: Markup("<strong>{}</strong>").format(token.name), sort=True),
        Column("start", "Begins with", lambda token: Markup("<code>{}…</code>").format(token.start), wide=True),
        Column("scopes", "May", _scopes, wide=True),
        Column(
            "expires_at", "Good until", lambda token: marks.when(token.expires_at, otherwise="it is revoked"), sort=True
        ),
        Column("created_at", "Made", lambda token: marks.when(token.created_at), sort=True, wide=True),
        Column("created_by", "By", lambda token: token.created_by, sort=True, wide=True),
        Column("state", "State", lambda token: marks.badge(*_STATE_MARKS[_state(token)])),
    ]
    if may:
        found.append(Column("act", "", _act, end=True))
    return found


_STATE_MARKS = {
    "valid": ("valid", marks.GOOD),
    "expired": ("expired", marks.WARNING),
    "revoked": ("revoked", marks.QUIET),
}
_SHOWN_SCOPES = 3


def _scopes(token: TokenView) -> Markup:
    more = len(token.scopes) - _SHOWN_SCOPES
    found = marks.tags(token.scopes[:_SHOWN_SCOPES])
    if more <= 0:
        return found
    rest = Markup('<span class="muted" title="{}">and {} more</span>').format(", ".join(token.scopes), more)
    return Markup("{} {}").format(found, rest)


def _state(token: TokenView) -> str:
    if token.revoked_at:
        return "revoked"
    return "expired" if token.expires_at and token.expires_at <= dt.datetime.now(dt.UTC) else "valid"


def _act(token: TokenView) -> Markup:
    return Markup() if token.revoked_at else row_button("Revoke", "revoke", token.name, label=f"Revoke {token.name}")


def _fetch(app: App, asked: Asked) -> Page[TokenView]:
    search, state = asked["search"] or None, asked["state"] or None
    return Page.of(app.tokens.page(search=search, state=state, revoked=True, wanted=asked.wanted))


async def _make(by: str) -> None:
    """Ask for what is needed, make it, and show it this once."""
    with dialogs.dialog("Make a token for the API") as window:
        box = ui.element("div").classes("stack")

        async def sent(given: dict[str, Any], _act: str) -> None:
            term = given["expires"]
            fields = {
                "name": given["name"],
                "scopes": [Permission(one) for one in given["scopes"]],
                "expires_seconds": None if term in {None, "never"} else int(term),
            }
            made, _ = await visit.call(lambda app: app.tokens.create(**fields, by=by))
            box.clear()
            with box:
                shown_once(made, "This token is shown once. Programs send it as: Authorization: Bearer TOKEN")
                with ui.element("div").classes("dialog-actions"):
                    button("Done", lambda: window.submit(True), kind="primary")

        with box:
            Form(_FIELDS, "Make the token", sent)
    await dialogs.answer(window)
