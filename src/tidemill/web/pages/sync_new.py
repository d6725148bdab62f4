"""Makes a sync: from which model to which destination, what becomes of each column, and when it runs."""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from markupsafe import Markup
from nicegui import ui

from tidemill.access.permissions import Permission
from tidemill.destinations import registry
from tidemill.errors import ConfigError
from tidemill.web import marks, visit
from tidemill.web.form import Field, Form, Option
from tidemill.web.page import page
from tidemill.web.pages import sync_fields
from tidemill.web.pages.mapping import MappingEditor
from tidemill.web.region import Region, show

if TYPE_CHECKING:
    from tidemill.app import App
    from tidemill.destinations.port import Action
    from tidemill.reverse_etl.service import AccountView, SourceModelView


@page("Make a sync", Permission.SYNCS_WRITE, "/syncs/_new", parents=(("Syncs", "/syncs"),))
async def make(model: str = "", destination: str = "", action: str = "") -> None:
    """A new one, step by step; what is chosen is in the address."""
    models, accounts = await visit.call(
        lambda app: (app.reverse_etl.models.find(), app.reverse_etl.destinations.find())
    )
    if not models or not accounts:
        _missing(bool(models))
        return
    account = next((one for one in accounts if one.name == destination), None)
    known = registry.get(account.kind).actions if account else ()
    chosen = next((one for one in known if one.name == action), known[0] if len(known) == 1 else None)
    read = next((one for one in models if one.name == model), None)
    await _choose(models, accounts, {"model": model, "destination": destination, "action": action})
    if read is not None and account is not None and chosen is not None:
        await _New(read, account, chosen).build()


def _missing(has_models: bool) -> None:
    if has_models:
        text, go = (
            "A destination is the account of a tool that takes rows.",
            ("Add a destination", "/destinations/_new"),
        )
        show(marks.empty("No destination yet", text, marks.goto(*go), "target"))
    else:
        text, go = "A model says which rows of BigQuery are brought elsewhere.", ("Add a model", "/models/_new")
        show(marks.empty("No model yet", text, marks.goto(*go), "model"))


async def _choose(models: list[SourceModelView], accounts: list[AccountView], given: dict[str, str]) -> None:
    """The first step: what goes where, and what is done with it there."""

    def control(name: str, label: str, options: list[tuple[str, str]]) -> Markup:
        items = marks.join(
            Markup('<option value="{}"{}>{}</option>').format(
                value, Markup(" selected") if value == given[name] else Markup(), title
            )
            for value, title in [("", "Choose …"), *options]
        )
        return Markup(
            '<div class="field"><label for="{}">{}</label><select id="{}" data-field="{}">{}</select></div>'
        ).format(name, label, name, name, items)

    account = next((one for one in accounts if one.name == given["destination"]), None)
    actions = registry.get(account.kind).actions if account else ()
    controls = [
        control("model", "Model", [(one.name, one.name) for one in models]),
        control("destination", "Destination", [(one.name, f"{one.name} ({one.title})") for one in accounts]),
    ]
    if len(actions) > 1:
        controls.append(control("action", "Action", [(one.name, one.title) for one in actions]))
    chosen = next((one for one in actions if one.name == given["action"]), actions[0] if len(actions) == 1 else None)
    about = Markup('<p class="field-help">{}</p>').format(chosen.description) if chosen else Markup()

    def told(act: str, value: str) -> None:
        name = act.removeprefix("field:")
        if name not in given:
            return
        changed = {**given, name: value}
        if name == "destination":
            changed["action"] = ""
        wanted = urllib.parse.urlencode({key: value for key, value in changed.items() if value})
        ui.navigate.to(f"/syncs/_new?{wanted}")

    form = Markup('<div class="form stack">{}{}</div>').format(marks.join(controls), about)
    Region(marks.panel("1 · From where to where", form), on_act=told)


class _New:
    """The steps after the first, as long as the page is open."""

    def __init__(self, model: SourceModelView, account: AccountView, action: Action) -> None:
        self._model, self._account, self._action = model, account, action

    async def build(self) -> None:
        """Show them. BigQuery is asked for the model's columns."""
        name = self._model.name
        found = await visit.slowly(lambda app: app.reverse_etl.models.look(name))
        columns = [column.name for column in found.columns]
        with ui.element("section").classes("panel"):
            show(Markup('<div class="panel-head"><h2>2 · What becomes of each column</h2></div>'))
            with ui.element("div").classes("panel-body stack"):
                proposed = await self._suggest()
                self._editor = MappingEditor(self._account.name, self._action, columns, proposed, self._suggest)
                await self._editor.check()
        with ui.element("section").classes("panel"):
            show(Markup('<div class="panel-head"><h2>3 · When, and how</h2></div>'))
            with ui.element("div").classes("panel-body stack"):
                Form(self._fields(columns), "Make the sync", self._sent)

    async def _suggest(self) -> Mapping[str, Any]:
        model, account, action = self._model.name, self._account.name, self._action.name
        return await visit.slowly(lambda app: app.reverse_etl.syncs.suggested(model, account, action))

    def _fields(self, columns: list[str]) -> list[Field]:
        begins = (
            Option("tried", "when I have tried it", "it is paused until then"),
            Option("now", "at once", "by its schedule"),
        )
        name = f"{self._model.name} to {self._account.name}"
        return [
            Field("name", "Name", value=name[:100]),
            *sync_fields.fields(self._action, columns),
            Field("begins", "It begins", "radio", options=begins, value="tried"),
        ]

    async def _sent(self, given: dict[str, Any], _act: str) -> None:
        if not await self._editor.check():
            raise ConfigError("mapping_invalid", "The mapping is not right yet.", hint="Step 2 says what is wrong.")
        begins, by = given.pop("begins"), visit.current().actor.by
        mapping, model, account = dict(self._editor.mapping), self._model.name, self._account.name
        fields = {**sync_fields.understood(given), "action": self._action.name, "mapping": mapping}

        def work(app: App) -> str:
            made = app.reverse_etl.syncs.create(model, account, fields, by=by).name
            if begins != "now":
                app.reverse_etl.syncs.pause(made, by)
            return made

        ui.navigate.to(marks.path("/syncs", await visit.slowly(work)) + "?tab=try")
