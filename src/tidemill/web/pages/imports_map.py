"""The steps of an import after the first: what becomes of its rows, a dry run, and when it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from markupsafe import Markup
from nicegui import ui

from tidemill.access.permissions import Permission
from tidemill.imports.spec import Kind
from tidemill.web import frame, marks, notices, visit
from tidemill.web.buttons import button
from tidemill.web.form import Field, Form, Option
from tidemill.web.page import page
from tidemill.web.pages import data
from tidemill.web.pages.imports_columns import Columns
from tidemill.web.pages.imports_fields import mapping_fields
from tidemill.web.pages.imports_steps import path_of, run_now, steps
from tidemill.web.pages.telling import Progress
from tidemill.web.region import Region, show

if TYPE_CHECKING:
    from tidemill.imports.service import DryRun, ImportView
    from tidemill.reverse_etl.model_check import Inspection
    from tidemill.reverse_etl.service import Preview

_PARENTS = (("Imports", "/imports"),)
_KINDS = (
    (Kind.PEOPLE, "People", "each row sets properties of a person"),
    (Kind.EVENTS, "Events", "each row is an event"),
    (Kind.DELETIONS, "Deletions", "each row names a person that is to be deleted"),
)
_ROWS = 10
_TRIED = 100
_MOST_ERRORS = 50


@page("Mapping of {name}", Permission.IMPORTS_WRITE, "/imports/{name}/map", parents=_PARENTS)
async def mapping(name: str, kind: str = "") -> None:
    """What becomes of the rows."""
    view = await visit.call(lambda app: app.imports.get(name))
    steps("map", name)
    chosen = Kind(kind or view.kind or "people") if (kind or view.kind or "people") in set(Kind) else Kind.PEOPLE
    show(_kinds(name, chosen))
    inspected, given = await visit.slowly(lambda app: (app.imports.look(name), app.imports.suggested(name, chosen)))
    growing = given.pop("cursor")
    if view.spec is not None and view.spec.kind is chosen:
        given = view.spec.model_dump(mode="json")
    else:
        show(Markup('<p class="muted">Proposed by the names and types of columns. Change what is not so.</p>'))
    columns = Columns(chosen, inspected.columns, given)
    _column_buttons(name, columns, inspected, chosen)

    async def sent(said: dict[str, Any], _act: str) -> None:
        reset = said.pop("reset", None)
        fields = {**said, **columns.fields()}
        if "event_column" in fields:
            fields.pop("event", None)
        if fields.get("extraction") != "cursor":
            fields = {key: value for key, value in fields.items() if not key.startswith("cursor")}
        await visit.slowly(lambda app: app.imports.map(name, chosen, fields, reset=reset))
        frame.go(path_of(name, "try"))

    Form(mapping_fields(view, chosen, inspected, given, growing), "Save and try it", sent)


def _kinds(name: str, chosen: Kind) -> Markup:
    items = marks.join(
        Markup('<li><a href="{}"{}>{}</a></li>').format(
            path_of(name, "map", kind=kind.value),
            Markup(' aria-current="page"') if kind is chosen else Markup(),
            title,
        )
        for kind, title, _ in _KINDS
    )
    said = next(text for kind, _, text in _KINDS if kind is chosen)
    return Markup(
        '<nav class="tabs" aria-label="What rows become"><ul>{}</ul></nav><p class="below-tabs">{}.</p>'
    ).format(items, said[:1].upper() + said[1:])


def _column_buttons(name: str, columns: Columns, inspected: Inspection, kind: Kind) -> None:
    rows = Region()

    async def preview() -> None:
        found = await visit.slowly(lambda app: app.imports.preview(name, _ROWS))
        columns.examples(found.rows)
        rows.show(_rows(found))

    with ui.element("div").classes("page-actions"):
        button("See the first rows", preview, sign="search")
        if kind is not Kind.DELETIONS:
            button("Map all others", lambda: columns.others("property"), kind="quiet")
            button("Leave all others out", lambda: columns.others("skip"), kind="quiet")
    cost = Markup('<p class="muted">The first rows are read for up to {} (about ${}), which BigQuery bills.</p>')
    show(cost.format(marks.size(inspected.bytes), f"{inspected.dollars:.4f}"))
    rows.move(target_index=-1)


def _rows(found: Preview) -> Markup:
    head = marks.join(Markup('<th scope="col">{}</th>').format(column) for column in found.columns)
    body = marks.join(
        Markup("<tr>{}</tr>").format(
            marks.join(
                Markup('<td data-title="{}">{}</td>').format(
                    column, marks.muted("NULL") if row.get(column) is None else data.brief(row[column], 60)
                )
                for column in found.columns
            )
        )
        for row in found.rows
    )
    table = Markup(
        '<div class="table-scroll" tabindex="0" role="region" aria-label="The first rows"><table><thead><tr>{}</tr>'
        "</thead><tbody>{}</tbody></table></div>"
    ).format(head, body)
    nothing = Markup('<p class="muted">There are no rows.</p>')
    return Markup('{}<p class="muted">Billed for {}.</p>').format(
        table if found.rows else nothing, marks.size(found.bytes_billed)
    )


@page("Dry run of {name}", Permission.IMPORTS_WRITE, "/imports/{name}/try", parents=_PARENTS)
async def dry_run(name: str) -> None:
    """Random rows, and what would become of them."""
    await visit.call(lambda app: app.imports.get(name))
    steps("try", name)
    show(
        Markup(
            '<p class="lead">Up to {} random rows are read and mapped. Nothing is stored; the statement is billed.</p>'
        ).format(_TRIED)
    )
    with ui.element("div").classes("page-actions"):
        run = button("Try it", lambda: tried(write=False), kind="primary", sign="play")
        button("Try, and take these rows in", lambda: tried(write=True), kind="plain")
    place = ui.element("div")
    result = Region()
    with ui.element("div").classes("page-actions"):
        show(marks.goto("Back to the mapping", path_of(name, "map"), "plain"))
        show(marks.goto("Go on: when it runs", path_of(name, "schedule"), "plain"))

    async def tried(*, write: bool) -> None:
        with place:
            progress = Progress()
            stop = button("Stop", progress.stop)
        try:
            found = await visit.slowly(
                lambda app: app.imports.dry_run(name, progress.watch, number=_TRIED, write=write)
            )
        finally:
            progress.end()
            stop.delete()
        result.show(_tried(found))
        if found.written:
            notices.notice(f"{found.good:,} rows are taken in.")
        run.update()


def _tried(found: DryRun) -> Markup:
    counts = found.counts
    bad = found.rows - found.good - found.left_out
    kind = marks.BAD if bad else marks.GOOD
    figures = [
        marks.figure("Would be taken", f"{found.good:,}", f"of {found.rows:,} random rows", kind),
        marks.figure("Would be refused", f"{bad:,}", "see why below", kind),
        marks.figure("A run would take", f"{counts['extracted']:,}",
                     f"{counts['added']:,} added, {counts['updated']:,} updated, {counts['deleted']:,} deleted"),
        marks.figure("Billed", marks.size(found.bytes_billed), f"about ${found.dollars:.4f}"),
    ]  # fmt: skip
    if found.left_out:
        figures.append(marks.figure("Left out", f"{found.left_out:,}", "people who are not known"))
    if counts["invalid"]:
        figures.append(marks.figure("Without a key", f"{counts['invalid']:,}", "cannot be taken", marks.BAD))
    errors = marks.join(
        Markup("<li><code>{}</code> {} <code>{}</code></li>").format(one.key, one.message, one.code)
        for one in found.errors[:_MOST_ERRORS]
    )
    parts = [marks.figures(figures), marks.panel("Columns", _verdicts(found))]
    if found.errors:
        more = len(found.errors) - _MOST_ERRORS
        said = f"and {more:,} more" if more > 0 else ""
        parts.append(marks.panel("Refused rows", Markup('<ul class="list">{}</ul><p>{}</p>').format(errors, said)))
    if found.stored:
        stored = marks.join(data.as_json(one) for one in found.stored)
        parts.append(marks.panel("What would be stored", Markup('<div class="stack">{}</div>').format(stored)))
    return Markup('<div class="stack">{}</div>').format(marks.join(parts))


def _verdicts(found: DryRun) -> Markup:
    if not found.verdicts:
        return Markup('<p class="muted">There was no row to try.</p>')
    rows = (
        Markup(
            '<tr><td data-title="">{}</td><th scope="row"><code>{}</code></th><td data-title="Becomes">{}</td>'
            '<td data-title="Read as">{}</td><td data-title="Fit">{}</td><td data-title="Read"><code>{}</code></td>'
            '<td data-title="Stored"><code>{}</code></td></tr>'
        ).format(
            marks.badge("fits", marks.GOOD) if one.is_ok else marks.badge("does not fit", marks.BAD),
            one.column, one.target, one.kind, f"{one.rows - one.bad:,} of {one.rows:,}",
            data.brief(one.read, 40), "–" if one.bad == one.rows else data.brief(one.stored, 40),
        )
        for one in found.verdicts
    )  # fmt: skip
    head = marks.join(
        Markup('<th scope="col">{}</th>').format(title or Markup('<span class="unseen">Verdict</span>'))
        for title in ("", "Column", "Becomes", "Read as", "Fit", "Read", "Stored")
    )
    return Markup(
        '<div class="table-scroll plain" tabindex="0" role="region" aria-label="Verdicts"><table><thead><tr>{}</tr>'
        "</thead><tbody>{}</tbody></table></div>"
    ).format(head, marks.join(rows))


@page("Schedule of {name}", Permission.IMPORTS_WRITE, "/imports/{name}/schedule", parents=_PARENTS)
async def schedule(name: str) -> None:
    """When it runs."""
    view = await visit.call(lambda app: app.imports.get(name))
    steps("schedule", name)
    show(Markup('<p class="lead">Workers run it. People come before events of the same connection.</p>'))

    async def sent(given: dict[str, Any], act: str) -> None:
        changes, once = _schedule(given)
        made = await visit.call(lambda app: app.imports.edit(name, changes, once=once))
        if act == "run":
            by = visit.current().actor.by
            await visit.call(lambda app: run_now(app, name, by))
        frame.go(path_of(made.name, tab="runs") if act == "run" else path_of(made.name))

    Form(schedule_fields(view), "Save", sent, others=(("run", "Save and run it now"),))


_OFTEN = (
    Option("none", "By hand alone"),
    Option("once", "Once"),
    Option("every 5 minutes", "Every 5 minutes"),
    Option("every 15 minutes", "Every 15 minutes"),
    Option("hour", "Every hour"),
    Option("day", "Every day"),
    Option("week", "Every week"),
    Option("cron", "By a cron expression"),
)


def schedule_fields(view: ImportView) -> list[Field]:
    """When it runs, as it is."""
    known = {one.value for one in _OFTEN}
    often = "once" if view.once else view.interval if view.interval in known else "cron"
    timed = ("often", ("hour", "day", "week"))
    return [
        Field("often", "How often", "select", options=_OFTEN, value=often),
        Field("cron", "Cron expression", when=("often", ("cron",)), mono=True, placeholder="0 6 * * 1-5",
              value=view.interval if often == "cron" else None),
        Field("time_zone", "Time zone", required=False, placeholder="Europe/Berlin",
              help="Empty: as it is, at first UTC.",              when=("often", ("day", "week", "cron"))),
        Field("offset", "So long after it begins", required=False, placeholder="3h", when=timed,
              help="Empty: as it is, at first none."),
        Field("pause_after", "Paused after failed runs", "number", required=False, least=1,
              help="Empty: as it is."),
    ]  # fmt: skip


def _schedule(given: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    often = given["often"] or "none"
    once = often == "once"
    interval = given.get("cron") if often == "cron" else "none" if once else often
    changes = {"interval": interval, **{name: given.get(name) for name in ("time_zone", "offset", "pause_after")}}
    return {name: value for name, value in changes.items() if value is not None}, once
