"""ETags: what was read already need not be sent again, and nobody changes what somebody else has changed unseen.

They are strong ("HTTP Semantics", 8.8.1): a hash of the answer, which is made of what is stored alone.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
from typing import Annotated, Any

import pydantic
from fastapi import Depends, Header, Request, Response

from tidemill.api.v1.problems import ProblemError, problem

#: For the description of a route: what comes with a single resource, and instead of it.
HEADERS: dict[str, Any] = {
    "ETag": {"description": "By which its content is known; see If-Match.", "schema": {"type": "string"}}
}
TAGGED: dict[int | str, dict[str, Any]] = {
    200: {"headers": HEADERS},
    304: {"description": "It is as it was: If-None-Match has its ETag."},
}


def tag(made: pydantic.BaseModel) -> str:
    """The ETag of an answer."""
    found = hashlib.sha256(made.model_dump_json().encode()).digest()[:15]
    return f'"{base64.urlsafe_b64encode(found).decode()}"'


def answer(made: pydantic.BaseModel, request: Request, response: Response) -> Any:
    """The answer with its ETag; or, if the client has just that, that nothing has changed."""
    found = tag(made)
    if _names(request.headers.get("if-none-match", ""), found, weak=True):
        return Response(status_code=304, headers={"etag": found})
    response.headers["etag"] = found
    return made


@dataclasses.dataclass(frozen=True)
class IfMatch:
    """What the client wants to change, as it has seen it."""

    given: str | None

    def check(self, made: pydantic.BaseModel) -> None:
        """Raise a problem if the resource, as it would be answered now, is not what the client has seen."""
        if self.given is None:
            raise ProblemError(problem(428, "if_match_missing", "If-Match is missing.", "Send If-Match with its ETag."))
        if not _names(self.given, tag(made), weak=False):
            raise ProblemError(changed())


def _if_match(
    if_match: Annotated[
        str | None,
        Header(max_length=1_000, description="The ETag of the resource as it was seen; or *. It is needed."),
    ] = None,
) -> IfMatch:
    return IfMatch(if_match)


#: What the client has seen: a parameter of a route that changes a resource.
Match = Annotated[IfMatch, Depends(_if_match)]


def changed() -> Any:
    """That somebody has changed the resource since it was seen."""
    return problem(412, "changed_meanwhile", "It was changed since you looked at it.", "Get it again, and decide anew.")


def _names(header: str, found: str, *, weak: bool) -> bool:
    """Whether a header of tags names this one. `weak`: also as a weak one, which is enough to read it."""
    tags = [part.strip() for part in header.split(",")]
    if weak:
        tags = [part.removeprefix("W/") for part in tags]
    return found in tags or tags == ["*"]
