"""Settings, users: people who use the web app, and what they may do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from tidemill.access.permissions import Permission
from tidemill.access.roles import Role
from tidemill.web import dialogs, frame, marks, notices, visit
from tidemill.web.buttons import button
from tidemill.web.form import Field, Form, Option
from tidemill.web.page import page
from tidemill.web.region import show
from tidemill.web.table import Asked, Column, Filter, Page, Table, row_button, table

if TYPE_CHECKING:
    from tidemill.access.users import UserView
    from tidemill.app import App

_ROLES = (
    Option("viewer", "Viewer", "looks only"),
    Option("editor", "Editor", "exports, syncs, imports and models"),
    Option("admin", "Administrator", "also connections, secrets and users"),
)
_ROLE = Field("role", "Role", "radio", options=_ROLES, value="viewer")
_PASSWORD = Field("password", "Password", "secret", help="At least 12 characters. Have them change it.")
_NEW = (Field("name", "Name", help="They sign in with it."), _ROLE, _PASSWORD)


class _Users:
    """The page, as long as it is open."""

    table: Table[UserView]

    async def act(self, what: str, name: str) -> None:
        """A button of a row."""
        match what:
            case "role":
                await self._edit(name)
            case "password":
                await self._password(name)
            case "unlock":
                await visit.call(lambda app: app.users.unlock(name))
                notices.notice(f"{name} may sign in again.")
            case "enable":
                await visit.call(lambda app: app.users.edit(name, disabled=False))
                notices.notice(f"{name} is enabled.")
            case "disable":
                await self._disable(name)
            case "delete":
                await self._delete(name)
        await self.table.refresh()

    async def add(self) -> None:
        """Make an account."""
        by = visit.current().actor.by

        async def sent(given: dict[str, Any], _act: str) -> None:
            name, role, password = given["name"], Role(given["role"]), given["password"]
            await visit.call(lambda app: app.users.create(name, role=role, password=password, by=by))
            notices.notice(f"{name} can sign in now.")
            window.submit(True)

        with dialogs.dialog("Add a user") as window:
            Form(_NEW, "Add", sent)
        await dialogs.answer(window)
        await self.table.refresh()

    async def _edit(self, name: str) -> None:
        user = await visit.call(lambda app: app.users.get(name))

        async def sent(given: dict[str, Any], _act: str) -> None:
            role = Role(given["role"])
            await visit.call(lambda app: app.users.edit(name, role=role))
            notices.notice(f"{name} is {role} now.")
            window.submit(True)

        with dialogs.dialog(f"Role of {name}") as window:
            Form([Field("role", "Role", "radio", options=_ROLES, value=str(user.role))], "Save", sent)
        await dialogs.answer(window)

    async def _password(self, name: str) -> None:
        async def sent(given: dict[str, Any], _act: str) -> None:
            password = given["password"]
            await visit.call(lambda app: app.users.set_password(name, password))
            notices.notice(f"{name} has another password, and is signed out everywhere.")
            window.submit(True)

        with dialogs.dialog(f"New password for {name}") as window:
            Form([_PASSWORD], "Set it", sent)
        await dialogs.answer(window)

    async def _disable(self, name: str) -> None:
        does = [
            "They are signed out at once, and cannot sign in until they are enabled again.",
            "Tokens and hooks that they have made end.",
        ]
        if await dialogs.confirm(f"Disable the account of {name}?", does, action="Disable"):
            await visit.call(lambda app: app.users.edit(name, disabled=True))
            notices.notice(f"{name} is disabled. All their sessions, tokens and hooks have ended.")

    async def _delete(self, name: str) -> None:
        does = [
            "They are signed out at once, and cannot sign in any more.",
            "Tokens and hooks that they have made end.",
            "What they did stays in the audit log.",
        ]
        if await dialogs.confirm(f"Delete the account of {name}?", does, name=name):
            await visit.call(lambda app: app.users.delete(name))
            notices.notice(f"The account of {name} is deleted.")


@page("Users", Permission.USERS_READ, "/settings/users")
async def users() -> None:
    """All accounts."""
    may = visit.current().may(Permission.USERS_WRITE)
    shown = _Users()
    if may:
        with frame.actions():
            button("Add a user", shown.add, kind="primary", sign="plus")
    show(Markup('<p class="lead">What each role may do is the same here, in the API, and for the command line.</p>'))
    filters = (
        Filter("search", "Search names"),
        Filter("role", "Role", tuple((one.value, one.label) for one in _ROLES)),
        Filter("state", "State", (("enabled", "Enabled"), ("disabled", "Disabled"))),
    )
    shown.table = await table(
        _columns(visit.current().user.name, may=may), _fetch, caption="Users", filters=filters,
        row_key=lambda user: user.id, on_act=shown.act, sort="name",
    )  # fmt: skip


def _columns(me: str, *, may: bool) -> list[Column[UserView]]:
    def named(user: UserView) -> Markup:
        you = marks.tag("you") if user.name == me else ""
        return Markup("<strong>{}</strong> {}").format(user.name, you)

    found: list[Column[UserView]] = [
        Column("name", "Name", named, sort=True),
        Column("role", "Role", lambda user: marks.tag(str(user.role)), sort=True),
        Column("sign_in", "Signs in by", lambda user: user.sign_in, wide=True),
        Column("last_seen_at", "Last seen", lambda user: marks.when(user.last_seen_at, otherwise="never"), sort=True),
        Column("created_at", "Since", lambda user: marks.when(user.created_at), sort=True, wide=True),
        Column("state", "State", _state),
    ]
    if may:
        found.append(Column("act", "", lambda user: _acts(user, is_me=user.name == me), end=True))
    return found


def _state(user: UserView) -> Markup:
    if user.disabled:
        return marks.badge("disabled", marks.QUIET)
    return marks.badge("locked") if user.locked_until else marks.badge("enabled")


def _acts(user: UserView, *, is_me: bool) -> Markup:
    acts = [("Role", "role"), ("Password", "password")]
    if user.locked_until:
        acts.append(("Unlock", "unlock"))
    if not is_me:
        acts += [("Enable", "enable") if user.disabled else ("Disable", "disable"), ("Delete", "delete")]
    buttons = (row_button(text, act, user.name, label=f"{text}: {user.name}") for text, act in acts)
    return Markup('<span class="row-acts">{}</span>').format(marks.join(buttons))


def _fetch(app: App, asked: Asked) -> Page[UserView]:
    role = Role(asked["role"]) if asked["role"] else None
    disabled = asked["state"] == "disabled" if asked["state"] else None
    return Page.of(app.users.page(search=asked["search"] or None, role=role, disabled=disabled, wanted=asked.wanted))
