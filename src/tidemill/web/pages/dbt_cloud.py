"""What dbt Cloud tells of a project: the webhook by which it does, its runs, and the syncs that they triggered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from tidemill.access.permissions import Permission
from tidemill.web import marks, visit
from tidemill.web.paged import paged
from tidemill.web.region import show
from tidemill.web.table import Asked, Column, Filter, Page, table

if TYPE_CHECKING:
    from tidemill.app import App
    from tidemill.dbt.service import CloudRun, ProjectView

#: Runs that are looked at; what is older than 90 days is forgotten.
_MOST, _EVERY_SECONDS = 500, 3.0
_STATES = (("triggered", "Triggered a sync"), ("waiting", "To be seen to"), ("nothing", "Triggered nothing"))
_FILTERS = (Filter("search", "Search jobs, runs and syncs"), Filter("state", "State", _STATES))


async def runs(found: ProjectView) -> None:
    """The webhook, and what it has told of, the newest first."""
    show(marks.panel("Webhook", _webhook(found)))
    may = visit.current().may(Permission.SYNCS_READ)
    columns: list[Column[CloudRun]] = [
        Column("told_at", "Told", lambda run: marks.when(run.told_at), sort=True),
        Column("run", "Run", lambda run: marks.copy(run.run)),
        Column("job", "Job", lambda run: run.job or marks.muted("–")),
        Column("status", "Status", lambda run: marks.badge(run.status, _kind(run))),
        Column("syncs", "Syncs", lambda run: _syncs(run, may=may)),
        Column("note", "Note", _noted),
    ]
    nothing = marks.empty(
        "No run was told of yet", "Each run that dbt Cloud tells of stands here, with the syncs that it triggered.",
        sign="branch",
    )  # fmt: skip
    show(Markup("<h2>Runs</h2>"))

    def fetch(app: App, asked: Asked) -> Page[CloudRun]:
        return paged(app.dbt_models.cloud_runs(found.name, _MOST), asked, texts=_text, passes=_passes)

    await table(
        columns, fetch, caption="Runs of dbt Cloud", filters=_FILTERS, empty=nothing, row_key=lambda run: run.id,
        sort="-told_at", every=_EVERY_SECONDS,
    )  # fmt: skip


def _passes(run: CloudRun, asked: Asked) -> bool:
    return asked["state"] in {"", _state(run)}


def _state(run: CloudRun) -> str:
    if run.next_at is not None:
        return "waiting"
    return "triggered" if any(one["number"] for one in run.syncs) else "nothing"


def _text(run: CloudRun) -> str:
    return " ".join((run.run, run.job, run.status, run.note, *(str(one["sync"]) for one in run.syncs)))


def _kind(run: CloudRun) -> str:
    """In which colour: dbt Cloud's words are Success, Errored, Cancelled."""
    said = run.status.lower()
    return marks.GOOD if said == "success" else marks.BAD if said.startswith("error") else marks.QUIET


def _syncs(run: CloudRun, *, may: bool) -> Markup:
    """Those that it triggered, each with its run; and why others were not."""
    items = [Markup("<li>{}</li>").format(_sync(one, may=may)) for one in run.syncs]
    return Markup('<ul class="list">{}</ul>').format(marks.join(items)) if items else marks.muted("none")


def _sync(one: dict[str, Any], *, may: bool) -> Markup:
    name = marks.thing("/syncs", one["sync"]) if may else Markup("<strong>{}</strong>").format(one["sync"])
    reason = marks.muted(f" {one['reason']}") if one["reason"] else Markup()
    if not one["number"]:
        return name + reason
    number = f"run {one['number']}"
    path = marks.path("/syncs", one["sync"]) + "?" + f"tab=logs&run={one['number']}"
    return Markup("<span>{}, {}</span>{}").format(name, marks.link(number, path) if may else number, reason)


def _noted(run: CloudRun) -> str | Markup:
    if run.next_at is None:
        return run.note or marks.muted("–")
    return Markup("{} {}").format(run.note, marks.muted(Markup("To be seen to {}.").format(marks.when(run.next_at))))


def _webhook(found: ProjectView) -> Markup:
    """Where dbt Cloud is to tell of its runs."""
    is_set = "webhook_secret" in found.secrets
    state = marks.badge("enabled") if is_set else marks.badge("no secret yet", marks.QUIET)
    said = (
        "Runs that dbt Cloud tells of trigger the syncs of the models that they built."
        if is_set
        else "Give its secret under Configuration: until then nobody is believed."
    )
    return Markup(
        '<div class="stack"><p>{} {}</p><p>In dbt Cloud: Account settings, Webhooks, the event '
        "<strong>Run completed</strong>, and this path at the address of your server (port 8010, behind TLS):</p>"
        "{}</div>"
    ).format(state, said, marks.command("https://YOUR-SERVER" + marks.path("/api/v1/dbt", found.name, "webhook")))
