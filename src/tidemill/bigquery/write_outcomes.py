"""What becomes of a request of rows: the answers of the Storage Write API, and how its calls end, in our terms.

The codes are those of "AppendRowsResponse" and "Error handling" of the Storage Write API.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import grpc
from google.cloud.bigquery_storage_v1 import types
from grpc_status import rpc_status

from tidemill.bigquery import errors, retry
from tidemill.bigquery.errors import Problem, Target
from tidemill.errors import TidemillError

_GONE = {"STREAM_NOT_FOUND", "STREAM_FINALIZED", "STREAM_ALREADY_COMMITTED", "INVALID_STREAM_STATE"}


@dataclasses.dataclass(frozen=True)
class Appended:
    """The rows are in the stream. `offset`: of the first, None on the default stream.

    `columns`: those of the table, if it has got others since the connection began; they can be used on a new one.
    """

    offset: int | None
    columns: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Duplicate:
    """There are rows at that offset already: an earlier try was done."""


@dataclasses.dataclass(frozen=True)
class Ahead:
    """The stream ends before that offset: rows that should come first are not there."""

    message: str


@dataclasses.dataclass(frozen=True)
class BadRows:
    """Nothing of the request was kept. `rows`: the place of each bad row in it, and why."""

    rows: tuple[tuple[int, str], ...]


@dataclasses.dataclass(frozen=True)
class Gone:
    """The stream takes no rows any more: it expired, is over, or its table is gone. `reason`: a StorageErrorCode."""

    reason: str
    message: str


@dataclasses.dataclass(frozen=True)
class Failed:
    """It was not done, or nobody knows. A RetryableError: the same rows at the same offset may be sent again.

    `reason`: a StorageErrorCode, such as ``SCHEMA_MISMATCH_EXTRA_FIELDS``; mostly there is none.
    """

    error: TidemillError
    reason: str = ""


Outcome = Appended | Duplicate | Ahead | BadRows | Gone | Failed


def of_response(response: Any, target: Target) -> Outcome:
    """What an answer (types.AppendRowsResponse, as protobuf has it) means."""
    if response.row_errors:
        return BadRows(tuple((int(error.index), str(error.message)) for error in response.row_errors))
    if response.HasField("error"):
        code = _name(response.error.code)
        return _of_error(errors.from_grpc(code, response.error.message), code, _reason(response.error), target)
    result = response.append_result
    columns = tuple(str(field.name) for field in response.updated_schema.fields)
    return Appended(int(result.offset.value) if result.HasField("offset") else None, columns)


def of_end(error: grpc.RpcError, target: Target) -> Outcome:
    """What the end of a call means for the requests that were not answered: never that their rows are there."""
    problem, code = retry.understand(error, target), error.code().name
    if code == "ALREADY_EXISTS":
        return Failed(errors.translate(Problem(503, "backendError", problem.message), target))
    return _of_error(problem, code, reason(error), target)


def reason(error: grpc.RpcError) -> str:
    """The StorageErrorCode of a call that failed; empty if there is none."""
    try:
        status = rpc_status.from_call(error)
    except ValueError:  # its details say something else than its code
        return ""
    return _reason(status) if status is not None else ""


def _of_error(problem: Problem, code: str, reason: str, target: Target) -> Outcome:
    if code == "ALREADY_EXISTS":
        return Duplicate()
    if code == "OUT_OF_RANGE":
        return Ahead(problem.message)
    if code == "NOT_FOUND" or reason in _GONE:
        return Gone(reason, problem.message)
    return Failed(errors.translate(problem, target), reason)


def _reason(status: Any) -> str:
    detail = types.StorageError.pb()()
    for packed in status.details:
        if packed.Unpack(detail) and detail.code:
            return str(types.StorageError.StorageErrorCode(detail.code).name)
    return ""


def _name(number: int) -> str:
    return next((code.name for code in grpc.StatusCode if code.value[0] == number), "UNKNOWN")
