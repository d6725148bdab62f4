"""Errors as problem documents (RFC 9457), with the code and the hint that the command line has, too."""

from __future__ import annotations

import http
import json
from collections.abc import Mapping
from typing import Any

import pydantic
from pydantic import Field

from tidemill.errors import (
    AccessError,
    ConfigError,
    ConflictError,
    NotFoundError,
    RetryableError,
    RowError,
    TidemillError,
    UnavailableError,
)

KIND = "application/problem+json"
_STATUSES: Mapping[type[TidemillError], int] = {
    ConfigError: 422,
    RowError: 422,
    AccessError: 403,
    NotFoundError: 404,
    ConflictError: 409,
    RetryableError: 503,
    UnavailableError: 503,
}
#: Of these codes alone the rights of the caller are meant; others that miss a right are ours. And settings of ours.
_OF_CALLER, _OF_OURS = {"scope_missing", "not_allowed"}, {"database_refused", "installation_gone"}
#: Codes with a status of their own; and those of what is over in a moment.
_OF_CODES = {"changed_meanwhile": 412}
_SOON = {"idempotency_key_busy"}
_AGAIN_SECONDS, _SOON_SECONDS = 5, 1


class Wrong(pydantic.BaseModel):
    """What is wrong with a part of a request."""

    where: str = Field(description="The part: body.force, header.Idempotency-Key; or the name of a file.")
    message: str = Field(description="What is wrong with it.")
    line: int | None = Field(default=None, description="In a file; the first is 1.")
    column: int | None = Field(default=None, description="In the line; the first is 1.")


class Problem(pydantic.BaseModel):
    """Why a request was refused, or failed."""

    type: str = Field(default="about:blank", description="Always that: the code tells what it is.")
    title: str = Field(description="The status in words.")
    status: int = Field(description="The status.")
    detail: str = Field(description="What is wrong, for people.")
    code: str = Field(description="What is wrong, for programs. It stays the same.")
    hint: str = Field(description="What to do.")
    errors: list[Wrong] = Field(default_factory=list, description="Parts of the request that are wrong.")


class ProblemError(Exception):
    """A problem of the request itself, of which services know nothing. It is answered as it is."""

    def __init__(self, found: Problem, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(found.detail)
        self.problem, self.headers = found, dict(headers or {})


def problem(status: int, code: str, detail: str, hint: str = "", errors: list[Wrong] | None = None) -> Problem:
    """A problem of that status."""
    title = http.HTTPStatus(status).phrase
    return Problem(title=title, status=status, detail=detail, code=code, hint=hint, errors=errors or [])


def problems_of(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For the description of a route: what may come instead of its answer, beside what always may."""
    return {status: {"model": Problem} for status in (401, 403, 404, *statuses, 422, 429, 500, 503)}


def of(error: TidemillError) -> tuple[Problem, dict[str, str]]:
    """The problem that an error of ours is, and headers that go with it."""
    status = next((number for kind, number in _STATUSES.items() if isinstance(error, kind)), 500)
    status = _OF_CODES.get(error.code, status)
    if (status == 403 and error.code not in _OF_CALLER) or error.code in _OF_OURS:
        status = 500
    headers = {"retry-after": str(_AGAIN_SECONDS)} if status == 503 else {}
    if error.code in _SOON:
        headers = {"retry-after": str(_SOON_SECONDS)}
    return problem(status, error.code, error.message, error.hint), headers


def written(found: Problem) -> bytes:
    """As it is sent."""
    fields: dict[str, Any] = found.model_dump()
    del fields["errors"]
    if found.errors:
        fields["errors"] = [one.model_dump(exclude_none=True) for one in found.errors]
    return json.dumps(fields, ensure_ascii=False).encode()
