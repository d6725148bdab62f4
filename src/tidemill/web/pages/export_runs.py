"""The runs of an export, and one of them: what it did, by which jobs, and what can be done about it."""

from __future__ import annotations

import functools
import uuid
from typing import TYPE_CHECKING, Any

from markupsafe import Markup
from nicegui import ui

from tidemill.access.permissions import Permission
from tidemill.errors import NotFoundError
from tidemill.exports.listing import RUN_STATUSES
from tidemill.paging import Wanted
from tidemill.web import dialogs, frame, marks, notices, visit
from tidemill.web.buttons import button
from tidemill.web.live import live, stale
from tidemill.web.logs import log
from tidemill.web.page import page
from tidemill.web.pages import export_shown
from tidemill.web.region import Region
from tidemill.web.table import Asked, Column, Filter, Page, row_button, table

if TYPE_CHECKING:
    from nicegui.element import Element

    from tidemill.app import App
    from tidemill.exports.listing import ExportSettings, RunItem
    from tidemill.exports.triggers import TriggerView
    from tidemill.exports.views import RunView
    from tidemill.schedules.lines import LineView

_EVERY_SECONDS = 2.0
_FILTERS = (Filter("status", "Status", tuple((status, status) for status in RUN_STATUSES)),)
_LINES = 1_000
_PARENTS = (("Exports", "/exports"), ("{name}", "/exports/{name}"))


async def tab(export: ExportSettings) -> None:
    """Runs, newest first: all of them, or those of the backfill that the URL names."""
    await _wanted(export.name)
    backfill = _id("backfill")
    if backfill is not None:
        said = Markup('<p class="lead">Runs of one backfill. {}</p>')
        Region(said.format(marks.link("Runs of all kinds", f"{marks.path('/exports', export.name)}?tab=runs")))
    may = visit.current().may(Permission.EXPORTS_WRITE)

    def fetch(app: App, asked: Asked) -> Page[RunItem]:
        wanted = Wanted(asked.cursor or None, asked.limit)
        found = app.exports.listed.runs(export.name, backfill=backfill, status=asked["status"] or None, wanted=wanted)
        return Page(found.items, found.next or "")

    columns = export_shown.columns()
    if may:
        columns.append(Column("act", "", _acts, end=True))

    async def act(what: str, run_id: str) -> None:
        await do(what, export.name, run_id)

    nothing = marks.empty(
        "It has not run yet", "It runs by its schedule, while tidemill serve has a worker; or at once, by Run now.",
        sign="clock",
    )  # fmt: skip
    caption = "Runs" if backfill is None else f"Runs of the backfill {backfill}"  # pages of the same one share a look
    await table(columns, fetch, caption=caption, filters=_FILTERS, empty=nothing, row_key=lambda run: run.id,
                on_act=act, every=_EVERY_SECONDS)  # fmt: skip


async def _wanted(name: str) -> None:
    """How it stands with what was asked for a moment ago: its id is in the URL."""
    wanted = _id("wanted")
    if wanted is None:
        return
    said = Region().props('role="status" aria-live="polite"')

    def look(app: App) -> TriggerView | None:
        try:
            return app.exports.triggers.get(name, wanted)
        except NotFoundError:
            return None

    def shown(found: TriggerView | None) -> None:
        said.show(_told(found))

    await live(("wanted", wanted), look, shown, every=1.0)


def _id(name: str) -> uuid.UUID | None:
    """An id that the URL has; None, if what it has is none."""
    try:
        return uuid.UUID(ui.context.client.request.query_params.get(name, ""))
    except ValueError:
        return None


def _told(found: TriggerView | None) -> Markup:
    if found is None:
        return Markup()
    if found.error and found.is_over:
        kind, text, hint = "bad", found.error["message"], found.error.get("hint", "")
    elif found.error:
        kind, text, hint = "warning", f"It waits: {found.error['message']}", found.error.get("hint", "")
    elif found.is_over:
        kind, hint = "good", ""
        text = "Done." if found.runs else "Done: there was nothing new."
    elif found.status == "running":
        kind, text, hint = "warning", "A worker is at it.", ""
    else:
        kind, text = "warning", "It waits for a worker."
        hint = "Workers are part of tidemill serve. If none runs, start one."
    return notices.box(text, kind, hint=hint)


def _acts(run: RunItem) -> Markup:
    found = [row_button(text, act, run.id, label=f"{text}: run {run.number}") for text, act in choices(run)]
    return Markup('<span class="row-acts">{}</span>').format(marks.join(found))


def choices(run: RunItem) -> list[tuple[str, str]]:
    """What can be done about a run."""
    if run.mode == "stream":
        return []
    if run.status == "running":
        return [("Cancel", "cancel")]
    if run.status == "completed":
        return [("Run again", "again")]
    return [("Retry", "retry"), ("Cancel", "cancel")] if run.status == "interrupted" else [("Retry", "retry")]


async def do(what: str, name: str, run_id: str) -> None:
    """Have something done about a run."""
    by = visit.current().actor.by
    wanted = None
    if what == "retry":
        wanted = await visit.call(lambda app: app.exports.triggers.retry(run_id, by=by))
    elif what == "again" and await dialogs.confirm(
        "Send all rows of this run again?",
        ["They are merged with what the table holds: none is there twice.", "Merging is billed by BigQuery."],
        action="Run again", kind="primary",
    ):  # fmt: skip
        wanted = await visit.call(lambda app: app.exports.triggers.again(run_id, by=by))
    elif what == "cancel" and await dialogs.confirm(
        "Cancel this run?",
        ["Its job in BigQuery is cancelled, too.", "What is in the table stays. Retry goes on with it."],
        action="Cancel the run",
    ):
        notices.notice("It is being cancelled.", "warning")
        found = await visit.slowly(lambda app: app.exports.runs.cancel(run_id))
        notices.notice(f"Run {found.number} is {found.status}.")
        stale(("run", run_id))
    if wanted is not None:
        ui.navigate.to(f"{marks.path('/exports', name)}?tab=runs&wanted={wanted.id}")


@page("Run", Permission.EXPORTS_READ, "/exports/{name}/runs/{run_id}", parents=_PARENTS)
async def run(name: str, run_id: str) -> None:
    """One run."""
    settings = await visit.call(lambda app: app.exports.listed.get(name))
    location = await _location(settings.connection)
    buttons = frame.actions()
    may, offered = visit.current().may(Permission.EXPORTS_WRITE), list[tuple[str, str]]()
    shown = Region().classes("stack")

    def show(found: tuple[RunItem, RunView, list[LineView]]) -> None:
        if may and choices(found[0]) != offered:
            offered[:] = choices(found[0])
            _offer(buttons, offered, name, run_id)
        shown.show(_whole(*found, project=settings.target.split(".")[0], location=location))

    def look(app: App) -> tuple[RunItem, RunView, list[LineView]]:
        lines = app.exports.logs.of_run(run_id, limit=_LINES)
        return app.exports.listed.run(name, run_id), app.exports.runs.get(run_id), lines

    await live(("run", run_id), look, show, every=_EVERY_SECONDS)
    Region(Markup("<h2>Log</h2>"))
    await log(lambda app, _, wanted: app.exports.logs.of_run(run_id, **wanted), f"Log of run {run_id}")


def _offer(place: Element, offered: list[tuple[str, str]], name: str, run_id: str) -> None:
    """Buttons for what can be done about a run now."""
    place.clear()
    with place:
        for text, act in offered:
            button(text, functools.partial(do, act, name, run_id), kind="danger" if act == "cancel" else "primary")


async def _location(connection: str) -> str | None:
    if not visit.current().may(Permission.CONNECTIONS_READ):
        return None
    return (await visit.call(lambda app: app.connections.get(connection))).location


def _whole(item: RunItem, view: RunView, lines: list[LineView], *, project: str, location: str | None) -> Markup:
    facts: list[tuple[str, str | Markup]] = [
        ("Export", marks.thing("/exports", item.export)),
        ("Status", marks.badge(item.status)),
        ("Rows", export_shown.far(item)),
        ("Interval", export_shown.interval(item.interval_start, item.interval_end)),
        ("Number", f"{item.number:,}"),
        ("Id", marks.copy(str(item.id))),
        ("Kind", marks.tag(item.kind)),
        ("Rows set aside", marks.number(item.rows_rejected)),
        ("Sent", marks.size(item.bytes_done)),
        ("Billed", marks.size(item.bytes_billed)),
        ("Cost, about", f"{item.cost_estimate:.4f} dollars"),
        ("Took", marks.duration(export_shown.seconds(item))),
        ("Began", marks.when(item.started_at)),
        ("Ended", marks.when(item.finished_at, otherwise="not yet")),
        ("By", item.created_by),
    ]
    if view.merge_job_id:
        facts.append(("Job of the MERGE", export_shown.job(project, location, view.merge_job_id)))
    found = marks.facts(facts)
    if item.error is not None and item.status != "completed":
        found = notices.box(item.error.message, hint=item.error.hint, code=item.error.code) + found
    if view.notes:
        notes = marks.join(Markup("<li>{}</li>").format(note) for note in view.notes)
        found += marks.panel("Remarks", Markup('<ul class="list">{}</ul>').format(notes))
    return found + _attempts(item, lines) + _chunks(view, project, location)


def _attempts(item: RunItem, lines: list[LineView]) -> Markup:
    """Each time it was begun, by what was told of it."""
    found: dict[int, list[LineView]] = {}
    for line in lines:
        if line.attempt:
            found.setdefault(line.attempt, []).append(line)
    rows = []
    for number in range(item.attempt, 0, -1):
        told = found.get(number, [])
        errors = [line.message for line in told if line.level == "error"]
        said = errors[-1] if errors else told[-1].message if told else "its log is not kept any more"
        took = (told[-1].at - told[0].at).total_seconds() if told else None
        rows.append(
            Markup('<tr><th scope="row">{}</th><td>{}</td><td class="end">{}</td><td>{}</td></tr>').format(
                f"Attempt {number}", marks.when(told[0].at if told else None), marks.duration(took), said
            )
        )
    return _panel("Attempts", ("Attempt", "Began", "Took", "At the end"), rows)


def _chunks(view: RunView, project: str, location: str | None) -> Markup:
    """The parts in which rows were sent, each with its job."""
    rows = [
        Markup(
            '<tr><th scope="row">{}</th><td>{}</td><td class="end">{}</td><td class="end">{}</td><td>{}</td></tr>'
        ).format(
            part.number + 1, marks.badge(part.status), marks.number(part.rows), marks.size(part.bytes),
            export_shown.job(project, location, part.job_id),
        )
        for part in view.chunks[:_MOST_CHUNKS]
    ]  # fmt: skip
    left = len(view.chunks) - len(rows)
    if left > 0:
        rows.append(Markup('<tr><td colspan="5" class="muted">and {} more</td></tr>').format(f"{left:,}"))
    return _panel("Parts", ("Part", "Status", "Rows", "Sent", "Job in BigQuery"), rows)


_MOST_CHUNKS = 200


def _panel(title: str, heads: tuple[str, ...], rows: list[Any]) -> Markup:
    if not rows:
        return Markup()
    ends = {"Took", "Rows", "Sent"}  # numbers stand at the end
    head = marks.join(
        Markup('<th scope="col"{}>{}</th>').format(Markup(' class="end"') if one in ends else Markup(), one)
        for one in heads
    )
    inner = Markup(
        '<div class="table-scroll plain" tabindex="0" role="region" aria-label="{}"><table><thead><tr>{}</tr></thead>'
        "<tbody>{}</tbody></table></div>"
    ).format(title, head, marks.join(rows))
    return marks.panel(title, inner)
