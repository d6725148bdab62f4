"""Imports: rows of BigQuery that become people and events here. Their runs are those of `sync_runs.py`."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Annotated, Any, Literal

import pydantic
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Field

from tidemill import paging
from tidemill.access.permissions import Permission
from tidemill.api.v1 import operations, pages, schemas, tags
from tidemill.api.v1.access import Caller, caller
from tidemill.api.v1.operations import OperationAnswer
from tidemill.api.v1.pages import Listed
from tidemill.api.v1.problems import problems_of
from tidemill.api.v1.schemas import Name
from tidemill.api.v1.shared import ACTING, CHANGING, WRITING, ReasonAnswer, RemarkAnswer, given, reason
from tidemill.api.v1.source_models import InspectionAnswer, PreviewAnswer, looked
from tidemill.api.v1.sync_runs import SyncRunAnswer, run_answer, silent
from tidemill.api.v1.syncs import LimitFields
from tidemill.api.v1.tags import HEADERS, TAGGED, Match
from tidemill.api.v1.turns import SLOWLY
from tidemill.imports.listing import IMPORT_SORTS
from tidemill.imports.service import DryRun, ImportView
from tidemill.imports.spec import ImportSpec, Kind
from tidemill.operations.service import OperationView
from tidemill.reverse_etl.service import ModelSpec, SyncSpec
from tidemill.sizes import parse_bytes

router = APIRouter(prefix="/imports", tags=["imports"])
_Reader = Annotated[Caller, Depends(caller(Permission.IMPORTS_READ))]
_Writer = Annotated[Caller, Depends(caller(Permission.IMPORTS_WRITE))]
_Health = Literal["green", "yellow", "red"]
_Status = Literal["draft", "ready", "scheduled", "running", "paused", "stopped", "completed"]
_STATES = ("status", "health", "succeeded", "next_at", "rejects")


class Ga4Wanted(pydantic.BaseModel, extra="forbid"):
    """The tables of an export of Google Analytics 4."""

    dataset: str = Field(min_length=1, max_length=1_024, description="Its dataset.", examples=["analytics_123456"])
    since: dt.date | None = Field(default=None, description="The first day that is wanted. Default: all.")
    intraday: pydantic.StrictBool = Field(default=True, description="Also days that are not over.")


class ImportWanted(pydantic.BaseModel, extra="forbid"):
    """A draft of an import: whose rows it takes. Rows of a source model that there is; or of a connection."""

    name: str = schemas.of(SyncSpec, "name", examples=["signups"])
    model: str | None = Field(default=None, max_length=100, description="Name of a source model.")
    connection: str | None = Field(default=None, max_length=100, description="Instead: name of a source.")
    sql: str | None = schemas.of(ModelSpec, "sql", None)
    table: str | None = schemas.of(ModelSpec, "table", None, max_length=2_000)
    key: list[str] | None = schemas.of(ModelSpec, "key", None)
    max_bytes_billed: str | int | None = Field(
        default=None, description="A run that would be billed for more bytes does not start: 20GB, or a number."
    )
    ga4: Ga4Wanted | None = Field(default=None, description="With a connection: an export of Google Analytics 4.")


class ImportChanges(LimitFields):
    """What is to be changed of an import; what is left out stays. What becomes of its rows is said by its mapping."""

    name: str | None = schemas.of(SyncSpec, "name", None)
    once: pydantic.StrictBool | None = Field(default=None, description="It is run once.")


class MappingWanted(ImportSpec, frozen=True):
    """What becomes of rows, and how they are found. Each column is mapped or skipped."""

    mode: Literal["insert", "update", "upsert", "mirror"] | None = schemas.of(SyncSpec, "mode", None)
    extraction: Literal["diff", "cursor", "full"] | None = schemas.of(SyncSpec, "extraction", None)
    cursor: str | None = schemas.of(SyncSpec, "cursor", None, max_length=300)
    cursor_unit: Literal["none", "seconds", "milliseconds"] | None = schemas.of(SyncSpec, "cursor_unit", None)
    cursor_overlap: int | None = schemas.of(SyncSpec, "cursor_overlap", None)
    reset: Literal["resend", "leave"] | None = Field(
        default=None, description="What is done with rows that were taken, if their mapping changes."
    )


class ImportAnswer(pydantic.BaseModel, from_attributes=True):
    """An import as it was said. How it stands is at its status."""

    id: uuid.UUID
    name: str
    kind: Kind | None = Field(description="What rows become; null: that is not said yet.")
    connection: str
    model: str
    spec: ImportSpec | None = Field(description="What becomes of rows; null of a draft.")
    extraction: str
    mode: str
    cursor: str | None
    cursor_overlap: int
    interval: str
    once: bool
    max_bytes_billed: int | None
    made_at: dt.datetime
    made_by: str


class ImportStatus(pydantic.BaseModel):
    """How an import stands."""

    name: str
    status: _Status
    health: _Health | None = Field(description="By the share of rows that the last run took; null: there was none.")
    succeeded: float | None = Field(description="That share, in per cent.")
    next_at: dt.datetime | None
    pause_reason: ReasonAnswer | None
    rejects: dict[str, int] = Field(description="Rows that were refused, by status.")
    last: SyncRunAnswer | None


class ImportItem(ImportStatus):
    """An import in a list."""

    id: uuid.UUID
    kind: Kind | None
    connection: str
    model: str
    interval: str
    once: bool
    made_at: dt.datetime
    made_by: str


class WrongAnswer(pydantic.BaseModel, from_attributes=True):
    """A row of which nothing is made."""

    key: str
    column: str
    code: str
    message: str


class VerdictAnswer(pydantic.BaseModel, from_attributes=True):
    """About a column."""

    column: str
    target: str = Field(description="The property's name, or distinct_id, event, timestamp or uuid.")
    kind: str = Field(description="What it is read as.")
    rows: int
    bad: int = Field(description="How many do not fit.")
    read: Any = Field(description="A value.")
    stored: Any = Field(description="What is kept of it.")
    errors: list[WrongAnswer]


class DryRunWanted(pydantic.BaseModel, extra="forbid"):
    """How an import is tried."""

    rows: int = Field(default=100, ge=1, le=10_000, description="How many, at random, of those that a run would take.")
    write: pydantic.StrictBool = Field(default=False, description="Take these rows in.")


class DryRunAnswer(pydantic.BaseModel, from_attributes=True):
    """What a run would do, by random rows."""

    rows: int
    good: int = Field(description="They would be taken.")
    left_out: int = Field(description="As of people who are not known.")
    verdicts: list[VerdictAnswer]
    errors: list[WrongAnswer]
    stored: list[dict[str, Any]] = Field(description="Some of what would be stored.")
    counts: dict[str, int]
    bytes_billed: int
    dollars: float
    written: bool = Field(description="These rows were taken in.")


class RepairedRow(pydantic.BaseModel):
    """A row that was refused, repaired. What else is listed of it may be sent along, and counts for nothing."""

    key: str = Field(max_length=10_000, description="As it is listed.")
    row: dict[str, Any] | None = Field(description="Its columns.")


class RepairWanted(pydantic.BaseModel, extra="forbid"):
    """Rows that were refused, repaired."""

    rows: list[RepairedRow] = Field(min_length=1, max_length=1_000, description="Each as it is listed.")


class RepairedAnswer(pydantic.BaseModel):
    """What became of repaired rows."""

    taken: int
    errors: list[WrongAnswer]


@router.get("", responses=problems_of())
def find(
    by: _Reader,
    wanted: Annotated[paging.Wanted, pages.sorted_by(IMPORT_SORTS)],
    search: pages.Search = None,
    connection: Annotated[str | None, Query(max_length=100, description="Of that connection.")] = None,
    status: Annotated[list[_Status] | None, Query(max_length=10, description="That stand like one of these.")] = None,
    kind: Annotated[Kind | None, Query(description="What their rows become.")] = None,
    health: Annotated[_Health | None, Query(description="By the share of rows that the last run took.")] = None,
    created_by: Annotated[str | None, Query(max_length=200, description="Made by that user.")] = None,
    created_after: Annotated[pydantic.AwareDatetime | None, Query(description="Made then, or later.")] = None,
    created_before: Annotated[pydantic.AwareDatetime | None, Query(description="Made before that.")] = None,
) -> Listed[ImportItem]:
    """Imports, by name, or as it is asked for, each with how it stands."""
    page = by.app.imports.listed.imports(
        search=search,
        connection=connection,
        status=status or (),
        kind=kind,
        health=health,
        created_by=created_by,
        created_after=created_after,
        created_before=created_before,
        wanted=wanted,
    )
    return pages.of(page, _item)


@router.post("", status_code=201, responses={201: {"headers": HEADERS}, **WRITING}, dependencies=[SLOWLY])
def create(wanted: ImportWanted, by: _Writer, response: Response) -> ImportAnswer:
    """Make a draft. Say then what becomes of its rows: the mapping."""
    source = wanted.model_dump(include={"sql", "table", "key", "max_bytes_billed"}, exclude_none=True)
    if isinstance(source.get("max_bytes_billed"), str):
        source["max_bytes_billed"] = parse_bytes(source["max_bytes_billed"])
    of_ga4 = (wanted.ga4.dataset, wanted.ga4.since, wanted.ga4.intraday) if wanted.ga4 is not None else None
    made = _answer(
        by.app.imports.create(
            wanted.name, model=wanted.model, connection=wanted.connection, source=source, ga4=of_ga4, by=by.by
        )
    )
    response.headers["location"], response.headers["etag"] = schemas.address("imports", made.name), tags.tag(made)
    return made


@router.get("/{name}", response_model=ImportAnswer, responses={**TAGGED, **problems_of()})
def show(name: Name, by: _Reader, request: Request, response: Response) -> Any:
    """One import, as it was said."""
    return tags.answer(_answer(by.app.imports.get(name)), request, response)


@router.get("/{name}/status", responses=problems_of())
def status(name: Name, by: _Reader) -> ImportStatus:
    """How an import stands."""
    return ImportStatus(**_standing(by.app.imports.get(name)))


@router.patch("/{name}", responses={200: {"headers": HEADERS}, **CHANGING}, dependencies=[SLOWLY])
def edit(name: Name, changes: ImportChanges, by: _Writer, match: Match, response: Response) -> ImportAnswer:
    """Change name, schedule or limits of an import."""
    match.check(_answer(by.app.imports.get(name)))
    made = _answer(by.app.imports.edit(name, given(changes, "once"), once=changes.once))
    response.headers["etag"] = tags.tag(made)
    return made


@router.delete("/{name}", responses=CHANGING, dependencies=[SLOWLY])
def delete(name: Name, by: _Writer, match: Match) -> RemarkAnswer:
    """Delete an import, with its runs. What it has brought stays: undo takes that back first."""
    match.check(_answer(by.app.imports.get(name)))
    return RemarkAnswer(remark=by.app.imports.delete(name))


@router.put("/{name}/mapping", responses={200: {"headers": HEADERS}, **CHANGING}, dependencies=[SLOWLY])
def map_rows(name: Name, wanted: MappingWanted, by: _Writer, match: Match, response: Response) -> ImportAnswer:
    """Say what becomes of the rows."""
    match.check(_answer(by.app.imports.get(name)))
    made = _answer(by.app.imports.map(name, wanted.kind, given(wanted, "kind", "reset"), reset=wanted.reset))
    response.headers["etag"] = tags.tag(made)
    return made


@router.post("/{name}/suggest", responses=ACTING, dependencies=[SLOWLY])
def suggest(
    name: Name, by: _Reader, kind: Annotated[Kind, Query(description="What rows become.")] = Kind.PEOPLE
) -> dict[str, Any]:
    """Fields of a mapping, by names and types of the columns; and `cursor`, a column that may be one."""
    return by.app.imports.suggested(name, kind)


@router.post("/{name}/look", responses=ACTING, dependencies=[SLOWLY])
def look(name: Name, by: _Reader) -> InspectionAnswer:
    """The columns of its rows, and what they cost; nothing is billed."""
    return looked(by.app.imports.look(name))


@router.post("/{name}/preview", responses=ACTING, dependencies=[SLOWLY])
def preview(
    name: Name, by: _Writer, rows: Annotated[int, Query(ge=1, le=1_000, description="How many.")] = 10
) -> PreviewAnswer:
    """The first rows; nothing is imported. The statement is billed."""
    return PreviewAnswer.model_validate(by.app.imports.preview(name, rows))


@router.post("/{name}/dry-run", responses=WRITING, dependencies=[SLOWLY])
def dry_run(name: Name, by: _Writer, wanted: DryRunWanted | None = None) -> DryRunAnswer:
    """Try random rows. The plan is made, and billed; nothing is stored, unless it is asked for."""
    asked = wanted or DryRunWanted()
    return _tried(by.app.imports.dry_run(name, silent(), number=asked.rows, write=asked.write))


@router.post("/{name}/stop", responses=ACTING)
def stop(name: Name, by: _Writer) -> ImportStatus:
    """End it: it begins nothing any more, and its run is cancelled. What it took stays."""
    return ImportStatus(**_standing(by.app.imports.stop(name, by.by)))


@router.post("/{name}/undo", status_code=202, responses=ACTING)
def undo(name: Name, by: _Writer, response: Response) -> OperationAnswer:
    """Have a worker take back all that it has brought, here and in the tables of exports. Its run is stopped first. It
    may be asked for again, if it has failed: then it goes on."""
    return _undoing(by.app.operations.undo(name, by=by.by), response)


@router.get("/{name}/undo/{operation}", responses={200: {"headers": operations.LATER}, **problems_of()})
def show_undo(name: Name, operation: operations.Id, by: _Reader, response: Response) -> OperationAnswer:
    """How it stands with what is taken back. Until it is over, Retry-After says when to look again."""
    return _undoing(by.app.operations.undo_by_id(name, operation), response)


@router.post("/{name}/rejects/repair", responses=WRITING, dependencies=[SLOWLY])
def repair(name: Name, wanted: RepairWanted, by: _Writer) -> RepairedAnswer:
    """Take in rows that were refused, repaired. Others stay refused."""
    rows = [one.model_dump() for one in wanted.rows]
    number, errors = by.app.imports.repair(name, rows, silent())
    return RepairedAnswer(taken=number, errors=[WrongAnswer.model_validate(one) for one in errors])


def _undoing(found: OperationView, response: Response) -> OperationAnswer:
    return operations.answer(found, schemas.address("imports", found.name, "undo", str(found.id)), response)


def _answer(found: ImportView) -> ImportAnswer:
    return ImportAnswer.model_validate(found)


def _standing(found: ImportView) -> dict[str, Any]:
    return {
        **{field: getattr(found, field) for field in ("name", *_STATES)},
        "pause_reason": reason(found.pause_reason),
        "last": run_answer(found.last) if found.last is not None else None,
    }


def _item(found: ImportView) -> ImportItem:
    more = ("id", "kind", "connection", "model", "interval", "once", "made_at", "made_by")
    return ImportItem(**_standing(found), **{field: getattr(found, field) for field in more})


def _tried(found: DryRun) -> DryRunAnswer:
    return DryRunAnswer.model_validate(found)
