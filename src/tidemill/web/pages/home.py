"""Home: what runs, what failed, how fresh tables are, how much goes, and what needs a decision."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from markupsafe import Markup
from nicegui import ui

from tidemill.web import marks, notices, visit
from tidemill.web.chart import Chart, Series
from tidemill.web.live import live
from tidemill.web.marks import BAD, GOOD, QUIET, WARNING
from tidemill.web.page import page
from tidemill.web.places import has
from tidemill.web.region import Region, show

if TYPE_CHECKING:
    from tidemill.app import App
    from tidemill.overview import Decision, Failed, Fresh, Running, State

_EVERY_SECONDS = 3.0
_LATE = dt.timedelta(hours=3)
#: Where the things of a kind are: pages that may not be there yet.
_PLACES = {"export": "/exports", "stream": "/exports", "sync": "/syncs", "import": "/imports"}


@page("Home", None, "/")
async def home(changed: str = "") -> None:
    """The first page."""
    if changed == "password":
        notices.notice("Your password is changed. Other devices are signed out.")
    state = await visit.call(_look)
    if state.is_empty:
        _begin()
        return
    figures = show("")
    decisions = Region().classes("decisions")
    with ui.element("div").classes("grid-2"):
        running, failed = Region(), Region()
    with ui.element("section").classes("panel"):
        show(Markup('<div class="panel-head"><h2>Rows an hour</h2></div>'))
        with ui.element("div").classes("panel-body"):
            chart = Chart("Rows an hour", unit="rows", stacked=True)
    fresh = Region()

    def shown(found: State) -> None:
        figures.show(_figures(found))
        decisions.show(_decisions(found.decisions))
        running.show(marks.panel("Running now", _running(found.running)))
        failed.show(marks.panel("Failed last", _failed(found.failed)))
        times = [hour.start for hour in found.hours]
        series = [Series("Exported", [hour.exported for hour in found.hours])]
        series.append(Series("Delivered by syncs", [hour.delivered for hour in found.hours]))
        chart.show(times, series)
        fresh.show(marks.panel("Freshness of tables", _fresh(found.fresh)))

    await live("home", _look, shown, every=_EVERY_SECONDS)


def _look(app: App) -> State:
    return app.overview.look()


def _begin() -> None:
    """The ways to begin, where nothing is there yet."""
    ways = (
        (
            "Send events from your app or site",
            "Point the SDK you have (PostHog, Segment, RudderStack, Amplitude) at this server. You need a key for it.",
            "tidemill key create --team 1",
            ("/settings/keys", "Make a key"),
        ),
        (
            "Load events that you have",
            "Files of PostHog, Amplitude, Segment or Mixpanel, or JSON lines of your own.",
            "tidemill events load FILE --team 1",
            None,
        ),
        (
            "Connect BigQuery",
            "A service account key, a project and a dataset: then export events, or bring rows of BigQuery elsewhere.",
            "tidemill connection add NAME --dataset DATASET --key KEY.json",
            ("/connections", "Connect BigQuery"),
        ),
    )
    cards = Markup()
    for title, text, line, place in ways:
        go = marks.goto(place[1], place[0], "plain") if place and has(place[0]) else Markup()
        cards += Markup(
            '<li class="way"><h2>{}</h2><p class="muted">{}</p>{}<p class="muted way-or">In a shell:</p>{}</li>'
        ).format(title, text, go, marks.command(line))
    show(Markup('<p class="lead">Nothing is here yet. There are three ways to begin.</p>'))
    show(Markup('<ol class="ways">{}</ol>').format(cards))


def _figures(state: State) -> Markup:
    counts = state.counts
    waiting = counts["set_aside"] + counts["not_delivered"]
    found = [
        marks.figure("Running", f"{len(state.running):,}", f"{counts['queued']:,} in the queue", QUIET),
        marks.figure(
            "Failed last time", f"{counts['failed']:,}", "exports and syncs", BAD if counts["failed"] else GOOD
        ),
        marks.figure("Rows not delivered", f"{waiting:,}", "kept, with the reason", WARNING if waiting else GOOD),
        marks.figure(
            "Exports", f"{counts['exports']:,}", f"{counts['syncs']:,} syncs, {counts['imports']:,} imports", QUIET
        ),
    ]
    return marks.figures(found)


def _thing(kind: str, name: str) -> Markup:
    """A name, with the way to its page if there is one."""
    place = _PLACES.get(kind, "")
    return marks.thing(place, name) if place and has(place) else Markup("<strong>{}</strong>").format(name)


def _decisions(found: tuple[Decision, ...]) -> Markup:
    if not found:
        return Markup()
    items = (
        Markup(
            '<li><div class="decision-head">{}{}<span class="muted">{} · since {}</span></div><p>{}</p>'
            "{}</li>"
        ).format(
            marks.badge(one.cause, BAD if one.cause in {"failed", "paused", "stream"} else WARNING),
            _thing(one.kind, one.name), one.kind, marks.when(one.since), one.message, marks.hint(one.hint),
        )
        for one in found
    )  # fmt: skip
    return marks.panel("Needs a decision", Markup('<ul class="list">{}</ul>').format(marks.join(items)))


def _running(found: tuple[Running, ...]) -> Markup:
    if not found:
        return Markup('<p class="muted">Nothing runs at this moment.</p>')
    items = (
        Markup('<li><div class="decision-head">{}<span class="muted">{} {}, since {}</span></div>{}</li>').format(
            _thing(one.kind, one.name), one.kind, f"run {one.number}", marks.when(one.since),
            _far(one),
        )
        for one in found
    )  # fmt: skip
    return Markup('<ul class="list">{}</ul>').format(marks.join(items))


def _far(one: Running) -> Markup:
    """How far a run is."""
    if one.kind == "stream":
        return marks.muted("appends as rows come")
    return marks.progress(one.done, one.planned or None)


def _failed(found: tuple[Failed, ...]) -> Markup:
    if not found:
        return Markup('<p class="muted">Nothing failed when it last ran.</p>')
    items = (
        Markup(
            '<li><div class="decision-head">{}<span class="muted">{} · {}</span></div><p>{}</p>'
            '{}<p class="notice-code">{}</p></li>'
        ).format(
            _thing(one.kind, one.name),
            one.kind,
            marks.when(one.at),
            one.message or "",
            marks.hint(one.hint or ""),
            one.code or "",
        )
        for one in found
    )
    return Markup('<ul class="list">{}</ul>').format(marks.join(items))


def _fresh(found: tuple[Fresh, ...]) -> Markup:
    if not found:
        return Markup('<p class="muted">There is no export yet.</p>')
    rows = (
        Markup(
            '<tr><th scope="row">{}</th><td class="wide">{}</td><td>{}</td><td>{}</td><td class="end wide">{}</td></tr>'
        ).format(
            _thing("export", one.name), marks.copy(one.table),
            marks.badge("paused") if one.paused else marks.badge(one.status),
            _age(one), marks.number(one.rows),
        )
        for one in found
    )  # fmt: skip
    return Markup(
        '<div class="table-scroll plain" tabindex="0" role="region" aria-label="Freshness of tables"><table><thead><tr>'
        '<th scope="col">Export</th><th scope="col" class="wide">Table</th><th scope="col">Last run</th>'
        '<th scope="col">Holds all until</th><th scope="col" class="end wide">Rows last</th></tr></thead>'
        "<tbody>{}</tbody></table></div>"
    ).format(marks.join(rows))


def _age(one: Fresh) -> Markup:
    if one.covered_until is None:
        return marks.muted("nothing is in it yet")
    return marks.when(one.covered_until)
