"""Adds a destination, or changes one: a form made of what the tool says of its settings. Secrets are never shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from markupsafe import Markup
from nicegui import ui

from tidemill.access.permissions import Permission
from tidemill.destinations import registry, schemas
from tidemill.errors import TidemillError
from tidemill.web import marks, notices, visit
from tidemill.web.form import Field, Form, fields_of_schema
from tidemill.web.page import page
from tidemill.web.region import Region, show

if TYPE_CHECKING:
    from tidemill.app import App
    from tidemill.destinations.port import Destination

_PARENTS = (("Destinations", "/destinations"),)
_TEST = (("test", "Test"),)
_NAME = "account_name"
_KIND = Markup('<li><a class="kind" href="?kind={}"><strong>{}</strong><span class="muted">{}</span></a></li>')
_ASKED = Markup('<p class="muted" role="status"><span class="spinner"></span> {} is asked …</p>')
#: A setting of several lines: a certificate.
_LONG = {"authority": {"kind": "text", "mono": True}}


@page("Add a destination", Permission.DESTINATIONS_WRITE, "/destinations/_new", parents=_PARENTS)
async def add(kind: str = "") -> None:
    """A new one: first which tool, then its settings."""
    known = registry.everything()
    if kind not in known:
        show(Markup('<p class="lead">Which tool takes the rows?</p>'))
        items = (
            Markup(
                '<li><a class="kind" href="?kind={}"><strong>{}</strong><span class="muted">{}</span></a></li>'
            ).format(name, one.title, one.description)
            for name, one in sorted(known.items(), key=lambda item: item[1].title.casefold())
        )
        show(Markup('<ul class="kinds">{}</ul>').format(marks.join(items)))
        return
    found = known[kind]
    show(Markup('<p class="lead"><strong>{}.</strong> {} <a href="{}">Another tool</a></p>').format(
        found.title, found.description, "/destinations/_new"
    ))  # fmt: skip
    said = Region()

    async def sent(given: dict[str, Any], act: str) -> None:
        name, by = given.pop(_NAME), visit.current().actor.by

        def work(app: App) -> str:
            accounts = app.reverse_etl.destinations
            accounts.assert_free(name)
            settings = accounts.make(kind, given)
            if act == "test":
                return accounts.test(kind, settings)
            return accounts.add(kind, name, settings, by=by).name

        await _done(await _tried(said, found, act, work), act, said)

    Form([Field(_NAME, "Name", value=kind, help="Syncs name it so."), *_fields(found)], "Save", sent, others=_TEST)
    said.move(target_index=-1)


@page("Edit {name}", Permission.DESTINATIONS_WRITE, "/destinations/{name}/edit", parents=_PARENTS)
async def edit(name: str) -> None:
    """Change one."""
    saved = await visit.call(lambda app: app.reverse_etl.destinations.get(name))
    found = registry.get(saved.kind)
    said = Region()

    async def sent(given: dict[str, Any], act: str) -> None:
        called = given.pop(_NAME)
        rename = called if called != saved.name else None

        def work(app: App) -> str:
            accounts = app.reverse_etl.destinations
            settings = accounts.changed(saved.name, given, renames=True)
            if act == "test":
                return accounts.test(saved.kind, settings)
            return accounts.save(saved.name, settings, rename=rename).name

        await _done(await _tried(said, found, act, work), act, said)

    fields = _fields(found, values=saved.settings, kept=saved.secrets)
    Form([Field(_NAME, "Name", value=saved.name), *fields], "Save", sent, others=_TEST)
    said.move(target_index=-1)


def _fields(found: Destination, *, values: dict[str, Any] | None = None, kept: tuple[str, ...] = ()) -> list[Field]:
    changes: dict[str, dict[str, Any]] = {
        name: {"required": False, "placeholder": "Kept. Leave it empty to keep it."} for name in kept
    }
    return fields_of_schema(schemas.settings(found), {**_LONG, **changes}, values)


async def _tried(said: Region, found: Destination, act: str, work: Any) -> str:
    """What came of it; while the tool is asked, that is said."""
    said.show("")
    if act == "test":
        said.show(
            Markup('<p class="muted" role="status"><span class="spinner"></span> {} is asked …</p>').format(found.title)
        )
    try:
        return str(await visit.slowly(work))
    except TidemillError as error:
        if act != "test" or visit.is_signed_out(error):
            said.show("")
            raise
        said.show(notices.mark(error))
        return ""


async def _done(result: str, act: str, said: Region) -> None:
    if act != "test":
        ui.navigate.to(marks.path("/destinations", result) + "?added=1")
    elif result:
        said.show(Markup('<p role="status">{} {}</p>').format(marks.badge("passed"), result))
