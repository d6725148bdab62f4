"""What a user says of an export; validated here, for the command line, the API and the forms alike."""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence
from typing import Annotated, Any

import pydantic
from pydantic import AfterValidator, Field

from tidemill import invalid
from tidemill.errors import ConfigError
from tidemill.models import custom, registry
from tidemill.models.model import Column, Model
from tidemill.models.types import Type
from tidemill.schedules.calendar import Schedule

NAME_RULE = r"^[A-Za-z0-9][A-Za-z0-9_.\- ]{0,99}$"
MAX_CLUSTER_COLUMNS = 4  # BigQuery, "Clustered tables"
MIN_BYTES_BILLED = 10 * 1024**2  # what BigQuery bills at least for a table that a statement reads ("Pricing")
MAX_INT64 = 2**63 - 1
BUFFER_BYTES = 4_000_000  # "Storage Write API", best practices: requests of more than 1 MB
_TIMES = (Type.TIMESTAMP, Type.DATE, Type.DATETIME)


class Mode(enum.StrEnum):
    """Whether rows go into the table by runs, or as they come."""

    BATCH = "batch"
    STREAM = "stream"


class Granularity(enum.StrEnum):
    """Size of a partition, as BigQuery's `timePartitioning.type`."""

    HOUR = "HOUR"
    DAY = "DAY"
    MONTH = "MONTH"
    YEAR = "YEAR"


class Delivery(enum.StrEnum):
    """How the rows of a run get to BigQuery: by load jobs, or by the Storage Write API, committed at once."""

    LOAD = "load"
    STORAGE_WRITE = "storage-write"


class Partitioning(pydantic.BaseModel, frozen=True, extra="forbid"):
    """By which TIMESTAMP column a new table is partitioned."""

    column: str
    granularity: Granularity = Granularity.DAY

    @classmethod
    def parse(cls, text: str) -> Partitioning | None:
        """``timestamp``, ``timestamp:month`` or ``none``.

        Raises
        ------
        ConfigError
            If the granularity is none of BigQuery's.
        """
        if text.strip().lower() == "none":
            return None
        column, _, granularity = text.partition(":")
        try:
            return cls(column=column.strip(), granularity=Granularity((granularity or "DAY").strip().upper()))
        except ValueError:
            sizes = ", ".join(size.value.lower() for size in Granularity)
            raise ConfigError(
                "partition_granularity",
                f"{granularity!r} is not a size of partitions.",
                hint=f"Write COLUMN or COLUMN:SIZE with a size of {sizes}; or 'none'.",
            ) from None


def _unique(names: tuple[str, ...]) -> tuple[str, ...]:
    if any("\0" in name for name in names):
        raise ValueError("a name holds a NUL character; no event that is stored has one")
    return tuple(dict.fromkeys(names))


Names = Annotated[tuple[str, ...], AfterValidator(_unique)]


class QueryColumn(pydantic.BaseModel, frozen=True, extra="forbid"):
    """A column of a query."""

    name: str
    type: Type
    json_text: bool = False
    repeated: bool = False


class Query(pydantic.BaseModel, frozen=True, extra="forbid"):
    """A query of one's own. `columns`: what it gives, as it was when the export was made."""

    sql: str
    columns: tuple[QueryColumn, ...]
    key: Names = ()
    versions: Names = ()

    @classmethod
    def of(cls, sql: str, columns: Sequence[Column], key: Sequence[str], versions: Sequence[str]) -> Query:
        """Of columns as they were described.

        Raises
        ------
        ConfigError
            The key or the versions are none of its columns, or rows would come again with each run.
        """
        known = {column.name: column for column in columns}
        for name in (*key, *versions):
            if name not in known:
                raise ConfigError(
                    "column_unknown", f"The query has no column {name!r}.", hint=f"Columns: {', '.join(known)}."
                )
            if known[name].repeated or known[name].json or known[name].type is Type.FLOAT64:
                raise ConfigError(
                    "key_type", f"{name!r} cannot be compared.", hint="Choose another column, or cast it."
                )
        if versions and not key:
            raise ConfigError("key_missing", "There are versions, and no key.", hint="Say the key, too: --key COLUMN")
        if not key and "{data_interval_start}" not in sql:
            raise ConfigError(
                "query_not_bounded",
                "Each run would append all rows of that query again.",
                hint="Bound it by WHERE inserted_at >= {data_interval_start} AND inserted_at < {data_interval_end}, "
                "or name its key, by which rows are merged: --key COLUMN",
            )
        found = [QueryColumn(name=c.name, type=c.type, json_text=c.json, repeated=c.repeated) for c in columns]
        return cls(sql=sql, columns=tuple(found), key=tuple(key), versions=tuple(versions))

    @property
    def model(self) -> Model:
        """Its model."""
        columns = [Column(c.name, c.type, "A column of the query.", c.json_text, c.repeated) for c in self.columns]
        return custom.custom(columns, self.key, self.versions)


class ExportSpec(pydantic.BaseModel, frozen=True, extra="forbid"):
    """One export. Model, table and JSON type are fixed once it is made; the rest can be edited."""

    name: str = Field(pattern=NAME_RULE, description="Unique name of the export.")
    model: str = Field(default="events", description="What is exported; see `tidemill model list`.")
    table: str = Field(min_length=1, description="Table id, without project and dataset.")
    schedule: Schedule = Field(default=Schedule(), description="When it runs by itself, while tidemill serve does.")
    delivery: Delivery = Field(default=Delivery.LOAD, description="How the rows of a run get to BigQuery.")
    json_type: bool = Field(default=False, description="JSON columns of type JSON instead of STRING.")
    include_events: Names = Field(default=(), description="Only events of these names.")
    exclude_events: Names = Field(default=(), description="No events of these names.")
    team_id: int | None = Field(default=None, ge=0, le=MAX_INT64, description="Only events of this team.")
    partition_by: Partitioning | None = Field(default=None, description="Partitioning of a new table.")
    cluster_by: Names = Field(default=(), description="Clustering of a new table: up to four columns.")
    partition_expiration_days: int | None = Field(
        default=None, ge=1, le=36_500, description="So many days after its end a partition of a new table vanishes."
    )
    table_expiration_days: int | None = Field(
        default=None, ge=1, le=36_500, description="So many days after it is made a new table vanishes, with all rows."
    )
    query: Query | None = Field(default=None, description="The query whose rows are exported, of the custom model.")
    run_log: bool = Field(default=False, description="Each run writes a row into the table tidemill_runs beside it.")
    verify_days: int | None = Field(
        default=None, ge=0, le=36_500, description="Once a day a run verifies so many of the last days; 0: all of them."
    )
    reject_share: float = Field(
        default=0.01, ge=0, le=1, description="People are told of a run that sets aside more of its rows; 1: never."
    )
    max_bytes_billed: int | None = Field(
        default=None, description="Most bytes that one statement of the export may be billed for."
    )

    mode: Mode = Field(default=Mode.BATCH, description="By runs, or as a stream: rows are appended as they come.")
    buffer_bytes: int = Field(
        default=BUFFER_BYTES, ge=1_000_000, le=8_000_000, description="Of a stream: bytes that are sent at once."
    )
    buffer_seconds: float = Field(
        default=1.0, ge=0, le=600, description="Of a stream: so long events are waited for, if there are fewer bytes."
    )
    elements_on_any_event: bool | None = Field(
        default=None, description="Keep `elements` on all events, not on $autocapture alone. Default: not in a stream."
    )

    @pydantic.model_validator(mode="after")
    def _check(self) -> ExportSpec:
        self._check_rows()
        self._check_stream()
        self._check_bytes()
        model = self.definition
        columns = {column.name: column for column in model.columns_for(json_type=self.json_type)}
        if len(self.cluster_by) > MAX_CLUSTER_COLUMNS:
            raise ConfigError("cluster_columns", "BigQuery clusters by four columns at most.", hint="Name fewer.")
        for name in (*self.cluster_by, *([self.partition_by.column] if self.partition_by else [])):
            if name not in columns:
                raise ConfigError(
                    "column_unknown",
                    f"The {model.name} model has no column {name!r}.",
                    hint=f"Columns: {', '.join(columns)}.",
                )
        for name in self.cluster_by:
            kind = "REPEATED" if columns[name].repeated else columns[name].type
            if kind in {Type.JSON, Type.FLOAT64, "REPEATED"}:
                raise ConfigError(
                    "cluster_type",
                    f"BigQuery cannot cluster by {name!r}: it is {kind}.",
                    hint="Choose another.",
                )
        if self.partition_by and columns[self.partition_by.column].type not in _TIMES:
            raise ConfigError(
                "partition_type",
                f"A table cannot be partitioned by {self.partition_by.column!r}: it is no TIMESTAMP, DATE or DATETIME.",
                hint="Use a column of time, or 'none'.",
            )
        if model.versions and self.partition_by and self.partition_by.column == "bq_updated_timestamp":
            raise ConfigError(
                "partition_changes",
                "A row of that model is handed over again and again: a MERGE would move rows out of all partitions.",
                hint="Partition by a column that stays, or by none.",
            )
        if self.partition_expiration_days and not self.partition_by:
            raise ConfigError(
                "partition_expiration",
                "The table is not partitioned: there is nothing that could expire by its age.",
                hint="Leave the expiration out, or partition the table.",
            )
        return self

    @property
    def definition(self) -> Model:
        """What is exported."""
        return self.query.model if self.query else registry.get(self.model)

    @property
    def streams(self) -> bool:
        """Whether rows are appended as they come."""
        return self.mode is Mode.STREAM

    @property
    def all_elements(self) -> bool:
        """Whether events other than $autocapture keep their `elements`; see PostHog's app, exportElementsOnAnyEvent."""
        return not self.streams if self.elements_on_any_event is None else self.elements_on_any_event

    def _check_stream(self) -> None:
        """What a stream can be of, and what only a stream has."""
        model = self.definition
        if self.elements_on_any_event is not None and model.name != "events":
            raise ConfigError("elements", f"Rows of {model.name} have no elements.", hint="Leave --elements out.")
        if not self.streams:
            if self.buffer_bytes != BUFFER_BYTES or self.buffer_seconds != 1.0:
                raise ConfigError("buffer", "Only a stream has a buffer.", hint="Say --mode stream, or leave it out.")
            return
        why = None
        if self.query:
            why = "a query gives its rows anew each time, and not in the order in which they came"
        elif model.versions or model.replaced:
            why = f"rows of {model.name} change, and a stream can only append: the old row would stay beside the new"
        if why:
            raise ConfigError("stream_model", f"It cannot be streamed: {why}.", hint="Leave --mode out: runs merge.")
        if self.delivery is not Delivery.LOAD:
            raise ConfigError("stream_delivery", "--delivery is that of runs.", hint="Leave it out: a stream appends.")
        if self.run_log or self.verify_days is not None:
            raise ConfigError(
                "stream_runs",
                "A stream has no runs that would write a log or verify.",
                hint="Leave --run-log and --verify-daily out; tidemill export verify looks at the table.",
            )

    def _check_rows(self) -> None:
        """Which rows."""
        model = self.definition
        if (model.name == custom.CUSTOM.name) != (self.query is not None):
            raise ConfigError("query_missing", "The custom model is that of a query.", hint="Give it: --sql 'SELECT …'")
        both = sorted(set(self.include_events) & set(self.exclude_events))
        if both:
            raise ConfigError(
                "event_filter", f"Included and excluded at once: {', '.join(both)}.", hint="Name it once."
            )
        if model.one_team and self.team_id is None:
            raise ConfigError(
                "team_missing",
                f"A table of {model.name} holds the rows of one team.",
                hint="Say of which: --team 1",
            )
        if self.verify_days is not None and self.query:
            raise ConfigError("verify_custom", "Rows of a query cannot be verified.", hint="Leave --verify-daily out.")
        if self.verify_days and not model.day_of:
            raise ConfigError("verify_days", f"Rows of {model.name} have no day.", hint="Say --verify-daily all.")
        if (self.include_events or self.exclude_events) and model.event_column is None:
            raise ConfigError(
                "event_filter", f"The {model.name} model has no events to choose from.", hint="Leave the filter out."
            )

    def _check_bytes(self) -> None:
        """What a statement may cost."""
        limit = self.max_bytes_billed
        if limit is not None and not MIN_BYTES_BILLED <= limit <= MAX_INT64:
            which = "too low: each statement is billed for 10 MiB at least" if limit < MIN_BYTES_BILLED else "too high"
            raise ConfigError(
                "bytes",
                f"A limit of {limit:,} is {which}.",
                hint="Say --max-bytes-billed 20GB, for example; 11MB is the least that makes sense.",
            )


def parse_days(text: str) -> int | None:
    """A number of days, ``all`` (0), or ``none``.

    Raises
    ------
    ConfigError
        If it is none of these.
    """
    given = text.strip().lower()
    if given in {"all", "none"}:
        return 0 if given == "all" else None
    if not given.isdecimal() or not 0 < int(given) <= 36_500:
        raise ConfigError("days", f"{text!r} is no number of days.", hint="Write 7 or 30; or 'all', or 'none'.")
    return int(given)


def parse_share(text: str) -> float:
    """``1%``, ``0.5 %``, ``0`` (any row is too much), or ``none`` (1: no number is).

    Raises
    ------
    ConfigError
        If it is none of these.
    """
    given = text.strip().lower()
    if given == "none":
        return 1.0
    found = re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)\s*%|0", given)
    if not found or float(found[1] or 0) > 100:
        raise ConfigError("share", f"{text!r} is no share.", hint="Write 1%, 0.5%, or 0 (any row); or 'none'.")
    return float(found[1] or 0) / 100


def make(**fields: Any) -> ExportSpec:
    """An ExportSpec of these fields; partitioning, clustering, JSON type and table default to the model's.

    Raises
    ------
    ConfigError
        That names the field and what is wrong with it.
    """
    query = fields.get("query")
    model = query.model if query else registry.get(str(fields.get("model") or "events"))
    fields = {name: value for name, value in fields.items() if value is not None or name == "partition_by"}
    if "partition_by" not in fields and model.partition_by:
        fields["partition_by"] = Partitioning(column=model.partition_by)
    fields.setdefault("cluster_by", model.cluster_by)
    fields.setdefault("json_type", model.json_type)
    fields.setdefault("table", model.table.format(team_id=fields.get("team_id")))
    if not fields["table"]:
        raise ConfigError(
            "table_missing", "--table is missing.", hint="Say where the rows of the query go: --table NAME"
        )
    try:
        return ExportSpec(**fields)
    except pydantic.ValidationError as error:
        raise invalid.said(error, ExportSpec) from None
