"""What may be written of each thing, made of the specs that the command line, the API and forms have.

Nothing has a default here: what is left out is filled in when it is known what else is said (`kinds`).
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping
from typing import Annotated, Any

import pydantic
from pydantic import Field
from pydantic.fields import FieldInfo

from tidemill.configuration.words import (
    Bytes,
    Days,
    Minutes,
    Reference,
    ScheduleDocument,
    Share,
    SyncScheduleDocument,
)
from tidemill.connections.spec import ConnectionSpec
from tidemill.dbt.spec import ProjectSpec
from tidemill.destinations import registry
from tidemill.exports.spec import ExportSpec
from tidemill.imports.spec import ImportSpec, Kind
from tidemill.notify.spec import KINDS as CHANNELS
from tidemill.reverse_etl.service import secret_field
from tidemill.reverse_etl.spec import ModelSpec, SourceSpec, SyncSpec

Document = pydantic.BaseModel
_CONFIG = pydantic.ConfigDict(extra="forbid", frozen=True)
_CONNECTION = Field(description="Name of the connection.")
_SHARES = {"delete_brake": Share, "reject_share": Share, "deviation": Share, "max_bytes_billed": Bytes}
#: Names begin so in all specs.
NAME = ConnectionSpec.model_fields["name"]


def borrowed(
    spec: type[pydantic.BaseModel],
    *,
    without: Collection[str] = (),
    words: Mapping[str, Any] | None = None,
    needed: Collection[str] | None = None,
) -> dict[str, Any]:
    """Fields of a spec, for a document. `words`: types that are written otherwise; `needed`: those that cannot be left
    out; None: those of the spec."""
    found: dict[str, Any] = {}
    for name, field in spec.model_fields.items():
        if name in without:
            continue
        kind: Any = (words or {}).get(name)
        is_needed = field.is_required() if needed is None else name in needed
        is_secret = "SecretStr" in str(field.annotation)
        if kind is None:
            kind = Reference if is_secret else field.annotation
        if field.metadata and not is_secret:
            kind = Annotated[(kind, *field.metadata)] if kind is not field.annotation else _narrowed(field)
        found[name] = (kind if is_needed else kind | None, _field(field, is_needed=is_needed))
    return found


def _narrowed(field: FieldInfo) -> Any:
    return Annotated[(field.annotation, *field.metadata)]


def _field(field: FieldInfo, *, is_needed: bool) -> Any:
    said = str(field.description or "")
    if is_needed:
        return Field(description=said)
    default = field.get_default(call_default_factory=True, validated_data={})
    plain = default.value if hasattr(default, "value") else default
    if isinstance(plain, str | int | float | bool) and plain != "":
        said = f"{said} Default: {str(plain).lower() if isinstance(plain, bool) else plain}."
    return Field(default=None, description=said)


def made(name: str, said: str, fields: Mapping[str, Any]) -> type[Document]:
    """A document of these fields."""
    found: type[Document] = pydantic.create_model(name, __config__=_CONFIG, __doc__=said, **fields)
    return found


def secrets(document: type[Document]) -> list[str]:
    """Fields that are secrets."""
    return [name for name, field in document.model_fields.items() if "Reference" in str(field.annotation)]


SOURCE = made("Source", "How rows may be read from a connection, for reverse ETL.", borrowed(SourceSpec))
CONNECTION = made(
    "Connection",
    "A BigQuery dataset, and the credential for it.",
    {
        **borrowed(ConnectionSpec, without={"name", "location"}),
        "source": (SOURCE | None, Field(default=None, description="It is a source of reverse ETL, too.")),
    },
)
PROJECT = made(
    "DbtProject",
    "A dbt project: a folder, a Git repository, or a manifest.",
    borrowed(ProjectSpec, without={"name"}, words={"refresh": Minutes}),
)
MODEL = made(
    "Model",
    "A source model: rows of BigQuery, and the columns by which a row is known.",
    {
        "connection": (str, Field(description="Name of a connection that is a source.")),
        **borrowed(ModelSpec, without={"name", "dbt", "ga4"}, words={"max_bytes_billed": Bytes}, needed=()),
        "dbt": (str | None, Field(default=None, description="A model of a dbt project instead: PROJECT/MODEL.")),
    },
)
EXPORT = made(
    "Export",
    "An export: what goes into which table, and when.",
    {
        "connection": (str, _CONNECTION),
        **borrowed(
            ExportSpec,
            without={"name", "query"},
            needed=(),
            words={
                "schedule": ScheduleDocument,
                "partition_by": str,
                "max_bytes_billed": Bytes,
                "buffer_bytes": Bytes,
                "verify_days": Days,
                "reject_share": Share,
            },
        ),
        "sql": (str | None, Field(default=None, description="A query over the event store instead of a model.")),
        "key": (tuple[str, ...] | None, Field(default=None, description="Of a query: columns by which rows merge.")),
        "versions": (
            tuple[str, ...] | None,
            Field(default=None, description="Of a query with a key: the row with the greatest stays."),
        ),
    },
)
SYNC = made(
    "Sync",
    "A sync: rows of a source model into a destination.",
    {
        "model": (str, Field(description="Name of the source model.")),
        "destination": (str, Field(description="Name of the destination.")),
        **borrowed(
            SyncSpec,
            without={"name", "taken"},
            words={"schedule": SyncScheduleDocument, **_SHARES},
            needed={"mapping"},
        ),
    },
)
#: Of the sync of an import.
OF_SYNC = (
    *("mode", "extraction", "cursor", "cursor_unit", "cursor_overlap", "delete_brake", "most_rejects", "reject_share"),
    "deviation",
)
GA4 = made(
    "Ga4",
    "An export of Google Analytics 4.",
    {
        "dataset": (str, Field(description="Its dataset: analytics_123456.")),
        "since": (str | None, Field(default=None, description="The first day: 2026-01-31. Default: all.")),
        "intraday": (bool | None, Field(default=None, description="Also days that are not over. Default: true.")),
    },
)
IMPORT = made(
    "Import",
    "An import: rows of BigQuery become people and events here.",
    {
        "connection": (str | None, Field(default=None, description="Name of a connection that is a source.")),
        "model": (str | None, Field(default=None, description="Instead: a source model that others use, too.")),
        "sql": (str | None, Field(default=None, description="One SELECT statement.")),
        "table": (str | None, Field(default=None, description="A table or view instead: dataset.table.")),
        "ga4": (GA4 | None, Field(default=None, description="An export of Google Analytics 4 instead.")),
        "key": (tuple[str, ...] | None, Field(default=None, description="Columns by which a row is known.")),
        **borrowed(ImportSpec, needed=(), words={"kind": Kind}),
        **borrowed(
            SyncSpec, without=set(SyncSpec.model_fields) - {*OF_SYNC, "max_bytes_billed"}, words=_SHARES, needed=()
        ),
        "once": (bool | None, Field(default=None, description="It is run once. Default: false.")),
        "schedule": (
            SyncScheduleDocument | None,
            Field(default=None, description="When it runs by itself. Default: by hand alone."),
        ),
    },
)


@functools.cache
def destination(kind: str) -> type[Document]:
    """A document of an account of a tool."""
    tool = registry.get(kind)
    words = {name: Reference for name in tool.settings.model_fields if secret_field(tool.settings, name)}
    fields = {"kind": (str, Field(description="The tool.")), **borrowed(tool.settings, words=words)}
    return made(f"Destination_{kind}", tool.description, fields)


@functools.cache
def channel(kind: str) -> type[Document]:
    """A document of a channel."""
    named = {"causes": "Only of these: failed, paused, overdue …", "exports": "Only of these exports."}
    named["syncs"] = "Only of these syncs."
    told = {
        name: (tuple[str, ...] | None, Field(default=None, description=f"{said} Default: all."))
        for name, said in named.items()
    }
    fields = {"kind": (str, Field(description="How messages go.")), **borrowed(CHANNELS[kind]), **told}
    return made(f"Channel_{kind}", str(CHANNELS[kind].__doc__), fields)
