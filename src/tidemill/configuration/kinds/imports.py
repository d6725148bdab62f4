"""Imports: rows of BigQuery that become people and events here."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

from tidemill.access.permissions import Permission
from tidemill.configuration import documents, words
from tidemill.configuration.documents import OF_SYNC, Document
from tidemill.configuration.kinds.kind import Change, Doing, Fields, Kind, Need, World, canonical, typed
from tidemill.configuration.words import SyncScheduleDocument
from tidemill.destinations.home import HOME
from tidemill.destinations.port import Mode
from tidemill.errors import ConfigError, TidemillError
from tidemill.imports import drafts
from tidemill.imports.spec import ImportSpec, Taken
from tidemill.imports.spec import Kind as What
from tidemill.reverse_etl import spec as specs
from tidemill.reverse_etl.service import SourceModelView, SyncView
from tidemill.reverse_etl.spec import SyncSpec
from tidemill.schedules.calendar import BY_HAND, Schedule

if TYPE_CHECKING:
    from tidemill.app import App

_ROWS = ("connection", "model", "sql", "table", "ga4", "key")
_LIMITS = ("delete_brake", "most_rejects", "reject_share", "deviation")
_FOUND_BY = ("mode", "extraction", "cursor", "cursor_unit", "cursor_overlap")
_MAPPED = tuple(ImportSpec.model_fields)
_NONE = "none"
_BY_HAND = Schedule(interval=None)
#: How a column is read, if nothing is said.
_AS_IT_IS = "auto"


class Imports(Kind):
    """See the module."""

    section, title = "imports", "import"
    writes = Permission.IMPORTS_WRITE
    fixed = ("connection", "model", "ga4")
    essential = (*_ROWS, "kind", "identity", "person_id", "event", "event_column", "extraction", "cursor")
    mapped = _MAPPED

    def document(self, given: Any) -> type[Document]:
        """See Kind."""
        return documents.IMPORT

    def found(self, app: App) -> dict[str, Fields]:
        """See Kind."""
        models = {model.name: model for model in app.reverse_etl.models.find()}
        return {sync.name: _found(sync, models[sync.model]) for sync in app.reverse_etl.syncs.find(imports=True)}

    def whole(self, world: World, name: str, given: Fields) -> Fields:
        """See Kind. The columns are looked at when it is made."""
        given = {**dict.fromkeys(documents.IMPORT.model_fields), **given}
        _assert_rows(given)
        spec = _mapped(given)
        values = typed(documents.IMPORT, {field: value for field, value in given.items() if field != "schedule"})
        of_sync = {field: values[field] for field in (*OF_SYNC, "max_bytes_billed") if values[field] is not None}
        if given["ga4"] is not None:
            of_sync = {**drafts.cursor(given["ga4"]), **of_sync}
        usual = Mode.UPSERT if spec is None or spec.kind is What.PEOPLE else Mode.INSERT
        of_sync.setdefault("mode", usual)
        schedule = words.scheduled(given["schedule"], _BY_HAND)
        _assert_runs(name, given, spec, schedule)
        about = {"name": name, "mapping": {}, "action": (spec.kind if spec else What.PEOPLE).value}
        made: SyncSpec = specs.make(SyncSpec, "import", {**about, **of_sync, "schedule": schedule})
        _assert_mode(made)
        rows = {field: given[field] for field in _ROWS}
        if given["ga4"] is not None:
            rows["ga4"] = {"since": None, "intraday": True, **given["ga4"]}
        return _fields(made, spec, rows, once=bool(given["once"]), limit=made.max_bytes_billed)

    def short(self, world: World, name: str, fields: Fields) -> Fields:
        """See Kind. Nor is it written that a column is read as it is."""
        found = super().short(world, name, fields)
        if found.get("extraction") == "diff":
            found.pop("extraction")
        properties = [
            {key: value for key, value in one.items() if key in {"column", "name"} or value != _AS_IT_IS}
            for one in fields["properties"] or ()
        ]
        return {**found, **({"properties": properties} if properties else {})}

    def needs(self, fields: Fields) -> Iterator[Need]:
        """See Kind."""
        if fields.get("model") is not None:
            yield Need("model", "models", fields["model"])
        if fields.get("connection") is not None:
            yield Need("connection", "connections", fields["connection"])
            yield Need("connection", "sources", fields["connection"])

    def same(self, field: str, before: Any, after: Any) -> bool:
        """See Kind. BigQuery's columns have no case."""
        if field == "key" and before and after:
            return [name.lower() for name in before] == [name.lower() for name in after]
        return super().same(field, before, after)

    def refusal(self, world: World, name: str, before: Fields, change: Change) -> str | None:
        """See Kind."""
        if before["kind"] is not None and change.after["kind"] is None:
            return "It is mapped, and becomes no draft again. Write kind."
        fixed = [field for field in _FOUND_BY if field in change.fields and field != "cursor_overlap"]
        if fixed and world.app.reverse_etl.syncs.get(name).last is not None:
            return (
                f"{' and '.join(fixed)} cannot be changed: runs of it have begun. Make another import, of another name."
            )
        return None

    def permissions(self, change: Change | None) -> Collection[Permission]:
        """See Kind. Its rows are those of a source model."""
        is_model = change is not None and change.before is not None and change.touches("sql", "table", "key")
        return (self.writes, Permission.MODELS_WRITE) if is_model else (self.writes,)

    def create(self, doing: Doing, change: Change) -> None:
        """See Kind. One that cannot be mapped is not there afterwards."""
        imports, after = doing.app.imports, change.after
        own = {} if after["model"] is not None else {"connection": after["connection"], **_own(after)}
        imports.create(change.name, model=after["model"], by=doing.by, **own)
        try:
            if after["kind"] is not None:
                self._map(doing, change)
            self._edit(doing, change, {*_LIMITS, "once", "schedule"})
        except TidemillError:
            with contextlib.suppress(TidemillError):  # what is wrong is said; the draft can be deleted by hand
                imports.delete(change.name)
            raise

    def change(self, doing: Doing, change: Change) -> None:
        """See Kind."""
        if change.touches("sql", "table", "key"):
            model = doing.app.imports.get(change.name).model
            rows = {name: change.after[name] for name in ("sql", "table") if change.after[name] is not None}
            doing.app.reverse_etl.models.edit(model, {**rows, "key": tuple(change.after["key"])})
        if change.touches(*_MAPPED, *_FOUND_BY):
            self._map(doing, change)
        self._edit(doing, change, set(change.fields))

    def _map(self, doing: Doing, change: Change) -> None:
        named = {name: change.after[name] for name in (*_MAPPED, *_FOUND_BY)}
        values = {name: value for name, value in typed(documents.IMPORT, named).items() if value is not None}
        values = {name: getattr(value, "value", value) for name, value in values.items()}
        values["properties"] = [one.model_dump(mode="json") for one in values.get("properties", ())]
        kind = What(values.pop("kind"))
        doing.app.imports.map(change.name, kind, values, reset=doing.reset if change.before else None)

    def _edit(self, doing: Doing, change: Change, named: set[str]) -> None:
        """Its limits, and when it runs."""
        limits = [name for name in (*_LIMITS, "max_bytes_billed") if name in named]
        values = typed(documents.IMPORT, {name: change.after[name] for name in limits})
        for name in ("deviation", "max_bytes_billed"):
            if name in values:
                values[name] = _NONE if values[name] is None else values[name]
        if isinstance(values.get("max_bytes_billed"), int):
            values["max_bytes_billed"] = str(values["max_bytes_billed"])
        once = None
        if {"schedule", "once"} & named:
            schedule = change.after["schedule"]
            is_draft = change.after["kind"] is None
            values |= {} if is_draft and schedule["interval"] == BY_HAND else words.told(schedule)
            once = change.after["once"]
        if any(value is not None for value in values.values()) or once is not None:
            doing.app.imports.edit(change.name, values, once=once)

    def delete(self, doing: Doing, name: str) -> None:
        """See Kind. What it has brought stays."""
        doing.app.imports.delete(name)


def _assert_rows(given: Fields) -> None:
    """Raise ConfigError if it is not said which rows, or twice."""
    rows = [name for name in ("sql", "table", "ga4") if given[name] is not None]
    if (given["model"] is None) == (given["connection"] is None) or (
        given["model"] is not None and (rows or given["key"])
    ):
        raise ConfigError(
            "import_source",
            "It is not said which rows, or in two ways.",
            hint="Write connection, with table, sql or ga4, and key; or model alone.",
        )
    if given["connection"] is not None and len(rows) != 1:
        raise ConfigError(
            "import_source", "The rows of a connection are those of one table.", hint="Write table, sql or ga4."
        )
    if given["connection"] is not None and (given["ga4"] is None) != bool(given["key"]):
        said = "The key of an export of GA4 is made." if given["ga4"] else "No key is named."
        raise ConfigError("model_key", said, hint="Leave key out." if given["ga4"] else "Write key: [id].")


def _assert_runs(name: str, given: Fields, spec: ImportSpec | None, schedule: Schedule) -> None:
    if schedule.by_hand:
        return
    if spec is None:
        raise ConfigError(
            "import_draft", f"{name} is a draft: it has no schedule.", hint="Write kind, and what becomes of columns."
        )
    if given["once"]:
        raise ConfigError(
            "import_once", f"{name} is to be run once, so it has no interval.", hint="Leave one of them out."
        )


def _assert_mode(made: SyncSpec) -> None:
    action = HOME.action(made.action)
    if made.mode not in action.modes:
        known = ", ".join(mode.value for mode in action.modes)
        raise ConfigError(
            "sync_mode", f"Of {made.action} there is no mode {made.mode.value}.", hint=f"One of: {known}."
        )


def _mapped(given: Fields) -> ImportSpec | None:
    """What becomes of rows; None of a draft."""
    said = {name: given[name] for name in _MAPPED if given[name] is not None}
    if given["kind"] is None:
        if said:
            raise ConfigError(
                "import_kind", "It is not said what the rows become.", hint="Write kind: people, events or deletions."
            )
        return None
    return drafts.made(said)


def _own(after: Fields) -> dict[str, Any]:
    """Of the source model that is made for it."""
    limit = typed(documents.IMPORT, {"max_bytes_billed": after["max_bytes_billed"]})
    if (of := after["ga4"]) is not None:
        since = dt.date.fromisoformat(of["since"]) if of["since"] is not None else None
        return {"ga4": (of["dataset"], since, of["intraday"]), "source": limit}
    rows = {name: after[name] for name in ("sql", "table") if after[name] is not None}
    return {"source": {**rows, "key": tuple(after["key"]), **limit}}


def _found(sync: SyncView, model: SourceModelView) -> Fields:
    taken = Taken.model_validate(sync.spec.taken)
    rows: Fields = dict.fromkeys(_ROWS)
    if not taken.own_model:
        rows["model"] = model.name
    elif model.ga4 is not None:
        of, since = model.ga4, model.ga4.since
        rows["connection"] = model.connection
        rows["ga4"] = {"dataset": of.dataset, "since": since.isoformat() if since else None, "intraday": of.intraday}
    else:
        rows |= {"connection": model.connection, "sql": model.sql, "table": model.table, "key": list(model.key)}
    limit = model.max_bytes_billed if taken.own_model else sync.spec.max_bytes_billed
    return _fields(sync.spec, taken.spec, rows, once=taken.once, limit=limit)


def _fields(made: SyncSpec, spec: ImportSpec | None, rows: Fields, *, once: bool, limit: int | None) -> Fields:
    values: dict[str, Any] = {name: getattr(made, name) for name in OF_SYNC}
    values |= {name: getattr(spec, name) for name in _MAPPED} if spec else {}
    values |= {"once": once, "max_bytes_billed": limit}
    written = words.written_schedule(made.schedule, SyncScheduleDocument)
    return {**canonical(documents.IMPORT, values), **rows, "schedule": written}
