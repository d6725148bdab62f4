"""Source models: a statement or a table, and the columns by which its rows are known."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Annotated, Any, Literal

import pydantic
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Field

from tidemill import paging
from tidemill.access.permissions import Permission
from tidemill.api.v1 import pages, schemas, tags
from tidemill.api.v1.access import Caller, caller
from tidemill.api.v1.pages import Listed
from tidemill.api.v1.problems import problems_of
from tidemill.api.v1.schemas import Name
from tidemill.api.v1.shared import ACTING, CHANGING, WRITING
from tidemill.api.v1.tags import HEADERS, TAGGED, Match
from tidemill.api.v1.turns import SLOWLY
from tidemill.reverse_etl.service import MODEL_SORTS, Inspection, ModelSpec, SourceModelView
from tidemill.sizes import parse_bytes

router = APIRouter(prefix="/source-models", tags=["source_models"])
_Reader = Annotated[Caller, Depends(caller(Permission.MODELS_READ))]
_Writer = Annotated[Caller, Depends(caller(Permission.MODELS_WRITE))]
_LIMIT = "A run that would be billed for more bytes does not start: 20GB, a number; none: no limit."


class SourceModelChanges(pydantic.BaseModel, extra="forbid"):
    """What is to be changed of a source model; what is left out stays."""

    name: str | None = schemas.of(ModelSpec, "name", None)
    sql: str | None = schemas.of(ModelSpec, "sql", None)
    table: str | None = schemas.of(ModelSpec, "table", None, max_length=2_000)
    key: list[str] | None = schemas.of(ModelSpec, "key", None)
    description: str | None = schemas.of(ModelSpec, "description", None)
    max_bytes_billed: str | int | None = Field(default=None, description=_LIMIT)


class SourceModelWanted(SourceModelChanges):
    """A new source model: a statement, a table, or a model of a dbt project."""

    name: str = schemas.of(ModelSpec, "name", examples=["people"])
    connection: str = Field(min_length=1, max_length=100, description="Name of a connection that is a source.")
    dbt: str | None = Field(default=None, max_length=1_000, description="A model of a dbt project: PROJECT/MODEL.")


class SourceModelAnswer(pydantic.BaseModel, from_attributes=True):
    """A source model."""

    id: uuid.UUID
    name: str
    connection: str
    sql: str | None
    table: str | None
    key: list[str]
    description: str
    max_bytes_billed: int | None
    dbt: str | None = Field(description="Unique id of the model of a dbt project that it is made of.")
    syncs: list[str] = Field(description="What delivers its rows.")
    made_at: dt.datetime
    made_by: str
    updated_at: dt.datetime


class SourceColumnAnswer(pydantic.BaseModel, from_attributes=True):
    """A column of a source model."""

    name: str
    type: str = Field(description="BigQuery's.")
    mode: str = Field(description="NULLABLE, REQUIRED or REPEATED.")
    key: bool


class InspectionAnswer(pydantic.BaseModel, from_attributes=True):
    """A source model as BigQuery sees it."""

    columns: list[SourceColumnAnswer]
    bytes: int = Field(description="That a run reads of its tables.")
    dollars: float = Field(description="What that costs, about, by list price.")
    tables: list[str] = Field(description="That it reads.")
    location: str


class PreviewAnswer(pydantic.BaseModel, from_attributes=True):
    """The first rows."""

    columns: list[str]
    rows: list[dict[str, Any]]
    bytes_billed: int


class KeysAnswer(pydantic.BaseModel, from_attributes=True):
    """Whether each row has a key of its own."""

    good: bool = Field(description="No row would be set aside.")
    rows: int
    null_rows: int = Field(description="Rows with a NULL in the key.")
    duplicate_keys: int = Field(description="Keys of more than one row.")
    duplicate_rows: int = Field(description="Rows with such a key.")
    examples: list[dict[str, Any]]
    bytes_billed: int


@router.get("", responses=problems_of())
def find(
    by: _Reader,
    wanted: Annotated[paging.Wanted, pages.sorted_by(MODEL_SORTS)],
    search: pages.Search = None,
    connection: Annotated[str | None, Query(max_length=100, description="Of that connection.")] = None,
    kind: Annotated[Literal["sql", "table", "dbt"] | None, Query(description="Of what they are made.")] = None,
) -> Listed[SourceModelAnswer]:
    """Source models, by name, or as it is asked for."""
    page = by.app.reverse_etl.listed.models(search=search, connection=connection, kind=kind, wanted=wanted)
    return pages.of(page, _answer)


@router.post("", status_code=201, responses={201: {"headers": HEADERS}, **WRITING}, dependencies=[SLOWLY])
def create(wanted: SourceModelWanted, by: _Writer, response: Response) -> SourceModelAnswer:
    """Save a source model, after BigQuery has looked at it, which costs nothing."""
    fields = {name: value for name, value in _given(wanted).items() if value is not None}
    if wanted.dbt is not None:
        fields = by.app.dbt_models.fields(wanted.dbt, {"key": (), **fields})
    made = _answer(by.app.reverse_etl.models.add(wanted.connection, fields, by=by.by)[0])
    response.headers["location"] = schemas.address("source-models", made.name)
    response.headers["etag"] = tags.tag(made)
    return made


@router.get("/{name}", response_model=SourceModelAnswer, responses={**TAGGED, **problems_of()})
def show(name: Name, by: _Reader, request: Request, response: Response) -> Any:
    """One source model."""
    return tags.answer(_answer(by.app.reverse_etl.models.get(name)), request, response)


@router.patch("/{name}", responses={200: {"headers": HEADERS}, **CHANGING}, dependencies=[SLOWLY])
def edit(name: Name, changes: SourceModelChanges, by: _Writer, match: Match, response: Response) -> SourceModelAnswer:
    """Change a source model. Refused if syncs need what it would not have any more."""
    match.check(_answer(by.app.reverse_etl.models.get(name)))
    given = {field: value for field, value in _given(changes).items() if value is not None or field == _BYTES}
    made = _answer(by.app.reverse_etl.models.edit(name, given)[0])
    response.headers["etag"] = tags.tag(made)
    return made


@router.delete("/{name}", status_code=204, responses=CHANGING)
def delete(name: Name, by: _Writer, match: Match) -> None:
    """Delete a source model. Refused while syncs use it; nothing in BigQuery is changed."""
    match.check(_answer(by.app.reverse_etl.models.get(name)))
    by.app.reverse_etl.models.delete(name)


@router.post("/{name}/look", responses=ACTING, dependencies=[SLOWLY])
def look(name: Name, by: _Reader) -> InspectionAnswer:
    """What BigQuery sees in it, without running it: columns, bytes, costs."""
    return looked(by.app.reverse_etl.models.look(name))


@router.post("/{name}/preview", responses=ACTING, dependencies=[SLOWLY])
def preview(
    name: Name, by: _Writer, rows: Annotated[int, Query(ge=1, le=100, description="How many.")] = 10
) -> PreviewAnswer:
    """The first rows. The whole statement is run, and billed."""
    return PreviewAnswer.model_validate(by.app.reverse_etl.models.preview(name, rows))


@router.post("/{name}/check", responses=ACTING, dependencies=[SLOWLY])
def check(name: Name, by: _Writer) -> KeysAnswer:
    """Count the rows, and those whose key is none, by a statement that reads the key, and is billed."""
    return KeysAnswer.model_validate(by.app.reverse_etl.models.check(name))


def looked(found: Inspection) -> InspectionAnswer:
    """What BigQuery sees, as it is answered."""
    return InspectionAnswer.model_validate(found)


_BYTES = "max_bytes_billed"


def _given(wanted: SourceModelChanges) -> dict[str, Any]:
    given = wanted.model_dump(exclude_unset=True, exclude={"connection", "dbt"})
    if isinstance(given.get(_BYTES), str):
        given[_BYTES] = parse_bytes(given[_BYTES])
    if given.get("key") is not None:
        given["key"] = tuple(given["key"])
    return given


def _answer(found: SourceModelView) -> SourceModelAnswer:
    return SourceModelAnswer.model_validate(found)
