"""Settings, audit log: who did what, when, from where; before and after."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

from markupsafe import Markup
from nicegui import ui

from tidemill.access.permissions import Permission
from tidemill.web import frame, marks, visit
from tidemill.web.buttons import button
from tidemill.web.marks import ACTIVE, BAD, GOOD, WARNING
from tidemill.web.page import page
from tidemill.web.region import show
from tidemill.web.table import Asked, Column, Filter, Page, Table, table

if TYPE_CHECKING:
    from tidemill.app import App

_OUTCOMES = {"done": GOOD, "refused": WARNING, "failed": BAD, "begun": ACTIVE}
_KINDS = (
    "user", "token", "key", "connection", "export", "run", "backfill", "source", "model", "destination", "sync",
    "import", "dbt", "events", "person", "channel", "rejects", "sync_rejects",
)  # fmt: skip
_DAYS = (("1", "Last day"), ("7", "Last 7 days"), ("30", "Last 30 days"))
_FILTERS = (
    Filter("actor", "Who (the whole name)"),
    Filter("name", "Of what (the whole name)"),
    Filter("kind", "Kind", tuple((kind, kind) for kind in _KINDS)),
    Filter("outcome", "Outcome", tuple((one, one) for one in _OUTCOMES)),
    Filter("days", "Time", _DAYS),
)
#: What an export may hold: it is put together in memory.
_MOST_RECORDS = 100_000


@page("Audit log", Permission.AUDIT_READ, "/settings/audit")
async def audit() -> None:
    """All records, the newest first."""
    shown: list[Table[Any]] = []

    async def export() -> None:
        wanted = _wanted(shown[0].asked)
        content = await visit.slowly(lambda app: _exported(app, wanted))
        ui.download.content(content, f"tidemill-audit-{dt.datetime.now(dt.UTC):%Y-%m-%d}.csv", "text/csv")

    with frame.actions():
        button("Export as CSV", export, sign="download")
    columns: list[Column[Any]] = [
        Column("at", "When", lambda one: marks.when(one.at), sort=True),
        Column("actor", "Who", _who),
        Column("action", "Did", lambda one: Markup("<code>{}</code>").format(one.action)),
        Column("name", "Of", lambda one: one.name),
        Column("outcome", "Outcome", lambda one: marks.badge(one.outcome, _OUTCOMES.get(one.outcome))),
        Column("address", "From", lambda one: one.address or marks.muted("this machine"), wide=True),
        Column("changes", "Changes", _changes, wide=True),
    ]
    show(Markup('<p class="lead">Who changed something, or tried to. Secrets are not in it.</p>'))
    nothing = marks.empty(
        "Nothing was changed yet", "What people and programs change is written down here.", sign="list"
    )
    shown.append(
        await table(
            columns,
            _fetch,
            caption="Audit log",
            filters=_FILTERS,
            empty=nothing,
            row_key=lambda one: one.id,
            sort="-at",
        )
    )


def _who(one: Any) -> Markup:
    kind = marks.tag(one.actor_kind) if one.actor_kind != "user" else ""
    return Markup("<strong>{}</strong> {}").format(one.actor, kind)


def _changes(one: Any) -> Markup:
    """What is another one after than before, and what else is known."""
    before, after = one.before or {}, one.after or {}
    lines = [
        Markup("<li><code>{}</code>: {} → {}</li>").format(key, _value(before.get(key)), _value(after.get(key)))
        for key in sorted({*before, *after})
        if before.get(key) != after.get(key)
    ]
    lines += [Markup("<li><code>{}</code>: {}</li>").format(key, _value(value)) for key, value in one.details.items()]
    if one.code:
        lines.append(Markup("<li><code>{}</code></li>").format(one.code))
    if not lines:
        return marks.muted("–")
    count = f"{len(lines)} line" + ("" if len(lines) == 1 else "s")
    return Markup('<details class="changes"><summary>{}</summary><ul>{}</ul></details>').format(
        count, marks.join(lines)
    )


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 200 else f"{text[:200]}…"


def _wanted(asked: Asked) -> dict[str, Any]:
    found: dict[str, Any] = {name: asked[name] for name in ("actor", "name", "kind", "outcome") if asked[name]}
    return {**found, "days": int(asked["days"])} if asked["days"] else found


def _fetch(app: App, asked: Asked) -> Page[Any]:
    return Page.of(app.audit.page(asked.wanted, **_wanted(asked)))


def _exported(app: App, wanted: dict[str, Any]) -> bytes:
    lines = []
    for number, line in enumerate(app.audit.export("csv", **wanted)):
        if number > _MOST_RECORDS:
            break
        lines.append(line)
    return "".join(lines).encode()
