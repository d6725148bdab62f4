"""One dbt project: its models, what uses it, its webhook, and how it is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from tidemill.access.permissions import Permission
from tidemill.web import dialogs, frame, marks, notices, visit
from tidemill.web.buttons import button
from tidemill.web.form import Form
from tidemill.web.page import page
from tidemill.web.paged import paged
from tidemill.web.pages import data, dbt_cloud
from tidemill.web.pages.dbt import fields, fields_of, place_of
from tidemill.web.places import has
from tidemill.web.region import Region, show
from tidemill.web.table import Asked, Column, Filter, Page, table
from tidemill.web.tabs import tabs

if TYPE_CHECKING:
    from tidemill.app import App
    from tidemill.dbt.service import Model, ProjectView, Refreshed

_TABS = (("models", "Models"), ("cloud", "dbt Cloud"), ("state", "State"), ("edit", "Configuration"))


@page("{name}", Permission.DBT_READ, "/dbt/{name}", parents=(("dbt projects", "/dbt"),))
async def project(name: str, tab: str = "") -> None:
    """One of them."""
    found = await visit.call(lambda app: app.dbt.get(name))
    may, changes = visit.current().may(Permission.DBT_WRITE), Region()

    async def refresh() -> None:
        done = await visit.slowly(lambda app: app.dbt.refresh(name))
        changes.show(_changes(done))
        notices.notice(f"{name} is read anew: {done.project.models:,} models.")

    async def delete() -> None:
        does = ["What is known of its models is forgotten, and its secrets.", "The repository itself stays as it is."]
        if await dialogs.confirm(f"Delete the dbt project {name}?", does, name=name):
            await visit.call(lambda app: app.dbt.delete(name))
            frame.go("/dbt")

    if may:
        with frame.actions():
            button("Read it anew", refresh, kind="primary", sign="sync")
            button("Delete", delete, kind="danger", sign="trash")
    if found.error:
        said = f"It could not be read the last time: {found.error['message']}"
        show(notices.kept({**found.error, "message": said}))
    kept = tuple(one for one in _TABS if may or one[0] != "edit")
    match tabs("dbt project", kept, tab):
        case "cloud":
            await dbt_cloud.runs(found)
        case "state":
            _state(found)
        case "edit":
            await _edit(found)
        case _:
            await _models(name)


async def _models(name: str) -> None:
    columns: list[Column[Model]] = [
        Column("name", "Model", lambda one: Markup("<strong>{}</strong>").format(one.name), sort=True),
        Column("materialized", "Built as", lambda one: marks.tag(one.materialized), sort=True),
        Column("keys", "Key", lambda one: ", ".join(one.keys[0]) if one.keys else marks.muted("none that is tested")),
        Column("relation", "Table", lambda one: marks.copy(str(one.relation)), wide=True),
        Column("description", "Description", lambda one: data.brief(one.description or ""), wide=True),
    ]
    empty = marks.empty("It has no models", "Views and tables that dbt builds are listed here.", sign="branch")

    def fetch(app: App, asked: Asked) -> Page[Model]:
        return paged(app.dbt.models(name), asked, texts=lambda one: f"{one.name} {one.relation}")

    await table(
        columns, fetch, caption="Models", filters=(Filter("search", "Search models"),), empty=empty, sort="name"
    )


def _state(found: ProjectView) -> None:
    facts: list[tuple[str, str | Markup]] = [
        ("Where", Markup("<code>{}</code>").format(place_of(found))),
        ("Name in dbt", found.project),
        ("Written by", f"dbt {found.dbt_version}"),
        ("Commit", marks.short_id(found.revision) if found.revision else "–"),
        ("Read", marks.when(found.read_at)),
        ("Read anew", marks.when(found.next_at, otherwise="by hand")),
        ("Connection", found.connection or "–"),
        ("Secrets", marks.tags(one.replace("_", " ") for one in found.secrets) if found.secrets else "none"),
        ("Made", Markup("{} by {}").format(marks.when(found.made_at), found.made_by)),
    ]
    show(marks.panel("State", marks.facts(facts)))
    used = Markup('<ul class="list">{}</ul>').format(
        marks.join(
            Markup("<li>{}</li>").format(marks.thing("/models", one) if has("/models") else one)
            for one in found.used_by
        )
    )
    nobody = Markup('<p class="muted">No source model is made of it yet.</p>')
    show(marks.panel("Source models that are made of it", used if found.used_by else nobody))


async def _edit(found: ProjectView) -> None:
    connections = await visit.call(lambda app: [one.name for one in app.connections.find()])

    async def sent(given: dict[str, Any], _act: str) -> None:
        now = {"name": found.name, "connection": found.connection, "subfolder": "", **found.spec}
        # what is named as it is would be read anew, and lose its credentials
        said = {key: value for key, value in fields_of(given).items() if value != now.get(key)}
        if not said:
            notices.notice("Nothing was changed.")
            return
        changed = await visit.slowly(lambda app: app.dbt.edit(found.name, said))
        notices.notice(f"{changed.name} is changed.")
        if changed.name != found.name:
            frame.go(marks.path("/dbt", changed.name) + "?tab=edit")

    Form(fields(connections, found, may_run=visit.current().may(Permission.DBT_RUN)), "Save", sent)


def _changes(done: Refreshed) -> Markup:
    """What has changed that matters to syncs."""
    if not done.changes:
        return Markup()
    items = (
        Markup("<li>{} {} {} {}</li>").format(
            marks.badge(one.weight.value, marks.BAD if one.weight.value == "breaking" else marks.WARNING),
            one.message, one.hint, ", ".join(one.syncs),
        )
        for one in done.changes
    )  # fmt: skip
    paused = f"Paused: {', '.join(done.paused)}." if done.paused else ""
    return marks.panel(
        "What has changed", Markup('<ul class="list">{}</ul><p>{}</p>').format(marks.join(items), paused)
    )
