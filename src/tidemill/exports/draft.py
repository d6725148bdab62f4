"""What a user says of a new export or of a change to one, made into its spec and its place."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol

from tidemill import sizes
from tidemill.bigquery import names
from tidemill.errors import ConfigError
from tidemill.events.lake import Lake
from tidemill.events.sources import custom_sql
from tidemill.exports import spec
from tidemill.exports.spec import ExportSpec
from tidemill.models import custom
from tidemill.schedules import said
from tidemill.schedules.calendar import Schedule
from tidemill.store.records import Export

EDITABLE = {
    *("name", "include_events", "exclude_events", "max_bytes_billed", "run_log", "verify_days", "reject_share"),
    *("delivery", "buffer_bytes", "buffer_seconds", "elements_on_any_event", *said.FIELDS),
}
#: Words of `tidemill export run` and `tidemill export backfill`.
_RESERVED = {"show", "retry", "cancel", "start", "list", "resume", "pause", "again"}


@dataclasses.dataclass(frozen=True)
class Draft:
    """A new export. `remarks`: on what was understood."""

    spec: ExportSpec
    dataset: str
    remarks: list[str]


class Place(Protocol):
    """Where tables are: a connection, mostly."""

    @property
    def project(self) -> str:
        """Google Cloud project id."""

    @property
    def dataset(self) -> str:
        """Dataset id."""


def new(lake: Lake, connection: Place, fields: dict[str, Any]) -> Draft:
    """A new export of these fields.

    Raises
    ------
    ConfigError
        A field is wrong.
    """
    name = names.parse_table(str(fields["table"])) if fields.get("table") else names.Name(None, None, None, "")
    fields = {**fields, "table": name.table}
    if isinstance(fields.get("partition_by"), str):
        fields["partition_by"] = spec.Partitioning.parse(fields["partition_by"])
    made = spec.make(**_queried(lake, _understood(fields, Schedule())))
    _assert_free(made)
    _assert_meant(made, fields)
    if fields.get("json_type") is not None and not any(column.json for column in made.definition.columns):
        raise ConfigError(
            "json_type", f"No column of {made.model} holds JSON.", hint="Leave --json-type and --no-json-type out."
        )
    if (name.project or connection.project) != connection.project:
        raise ConfigError(
            "other_project",
            f"The table is in project {name.project}, the connection in {connection.project}.",
            hint="Give the table id alone, or make a connection for that project.",
        )
    remarks = [name.note] if name.note else []
    if made.streams and made.max_bytes_billed:
        remarks.append(
            "A stream appends rows, and is not bounded by --max-bytes-billed: that holds for its statements, such as "
            "those of verify, backfill and rejects retry."
        )
    return Draft(made, name.dataset or connection.dataset, remarks)


def changed(export: Export, changes: dict[str, Any]) -> ExportSpec:
    """The spec of an export with these changes.

    Raises
    ------
    ConfigError
        A field is wrong or fixed.
    """
    if not changes:
        raise ConfigError("nothing_to_change", "Nothing to change was named.", hint="tidemill export edit --help")
    fixed = sorted(set(changes) - EDITABLE)
    if fixed:
        raise ConfigError(
            "field_fixed", f"{', '.join(fixed)} cannot be changed.", hint="Make another export, into another table."
        )
    before = ExportSpec.model_validate(export.spec)
    kept = {name: getattr(before, name) for name in ExportSpec.model_fields}  # a query stays one, and no dict
    made = spec.make(**{**kept, **_understood(changes, before.schedule)})
    _assert_free(made)
    _assert_meant(made, changes)
    return made


def assert_by_runs(export: Export) -> None:
    """Raise ConfigError if the export is streamed."""
    if ExportSpec.model_validate(export.spec).streams:
        raise ConfigError(
            "export_streams",
            f"{export.name} is a stream: it has no runs that could be begun.",
            hint=f"Send what is new: tidemill export stream {export.name}, with --once until all is sent.",
        )


def _assert_free(made: ExportSpec) -> None:
    if made.name.lower() in _RESERVED:
        raise ConfigError("export_name", f"An export cannot be named {made.name!r}.", hint="Choose another name.")


def _assert_meant(made: ExportSpec, given: dict[str, Any]) -> None:
    """Raise ConfigError if something was said of a stream that is of runs alone."""
    of_runs = [name for name in ("delivery", *said.FIELDS) if given.get(name) is not None]
    if made.streams and of_runs:
        named = " and ".join(f"--{name.replace('_', '-')}" for name in of_runs)
        raise ConfigError(
            "stream_runs", f"A stream has no runs: {named} would do nothing.", hint="Leave it out: a stream appends."
        )


def _queried(lake: Lake, fields: dict[str, Any]) -> dict[str, Any]:
    """The fields, with the columns of a query that is among them."""
    asked = {name: fields.pop(name, None) for name in ("sql", "key", "versions")}
    if asked["sql"] is None:
        if asked["key"] or asked["versions"]:
            raise ConfigError(
                "key_without_query", "--key and --version are those of a query.", hint="Give it: --sql 'SELECT …'"
            )
        return fields
    if not asked["sql"].strip():
        raise ConfigError(
            "query_empty", "The query is empty.", hint="Give it: --sql 'SELECT …', or --sql @FILE, or leave --sql out."
        )
    if fields.get("model") not in {None, custom.CUSTOM.name}:
        raise ConfigError(
            "model_and_query",
            f"The rows are those of {fields['model']}, or those of a query.",
            hint="Leave --model out, or --sql.",
        )
    columns = custom_sql.describe(lake, asked["sql"])
    query = spec.Query.of(asked["sql"], columns, asked["key"] or (), asked["versions"] or ())
    return {**fields, "model": custom.CUSTOM.name, "query": query}


def _understood(fields: dict[str, Any], before: Schedule) -> dict[str, Any]:
    """The fields, with numbers that were written as texts, and with a schedule if something is said of it."""
    fields = said.understood(fields, before)
    texts: dict[str, Callable[[str], Any]] = {"verify_days": spec.parse_days, "reject_share": spec.parse_share}
    texts |= {"max_bytes_billed": sizes.parse_bytes, "buffer_bytes": sizes.parse_bytes}
    return {name: texts[name](value) if name in texts and isinstance(value, str) else value
            for name, value in fields.items()}  # fmt: skip
