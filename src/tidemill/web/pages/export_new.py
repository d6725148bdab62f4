"""A new export, step by step: what, its schema, where to, when, and a test upload."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup
from nicegui import ui

from tidemill.access.permissions import Permission
from tidemill.errors import ConflictError, NotFoundError, TidemillError
from tidemill.web import marks, notices, visit
from tidemill.web.buttons import button
from tidemill.web.form import Form, Option
from tidemill.web.page import page
from tidemill.web.pages import export_fields, export_trial
from tidemill.web.pages.export_draft import STEPS, Draft
from tidemill.web.region import show
from tidemill.web.table import json_text

if TYPE_CHECKING:
    from tidemill.app import App
    from tidemill.exports.spec import ExportSpec

_TITLES = dict(STEPS)
_ORDER = [key for key, _ in STEPS]
_PARENTS = (("Exports", "/exports"),)


@page("New export", Permission.EXPORTS_WRITE, "/exports/new/{step}", parents=_PARENTS)
async def new(step: str) -> None:
    """A step of it."""
    if step not in _TITLES:
        raise NotFoundError("step_unknown", "There is no such step.", hint="Begin anew: Exports, New export.")
    draft = Draft(dict(ui.context.client.request.query_params))
    _where(draft, step)
    match step:
        case "data":
            _form(draft, step, export_fields.of_data(draft))
        case "schema":
            await _schema(draft)
        case "destination":
            await _destination(draft)
        case "schedule":
            await _schedule(draft)
        case "test":
            await _test(draft)


def _where(draft: Draft, step: str) -> None:
    """The steps, with the way back to those that are done."""
    here = _ORDER.index(step)
    items = []
    for number, (key, title) in enumerate(STEPS):
        if number < here:
            item = Markup('<li class="done"><a href="{}">{}</a></li>').format(draft.url(key), title)
        else:
            current = Markup(' aria-current="step"') if number == here else Markup()
            item = Markup("<li{}>{}</li>").format(current, title)
        items.append(item)
    show(Markup('<nav aria-label="Steps"><ol class="wizard">{}</ol></nav>').format(marks.join(items)))


def _form(draft: Draft, step: str, fields: list[Any], connections: Sequence[Option] = ()) -> Form:
    """The form of a step: what is typed is kept in the URL at once."""

    async def changed(name: str, value: Any) -> None:
        draft.say({name: value})
        _keep(draft, step)
        if name in {"more", "mode"} and step == "schedule":
            form.set(export_fields.of_schedule(draft))
        if name == "connection":
            form.set(export_fields.of_destination(draft, connections, await _datasets(draft)))

    async def sent(given: dict[str, Any], _act: str) -> None:
        draft.say(given)
        await visit.call(lambda app: _checked(app, draft, step))
        ui.navigate.to(draft.url(_ORDER[_ORDER.index(step) + 1]))

    form = Form(fields, "Next", sent, on_change=changed)
    _back(draft, step)
    return form


def _keep(draft: Draft, step: str) -> None:
    ui.run_javascript(f"history.replaceState(history.state, '', {json_text(draft.url(step))})")


def _back(draft: Draft, step: str) -> None:
    """The way to the step before: it asks nothing of what is typed."""
    if number := _ORDER.index(step):
        with ui.element("div").classes("form-actions"):
            button("Back", lambda: ui.navigate.to(draft.url(_ORDER[number - 1])), sign="left")


def _checked(app: App, draft: Draft, step: str) -> ExportSpec:
    """What is said until a step, as it would be made.

    Raises
    ------
    ConfigError
        Something is wrong.
    ConflictError
        The name is taken.
    """
    early = step in {"data", "schema"}
    project, dataset = "project", "dataset"
    if not early:
        found = app.connections.get(draft["connection"])
        project, dataset = found.project, found.dataset
        try:
            app.exports.listed.get(draft["name"])
        except NotFoundError:
            pass
        else:
            raise ConflictError(
                "name_taken", f"There is an export {draft['name']} already.", hint="Choose another name."
            )
    return app.exports.draft(project, dataset, draft.fields(upto=step))


async def _schema(draft: Draft) -> None:
    """Which columns the table gets."""
    made = await visit.call(lambda app: _checked(app, draft, "schema"))
    model = made.definition
    shown = show("", "stack")

    def tell() -> None:
        found = model.columns_for(json_type=draft.json_type)
        rows = marks.join(
            Markup('<tr><th scope="row"><code>{}</code></th><td>{}</td><td>{}</td></tr>').format(
                column.name, marks.tag(f"ARRAY<{column.type}>" if column.repeated else str(column.type)),
                column.description,
            )
            for column in found
        )  # fmt: skip
        facts = [("Rows are known by", ", ".join(model.key) or "nothing: they are appended")]
        if model.versions:
            facts.append(("The newest stays, by", ", ".join(model.versions)))
        shown.show(
            Markup(
                '<p class="lead">{}</p>{}<div class="table-scroll" tabindex="0" role="region" aria-label="Columns">'
                '<table><thead><tr><th scope="col">Column</th><th scope="col">Type</th>'
                '<th scope="col">What it is</th></tr></thead><tbody>{}</tbody></table></div>'
            ).format(model.description, marks.facts(facts), rows)
        )

    async def changed(name: str, value: Any) -> None:
        draft.say({name: value})
        _keep(draft, "schema")
        tell()

    async def sent(given: dict[str, Any], _act: str) -> None:
        draft.say(given)
        ui.navigate.to(draft.url("destination"))

    tell()
    Form(export_fields.of_schema(draft), "Next", sent, on_change=changed)
    _back(draft, "schema")


async def _destination(draft: Draft) -> None:
    """Where rows go."""
    found = await visit.call(lambda app: app.connections.find())
    if not found:
        show(marks.empty("There is no connection yet", "An export needs BigQuery: connect it first.",
                         marks.goto("Connections", "/connections"), "plug"))  # fmt: skip
        _back(draft, "destination")
        return
    options = [Option(one.name, f"{one.name} ({one.project}.{one.dataset})") for one in found]
    if not draft["connection"] and len(found) == 1:
        draft.say({"connection": found[0].name})
    _form(draft, "destination", export_fields.of_destination(draft, options, await _datasets(draft)), options)


async def _datasets(draft: Draft) -> list[Option]:
    """Those that a connection sees, as proposals; none, if it cannot be asked now."""
    name = draft["connection"]
    if not name:
        return []
    try:
        found = await visit.slowly(lambda app: app.connections.datasets(name))
    except TidemillError:
        return []
    return [Option(dataset, f"{dataset} ({location})") for dataset, location in found]


async def _schedule(draft: Draft) -> None:
    """When rows go."""
    await visit.call(lambda app: _checked(app, draft, "destination"))
    _form(draft, "schedule", export_fields.of_schedule(draft))


async def _test(draft: Draft) -> None:
    """All of it once more, a test upload, and the end."""
    made = await visit.call(lambda app: _checked(app, draft, "test"))
    connection = await visit.call(lambda app: app.connections.get(draft["connection"]))
    dataset = draft["dataset"] or connection.dataset
    show(marks.panel("The export", _summary(draft, made, f"{connection.project}.{dataset}.{made.table}")))
    show(Markup('<p class="lead">{}</p>').format(export_trial.SAID))
    trial = export_trial.TrialPart()
    with ui.element("div").classes("form-actions") as row:
        pass

    async def run() -> None:
        with row:
            row.clear()
        good = await trial.run(
            lambda app, told: app.exports.trials.draft(draft["connection"], draft.fields(), told=told)
        )
        _ends(row, good=good)

    async def finish() -> None:
        by = visit.current().actor.by
        view, remarks = await visit.call(lambda app: app.exports.create(draft["connection"], draft.fields(), by=by))
        for remark in remarks:
            notices.notice(remark, "warning")
        ui.navigate.to(marks.path("/exports", view.name) + "?made=1")

    def _ends(into: ui.element, *, good: bool | None) -> None:
        into.clear()
        with into:
            if good is None:
                button("Test it", run, kind="primary", sign="play")
                button("Finish without a test", finish)
            elif good:
                button("Finish", finish, kind="primary", sign="check")
                button("Test it again", run)
            else:
                button("Test it again", run, kind="primary", sign="play")
                button("Finish all the same", finish)

    _ends(row, good=None)
    _back(draft, "test")


def _summary(draft: Draft, made: ExportSpec, target: str) -> Markup:
    events = ", ".join(made.include_events) or "all"
    if made.exclude_events:
        events += f", but not {', '.join(made.exclude_events)}"
    partition = (
        f"{made.partition_by.column} by {made.partition_by.granularity.lower()}" if made.partition_by else "none"
    )
    facts: list[tuple[str, str | Markup]] = [
        ("Name", made.name),
        ("Data", made.definition.title),
        ("Connection", draft["connection"]),
        ("Table", marks.copy(target)),
        ("Rows go", "as they come" if made.streams else f"by runs: {made.schedule}"),
        ("Partitioned by", partition),
        ("Clustered by", ", ".join(made.cluster_by) or "none"),
        ("JSON columns", "JSON" if made.json_type else "STRING"),
    ]
    if made.definition.event_column:
        facts.append(("Events", events))
    return marks.facts(facts)
