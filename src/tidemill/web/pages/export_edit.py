"""The configuration of an export: what is fixed, what can be changed, and its deletion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from markupsafe import Markup
from nicegui import ui

from tidemill.access.permissions import Permission
from tidemill.web import dialogs, marks, notices, visit
from tidemill.web.buttons import button
from tidemill.web.form import Field, Form, Option
from tidemill.web.pages.export_fields import INTERVALS
from tidemill.web.region import show

if TYPE_CHECKING:
    from tidemill.exports.listing import ExportSettings
    from tidemill.exports.spec import ExportSpec
    from tidemill.schedules.calendar import Schedule

_LINES = ("include_events", "exclude_events")
_UNITS = ((604_800, "w"), (86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))
#: What of a change touches the table, and how.
_TOUCHES = {
    "include_events": "Other events go into the table from the next run on. Rows that are in it stay; a backfill "
    "brings in what was left out before.",
    "delivery": "Rows of runs from now on get to BigQuery in another way.",
    "run_log": "The table tidemill_runs, beside that of the export, is written, or not any more.",
    "interval": "Intervals of another size follow where the last one ended: nothing is left out or sent twice.",
    "end_at": "What comes after the end is not exported.",
    "start_at": "What lies before the start is not exported.",
}
_TOUCHES["exclude_events"] = _TOUCHES["include_events"]


async def tab(export: ExportSettings) -> None:
    """What it is, and what of it can be changed."""
    show(marks.panel("What is fixed", marks.facts(_fixed(export))))
    if not visit.current().may(Permission.EXPORTS_WRITE):
        show(marks.panel("What can be changed", marks.facts(_told(export.spec))))
        return
    fields = _fields(export.spec, export.name)

    async def sent(given: dict[str, Any], _act: str) -> None:
        changes = _changes(fields, given)
        if not changes:
            notices.notice("Nothing was changed.", "warning")
            return
        does = [_TOUCHES[name] for name in changes if name in _TOUCHES]
        if does and not await dialogs.confirm(
            "Save these changes?", list(dict.fromkeys(does)), action="Save", kind="primary"
        ):
            return
        made = await visit.call(lambda app: app.exports.edit(export.name, changes, as_of=export.updated_at))
        ui.navigate.to(f"{marks.path('/exports', made.name)}?tab=configuration&saved=1")

    if ui.context.client.request.query_params.get("saved"):
        notices.notice("The changes are saved. They are of runs from now on.")
    with ui.element("section").classes("panel"):
        show(Markup('<div class="panel-head"><h2>What can be changed</h2></div>'))
        with ui.element("div").classes("panel-body"):
            Form(fields, "Save", sent)
    with ui.element("div").classes("form-actions"):
        button("Delete the export", lambda: _delete(export), kind="danger", sign="trash")


async def _delete(export: ExportSettings) -> None:
    does = [
        "It runs no more, and its runs, their logs and rows that were set aside are forgotten.",
        f"The table {export.target} stays as it is.",
    ]
    if await dialogs.confirm(f"Delete the export {export.name}?", does, name=export.name):
        await visit.slowly(lambda app: app.exports.delete(export.name))
        ui.navigate.to("/exports")


def _fixed(export: ExportSettings) -> list[tuple[str, Any]]:
    made = export.spec
    partition = (
        f"{made.partition_by.column} by {made.partition_by.granularity.lower()}" if made.partition_by else "none"
    )
    found: list[tuple[str, Any]] = [
        ("Data", made.definition.title),
        ("Connection", export.connection),
        ("Table", marks.copy(export.target)),
        ("How", "as a stream" if made.streams else "by runs"),
        ("JSON columns", "JSON" if made.json_type else "STRING"),
        ("Team", "all" if made.team_id is None else str(made.team_id)),
        ("Partitioned by", partition),
        ("Clustered by", ", ".join(made.cluster_by) or "none"),
        ("Key", ", ".join(made.definition.key) or "none"),
        ("Made", marks.when(export.created_at)),
        ("By", export.created_by),
        ("Id", marks.copy(str(export.id))),
    ]
    if made.query:
        found.append(("Query", marks.command(made.query.sql)))
    return found


def _told(made: ExportSpec) -> list[tuple[str, Any]]:
    return [
        (field.label, str(field.value if field.value not in {None, ""} else "–"))
        for field in _fields(made, made.name)
        if field.kind != "radio"
    ]


def _changes(fields: list[Field], given: dict[str, Any]) -> dict[str, Any]:
    """What was changed, as the service takes it."""
    found: dict[str, Any] = {}
    for field in fields:
        if field.name not in given:
            continue
        value = given[field.name]
        before = field.value if field.value != "" else None
        if field.kind in {"text", "line"}:
            same = (str(value or "")).split() == (str(before or "")).split()
        else:
            same = value == before
        if same:
            continue
        if field.name in _LINES:
            found[field.name] = tuple(line.strip() for line in str(value or "").splitlines() if line.strip())
        else:
            found[field.name] = _NONE.get(field.name, "none") if value is None else value
    if given.get("interval") == "cron" and ("interval" in found or "cron" in found):
        found["interval"] = given.get("cron") or ""
    found.pop("cron", None)
    return found


#: What says that there is none, where it is not said by "none".
_NONE: dict[str, Any] = {"time_zone": "UTC", "offset": "0s", "jitter": "0s", "max_bytes_billed": None,
                         "buffer_bytes": None, "buffer_seconds": None}  # fmt: skip


def _fields(made: ExportSpec, name: str) -> list[Field]:
    """What can be changed, as it is now."""
    found = [Field("name", "Name", value=name)]
    if made.definition.event_column:
        found += [
            Field("include_events", "Only these events", "text", rows=3, required=False, help="A name on each line.",
                  value="\n".join(made.include_events)),
            Field("exclude_events", "Not these events", "text", rows=3, required=False, help="A name on each line.",
                  value="\n".join(made.exclude_events)),
        ]  # fmt: skip
    found += _of_stream(made) if made.streams else _of_runs(made, made.schedule)
    share = "none" if made.reject_share >= 1 else f"{100 * made.reject_share:g}%"
    found += [
        Field("reject_share", "Tell of a run that sets aside more than", value=share, help="5%, 0 for any, or none."),
        Field("max_bytes_billed", "Most bytes billed by a statement", required=False, placeholder="20GB",
              value=str(made.max_bytes_billed or "")),
    ]  # fmt: skip
    return found


def _of_stream(made: ExportSpec) -> list[Field]:
    return [
        Field("buffer_bytes", "Bytes that are sent at once", value=str(made.buffer_bytes)),
        Field("buffer_seconds", "So many seconds are waited for more", "number", least=0, greatest=600,
              value=made.buffer_seconds),
    ]  # fmt: skip


def _of_runs(made: ExportSpec, schedule: Schedule) -> list[Field]:
    interval = str(schedule.interval) if schedule.interval else "cron" if schedule.cron else "none"
    failures = "none" if schedule.pause_after is None else str(schedule.pause_after)
    if schedule.pause_after is not None and schedule.pause_within:
        failures += f"/{_span(schedule.pause_within)}"
    days = {None: "none", 0: "all"}.get(made.verify_days, str(made.verify_days))
    missed = (Option("each", "A run for each"), Option("join", "One run for all"))
    ways = (Option("load", "Load jobs, which are free"), Option("storage-write", "Storage Write API"))
    return [
        Field("interval", "When", "select", options=INTERVALS, value=interval),
        Field("cron", "Cron expression", when=("interval", ("cron",)), mono=True, value=schedule.cron or ""),
        Field("time_zone", "Time zone", value=schedule.time_zone),
        Field("offset", "Offset", required=False, value=_span(schedule.offset),
              help="After the beginning of the hour, day or week (Monday): 30m, 3h, 1d6h. Another interval begins "
              "without."),
        Field("jitter", "Begins up to so much later", required=False, value=_span(schedule.jitter)),
        Field("start_at", "No interval before", required=False, value=_moment(schedule.start_at)),
        Field("end_at", "No interval after", required=False, value=_moment(schedule.end_at)),
        Field("missed", "Intervals that were missed", "select", options=missed, value=str(schedule.missed)),
        Field("pause_after", "Paused after so many failures", value=failures, help="10; 10/2d: in two days; none."),
        Field("delivery", "How rows get to BigQuery", "select", options=ways, value=str(made.delivery)),
        Field("verify_days", "Verify so many of the last days, daily", value=days, help="7, all or none."),
        Field("run_log", "Write each run into the table tidemill_runs", "switch", required=False, value=made.run_log),
    ]  # fmt: skip


def _span(seconds: int) -> str:
    """Seconds, as they are typed: 30m, 1d6h."""
    said = ""
    for unit, name in _UNITS:
        number, seconds = divmod(seconds, unit)
        said += f"{number}{name}" if number else ""
    return said


def _moment(moment: Any) -> str:
    return moment.isoformat() if moment else ""
