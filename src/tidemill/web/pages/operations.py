"""How far it is with what a worker does to its end, also if nobody looks: shown on the pages that it is about."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING

from markupsafe import Markup

from tidemill.web import marks, notices
from tidemill.web.live import live
from tidemill.web.region import Region

if TYPE_CHECKING:
    from tidemill.app import App
    from tidemill.operations.service import OperationView, PlaceView

_EVERY_SECONDS = 1.0
#: So long one that is over is shown: then what it has done shows by itself.
_SHOWN_FOR = dt.timedelta(minutes=10)
_TITLES = {
    "import_undo": ("What it has brought is taken back", "What it has brought is taken back."),
    "person_delete": ("The person is being deleted", "The person is deleted."),
    "sync_rows": ("Rows are tried again", "The rows were tried again."),
    "sync_deletes": ("It is run with its deletes", "It was run with its deletes."),
}
#: What is counted, by its kind.
_UNITS = {"import_undo": "events", "person_delete": "places"}
#: How places of this installation are called.
_HERE = {"events": "Events here", "persons": "People here"}
_WAITS = "It waits for a worker: tidemill serve. This page may be closed; it is done when one is there."


async def follow(
    key: Hashable,
    query: Callable[[App], OperationView | None],
    changed: Callable[[OperationView | None], None] = lambda _: None,
) -> None:
    """Show how the newest one stands, as long as it is of interest. `changed`: called with each answer."""
    region = Region().props('role="status" aria-live="polite"')

    def renew(found: OperationView | None) -> None:
        region.show(mark(found) if found is not None and is_shown(found) else "")
        changed(found)

    await live(key, query, renew, every=_EVERY_SECONDS)


def over(then: Callable[[], None]) -> Callable[[OperationView | None], None]:
    """For `follow`: does something when one that was seen at work, or waiting, is over."""
    seen = False

    def changed(found: OperationView | None) -> None:
        nonlocal seen
        before, seen = seen, found is not None and not found.is_over
        if before and not seen:
            then()

    return changed


def is_shown(found: OperationView) -> bool:
    """Whether it is of interest: it is not over, has failed, or has just ended."""
    return found.finished_at is None or dt.datetime.now(dt.UTC) - found.finished_at < _SHOWN_FOR


def mark(found: OperationView) -> Markup:
    """How one stands."""
    going, done = _TITLES[found.kind]
    places = _places(found.places)
    if found.status == "completed":
        return notices.box(done, "good", body=places, role="status")
    if found.status == "failed":
        error = found.error or {}
        said = Markup("<p>{} When that is mended, begin it again: it goes on.</p>").format(error.get("message", ""))
        hint, code = error.get("hint", ""), error.get("code", "")
        return notices.box(f"{going}: it has failed", body=said + places, hint=hint, code=code)
    by = Markup('<p class="muted">Asked for {} by {}</p>').format(marks.when(found.at), found.by)
    if found.error is not None:
        again = f"It is tried again by itself. {found.error.get('message', '')}"
        hint = found.error.get("hint", "")
        return notices.box(
            f"{going}: it waits", "warning", body=Markup("<p>{}</p>").format(again) + places + by, hint=hint
        )
    if found.status == "waiting":
        return notices.box(
            f"{going}: it waits", "warning", body=Markup("<p>{}</p>{}").format(_WAITS, by), role="status"
        )
    return notices.box(going, "good", body=_far(found) + places + by, role="status")


def _far(found: OperationView) -> Markup:
    """How far one is that is at work."""
    what = f"{found.what[:1].upper()}{found.what[1:]}" if found.what else "A worker is at it"
    if found.done is None or not found.total:
        return Markup('<p><span class="spinner"></span> {} …</p>').format(what)
    rate = None if found.kind == "person_delete" else found.rate  # places are few, and not alike
    bar = marks.progress(found.done, found.total, rate=rate, unit=_UNITS.get(found.kind, "rows"))
    return Markup("<p>{}</p>{}").format(what, bar)


def _places(found: tuple[PlaceView, ...]) -> Markup:
    if not found:
        return Markup()
    return Markup('<ul class="list">{}</ul>').format(marks.join(map(_place, found)))


def _place(one: PlaceView) -> Markup:
    if one.error is not None:
        sign, said = marks.badge("not yet", marks.WARNING), one.error.get("message", "")
    else:
        sign, said = marks.badge("done", marks.GOOD), f"{one.rows:,} changed or deleted"
    line = Markup('<li><span class="row-of">{} <strong>{}</strong> <span>{}</span></span></li>')
    return line.format(sign, _HERE.get(one.place, one.place), said)
