"""Answers of the Storage Write API: what it says of tables and streams, and how it says no."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import grpc
from google.cloud.bigquery_storage_v1 import types
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import status_pb2

from tidemill.bigquery.local import values
from tidemill.bigquery.local.answers import STATUS, Refusal
from tidemill.bigquery.local.faults import Fault
from tidemill.bigquery.local.streams import DEFAULT, Stream, table_name

_KINDS = {"FLOAT64": "DOUBLE"}  # all other types go by the names that SQL has for them
_BAD_ROWS = (
    "Errors found while processing rows. Please refer to the row_errors field for details. "
    "The list may not be complete because of the size limitations."
)


class Failure(Exception):  # noqa: N818 - an answer, not a failure of ours
    """An answer that is an error. `code`: gRPC's name for it; `reason`: that of a StorageErrorCode, if there is one.

    `rows`: why rows were refused, by their place. `ends`: the call is over, also one of AppendRows, which as a rule
    gets an answer that is an error, and goes on ("AppendRowsResponse").
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        reason: str = "",
        entity: str = "",
        rows: Mapping[int, str] | None = None,
        ends: bool = False,
    ) -> None:
        super().__init__(message)
        self.code, self.message, self.reason, self.entity = code, message, reason, entity
        self.rows, self.ends = rows or {}, ends

    def status(self) -> Any:
        """It, as google.rpc.Status."""
        said = f"{self.message} Entity: {self.entity}" if self.entity else self.message
        status = status_pb2.Status(code=grpc.StatusCode[self.code].value[0], message=said)
        if self.reason:
            code = types.StorageError.StorageErrorCode[self.reason].value
            detail = types.StorageError.pb()(code=code, entity=self.entity, error_message=said)
            status.details.add().Pack(detail)
        return status

    async def abort(self, context: Any) -> None:
        """End the call with it."""
        status = self.status()
        details = (("grpc-status-details-bin", status.SerializeToString()),)
        await context.abort(grpc.StatusCode[self.code], status.message, details)

    def response(self, name: str) -> Any:
        """It, as the answer to a request of AppendRows."""
        made = types.AppendRowsResponse.pb()(error=self.status(), write_stream=name)
        for index, message in self.rows.items():
            made.row_errors.add(index=index, code=types.RowError.RowErrorCode.FIELDS_ERROR.value, message=message)
        return made


def of_refusal(refusal: Refusal) -> Failure:
    """What REST would answer too: who asks may not, or is in no known project. It ends the call."""
    return Failure(STATUS.get(refusal.status, "UNKNOWN"), refusal.message, ends=True)


def of_fault(fault: Fault) -> Failure:
    """A fault that was asked for. A connection that is cut looks like this to gRPC's clients."""
    if fault.fault == "cut":
        return Failure("UNAVAILABLE", "Socket closed", ends=True)
    code = fault.grpc_code or STATUS.get(fault.status, "UNAVAILABLE")
    return Failure(code, fault.message, ends=not fault.in_response)


def bad_rows(rows: Mapping[int, str], entity: str) -> Failure:
    """Rows were refused, and with them the whole request."""
    return Failure("INVALID_ARGUMENT", _BAD_ROWS, entity=entity, rows=rows)


def missing(entity: str, reason: str) -> Failure:
    """There is no such table or stream."""
    return Failure("NOT_FOUND", "Requested entity was not found.", reason=reason, entity=entity)


def write_stream(stream: Stream, location: str | None, fields: Sequence[values.Field] | None) -> Any:
    """The stream, as calls tell it."""
    kinds = types.WriteStream.Type
    made = types.WriteStream.pb()(
        name=stream.name,
        type_=(kinds.PENDING if stream.pending else kinds.COMMITTED).value,
        create_time=moment(stream.made),
        write_mode=types.WriteStream.WriteMode.INSERT.value,
        location=location or "",
    )
    if not stream.pending:
        made.commit_time.CopyFrom(moment(stream.made))
    elif stream.committed is not None:
        made.commit_time.CopyFrom(moment(stream.committed))
    if fields is not None:
        made.table_schema.CopyFrom(table_schema(fields))
    return made


def default_stream(at: Any, created: int) -> Stream:
    """The stream that every table has."""
    return Stream(f"{table_name(at)}/streams/{DEFAULT}", at, created, pending=False, made=created / 1000)


def moment(seconds: float) -> Any:
    """A time."""
    made = Timestamp()
    made.FromMicroseconds(round(seconds * 1_000_000))
    return made


def table_schema(fields: Sequence[values.Field]) -> Any:
    """Columns, as the Storage Write API tells them."""
    return types.TableSchema.pb()(fields=[_field(field) for field in fields])


def _field(field: values.Field) -> Any:
    kinds = types.TableFieldSchema
    kind = values.kind(field)
    made = kinds.pb()(
        name=field["name"],
        type_=kinds.Type[_KINDS.get(kind, kind)].value,
        mode=kinds.Mode[str(field.get("mode") or "NULLABLE").upper()].value,
        fields=[_field(inner) for inner in field.get("fields", ())],
        description=field.get("description", ""),
    )
    if field.get("rangeElementType"):
        made.range_element_type.type_ = kinds.Type[field["rangeElementType"]["type"]].value
    return made
