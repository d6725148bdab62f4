"""Answers in Google's shape and words."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse

#: The canonical name that goes with an HTTP status ("Errors" of Google's API design guide).
STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ALREADY_EXISTS",
    412: "FAILED_PRECONDITION",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
#: The HTTP status that a job's reason gets where an answer, and not a job, carries it.
_OF_REASON = {"accessDenied": 403, "notFound": 404, "duplicate": 409, "backendError": 503, "internalError": 500}


class Refusal(Exception):  # noqa: N818 - an answer, not a failure of ours
    """An answer that is an error; raised anywhere in the gate, sent as Google would."""

    def __init__(self, status: int, reason: str, message: str, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.reason, self.message, self.headers = status, reason, message, headers or {}

    def response(self) -> JSONResponse:
        """The HTTP answer."""
        detail = {"message": self.message, "domain": "global", "reason": self.reason}
        error = {"code": self.status, "message": self.message, "errors": [detail]}
        if self.status in STATUS:
            error["status"] = STATUS[self.status]
        return JSONResponse({"error": error}, self.status, headers=self.headers)


def of_job(error: dict[str, Any]) -> Refusal:
    """The answer to who asks for the rows of a job that failed."""
    return Refusal(_OF_REASON.get(error["reason"], 400), error["reason"], error["message"])


def denied(permission: str, project: str, dataset: str | None = None, table: str | None = None) -> Refusal:
    """403, as Google words it for a project, a dataset or a table."""
    if table:
        what = f"Table {project}:{dataset}.{table}"
        said = f"Permission {permission} denied on table {project}:{dataset}.{table} (or it may not exist)."
    elif dataset:
        what = f"Dataset {project}:{dataset}"
        said = f"Permission {permission} denied on dataset {project}:{dataset} (or it may not exist)."
    else:
        what = f"Project {project}"
        said = f"User does not have {permission} permission in project {project}."
    return Refusal(403, "accessDenied", f"Access Denied: {what}: {said}")


def not_found(what: str) -> Refusal:
    """404; `what` such as ``Dataset p:d``."""
    return Refusal(404, "notFound", f"Not found: {what}")


def job_error(reason: str, message: str) -> dict[str, Any]:
    """A job's `errorResult`."""
    return {"reason": reason, "message": message}
