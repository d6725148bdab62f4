"""The runs of a sync: all of them; one, with what became of its rows; and how they went over time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

from tidemill import paging
from tidemill.access.permissions import Permission
from tidemill.web import marks, notices
from tidemill.web.chart import Chart, Series
from tidemill.web.live import live
from tidemill.web.page import page
from tidemill.web.region import Region, show
from tidemill.web.table import Asked, Column, Filter, Page, table

if TYPE_CHECKING:
    from tidemill.app import App
    from tidemill.reverse_etl.service import RunView, SyncView

_STATUSES = tuple((one, one.capitalize()) for one in ("running", "completed", "skipped", "failed", "cancelled"))
_EVERY_SECONDS = 2.0
_PARENTS = (("Syncs", "/syncs"), ("{name}", "/syncs/{name}"))
#: Runs of the charts.
_SHOWN = 60
_COUNTS = (
    ("added", "Added"), ("updated", "Updated"), ("deleted", "Deleted"), ("retried", "Tried before"),
    ("unchanged", "Unchanged"), ("invalid", "Without a valid key"), ("dropped", "Given up"),
    ("noted", "Not of the mode"),
)  # fmt: skip


async def runs(found: SyncView) -> None:
    """All of them, the newest first."""
    columns: list[Column[RunView]] = [
        Column("number", "Run", lambda run: _link(found.name, run)),
        Column("status", "Status", lambda run: marks.badge(run.status)),
        Column("began_at", "Began", lambda run: marks.when(run.began_at), sort=True),
        Column("took", "Took", _took, wide=True),
        Column("by", "By", lambda run: run.began_by, wide=True),
        Column("extracted", "To deliver", lambda run: marks.number(run.extracted), end=True),
        Column("written", "Written", lambda run: marks.number(run.written), end=True),
        Column("rejected", "Refused", lambda run: marks.number(run.rejected), end=True),
        Column("to_retry", "To retry", lambda run: marks.number(run.to_retry), end=True, wide=True),
        Column("bytes", "Billed", lambda run: marks.size(run.bytes_billed), end=True, wide=True),
    ]
    name = found.name

    def fetch(app: App, asked: Asked) -> Page[RunView]:
        return Page.of(app.reverse_etl.syncs.page(name, asked.wanted, status=asked["status"] or None))

    empty = marks.empty("It never ran", "Run it now, or wait for its schedule. Try it first: what is sent is shown.",
                        marks.goto("Try it", "?tab=try"), "sync")  # fmt: skip
    await table(
        columns, fetch, caption=f"Runs of {name}", filters=(Filter("status", "Status", _STATUSES),), empty=empty,
        row_key=lambda run: run.id, sort="-began_at", every=_EVERY_SECONDS,
    )  # fmt: skip


def _link(name: str, run: RunView) -> Markup:
    return marks.link(Markup("<strong>{}</strong>").format(run.number), marks.path("/syncs", name, "runs", run.number))


def _took(run: RunView) -> Markup:
    return marks.duration((run.finished_at - run.began_at).total_seconds() if run.finished_at else None)


@page("Run {number}", Permission.SYNCS_READ, "/syncs/{name}/runs/{number}", parents=_PARENTS)
async def run(name: str, number: int) -> None:
    """One, live while it goes on."""
    place = Region()

    def renew(found: RunView) -> None:
        place.show(_run(found))

    await live(
        ("sync run", name, number), lambda app: app.reverse_etl.syncs.show_run(name, number),
        renew, every=_EVERY_SECONDS,
    )  # fmt: skip


def _run(found: RunView) -> Markup:
    from tidemill.web.pages.sync import running

    parts = [marks.facts([
        ("Status", marks.badge(found.status)), ("Began", marks.when(found.began_at)), ("By", found.began_by),
        ("Took", _took(found)), ("Billed", marks.size(found.bytes_billed)), ("Id", marks.short_id(found.id)),
    ])]  # fmt: skip
    if found.status == "running":
        parts.append(running(found))
    if found.error:
        parts.append(notices.kept(found.error))
    parts += [Markup('<p class="muted">{}</p>').format(note) for note in found.notes]
    became = marks.figures(
        [
            marks.figure("To deliver", f"{found.extracted:,}"),
            marks.figure("Written", f"{found.written:,}", kind=marks.GOOD),
            marks.figure("Refused", f"{found.rejected:,}", kind=marks.BAD if found.rejected else marks.QUIET),
            marks.figure("To retry", f"{found.to_retry:,}", kind=marks.WARNING if found.to_retry else marks.QUIET),
            marks.figure("Not sent", f"{found.unsent:,}"),
        ]
    )
    rows = marks.figures(marks.figure(title, f"{getattr(found, name):,}") for name, title in _COUNTS)
    base = marks.path("/syncs", found.sync)
    links = Markup('<p class="row-of">{}{}</p>').format(
        marks.goto("Its log", f"{base}?tab=logs&run={found.number}", "plain"),
        marks.goto("Rows not delivered", f"{base}?tab=rows", "plain"),
    )
    parts += [marks.panel("What became of rows", became), marks.panel("Rows of the model", rows), links]
    return Markup('<div class="stack">{}</div>').format(marks.join(parts))


async def metrics(found: SyncView) -> None:
    """How its runs went."""
    name = found.name
    place = Region()
    rows = Chart(f"Rows of the runs of {name}", unit="rows", stacked=True)
    show(Markup("<h2>Seconds</h2>"))
    seconds = Chart(f"Seconds of the runs of {name}", unit="seconds")

    def renew(last: tuple[RunView, ...]) -> None:
        done = [one for one in reversed(last) if one.status not in {"running", "skipped"}]
        times = [one.began_at for one in done]
        written = [one.written for one in done]
        series = [Series("Written", written), Series("Refused", [one.rejected for one in done])]
        rows.show(times, [*series, Series("To retry", [one.to_retry for one in done])])
        took = [(one.finished_at - one.began_at).total_seconds() if one.finished_at else None for one in done]
        seconds.show(times, [Series("Seconds", took)])
        failed = sum(one.status == "failed" for one in done)
        place.show(
            marks.figures(
                [
                    marks.figure("Runs", f"{len(done):,}", "the last of them"),
                    marks.figure("Failed", f"{failed:,}", kind=marks.BAD if failed else marks.GOOD),
                    marks.figure("Rows written", f"{sum(written):,}"),
                    marks.figure("Billed", marks.size(sum(one.bytes_billed for one in done))),
                ]
            )
        )

    def look(app: App) -> tuple[RunView, ...]:
        return app.reverse_etl.syncs.page(name, paging.Wanted(None, _SHOWN)).items

    await live(("sync metrics", name), look, renew, every=_EVERY_SECONDS)
