"""The fields of the steps of a new export."""

from __future__ import annotations

import zoneinfo
from collections.abc import Sequence

from tidemill.models import registry
from tidemill.web.form import Field, Option
from tidemill.web.pages.export_draft import Draft

MODELS = tuple(Option(model.name, model.title, model.description) for model in registry.MODELS.values())
INTERVALS = (
    Option("every 5 minutes", "Every 5 minutes"), Option("every 15 minutes", "Every 15 minutes"),
    Option("hour", "Every hour"), Option("day", "Every day"), Option("week", "Every week"),
    Option("cron", "By a cron expression"), Option("none", "By hand alone"),
)  # fmt: skip
_OF_EVENTS = tuple(model.name for model in registry.MODELS.values() if model.event_column)
_OF_QUERY = ("model", ("custom",))
_NOT_QUERY = ("model", tuple(name for name in registry.MODELS if name != "custom"))
_USUAL = (Option("", "As is usual"), Option("choose", "Choose"))
_CHOSEN_LAYOUT, _BATCH, _STREAM = ("layout", ("choose",)), ("mode", ("batch",)), ("mode", ("stream",))
_EXPRESSION = ("interval", ("cron",))


def _filled(draft: Draft, fields: Sequence[Field]) -> list[Field]:
    """The fields with what is said, each told of when it changes."""
    found = []
    for field in fields:
        said = draft[field.name]
        value = (said == "1" if said else field.value) if field.kind == "switch" else said or field.value
        found.append(Field(**{**vars(field), "value": value, "told": True}))
    return found


def of_data(draft: Draft) -> list[Field]:
    """What is exported."""
    of_events = ("model", _OF_EVENTS)
    fields = [
        Field("model", "What to export", "radio", options=MODELS, value="events"),
        Field(
            "sql", "Query", "text", rows=8, mono=True, when=_OF_QUERY, placeholder="SELECT …",
            help="A query over the event store. Bound it by {data_interval_start} and {data_interval_end}, or give "
            "it a key.",
        ),
        Field("key", "Key", required=False, when=_OF_QUERY, placeholder="team_id, id",
              help="Columns by which rows are merged; without any, rows are appended."),
        Field("versions", "Versions", required=False, when=_OF_QUERY, placeholder="updated_at",
              help="Columns; of rows with the same key, the one with the greatest stays."),
        Field("team_id", "Team", "number", required=False, least=0, help="Only rows of this team; empty: all. Needed "
              "for tables of Amplitude's form.", when=_NOT_QUERY),
        Field("include_events", "Only these events", "text", rows=3, required=False, when=of_events,
              help="A name on each line; none: all events."),
        Field("exclude_events", "Not these events", "text", rows=3, required=False, when=of_events,
              help="A name on each line."),
    ]  # fmt: skip
    return _filled(draft, fields)


def of_schema(draft: Draft) -> list[Field]:
    """How the columns are."""
    if not any(column.json for column in draft.model.columns):
        return []
    said = Field(
        "json_type", "Columns that hold JSON get type JSON", "switch", value=draft.model.json_type, required=False,
        help="Type JSON can be asked by path; STRING takes what JSON does not. It cannot be changed later.",
    )  # fmt: skip
    return _filled(draft, [said])


def of_destination(draft: Draft, connections: Sequence[Option], datasets: Sequence[Option]) -> list[Field]:
    """Where rows go."""
    columns = draft.model.partition_by
    fields = [
        Field("name", "Name of the export", placeholder="daily events"),
        Field("connection", "Connection", "select", options=tuple(connections),
              value=connections[0].value if len(connections) == 1 else None),
        Field("dataset", "Dataset", required=False, options=tuple(datasets), help="Empty: that of the connection."),
        Field("table", "Table", value=draft.table or None, help="It is made by the first run, if it is not there."),
        Field("layout", "Partitioning, clustering and expiry", "radio", required=False, options=_USUAL, value=""),
        Field("partition_by", "Partitioned by", required=False, when=_CHOSEN_LAYOUT, placeholder=columns or "none",
              help="COLUMN, COLUMN:hour, day, month or year; or none."),
        Field("cluster_by", "Clustered by", required=False, when=_CHOSEN_LAYOUT, help="Up to four columns."),
        Field("partition_expiration_days", "A partition vanishes after so many days", "number", required=False, least=1,
              when=_CHOSEN_LAYOUT, help="Empty: never."),
        Field("table_expiration_days", "The whole table vanishes after so many days", "number", required=False, least=1,
              when=_CHOSEN_LAYOUT, help="Empty: never."),
    ]  # fmt: skip
    return _filled(draft, fields)


def of_schedule(draft: Draft) -> list[Field]:
    """When rows go."""
    zones = tuple(Option(zone, zone) for zone in sorted(zoneinfo.available_timezones()) if "/" in zone)
    modes = (
        Option("batch", "By runs", "each takes what is new, merged or appended"),
        Option("stream", "As a stream", "rows are appended within seconds"),
    )
    may_stream = not (draft.is_query or draft.model.versions or draft.model.replaced)
    fields = [
        Field("mode", "How", "radio", options=modes if may_stream else modes[:1], value="batch"),
        Field("interval", "When", "select", options=INTERVALS, value="hour", when=_BATCH),
        Field("cron", "Cron expression", when=_EXPRESSION, placeholder="0 6 * * 1-5", mono=True),
        Field("time_zone", "Time zone", required=False, options=zones, placeholder="UTC", when=_BATCH,
              help="Whose days and weeks; empty: UTC."),
        Field("offset", "Offset", required=False, placeholder="30m", when=_BATCH,
              help="After the beginning of the hour, day or week (Monday): 30m, 3h, 1d6h."),
        Field("more", "All other options", "radio", required=False, options=_USUAL, value=""),
    ]  # fmt: skip
    fields += _more(draft) if draft["more"] == "choose" else []
    return _filled(draft, fields)


def _more(draft: Draft) -> list[Field]:
    """What is folded away."""
    all_of = [
        Field("max_bytes_billed", "Most bytes billed by a statement", required=False, placeholder="20GB"),
        Field("reject_share", "Tell of a run that sets aside more than", required=False, placeholder="1%"),
    ]
    of_stream = [
        Field("buffer_bytes", "So much is sent at once", required=False, placeholder="4MB", when=_STREAM),
        Field("buffer_seconds", "So many seconds are waited for more", "number", required=False, least=0, greatest=600,
              when=_STREAM),
    ]  # fmt: skip
    missed = (Option("each", "A run for each"), Option("join", "One run for all"))
    ways = (Option("load", "Load jobs, which are free"), Option("storage-write", "Storage Write API"))
    of_runs = [
        Field("delivery", "How rows get there", "select", required=False, options=ways, value="load", when=_BATCH),
        Field("jitter", "Begin up to so much later", required=False, placeholder="2m", when=_BATCH),
        Field("start_at", "No interval before", "moment", required=False, when=_BATCH),
        Field("end_at", "No interval after", "moment", required=False, when=_BATCH),
        Field("missed", "Intervals that were missed", "select", required=False, options=missed, value="each",
              when=_BATCH),
        Field("pause_after", "Paused after so many failures", required=False, placeholder="10", when=_BATCH,
              help="10; 10/2d for ten in two days; none."),
        Field("verify_days", "Verify so many of the last days, daily", required=False, placeholder="none", when=_BATCH,
              help="7, all or none. What is missing is brought in."),
        Field("run_log", "Write each run into the table tidemill_runs", "switch", required=False, when=_BATCH),
    ]  # fmt: skip
    return [*all_of, *(of_stream if draft["mode"] == "stream" else of_runs)]
