"""What answers of more than one resource have in common."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, AnyStr, Literal

import pydantic
from fastapi import Query
from fastapi.responses import StreamingResponse
from pydantic import Field

from tidemill.api.v1.problems import problems_of
from tidemill.tabular import Form

#: For the description of routes: what may come of one that makes something, and of one that changes what has an ETag.
WRITING = problems_of(400, 408, 409, 413, 415)
CHANGING = problems_of(400, 408, 409, 412, 413, 415, 428)
ACTING = problems_of(408, 409, 413, 415)
#: Of a download, sent at once.
_PIECE = 64 * 1024
_FORMS = {"json": "application/jsonl", "csv": "text/csv"}
#: For the description of a route that gives rows as lines.
LINES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A JSON object a line, or CSV.",
        "content": {kind: {"schema": {"type": "string"}} for kind in _FORMS.values()},
    }
}
#: As what: a parameter of such a route.
AsForm = Annotated[Form, Query(description="A JSON object a line, or CSV.")]
Level = Literal["debug", "info", "warning", "error"]


class StepAnswer(pydantic.BaseModel, from_attributes=True):
    """One step of a test."""

    name: str
    title: str
    status: str = Field(description="passed, failed, skipped or warning.")
    message: str
    hint: str = Field(description="What to do, with the command that does it.")
    seconds: float


class StepsAnswer(pydantic.BaseModel):
    """What a test found."""

    passed: bool
    steps: list[StepAnswer]


class ReasonAnswer(pydantic.BaseModel):
    """Why something does not go on, or failed."""

    code: str = Field(default="", description="For programs. It stays the same.")
    message: str = ""
    hint: str = Field(default="", description="What to do.")


class RemarkAnswer(pydantic.BaseModel):
    """What was done."""

    remark: str | None = Field(description="What is to be known of it.")


class NumberAnswer(pydantic.BaseModel):
    """How many it were."""

    number: int


def lines(found: Iterator[str], form: Form) -> StreamingResponse:
    """Rows as lines, as they are read."""
    return StreamingResponse(pieces(found, ""), media_type=_FORMS[form])


def pieces(found: Iterator[AnyStr], empty: AnyStr) -> Iterator[AnyStr]:
    """Many lines together: each piece that is sent takes a thread, and a turn."""
    held, size = list[AnyStr](), 0
    for line in found:
        held.append(line)
        size += len(line)
        if size >= _PIECE:
            yield empty.join(held)
            held, size = [], 0
    if held:
        yield empty.join(held)


def stepped(steps: Iterable[Any]) -> StepsAnswer:
    """All steps of a test."""
    told = [StepAnswer.model_validate(step) for step in steps]
    return StepsAnswer(passed=all(step.status != "failed" for step in told), steps=told)


def reason(found: Mapping[str, str] | None) -> ReasonAnswer | None:
    """Why something does not go on, as services tell it."""
    return ReasonAnswer.model_validate(dict(found)) if found else None


def given(wanted: pydantic.BaseModel, *without: str) -> dict[str, Any]:
    """The fields that were given, as they were; of secrets, too."""
    return {name: getattr(wanted, name) for name in wanted.model_fields_set - set(without)}
