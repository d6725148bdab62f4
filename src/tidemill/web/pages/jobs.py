"""All jobs: the runs of all exports and of all syncs, as they go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from tidemill.access.permissions import Permission
from tidemill.exports.listing import RUN_STATUSES
from tidemill.paging import Wanted
from tidemill.web import marks, visit
from tidemill.web.page import page
from tidemill.web.pages import export_shown
from tidemill.web.places import has
from tidemill.web.region import show
from tidemill.web.table import Asked, Column, Filter, Page, paged, table
from tidemill.web.tabs import tabs

if TYPE_CHECKING:
    from tidemill.app import App
    from tidemill.exports.listing import RunItem

_EVERY_SECONDS = 2.0
#: So many of the newest runs of syncs.
_SYNC_RUNS = 1_000
_TABS = (("exports", "Exports"), ("syncs", "Syncs"))
_STATUSES = tuple((status, status) for status in RUN_STATUSES)


@page("All jobs", Permission.EXPORTS_READ, "/jobs")
async def jobs() -> None:
    """Runs of everything, newest first."""
    may_syncs = visit.current().may(Permission.SYNCS_READ)
    show(Markup('<p class="lead">Each time something was moved, newest first.</p>'))
    here = tabs("Jobs", _TABS if may_syncs else _TABS[:1])
    if here == "syncs":
        nothing = marks.empty("No sync has run yet", "Runs of syncs and imports are listed here.", sign="sync")
        await table(_sync_columns(), _syncs, caption="Runs of syncs", empty=nothing, row_key=lambda run: run.id,
                    filters=(Filter("search", "Search names"),), every=_EVERY_SECONDS)  # fmt: skip
        return
    nothing = marks.empty(
        "No export has run yet", "Runs begin by the schedule of an export, or by hand.",
        marks.goto("Exports", "/exports"), "clock",
    )  # fmt: skip
    await table(export_shown.columns(with_export=True), _exports, caption="Runs of exports", empty=nothing,
                row_key=lambda run: run.id, filters=(Filter("status", "Status", _STATUSES),),
                every=_EVERY_SECONDS)  # fmt: skip


def _exports(app: App, asked: Asked) -> Page[RunItem]:
    found = app.exports.listed.runs(status=asked["status"] or None, wanted=Wanted(asked.cursor or None, asked.limit))
    return Page(found.items, found.next or "")


def _syncs(app: App, asked: Asked) -> Page[Any]:
    return paged(app.reverse_etl.syncs.runs(limit=_SYNC_RUNS), asked, texts=lambda run: str(run.sync))


def _sync(run: Any) -> Markup:
    """The name of a sync, with the way to its page."""
    return marks.thing("/syncs", run.sync) if has("/syncs") else Markup("<strong>{}</strong>").format(run.sync)


def _sync_columns() -> list[Column[Any]]:
    return [
        Column("sync", "Sync", _sync),
        Column("number", "Run", lambda run: marks.number(run.number), end=True),
        Column("status", "Status", lambda run: marks.badge(run.status)),
        Column("began", "Began", lambda run: marks.when(run.began_at)),
        Column("ended", "Ended", lambda run: marks.when(run.finished_at, otherwise="not yet")),
    ]
