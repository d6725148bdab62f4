"""One import: its configuration, mapping, runs, refused rows and logs, and what can be done with it."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from tidemill.access.permissions import Permission
from tidemill.web import dialogs, frame, logs, marks, notices, visit
from tidemill.web.buttons import button
from tidemill.web.form import Field, Form
from tidemill.web.live import live, stale
from tidemill.web.page import page
from tidemill.web.pages import operations
from tidemill.web.pages.hooks import hooks
from tidemill.web.pages.imports import health, status
from tidemill.web.pages.imports_rejects import rejects
from tidemill.web.pages.imports_steps import path_of, run_now
from tidemill.web.region import Region, show
from tidemill.web.table import Asked, Column, Filter, Page, table
from tidemill.web.tabs import tabs

if TYPE_CHECKING:
    from tidemill.app import App
    from tidemill.imports.service import ImportView
    from tidemill.reverse_etl.views import RunView

_TABS = (
    ("configuration", "Configuration"),
    ("mapping", "Mapping"),
    ("runs", "Runs"),
    ("rejects", "Rejects"),
    ("logs", "Logs"),
    ("hooks", "Hooks"),
)
_EVERY_SECONDS = 2.0


@page("{name}", Permission.IMPORTS_READ, "/imports/{name}", parents=(("Imports", "/imports"),))
async def one(name: str, tab: str = "") -> None:
    """One of them."""
    view = await visit.call(lambda app: app.imports.get(name))
    looks = visit.current()
    with frame.actions():
        _actions(name, view, may=looks.may(Permission.IMPORTS_WRITE), may_run=looks.may(Permission.SYNCS_TRIGGER))
    over = operations.over(lambda: frame.go(path_of(name)))
    await operations.follow(("undo", name), lambda app: app.operations.undo_of(name), over)
    head = Region()

    def shown(found: ImportView) -> None:
        head.show(_head(found))

    await live(("import", name), lambda app: app.imports.get(name), shown, every=_EVERY_SECONDS)
    match tabs("Import", _TABS, tab):
        case "mapping":
            _mapping(name, view, may=looks.may(Permission.IMPORTS_WRITE))
        case "runs":
            await _runs(name)
        case "rejects":
            await rejects(name, view)
        case "logs":
            await logs.of_sync(name)
        case "hooks":
            await hooks("import", view.name)
        case _:
            _configuration(name, view, may=looks.may(Permission.IMPORTS_WRITE))


def _actions(name: str, view: ImportView, *, may: bool, may_run: bool) -> None:
    async def run() -> None:
        by = visit.current().actor.by
        found = await visit.call(lambda app: run_now(app, name, by))
        said = f"Run {found.number} is at work already." if found.already else f"Run {found.number} begins."
        notices.notice(said, detail="A worker does it: tidemill serve.")

    if view.spec is None:
        if may:
            show(marks.goto("Say what becomes of its rows", path_of(name, "map")))
    elif may_run:
        button("Run now", run, kind="primary", sign="play")
    if not may:
        return
    if view.status in {"paused", "stopped"}:
        button("Go on", lambda: _go_on(name))
    elif view.spec is not None:
        button("Stop", lambda: _stop(name))
    button("Undo", lambda: _undo(name, view), kind="danger")
    button("Delete", lambda: _delete(name), kind="danger", sign="trash")


async def _go_on(name: str) -> None:
    await visit.call(lambda app: app.reverse_etl.syncs.unpause(name))
    frame.go(path_of(name))


async def _stop(name: str) -> None:
    does = ["It begins nothing by itself any more, and its run is cancelled.", "What it took stays."]
    if await dialogs.confirm(f"Stop {name}?", does, action="Stop"):
        by = visit.current().actor.by
        await visit.call(lambda app: app.imports.stop(name, by))
        frame.go(path_of(name))


async def _undo(name: str, view: ImportView) -> None:
    does = [
        "All events that it has brought are deleted, here and in the tables of exports.",
        "People are as if it had never been; those who came by it alone are deleted.",
        "It is stopped, and takes all rows anew if it is run again.",
    ]
    if view.kind == "deletions":
        does[1] = "People whom it has deleted do not come back."
    if not await dialogs.confirm(f"Take back what {name} has brought?", does, action="Take it back", name=name):
        return
    by = visit.current().actor.by
    await visit.call(lambda app: app.operations.undo(name, by=by))
    stale(("undo", name))
    notices.notice(f"What {name} has brought is taken back by a worker.", detail="This page may be closed.")


async def _delete(name: str) -> None:
    does = ["It is deleted with its runs and its rows that were refused.", "What it took stays: undo it first, if not."]
    if await dialogs.confirm(f"Delete the import {name}?", does, name=name):
        remark = await visit.slowly(lambda app: app.imports.delete(name))
        notices.notice(f"{name} is deleted.", detail=remark or "")
        frame.go("/imports")


def _head(view: ImportView) -> Markup:
    pairs: list[tuple[str, str | Markup]] = [
        ("Status", status(view)),
        ("Health, and share taken", health(view)),
        ("Last run", marks.when(view.last.began_at if view.last else None, otherwise="never")),
        ("Next run", marks.when(view.next_at, otherwise="by hand")),
        ("Refused rows", marks.number(sum(view.rejects.values()))),
    ]
    parts = [marks.facts(pairs)]
    if view.status in {"paused", "stopped"} and view.pause_reason:
        parts.append(Markup('<p class="muted">{}</p>').format(view.pause_reason.get("message", "")))
    if view.last is not None and view.last.status == "running":
        parts.append(_far(view.last))
    elif view.last is not None and view.last.error:
        parts.append(notices.kept(view.last.error))
    return Markup('<div class="stack">{}</div>').format(marks.join(parts))


def _far(run: RunView) -> Markup:
    """How far a run is, with its rate."""
    done = run.written + run.rejected + run.to_retry
    took = (dt.datetime.now(dt.UTC) - run.began_at).total_seconds()
    rate = done / took if done and took > 1 else None
    return Markup("<div><p>Run {}: {}</p>{}</div>").format(
        run.number, run.step, marks.progress(done, run.extracted or None, rate=rate)
    )


def _configuration(name: str, view: ImportView, *, may: bool) -> None:
    often = "once" if view.once else "by hand alone" if view.interval == "none" else view.interval
    pairs: list[tuple[str, str | Markup]] = [
        ("Id", marks.short_id(view.id)),
        ("Kind", view.kind or "not said yet"),
        ("Connection", view.connection),
        ("Source model", view.model),
        ("Which rows", view.mode),
        ("How they are found", view.extraction),
        ("Cursor", f"{view.cursor}, {view.cursor_overlap} back" if view.cursor else "–"),
        ("Runs", often),
        ("Bytes that may be billed", marks.size(view.max_bytes_billed) if view.max_bytes_billed else "no limit"),
        ("Made", Markup("{} by {}").format(marks.when(view.made_at), view.made_by)),
    ]
    change = marks.goto("Change when it runs", path_of(name, "schedule"), "plain") if may and view.spec else Markup()
    show(marks.panel("Configuration", marks.facts(pairs), change))
    if not may:
        return

    async def sent(given: dict[str, Any], _act: str) -> None:
        changes = {key: value for key, value in given.items() if value is not None and value != view.name}
        for share in ("delete_brake", "reject_share", "deviation"):
            if share in changes and changes[share] != "none":
                changes[share] = float(changes[share]) / 100
        if not changes:
            notices.notice("Nothing was changed.")
            return
        made = await visit.call(lambda app: app.imports.edit(name, changes))
        notices.notice(f"{made.name} is changed.")
        frame.go(path_of(made.name))

    show(Markup("<h2>Name and limits</h2>"))
    Form(_limits(view), "Save", sent)


def _limits(view: ImportView) -> list[Field]:
    return [
        Field("name", "Name", value=view.name),
        Field("most_rejects", "Refused rows at which a run stops", "number", required=False, least=1,
              help="Empty: as it is."),
        Field("delete_brake", "Share of rows in per cent whose deletion stops a run", "number", required=False,
              least=0, greatest=100, help="Empty: as it is, at first 20."),
        Field("reject_share", "Share of refused rows in per cent of which people are told", "number", required=False,
              least=0, greatest=100, help="Empty: as it is."),
        Field("max_bytes_billed", "Bytes that may be billed", required=False, placeholder="20GB",
              help="Empty: as it is."),
    ]  # fmt: skip


def _mapping(name: str, view: ImportView, *, may: bool) -> None:
    change = marks.goto("Change the mapping", path_of(name, "map"), "plain") if may else Markup()
    if view.spec is None:
        show(marks.empty("It is a draft", "It is not said yet what becomes of its rows.", change, "import"))
        return
    spec = view.spec
    named = (
        (spec.identity, "the person's distinct id", ""),
        (spec.person_id, "the person's id in Tidemill", ""),
        (spec.event_column, "the event's name", ""),
        (spec.time, "the event's time", spec.time_format.value),
        (spec.insert_id, "an id by which it counts once", ""),
    )
    lines: list[tuple[str, str | Markup, str]] = [(column, what, as_) for column, what, as_ in named if column]
    for each in spec.properties:
        target = Markup("property <strong>{}</strong>").format(each.name)
        lines.append((each.column, target, f"{each.type.value} {each.format.value if each.type == 'date' else ''}"))
    lines += [(column, "left out", "") for column in spec.skipped]
    rows = marks.join(
        Markup('<tr><th scope="row"><code>{}</code></th><td data-title="Becomes">{}</td>'
               '<td data-title="Read as">{}</td></tr>').format(*line)
        for line in lines
    )  # fmt: skip
    said = f"Each row is an event {spec.event}." if spec.event else f"Rows become {spec.kind.value}."
    said += " People who are not known are left out." if spec.existing_only else ""
    show(
        marks.panel(
            "Mapping",
            Markup(
                '<p>{} Team {}.</p><div class="table-scroll plain" tabindex="0" role="region" aria-label="Mapping">'
                '<table><thead><tr><th scope="col">Column</th><th scope="col">Becomes</th>'
                '<th scope="col">Read as</th></tr></thead><tbody>{}</tbody></table></div>'
            ).format(said, spec.team_id, rows),
            change,
        )
    )


async def _runs(name: str) -> None:
    def fetch(app: App, asked: Asked) -> Page[RunView]:
        return Page.of(app.reverse_etl.syncs.page(name, asked.wanted, status=asked["status"] or None))

    columns: list[Column[RunView]] = [
        Column("number", "Run", lambda run: _run_link(name, run.number)),
        Column("status", "Status", _run_status),
        Column("began_at", "Began", lambda run: Markup("{} by {}").format(marks.when(run.began_at), run.began_by),
               sort=True),
        Column("took", "Took", lambda run: marks.duration(_took(run)), end=True, wide=True),
        Column("extracted", "Rows", lambda run: marks.number(run.extracted), end=True),
        Column("written", "Taken", lambda run: marks.number(run.written), end=True),
        Column("rejected", "Refused", lambda run: marks.number(run.rejected + run.invalid), end=True),
        Column("bytes_billed", "Billed", lambda run: marks.size(run.bytes_billed), end=True, wide=True),
    ]  # fmt: skip
    states = tuple((one, one.capitalize()) for one in ("running", "completed", "failed", "cancelled", "skipped"))
    empty = marks.empty("It was never run", "Run it now, or give it a schedule.", sign="play")
    await table(
        columns, fetch, caption="Runs", filters=(Filter("status", "Status", states),), empty=empty, sort="-began_at",
        row_key=lambda run: run.number, every=_EVERY_SECONDS,
    )  # fmt: skip


def _run_link(name: str, number: int) -> Markup:
    """A run, with the way to what it told."""
    return marks.link(str(number), path_of(name, tab="logs", run=str(number)))


def _took(run: RunView) -> float:
    return ((run.finished_at or dt.datetime.now(dt.UTC)) - run.began_at).total_seconds()


def _run_status(run: RunView) -> Markup:
    said = marks.muted(run.error["message"]) if run.error else ""
    return Markup("<span>{} {}</span>").format(marks.badge(run.status), said)
