"""Exports: what goes into which table, and when."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tidemill.access.permissions import Permission
from tidemill.bigquery import names
from tidemill.configuration import documents, words
from tidemill.configuration.documents import Document
from tidemill.configuration.kinds.kind import Change, Doing, Fields, Kind, Need, World, canonical, typed
from tidemill.configuration.words import ScheduleDocument
from tidemill.errors import ConfigError
from tidemill.exports.draft import EDITABLE
from tidemill.exports.spec import ExportSpec, Partitioning
from tidemill.models import registry
from tidemill.schedules import said

if TYPE_CHECKING:
    from tidemill.app import App

#: In place of a number: there is none any more.
_NONE = "none"
_OF_QUERY = ("sql", "key", "versions")
#: What only runs have, and what only a stream has.
_OF_RUNS, _OF_STREAMS = ("schedule", "delivery"), ("buffer_bytes", "buffer_seconds")


class Exports(Kind):
    """See the module."""

    section, title = "exports", "export"
    writes = Permission.EXPORTS_WRITE
    alone = "table"
    essential = ("connection", "model", "table", "mode", "team_id", *_OF_QUERY)
    fixed = tuple(name for name in documents.EXPORT.model_fields if name not in {*EDITABLE, "schedule"})

    def document(self, given: Any) -> type[Document]:
        """See Kind."""
        return documents.EXPORT

    def found(self, app: App) -> dict[str, Fields]:
        """See Kind."""
        return {
            one.name: _fields(one.spec, one.connection, f"{one.project}.{one.dataset}.{one.spec.table}")
            for one in app.exports.defined()
        }

    def whole(self, world: World, name: str, given: Fields) -> Fields:
        """See Kind."""
        connection = world.get("connections", given["connection"]) or {}
        table = names.parse_table(given["table"]) if given.get("table") else names.Name(None, None, None, "")
        project, dataset = connection["project"], table.dataset or connection["dataset"]
        before = world.found["exports"].get(name)
        if before and table.project and before["table"] == f"{table.project}.{dataset}.{table.table}":
            project = table.project  # it was made when the connection had that project
        if (table.project or project) != project:
            raise ConfigError(
                "other_project",
                f"The table is in project {table.project}, the connection in {project}.",
                hint="Write the table alone, or make a connection for that project.",
            )
        fields = {**_flat(given), "name": name, "table": table.table}
        if given.get("mode") == "stream" and (named := [one for one in _OF_RUNS if given.get(one) is not None]):
            raise ConfigError("stream_runs", f"A stream has no runs: leave out {' and '.join(named)}.")
        spec = world.app.exports.draft(project, dataset, fields)
        return _fields(spec, given["connection"], f"{project}.{dataset}.{spec.table}")

    def short(self, world: World, name: str, fields: Fields) -> Fields:
        """See Kind."""
        found = super().short(world, name, fields)
        connection = world.get("connections", fields["connection"]) or {}
        project, dataset, table = str(fields["table"]).rsplit(".", 2)
        if project == connection.get("project"):
            found["table"] = table if dataset == connection.get("dataset") else f"{dataset}.{table}"
        if found["model"] == "custom":
            found.pop("model")
        elif found["table"] == registry.get(fields["model"]).table.format(team_id=fields["team_id"]):
            found.pop("table")
        if found["mode"] == "batch":
            found.pop("mode")
        return {field: value for field, value in found.items() if value != []}

    def needs(self, fields: Fields) -> Iterator[Need]:
        """See Kind."""
        yield Need("connection", "connections", fields["connection"])

    def refusal(self, world: World, name: str, before: Fields, change: Change) -> str | None:
        """See Kind. Whatever else it is, it stays where it was made."""
        if not change.touches("table"):
            return None
        return f"It goes into {before['table']}. Write table: {before['table']}, or make another export."

    def changed_at(self, app: App, name: str) -> dt.datetime | None:
        """See Kind."""
        return app.exports.listed.get(name).updated_at

    def create(self, doing: Doing, change: Change) -> None:
        """See Kind. What is so by itself is not said: some of it may not be said of some models."""
        fields = {**_flat(self.short(doing.world, change.name, change.after)), "name": change.name}
        doing.app.exports.create(change.after["connection"], fields, by=doing.by)

    def change(self, doing: Doing, change: Change) -> None:
        """See Kind."""
        values = typed(documents.EXPORT, {name: change.after[name] for name in change.fields if name != "schedule"})
        for name in ("max_bytes_billed", "verify_days"):
            if name in values and values[name] is None:
                values[name] = _NONE
        if change.touches("schedule"):
            values |= words.told(change.after["schedule"])
        doing.app.exports.edit(change.name, values, as_of=doing.as_of)

    def delete(self, doing: Doing, name: str) -> None:
        """See Kind. The table in BigQuery stays."""
        doing.app.exports.delete(name, as_of=doing.as_of)


def _flat(given: Fields) -> dict[str, Any]:
    """What is written, as the command line has it."""
    values = typed(documents.EXPORT, {name: value for name, value in given.items() if name != "schedule"})
    values.pop("connection")
    flat = {name: value for name, value in values.items() if value is not None}
    if flat.get("sql") is not None:
        flat.pop("model", None)
    return {**flat, **(given.get("schedule") or {})}


def _fields(spec: ExportSpec, connection: str, table: str) -> Fields:
    values: dict[str, Any] = {name: getattr(spec, name, None) for name in documents.EXPORT.model_fields}
    values |= {"connection": connection, "table": table, "partition_by": _partitioned(spec.partition_by)}
    query = spec.query
    values |= {"sql": query.sql, "key": query.key, "versions": query.versions} if query else {}
    values |= dict.fromkeys(_OF_RUNS if spec.streams else _OF_STREAMS)
    values.pop("schedule")
    written = None if spec.streams else words.written_schedule(spec.schedule, ScheduleDocument)
    return {**canonical(documents.EXPORT, values), "schedule": written}


def _partitioned(by: Partitioning | None) -> str:
    return _NONE if by is None else f"{by.column}:{by.granularity.value.lower()}"


assert set(said.FIELDS) == set(ScheduleDocument.model_fields)  # noqa: S101 - what is said of a schedule can be written
