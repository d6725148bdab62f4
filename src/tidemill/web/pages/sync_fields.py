"""Fields of forms of syncs: the mode, how rows are found, the schedule, and what stops a run."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tidemill.reverse_etl.service import CursorUnit, Extraction
from tidemill.schedules.calendar import BY_HAND
from tidemill.web.form import Field, Option

if TYPE_CHECKING:
    from tidemill.destinations.port import Action
    from tidemill.reverse_etl.service import SyncView
    from tidemill.schedules.calendar import Schedule

_MODES = {
    "insert": "New rows alone.",
    "update": "Rows that have changed alone; those that are new are not sent.",
    "upsert": "Rows that are new, or have changed.",
    "delete": "Rows that are gone are deleted there; nothing else is sent.",
    "mirror": "The destination is kept like the model: rows that are gone are deleted there.",
}
_EXTRACTIONS = (
    Option(Extraction.DIFF.value, "What has changed", "compared with what was delivered"),
    Option(Extraction.CURSOR.value, "By a cursor", "a column that grows with each change"),
    Option(Extraction.FULL.value, "All rows", "each time"),
)
_INTERVALS = (
    Option(BY_HAND, "By hand, or by a trigger"),
    Option("every 5 minutes", "Every 5 minutes"),
    Option("every 15 minutes", "Every 15 minutes"),
    Option("hour", "Every hour"),
    Option("day", "Every day"),
    Option("week", "Every week"),
    Option("cron", "By a cron expression"),
)
#: Fields that are written per cent.
_SHARES = ("delete_brake", "reject_share", "deviation")
_BY_CURSOR = ("extraction", (Extraction.CURSOR.value,))


def fields(action: Action, columns: Sequence[str], saved: SyncView | None = None) -> list[Field]:
    """Of a new sync; or of a saved one, of which what is fixed is left out."""
    spec = saved.spec if saved else None
    modes = tuple(Option(mode.value, mode.value.capitalize(), _MODES[mode.value]) for mode in action.modes)
    mode = spec.mode.value if spec else action.modes[0].value
    found = [Field("mode", "What is delivered", "radio", options=modes, value=mode)]
    if spec is None:
        options = tuple(Option(column, column) for column in columns)
        units = tuple(Option(unit.value, unit.value) for unit in CursorUnit)
        found += [
            Field("extraction", "How rows are found", "radio", options=_EXTRACTIONS, value=Extraction.DIFF.value),
            Field("cursor", "Cursor", "select", options=options, when=_BY_CURSOR),
            Field("cursor_unit", "Its unit, if it is a number", "select", options=units, value="none", when=_BY_CURSOR),
            Field(
                "cursor_overlap", "Overlap", "number", value=0, least=0, when=_BY_CURSOR,
                help="So far back rows are looked at again: days of a date, hours of a time, or so much of a number.",
            ),
        ]  # fmt: skip
    return [*found, *_schedule(spec.schedule if spec else None), *_limits(saved)]


def _schedule(saved: Schedule | None) -> list[Field]:
    cron = saved.cron if saved else None
    interval = "cron" if cron else saved.interval.value if saved and saved.interval else BY_HAND if saved else "hour"
    timed = ("interval", tuple(option.value for option in _INTERVALS if option.value != BY_HAND))
    zone = saved.time_zone if saved else "UTC"
    return [
        Field("interval", "It runs", "select", options=_INTERVALS, value=interval),
        Field("cron", "Cron expression", value=cron, when=("interval", ("cron",)), mono=True, placeholder="0 6 * * 1-5",
              help="Minute, hour, day, month, weekday."),
        Field("time_zone", "Time zone", value=zone, when=timed, help="A name of the IANA's list, as Europe/Paris."),
    ]  # fmt: skip


def _limits(saved: SyncView | None) -> list[Field]:
    spec = saved.spec if saved else None

    def per_cent(value: float | None) -> float | None:
        return None if value is None else round(100 * value, 4)

    return [
        Field("delete_brake", "Brake, %", "number", value=per_cent(spec.delete_brake if spec else 0.2), least=0,
              greatest=100, help="A run that would delete a larger share of the rows stops, and asks."),
        Field("most_rejects", "Most rows refused", "number", value=spec.most_rejects if spec else 100_000, least=1,
              help="A run in which more rows are refused stops."),
        Field("reject_share", "Tell of refusals above, %", "number", least=0,
              value=per_cent(spec.reject_share if spec else 0.01),
              greatest=100, help="People are told of a run in which a larger share is refused. 100: never."),
        Field("deviation", "Tell of unusual numbers above, %", "number", required=False,
              value=per_cent(spec.deviation if spec else None),
              help="People are told of a run whose rows differ from the usual by more. Empty: never."),
        Field("max_bytes_billed", "Most bytes a run may read", required=False, placeholder="20 GB",
              value=str(spec.max_bytes_billed) if spec and spec.max_bytes_billed else None,
              help="A run that would be billed for more does not start. Empty: no limit."),
    ]  # fmt: skip


def understood(given: Mapping[str, Any], *, edits: Collection[str] = ()) -> dict[str, Any]:
    """What was typed, as services take it. `edits`: of these, what is empty is no more; else it is left out."""
    found = dict(given)
    for name in _SHARES:
        value = found.get(name)
        if isinstance(value, int | float):
            found[name] = value / 100
    if found.get("interval") == "cron":
        found["interval"] = found.pop("cron", None) or ""
    found.pop("cron", None)
    for name in ("deviation", "max_bytes_billed"):
        if name in edits and found.get(name) is None:
            found[name] = "none"
    return found
