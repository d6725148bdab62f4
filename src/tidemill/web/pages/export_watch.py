"""What can be watched of an export: charts of its runs, and their log."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from markupsafe import Markup
from nicegui import ui

from tidemill.paging import MOST, Wanted
from tidemill.web import marks
from tidemill.web.chart import Chart, Series
from tidemill.web.live import live
from tidemill.web.logs import log
from tidemill.web.pages import export_shown
from tidemill.web.region import Region, show

if TYPE_CHECKING:
    from tidemill.app import App
    from tidemill.exports.listing import ExportSettings, RunItem

_EVERY_SECONDS = 5.0


def _lag(run: RunItem) -> float | None:
    """Minutes from the end of what a run covers to its own end."""
    if run.interval_end is None or run.finished_at is None:
        return None
    return round(max(0.0, (run.finished_at - run.interval_end).total_seconds()) / 60, 2)


#: The charts: what each shows, in what, and of a run how much.
_CHARTS: tuple[tuple[str, str, Callable[[RunItem], float | None]], ...] = (
    ("Rows of each run", "rows", lambda run: run.rows_done),
    ("Lag when a run had ended", "minutes", _lag),
    ("How long runs took", "seconds", export_shown.seconds),
    ("Bytes billed", "bytes", lambda run: run.bytes_billed),
)
_ENDS = {"completed": "var(--series-1)", "failed": "var(--bad)", "cancelled": "var(--line-strong)"}


async def metrics(export: ExportSettings) -> None:
    """Charts of the newest runs that are over."""
    nothing = Region()
    with ui.element("div").classes("grid-2"):
        charts = [_panel(title, unit) for title, unit, _ in _CHARTS]
        failures = _panel("Runs by how they ended", "runs", stacked=True)

    def look(app: App) -> list[RunItem]:
        found = app.exports.listed.runs(export.name, wanted=Wanted(None, MOST)).items
        return [run for run in reversed(found) if run.finished_at]

    def shown(runs: list[RunItem]) -> None:
        nothing.show(Markup() if runs else marks.empty("No run has ended yet", "Charts begin with the first run."))
        times = [run.finished_at for run in runs if run.finished_at]
        for chart, (title, _, value) in zip(charts, _CHARTS, strict=True):
            chart.show(times, [Series(title, [value(run) for run in runs])])
        by_day = [(day, list(of)) for day, of in itertools.groupby(runs, _day)]
        series = [
            Series(status.capitalize(), [sum(run.status == status for run in of) for _, of in by_day], colour)
            for status, colour in _ENDS.items()
        ]
        failures.show([day for day, _ in by_day], series)

    await live(("metrics", export.name), look, shown, every=_EVERY_SECONDS)


def _day(run: RunItem) -> Any:
    return run.finished_at and run.finished_at.replace(hour=0, minute=0, second=0, microsecond=0)


def _panel(title: str, unit: str, *, stacked: bool = False) -> Chart:
    with ui.element("section").classes("panel"):
        show(Markup('<div class="panel-head"><h2>{}</h2>{}</div>').format(title, marks.muted(unit)))
        with ui.element("div").classes("panel-body"):
            return Chart(f"{title} ({unit})", unit=unit, stacked=stacked)


async def logs(export: ExportSettings) -> None:
    """What its newest run, and what is done for it since, tell."""
    show(
        Markup('<p class="muted">Of the newest run, and of what happened since, the newest first. Each run has a page '
               "with a log of its own.</p>")
    )  # fmt: skip

    await log(lambda app, _, wanted: app.exports.logs.of_export(export.name, **wanted), f"Log of {export.name}")
