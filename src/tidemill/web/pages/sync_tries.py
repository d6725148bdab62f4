"""Tries a sync before it runs: what a run would send and cost; and one row that is sent, with all that was said."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from markupsafe import Markup
from nicegui import ui

from tidemill.access.permissions import Permission
from tidemill.errors import TidemillError
from tidemill.web import marks, notices, visit
from tidemill.web.buttons import button
from tidemill.web.pages.model_marks import grid
from tidemill.web.pages.sync_acts import watched
from tidemill.web.region import Region, show

if TYPE_CHECKING:
    from tidemill.reverse_etl.service import Estimate, SyncView, Tried

_COUNTS = (
    ("added", "Added"), ("updated", "Updated"), ("deleted", "Deleted"), ("retried", "Tried before"),
    ("unchanged", "Unchanged"), ("invalid", "Without a valid key"), ("extracted", "To deliver"),
)  # fmt: skip


def tries(found: SyncView) -> None:
    """Show both."""
    if not visit.current().may(Permission.SYNCS_TRIGGER):
        show(Markup('<p class="lead">What is tried is billed, or sent: it takes the right to have syncs run.</p>'))
        return
    with ui.element("section").classes("panel"):
        show(Markup('<div class="panel-head"><h2>What a run would do</h2></div>'))
        with ui.element("div").classes("panel-body stack"):
            _estimate(found)
    with ui.element("section").classes("panel"):
        show(Markup('<div class="panel-head"><h2>Send one row</h2></div>'))
        with ui.element("div").classes("panel-body stack"):
            _one(found)


def _estimate(found: SyncView) -> None:
    name = found.name
    show(Markup('<p class="muted">The plan is made, which BigQuery bills. Nothing is sent, nor remembered.</p>'))
    place = Region()

    async def look() -> None:
        try:
            seen = await watched(
                lambda app, watch: app.reverse_etl.trials.estimate(name, watch), place, "It is planned …"
            )
        except TidemillError as error:
            if visit.is_signed_out(error):
                raise
            place.show(notices.mark(error))
            return
        place.show(_estimated(seen))

    button("Look", look, kind="primary", sign="play").move(target_index=1)


def _estimated(seen: Estimate) -> Markup:
    figures = marks.figures(marks.figure(title, f"{seen.counts.get(name, 0):,}") for name, title in _COUNTS)
    parts = [figures]
    if seen.resends:
        parts.append(Markup('<p class="notice notice-warning">It would send unchanged rows, too: it was asked to.</p>'))
    if seen.stopped:
        parts.append(notices.kept(seen.stopped, "warning"))
    parts.append(
        Markup("<p>A run is billed for about {} (${:,.2f}). This look was billed for {}.</p>").format(
            marks.size(seen.run_bytes), seen.run_dollars, marks.size(seen.bytes_billed)
        )
    )
    if seen.samples:
        rows = [[one["key"], marks.badge(one["op"], marks.QUIET), _sample(one)] for one in seen.samples]
        parts.append(grid("Some of the rows", ["Key", "What", "What is sent"], rows))
    return Markup('<div class="stack">{}</div>').format(marks.join(parts))


def _sample(one: dict[str, Any]) -> Markup:
    if "refused" in one:
        return Markup("{} {}").format(marks.badge("rejected"), one["refused"])
    return Markup("<code>{}</code>").format(json.dumps(one.get("fields"), ensure_ascii=False, default=str)[:2_000])


def _one(found: SyncView) -> None:
    name = found.name
    text = "It arrives in {}. The next run sends it again, with the same id."
    show(Markup('<p class="muted">{}</p>').format(text.format(found.destination)))
    typed = [""]

    def typing(_act: str, value: str) -> None:
        typed[0] = value

    Region(
        Markup(
            '<div class="field form"><label for="try-key">Key of the row<span class="optional">optional</span></label>'
            '<input id="try-key" data-field="key" autocomplete="off" placeholder="any row that a run would send"></div>'
        ),
        on_act=typing,
    )
    place = Region()

    async def send() -> None:
        key = typed[0].strip() or None
        try:
            tried = await watched(
                lambda app, watch: app.reverse_etl.trials.send_one(name, watch, key), place, "It is sent …"
            )
        except TidemillError as error:
            if visit.is_signed_out(error):
                raise
            place.show(notices.mark(error))
            return
        place.show(_tried(tried))

    button("Send one row", send, kind="primary", sign="play").move(target_index=2)


def _tried(seen: Tried) -> Markup:
    parts = [Markup('<p role="status">{} Row <code>{}</code>. {}</p>').format(
        marks.badge("delivered" if seen.status == "written" else seen.status), seen.key, seen.message
    )]  # fmt: skip
    if seen.error:
        parts.append(notices.kept(seen.error))
    parts += [_exchange(one) for one in seen.requests]
    fields = json.dumps(seen.fields, ensure_ascii=False, indent=2, default=str)
    parts.append(Markup('<h3>What the mapping made</h3><pre tabindex="0">{}</pre>').format(fields))
    return Markup('<div class="stack exchange">{}</div>').format(marks.join(parts))


def _exchange(one: dict[str, Any]) -> Markup:
    headers = "\n".join(f"{name}: {value}" for name, value in one["headers"].items())
    body = one["body"] if one["body"] is not None else f"({one['bytes']:,} bytes that are no text)"
    answer = one["answer"] if one["answer"] is not None else "(no text)"
    return Markup(
        '<h3>Request</h3><pre tabindex="0">{}\n{}\n\n{}</pre><h3>Answer: {}</h3><pre tabindex="0">{}</pre>'
    ).format(one["request"], headers, body, one["status"], answer)
