"""Whether the table of an export holds what it should: by day, by one cheap query, or id by id."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup
from nicegui import ui

from tidemill.access.permissions import Permission
from tidemill.web import dialogs, marks, notices, visit
from tidemill.web.buttons import button
from tidemill.web.form import Field, Form
from tidemill.web.region import Region, show

if TYPE_CHECKING:
    from tidemill.exports.check import Checked, Example
    from tidemill.exports.listing import ExportSettings
    from tidemill.exports.verify import Verified

_DAYS = Field("days", "Days", "number", required=False, least=1, greatest=36_500, help="So many of the last days; "
              "empty: all.")  # fmt: skip
_MOST_DAYS = 100


async def tab(export: ExportSettings) -> None:
    """The last verification, and another one."""
    name, may = export.name, visit.current().may(Permission.EXPORTS_WRITE)
    view = await visit.call(lambda app: app.exports.get(name))
    last = marks.muted("It was not verified yet.")
    if view.last_verified:
        last = Markup("{}: {}").format(marks.when(view.last_verified_at), view.last_verified)
    facts = [("Last verification", last), ("Verified daily", view.verify_daily)]
    if view.in_doubt_since:
        facts.append(("In doubt since", marks.when(view.in_doubt_since)))
    show(marks.panel("The table", marks.facts([*facts, ("Table", marks.copy(export.target))])))
    if may:
        await _verifying(name)
    said = Region()

    async def check() -> None:
        said.show(Markup('<p role="status"><span class="spinner"></span> BigQuery is asked …</p>'))
        try:
            said.show(_checked(await visit.slowly(lambda app: app.exports.tables.check(name))))
        except Exception:
            said.show("")
            raise

    async def example() -> None:
        said.show(Markup('<p role="status"><span class="spinner"></span> BigQuery is asked …</p>'))
        try:
            said.show(_example(await visit.slowly(lambda app: app.exports.tables.example(name))))
        except Exception:
            said.show("")
            raise

    with ui.element("div").classes("form-actions"):
        if not export.spec.query:
            button("Check each id", check)
        if export.spec.model == "events":
            button("Ask the table an example", example)
    said.move(target_index=-1)


async def _verifying(name: str) -> None:
    """A verification now; and the repair of what it finds missing."""
    by = visit.current().actor.by

    async def sent(given: dict[str, Any], _act: str) -> None:
        days = int(given["days"]) if given.get("days") else None
        found.show(Markup('<p role="status"><span class="spinner"></span> The table is held against the store …</p>'))
        try:
            verified = await visit.slowly(lambda app: app.exports.tables.verify(name, days=days, by=by))
        except Exception:
            found.show("")
            raise
        found.show(_verified(verified))
        acts.clear()
        if any(day.missing or not day.same for day in verified.different):
            with acts:
                button("Bring in what is missing", lambda: _repair(name, verified), kind="primary")

    with ui.element("section").classes("panel"):
        show(Markup('<div class="panel-head"><h2>Verify now</h2></div>'))
        with ui.element("div").classes("panel-body stack"):
            Form([_DAYS], "Verify", sent)
            found = Region()
            acts = ui.element("div").classes("form-actions")


async def _repair(name: str, verified: Verified) -> None:
    by = visit.current().actor.by
    estimate = await visit.slowly(lambda app: app.exports.tables.repair(name, verified))
    if estimate is None:
        notices.notice("Nothing is missing.")
        return
    does = [f"{estimate.rows:,} rows in {len(estimate.intervals):,} intervals are exported again, and merged."]
    if await dialogs.confirm("Bring in what is missing?", does, action="Begin", kind="primary"):
        await visit.call(lambda app: app.exports.backfills.begin(name, estimate, by=by, parallel=1, background=True))
        ui.navigate.to(f"{marks.path('/exports', name)}?tab=backfills")


def _verified(found: Verified) -> Markup:
    """What was found, by day."""
    good = not found.different
    said = f"{found.rows:,} rows of {found.expected:,} in {found.days:,} days"
    kind, title = ("good", "All rows are there, each once.") if good else ("bad", "Days differ.")
    billed = Markup("<p>{}, {} billed.</p>").format(said, marks.size(found.bytes_billed))
    head = notices.box(title, kind, body=billed, role="status")
    rows = marks.join(
        Markup('<tr><th scope="row">{}</th><td class="end">{}</td><td class="end">{}</td><td class="end">{}</td>'
               '<td class="end">{}</td></tr>').format(
            day.day or "all days", marks.number(day.expected), marks.number(day.rows), marks.number(day.missing),
            marks.number(day.duplicated + day.foreign),
        )
        for day in found.different[:_MOST_DAYS]
    )  # fmt: skip
    notes = marks.join(Markup('<p class="muted">{}</p>').format(note) for note in found.notes)
    heads = ("Day", "Expected", "There", "Missing", "Too many")
    return head + notes + (_table("Days that differ", heads, rows, numbers=True) if rows else Markup())


def _checked(found: Checked) -> Markup:
    pairs = [("Expected", found.expected), ("Rows", found.rows), ("Missing", found.missing)]
    pairs += [("There twice", found.duplicated), ("Not expected", found.foreign)]
    return marks.panel("Each id", marks.facts([(name, marks.number(value)) for name, value in pairs]))


def _example(found: Example) -> Markup:
    rows = marks.join(
        Markup("<tr>{}</tr>").format(marks.join(Markup("<td>{}</td>").format(value) for value in row))
        for row in found.rows
    )
    return marks.panel("An example", marks.command(found.sql) + _table("The answer", found.columns, rows))


def _table(title: str, heads: Sequence[str], rows: Markup, *, numbers: bool = False) -> Markup:
    """`numbers`: in all columns but the first."""
    end = Markup(' class="end"')
    head = marks.join(
        Markup('<th scope="col"{}>{}</th>').format(end if numbers and index else Markup(), one)
        for index, one in enumerate(heads)
    )
    return Markup(
        '<div class="table-scroll" tabindex="0" role="region" aria-label="{}"><table><thead><tr>{}</tr></thead>'
        "<tbody>{}</tbody></table></div>"
    ).format(title, head, rows)
