"""The mapping and the configuration of a sync: to look at, and to change."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from markupsafe import Markup
from nicegui import ui

from tidemill.access.permissions import Permission
from tidemill.destinations import registry
from tidemill.errors import ConfigError
from tidemill.web import dialogs, marks, notices, visit
from tidemill.web.buttons import button
from tidemill.web.form import Field, Form
from tidemill.web.live import stale
from tidemill.web.pages import sync_fields
from tidemill.web.pages.mapping import MappingEditor
from tidemill.web.region import Region, show

if TYPE_CHECKING:
    from tidemill.app import App
    from tidemill.destinations.port import Action
    from tidemill.reverse_etl.service import SyncView


def _action(app: App, found: SyncView) -> Action:
    account = app.reverse_etl.destinations.get(found.destination)
    return registry.get(account.kind).action(found.spec.action)


async def mapping(found: SyncView) -> None:
    """What becomes of each column."""
    if not visit.current().may(Permission.SYNCS_WRITE):
        text = json.dumps(found.spec.mapping, ensure_ascii=False, indent=2)
        show(marks.command(text))
        return
    name, model, destination = found.name, found.model, found.destination
    action = await visit.call(lambda app: _action(app, found))
    looked = await visit.slowly(lambda app: app.reverse_etl.models.look(model))

    async def suggest() -> Mapping[str, Any]:
        return await visit.slowly(lambda app: app.reverse_etl.syncs.suggested(model, destination, action.name))

    columns = [column.name for column in looked.columns]
    editor = MappingEditor(destination, action, columns, found.spec.mapping, suggest)
    await editor.check()

    async def save() -> None:
        if not await editor.check():
            notices.notice("The mapping is not right yet.", "bad", "What is wrong is said beside each field.")
            return
        changed = await _saved(name, {"mapping": dict(editor.mapping)})
        if changed:
            notices.notice("The mapping is saved.")

    with ui.element("div").classes("row-of"):
        button("Save the mapping", save, kind="primary")


async def _saved(name: str, changes: dict[str, Any]) -> SyncView | None:
    """Save changes; if rows are there by the mapping of before, ask what is to be done with them. None: nothing was
    changed."""
    try:
        made = await visit.slowly(lambda app: app.reverse_etl.syncs.edit(name, changes))
    except ConfigError as error:
        if error.code != "mapping_changed":
            raise
        reset = await _asked()
        if reset is None:
            return None
        made = await visit.slowly(lambda app: app.reverse_etl.syncs.edit(name, changes, reset=reset))
    stale(("sync", name))
    return made


async def _asked() -> str | None:
    with dialogs.dialog("Rows are delivered by the mapping of before") as window:
        Region(
            Markup(
                "<ul><li><strong>Resend:</strong> the next run sends all rows again, by the new mapping.</li>"
                "<li><strong>Leave:</strong> what was delivered stays as it is; rows that change are sent by the new "
                "mapping.</li></ul>"
            )
        ).classes("dialog-text")
        with ui.element("div").classes("dialog-actions"):
            button("Cancel", lambda: window.submit(None))
            button("Leave them", lambda: window.submit("leave"))
            button("Resend them", lambda: window.submit("resend"), kind="primary")
    answer = await dialogs.answer(window)
    return str(answer) if answer else None


async def configuration(found: SyncView) -> None:
    """How it is set."""
    spec = found.spec
    fixed: list[tuple[str, str | Markup]] = [
        ("Model", marks.thing("/models", found.model)),
        ("Destination", marks.thing("/destinations", found.destination)),
        ("Action", spec.action),
        ("Rows are found by", f"{spec.extraction.value}{f': {spec.cursor}' if spec.cursor else ''}"),
        ("Next run", marks.when(found.next_at, otherwise="by hand")),
        ("Made", Markup("{} by {}").format(marks.when(found.made_at), found.made_by)),
        ("Id", marks.short_id(found.id)),
    ]
    show(marks.panel("Fixed", marks.facts(fixed)))
    if not visit.current().may(Permission.SYNCS_WRITE):
        schedule = spec.schedule.cron or (spec.schedule.interval.value if spec.schedule.interval else "by hand")
        known: list[tuple[str, str | Markup]] = [
            ("Mode", spec.mode.value),
            ("Runs", schedule),
            ("Brake", f"{100 * spec.delete_brake:g}%"),
            ("Most rows refused", marks.number(spec.most_rejects)),
        ]
        show(marks.panel("Settings", marks.facts(known)))
        return
    action = await visit.call(lambda app: _action(app, found))
    fields = [Field("name", "Name", value=found.name), *sync_fields.fields(action, (), found)]
    before = {field.name: field.value for field in fields}
    name = found.name

    async def sent(given: dict[str, Any], _act: str) -> None:
        changed = {key for key, value in given.items() if value != before.get(key)}
        if not changed:
            notices.notice("Nothing was changed.", "warning")
            return
        if "cron" in changed:
            changed.add("interval")
        wanted = {key: value for key, value in given.items() if key in changed or key == "cron"}
        made = await _saved(name, sync_fields.understood(wanted, edits=changed))
        if made is not None:
            ui.navigate.to(marks.path("/syncs", made.name) + "?tab=configuration&saved=1")

    with ui.element("section").classes("panel"):
        show(Markup('<div class="panel-head"><h2>Settings</h2></div>'))
        with ui.element("div").classes("panel-body"):
            Form(fields, "Save", sent)
