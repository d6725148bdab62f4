"""A connection is added, or changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

from tidemill.access.permissions import Permission
from tidemill.web import visit
from tidemill.web.page import page
from tidemill.web.pages.connection_form import ConnectionForm, Given, page_of
from tidemill.web.pages.connection_set_up import egress
from tidemill.web.pages.connections import NEW, PLACE
from tidemill.web.region import show

if TYPE_CHECKING:
    from tidemill.app import App
    from tidemill.connections.service import Connection, Draft


@page("Add a connection", Permission.CONNECTIONS_WRITE, NEW, parents=(("Connections", PLACE),))
async def connection_new() -> None:
    """A new one."""
    by = visit.current().actor.by

    def draft(app: App, given: Given) -> Draft:
        return app.connections.draft(name=given.name, location=given.location, **given.fields)

    def save(app: App, made: Draft) -> Connection:
        return app.connections.add(made, by=by)

    show(Markup('<p class="lead">A service account key, a project and a dataset. It is tested before it is saved.</p>'))
    await ConnectionForm(draft, save).build()
    await egress()


@page("Change {name}", Permission.CONNECTIONS_WRITE, "/connections/{name}/edit", parents=(("Connections", PLACE),))
async def connection_edit(name: str) -> None:
    """One that there is. What is left empty of its credential stays."""
    before = await visit.call(lambda app: app.connections.get(name))

    def draft(app: App, given: Given) -> Draft:
        return app.connections.changed(before.name, rename=given.name, location=given.location, **given.fields)

    def save(app: App, made: Draft) -> Connection:
        return app.connections.save(before.name, made, as_of=before.updated_at)

    said = Markup(
        '<p class="lead">It signs in with: {}. All that uses <a href="{}">{}</a> goes on with what is saved.</p>'
    )
    show(said.format(before.credential, page_of(before.name), before.name))
    await ConnectionForm(draft, save, before=before).build()
