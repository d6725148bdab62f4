"""Events: what arrives, as it does; how many there are; and what could not be taken, with its reason."""

from __future__ import annotations

import datetime as dt
import urllib.parse
from typing import TYPE_CHECKING, Any

from markupsafe import Markup
from nicegui import ui

from tidemill.access.permissions import Permission
from tidemill.paging import Wanted
from tidemill.web import dialogs, frame, marks, notices, visit
from tidemill.web.buttons import button, say
from tidemill.web.chart import Chart, Series
from tidemill.web.live import live
from tidemill.web.numbers import whole
from tidemill.web.page import page
from tidemill.web.pages import data
from tidemill.web.region import show
from tidemill.web.table import Asked, Column, Filter, Page, Table, row_button, table
from tidemill.web.tabs import tabs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidemill.app import App

_TABS = (("live", "Live"), ("counts", "Counts"), ("rejects", "Not taken"), ("send", "How to send"))
_FILTERS = (
    Filter("event", "Event (the whole name)"),
    Filter("distinct_id", "Distinct id (whole)"),
    Filter("team", "Team"),
)
_EVERY_SECONDS = 1.0
_SPANS = {"1": ("Last 24 hours", "hour"), "7": ("Last 7 days", "day"), "30": ("Last 30 days", "day")}
_SENDS = (
    ("PostHog, in a page", 'posthog.init("KEY", {{ api_host: "{host}" }})'),
    ("PostHog, in Python", 'Posthog("KEY", host="{host}")'),
    ("Segment, in Node", 'new Analytics({{ writeKey: "KEY", host: "{host}" }})'),
    ("Segment, in Python", 'analytics.write_key = "KEY"\nanalytics.host = "{host}"'),
    ("RudderStack, in Python", 'rudder_analytics.write_key = "KEY"\nrudder_analytics.dataPlaneUrl = "{host}"'),
    ("Amplitude, in Node", 'init("KEY", {{ serverUrl: "{host}/2/httpapi" }})'),
    ("Amplitude, in Python", 'Amplitude("KEY", Config(server_url="{host}/2/httpapi"))'),
    (
        "Without an SDK",
        'curl {host}/capture/ -d \'{{"api_key": "KEY", "event": "hello", "distinct_id": "ana"}}\'',
    ),
)


@page("Events", Permission.EVENTS_READ, "/events")
async def events(tab: str = "", days: str = "1") -> None:
    """One of the views."""
    match tabs("Events", _TABS, tab):
        case "counts":
            await _counts(days if days in _SPANS else "1")
        case "rejects":
            await _rejects()
        case "send":
            _send()
        case _:
            await _live()


async def _live() -> None:
    shown: list[Table[dict[str, Any]]] = []

    async def pause() -> None:
        found = shown[0]
        found.paused = not found.paused
        say(stop, "Go on" if found.paused else "Pause")
        if not found.paused:
            await found.refresh()

    with frame.actions():
        stop = button("Pause", pause, label="Pause or go on")
    nothing = marks.empty(
        "No event has come yet",
        "Point an SDK that you have at this server, or send one by hand: it is shown here as it arrives.",
        marks.goto("How to send events", "/events?tab=send"), "events",
    )  # fmt: skip
    shown.append(
        await table(
            _columns(), _fetch, caption="Events, as they arrive", filters=_FILTERS, empty=nothing,
            row_key=lambda one: one["uuid"], every=_EVERY_SECONDS,
        )
    )  # fmt: skip


def _columns() -> list[Column[dict[str, Any]]]:
    return [
        Column("inserted_at", "Arrived", lambda one: marks.when(one["inserted_at"])),
        Column("event", "Event", lambda one: Markup("<strong>{}</strong>").format(one["event"])),
        Column("distinct_id", "Person", _person),
        Column("timestamp", "Its time", lambda one: marks.when(one["timestamp"]), wide=True),
        Column("team_id", "Team", lambda one: str(one["team_id"]), end=True, wide=True),
        Column("properties", "Properties", data.properties, costly=True),
    ]


def _person(one: dict[str, Any]) -> Markup:
    query = urllib.parse.urlencode({"id": one["distinct_id"], "team": one["team_id"]})
    return marks.link(data.brief(one["distinct_id"], 60), f"/people?{query}")


def _fetch(app: App, asked: Asked) -> Page[dict[str, Any]]:
    which: dict[str, Any] = {name: asked[name] for name in ("event", "distinct_id") if asked[name]}
    if (team := whole(asked["team"])) is not None:
        which["team_id"] = team
    found = app.events.page(Wanted(asked.cursor or None, asked.limit), **which)
    return Page(found.items, found.next or "")


async def _counts(days: str) -> None:
    choices = marks.join(
        Markup('<a class="button button-plain" href="/events?tab=counts&amp;days={}"{}>{}</a> ').format(
            key, Markup(' aria-current="true"') if key == days else Markup(), title
        )
        for key, (title, _) in _SPANS.items()
    )
    show(Markup('<p class="choices">{}</p>').format(choices))
    title, size = _SPANS[days]
    total = show("")
    with ui.element("section").classes("panel"):
        show(Markup('<div class="panel-head"><h2>Events {}</h2></div>').format(f"by {size}, by their own time"))
        with ui.element("div").classes("panel-body"):
            chart = Chart(f"Events by {size}", unit="events", stacked=True, height=260)
    names = show("")

    def shown(found: tuple[list[tuple[dt.datetime, str | None, int]], list[tuple[Any, int]]]) -> None:
        rows, all_names = found
        chart.show(*_series(rows, size, int(days)))
        number = sum(row[2] for row in rows)
        figures = [marks.figure("Events", f"{number:,}", title.lower())]
        figures.append(marks.figure("All that are kept", f"{sum(one[1] for one in all_names):,}", "of all times"))
        figures.append(marks.figure("Names", f"{len(all_names):,}", "of all times"))
        total.show(marks.figures(figures))
        names.show(marks.panel("By name, of all times", _names(all_names)))

    def look(app: App) -> tuple[list[tuple[dt.datetime, str | None, int]], list[tuple[Any, int]]]:
        return app.events.timeline(days=int(days), by=size), app.events.count(by="event")

    await live(("events", "counts", days), look, shown, every=10.0)


def _series(
    rows: Sequence[tuple[dt.datetime, str | None, int]], size: str, days: int
) -> tuple[list[dt.datetime], list[Series]]:
    """Each hour or day from the first to the last, also those of which there is none."""
    step = dt.timedelta(hours=1) if size == "hour" else dt.timedelta(days=1)
    now = dt.datetime.now(dt.UTC).replace(minute=0, second=0, microsecond=0)
    now = now if size == "hour" else now.replace(hour=0)
    first = min([now - dt.timedelta(days=days), *(row[0] for row in rows)])
    last = max([now, *(row[0] for row in rows)])
    times = [first + step * number for number in range(min(1_000, (last - first) // step + 1))]
    sums: dict[str | None, int] = {}
    for _, name, number in rows:
        sums[name] = sums.get(name, 0) + number
    known = {(time, name): number for time, name, number in rows}
    order = sorted(sums, key=lambda name: (name is None, -sums[name]))
    return times, [
        Series("all others" if name is None else data.brief(name, 60), [known.get((time, name), 0) for time in times])
        for name in order
    ]


_MOST_NAMES = 100


def _names(found: Sequence[tuple[Any, int]]) -> Markup:
    if not found:
        return Markup('<p class="muted">There are none yet.</p>')
    rows = (
        Markup('<tr><th scope="row">{}</th><td class="end">{}</td></tr>').format(
            marks.link(data.brief(name, 100), "/events?" + urllib.parse.urlencode({"event": name})),
            marks.number(number),
        )
        for name, number in found[:_MOST_NAMES]
    )
    more = len(found) - _MOST_NAMES
    return Markup(
        '<div class="table-scroll plain" tabindex="0" role="region" aria-label="Events by name"><table><thead><tr>'
        '<th scope="col">Event</th><th scope="col" class="end">Number</th></tr></thead><tbody>{}</tbody></table></div>'
        "{}"
    ).format(marks.join(rows), Markup("<p>{}</p>").format(f"and {more:,} more names") if more > 0 else "")


async def _rejects() -> None:
    may = visit.current().may(Permission.EVENTS_WRITE)
    shown: list[Table[Any]] = []

    async def act(what: str, value: str) -> None:
        if (
            what == "dismiss"
            and (number := whole(value)) is not None
            and await dialogs.confirm(
                "Dismiss it?", "It is listed no longer, and never becomes an event.", action="Dismiss"
            )
        ):
            await visit.call(lambda app: app.events.dismiss_rejects(ids=[number]))
            notices.notice("It is dismissed.")
            await shown[0].refresh()

    async def retry() -> None:
        code = shown[0].asked["code"] or None
        found = await visit.slowly(lambda app: app.events.retry_rejects(code=code))
        notices.notice(f"{found.rows:,} events are taken in, {found.rejects:,} still cannot be.")
        await shown[0].refresh()

    async def dismiss() -> None:
        code = shown[0].asked["code"] or None
        which = f"with the reason {code}" if code else "that are listed"
        does = [f"All {which} are listed no longer, and never become events.", "This cannot be undone."]
        if await dialogs.confirm("Dismiss all of them?", does, action="Dismiss all", name="dismiss"):
            number = await visit.slowly(lambda app: app.events.dismiss_rejects(code=code))
            notices.notice(f"{number:,} are dismissed.")
            await shown[0].refresh()

    if may:
        with frame.actions():
            button("Try all again", retry, sign="sync")
            button("Dismiss all", dismiss, kind="danger")
    columns: list[Column[Any]] = [
        Column("created_at", "When", lambda one: marks.when(one.created_at)),
        Column("code", "Why", lambda one: Markup("{} <code>{}</code>").format(one.message, one.code)),
        Column("place", "Where", lambda one: one.place, wide=True),
        Column("raw", "As it came", _raw, costly=True),
    ]
    if may:
        columns.append(Column("act", "", lambda one: row_button("Dismiss", "dismiss", one.id), end=True))
    empty = marks.empty(
        "Nothing was set aside",
        "What SDKs and files bring that is no event is kept here, with the reason.",
        sign="check",
    )
    shown.append(
        await table(columns, _fetch_rejects, caption="What could not be taken",
                    filters=(Filter("code", "Reason (its code)"),),
                    empty=empty, row_key=lambda one: one.id, on_act=act)
    )  # fmt: skip


def _raw(one: Any) -> Markup:
    text = one.raw.decode("utf-8", "replace")
    return Markup('<details class="changes"><summary><code>{}</code></summary>{}</details>').format(
        data.brief(text, 60), data.as_json(text)
    )


def _fetch_rejects(app: App, asked: Asked) -> Page[Any]:
    found = app.events.rejects_page(Wanted(asked.cursor or None, asked.limit), code=asked["code"] or None)
    return Page(found.items, found.next or "")


def _send() -> None:
    """How SDKs are told where to send (docs/howto/capture.md)."""
    host = "https://events.example.com"
    may = visit.current().may(Permission.KEYS_READ)
    key = marks.goto("Make a key", "/settings/keys", "plain") if may else Markup("An administrator makes you a key.")
    show(
        Markup(
            '<p class="lead">Leave your SDK as it is: set its host and its key. Put the address of <code>tidemill serve'
            "</code> for <code>{}</code> (port 8010, behind TLS), and an SDK key for <code>KEY</code>.</p><p>{}</p>"
        ).format(host, key)
    )
    cards = marks.join(
        Markup('<li class="way"><h2>{}</h2>{}</li>').format(title, marks.command(line.format(host=host)))
        for title, line in _SENDS
    )
    show(Markup('<ul class="ways ways-wide">{}</ul>').format(cards))
