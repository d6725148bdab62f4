"""Writes a source model: its statement, looked at by BigQuery while it is typed, its key, and its name."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING, Any

from markupsafe import Markup
from nicegui import ui

from tidemill import sizes
from tidemill.access.permissions import Permission
from tidemill.errors import ConfigError, TidemillError
from tidemill.web import marks, notices, visit
from tidemill.web.buttons import button
from tidemill.web.editor import Editor
from tidemill.web.form import Field, Form
from tidemill.web.page import page
from tidemill.web.pages import model_marks
from tidemill.web.region import Region, show
from tidemill.web.tabs import tabs

if TYPE_CHECKING:
    from tidemill.app import App
    from tidemill.reverse_etl.model_check import Column
    from tidemill.reverse_etl.service import Inspection, SourceModelView

_WAYS = (("sql", "SQL"), ("table", "Table"), ("dbt", "dbt model"))
_LOOKING = Markup('<p class="muted" role="status"><span class="spinner"></span> BigQuery looks at it …</p>')
_NOTHING = Markup('<p class="muted">Columns and cost are shown here as soon as BigQuery understands it.</p>')
_TYPING = "Tab indents; Escape and then Tab leaves the editor. Nothing is run, and nothing is billed, while you type."


@dataclasses.dataclass
class _Given:
    """What there is to choose from."""

    connections: list[str]
    dbt: list[tuple[str, str]]


@page("Add a model", Permission.MODELS_WRITE, "/models/_new", parents=(("Models", "/models"),))
async def add(way: str = "") -> None:
    """A new one."""
    given = await visit.call(_given)
    if not given.connections:
        text = Markup(
            "Rows are read by a connection that is a source: its service account may read your tables, and Tidemill "
            "remembers beside them what was delivered.{}"
        ).format(marks.command("tidemill reverse-etl enable CONNECTION"))
        show(marks.empty("No connection is a source yet", text, marks.goto("Connections", "/connections"), "plug"))
        return
    chosen = tabs("What is read", _WAYS, way, key="way")
    if chosen == "dbt" and not given.dbt:
        said = "Add a dbt project first: its models can be read, and syncs can run after dbt has."
        show(marks.empty("No dbt project yet", said, marks.goto("dbt", "/dbt"), "branch"))
        return
    await _Draft(chosen, given, None).build()


@page("Edit {name}", Permission.MODELS_WRITE, "/models/{name}/edit", parents=(("Models", "/models"),))
async def edit(name: str) -> None:
    """Change one."""
    found = await visit.call(lambda app: app.reverse_etl.models.get(name))
    if found.syncs:
        text = Markup("Syncs deliver its rows: {}. The key stays, and so do the columns that they read.")
        names = marks.join((marks.thing("/syncs", one) for one in found.syncs), ", ")
        show(text.format(names), "lead")
    await _Draft(model_marks.kind_of(found), await visit.call(_given), found).build()


def _given(app: App) -> _Given:
    projects = app.dbt.find()
    named = [
        (f"{project.name}/{model.unique_id}", f"{project.name}: {model.name}")
        for project in projects
        for model in app.dbt.models(str(project.name))
    ]
    return _Given([source.connection for source in app.reverse_etl.sources.find()], named)


class _Draft:
    """The page, as long as it is open."""

    def __init__(self, way: str, given: _Given, saved: SourceModelView | None) -> None:
        self._way, self._given, self._saved = way, given, saved
        self._connection = saved.connection if saved else given.connections[0]
        self._reads: dict[str, str] = {}
        self._key = list(saved.key) if saved else []
        self._found: Inspection | None = None

    async def build(self) -> None:
        """Show it."""
        if self._saved is None and len(self._given.connections) > 1:
            self._choose_connection()
        if self._way == "sql":
            value = (self._saved and self._saved.sql) or ""
            self._editor = Editor("SQL statement", value, on_change=self._typed)
            show(Markup('<p class="field-help">{}</p>').format(_TYPING))
            self._reads = {"sql": value}
        else:
            self._choose_table()
        self._seen = Region(_NOTHING, on_act=self._keyed).classes("panel panel-body")
        with ui.element("div").classes("row-of"):
            button("Show rows", self._preview, sign="play")
            button("Check the key", self._check)
        self._shown = Region()
        self._form = Form(self._fields(), "Save" if self._saved else "Add the model", self._sent)
        if any(self._reads.values()):
            ui.timer(0.1, self._look, once=True)

    def _choose_connection(self) -> None:
        options = marks.join(Markup("<option>{}</option>").format(name) for name in self._given.connections)

        async def chosen(_act: str, value: str) -> None:
            if value in self._given.connections:
                self._connection = value
                await self._look()

        Region(
            Markup(
                '<div class="field form"><label for="connection">Connection</label>'
                '<select id="connection" data-field="connection">{}</select></div>'
            ).format(options),
            on_act=chosen,
        )

    def _choose_table(self) -> None:
        saved = self._saved

        async def chosen(_act: str, value: str) -> None:
            self._reads = {self._way: value.strip()}
            await self._look()

        if self._way == "dbt" and saved is None:
            options = marks.join(Markup('<option value="{}">{}</option>').format(*one) for one in self._given.dbt)
            control = Markup('<select id="reads" data-field="reads"><option value="">Choose …</option>{}</select>')
            control, label = control.format(options), "Model of a dbt project"
        else:
            value = (saved and saved.table) or ""
            control = Markup(
                '<input id="reads" class="mono" data-field="reads" value="{}" placeholder="dataset.table" '
                'autocomplete="off" spellcheck="false">'
            ).format(value)
            label, self._reads = "Table or view: dataset.table, or project.dataset.table", {"table": value}
        Region(
            Markup('<div class="field form"><label for="reads">{}</label>{}</div>').format(label, control),
            on_act=chosen,
        )

    def _fields(self) -> list[Field]:
        saved = self._saved
        most = f"{saved.max_bytes_billed}" if saved and saved.max_bytes_billed else None
        return [
            Field("name", "Name", value=saved.name if saved else None, help="Syncs are made of it by this name."),
            Field("description", "What it is", "text", value=saved.description if saved else None, required=False,
                  rows=2),
            Field("max_bytes_billed", "Most bytes a run may read", value=most, required=False, placeholder="20 GB",
                  help="A run that would be billed for more does not start. Empty: no limit."),
        ]  # fmt: skip

    async def _typed(self, text: str) -> None:
        self._reads = {"sql": text}
        await self._look()

    async def _look(self) -> None:
        """Have BigQuery look at what is there now."""
        reads = dict(self._reads)
        if not any(value.strip() for value in reads.values()):
            self._found = None
            self._seen.show(_NOTHING)
            return
        self._seen.show(_LOOKING)
        connection = self._connection
        try:
            found, promised = await visit.slowly(
                lambda app: (app.reverse_etl.unsaved.look(connection, _fields_of(app, reads)), _promised(app, reads))
            )
        except TidemillError as error:
            if visit.is_signed_out(error):
                raise
            if reads == self._reads:
                self._found = None
                self._seen.show(notices.mark(error, "warning"))
            return
        if reads == self._reads:  # something else is typed meanwhile
            names = {column.name for column in found.columns}
            kept = [name for name in self._key if name in names]
            self._key = kept or [name for name in promised if name in names] or self._proposed(found)
            self._found = found
            self._show()

    @staticmethod
    def _proposed(found: Inspection) -> list[str]:
        """What is often the key."""
        first = next((column.name for column in found.columns if column.name.lower() in {"id", "user_id"}), None)
        return [first] if first else []

    def _show(self) -> None:
        if self._found is not None:
            said = Markup('<p class="field-help">Key: choose the columns by which a row is known.</p>')
            self._seen.show(said + model_marks.inspected(self._found, self._box))

    def _box(self, column: Column) -> Markup:
        checked = Markup(" checked") if column.name in self._key else Markup()
        return Markup('<input type="checkbox" data-field="{}" aria-label="Key: {}"{}>').format(
            column.name, column.name, checked
        )

    def _keyed(self, act: str, value: str) -> None:
        name = act.removeprefix("field:")
        if self._found is None or name not in {column.name for column in self._found.columns}:
            return
        self._key = [one for one in self._key if one != name] + ([name] if value else [])
        self._show()

    def _draft(self, app: App) -> dict[str, Any]:
        return {**_fields_of(app, self._reads), "key": tuple(self._key)}

    async def _preview(self) -> None:
        await self._try(
            lambda app: model_marks.preview(app.reverse_etl.unsaved.preview(self._connection, self._draft(app)))
        )

    async def _check(self) -> None:
        if not self._key:
            raise ConfigError("model_key", "No key is chosen.", hint="Choose its columns above.")
        await self._try(lambda app: model_marks.keys(app.reverse_etl.unsaved.check(self._connection, self._draft(app))))

    async def _try(self, work: Any) -> None:
        self._shown.show(Markup('<p class="muted" role="status"><span class="spinner"></span> It runs …</p>'))
        try:
            self._shown.show(await visit.slowly(work))
        except TidemillError as error:
            if visit.is_signed_out(error):
                raise
            self._shown.show(notices.mark(error))

    async def _sent(self, given: dict[str, Any], _act: str) -> None:
        if not self._key:
            raise ConfigError("model_key", "No key is chosen.", hint="Choose its columns above.")
        most = sizes.parse_bytes(given["max_bytes_billed"]) if given["max_bytes_billed"] else None
        fields = {"name": given["name"], "description": given["description"] or "", "max_bytes_billed": most}
        by, connection, saved = visit.current().actor.by, self._connection, self._saved

        def save(app: App) -> str:
            made = {**self._draft(app), **fields}
            if saved is None:
                return app.reverse_etl.models.add(connection, made, by=by)[0].name
            was = {"sql": saved.sql, "table": saved.table, "key": saved.key}
            changes = {name: value for name, value in made.items() if name not in was or was[name] != value}
            return app.reverse_etl.models.edit(saved.name, changes)[0].name

        name = await visit.slowly(save)
        ui.navigate.to(marks.path("/models", name))


def _promised(app: App, reads: dict[str, str]) -> tuple[str, ...]:
    """The key that a dbt project promises; none, if it does not, or it is none."""
    with contextlib.suppress(ConfigError):
        return tuple(app.dbt_models.fields(reads["dbt"], {})["key"]) if "dbt" in reads else ()
    return ()


def _fields_of(app: App, reads: dict[str, str]) -> dict[str, Any]:
    """What is read, as fields of a model. A dbt project says itself where its models stand."""
    if "dbt" in reads:
        fields = app.dbt_models.fields(reads["dbt"], {"key": ("unknown",)})
        return {name: value for name, value in fields.items() if name != "key"}
    return {name: value for name, value in reads.items() if value}
