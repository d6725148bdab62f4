"""A server of BigQuery's Storage Write API that throws the rows away, so that only the client's side is measured.

    python benchmarks/write_sink.py [--key FILE]        prints its address and serves until it is ended

Beside that API it has the REST API of sink.py (sign-in, datasets, tables, jobs), and says where the other is, as the
embedded BigQuery does: a client whose key names this server (`--key` writes one) needs nothing else. Offsets are checked
as BigQuery checks them, rows are counted by what each record batch says of itself.

`GET /streamed?rows=N&wait=SECONDS` waits until N rows have come, or for so long, and tells rows, bytes, requests, how many
were out of place, the process's CPU seconds, and `at`: the moment of the monotonic clock at which the N-th row had come.
"""

from __future__ import annotations

import argparse
import asyncio
import bisect
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvicorn
from google.cloud.bigquery_storage_v1 import types
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

import bare_grpc
import cases
import sink
from bare_grpc import Refused

SERVICE = "/google.cloud.bigquery.storage.v1.BigQueryWrite/"
_INVALID, _NOT_FOUND, _EXISTS, _OUT_OF_RANGE = 3, 5, 6, 11
_Code = types.StorageError.StorageErrorCode


class Book:
    """Streams, and what has come."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._streams: dict[str, int] = {}
        self._rows = self._bytes = self._requests = self._misplaced = 0
        self._marks: list[int] = []
        self._times: list[float] = []

    def create(self, table: str) -> str:
        """A new stream's name."""
        with self._changed:
            name = f"{table}/streams/s{len(self._streams)}"
            self._streams[name] = 0
            return name

    def append(self, name: str, offset: int | None, rows: int, size: int) -> tuple[bool, int]:
        """Count rows, if the offset is the stream's end. Gives whether it is, and where the end was."""
        with self._changed:
            is_default = name.endswith("/_default")
            end = self._streams.get(name)
            if end is None:
                if not is_default:
                    raise Refused(_NOT_FOUND, "there is no such stream")
                end = 0
            if offset is not None and offset != end:
                self._misplaced += 1
                return False, end
            self._streams[name] = end + rows
            self._rows += rows
            self._bytes += size
            self._requests += 1
            self._marks.append(self._rows)
            self._times.append(time.monotonic())
            self._changed.notify_all()
            return True, end

    def end(self, name: str) -> int:
        """How many rows a stream has."""
        with self._changed:
            if name not in self._streams:
                raise Refused(_NOT_FOUND, "there is no such stream")
            return self._streams[name]

    def so_far(self, rows: int, wait: float) -> dict[str, Any]:
        """What has come, when so many rows have, or after so many seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._rows >= rows, wait)
            place = bisect.bisect_left(self._marks, rows)
            return {
                "rows": self._rows,
                "bytes": self._bytes,
                "requests": self._requests,
                "misplaced": self._misplaced,
                "cpu": time.process_time(),
                "at": self._times[place] if place < len(self._times) else None,
            }


def fields(content: memoryview) -> Iterator[tuple[int, Any]]:
    """The fields of a protobuf message of which the end may be cut off: a number, or the bytes that are there."""
    at = 0
    while at < len(content):
        tag, at = _varint(content, at)
        value, at = _varint(content, at)
        kind = tag & 7
        if kind == 2:
            yield tag >> 3, content[at : at + value]
            at += value
        elif kind == 0:
            yield tag >> 3, value
        else:
            raise Refused(_INVALID, f"a field of kind {kind}")


def _varint(content: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[at]
        value |= (byte & 127) << shift
        at += 1
        if byte < 128:
            return value, at
        shift += 7


def rows_of(batch: memoryview) -> int:
    """The `length` of an Arrow record batch, from its head: a Message in the format of FlatBuffers."""
    message = 8 + _number("<I", batch, 8)
    place = message + _slot(batch, message, 2)  # Message.header
    record = place + _number("<I", batch, place)
    length = _slot(batch, record, 0)  # RecordBatch.length
    return _number("<q", batch, record + length) if length else 0


def _slot(content: memoryview, table: int, index: int) -> int:
    """Where a field of a table lies, from the table's beginning; 0 if it is left out."""
    slots = table - _number("<i", content, table)
    return _number("<H", content, slots + 4 + 2 * index) if 4 + 2 * index < _number("<H", content, slots) else 0


def _number(kind: str, content: memoryview, at: int) -> int:
    return int(struct.unpack_from(kind, content, at)[0])


def appends(book: Book) -> bare_grpc.Answer:
    """What answers the messages of one AppendRows call."""
    stream = ""

    def answer(head: bytes, size: int) -> bytes:
        nonlocal stream
        offset = rows = None
        for number, value in fields(memoryview(head)):
            if number == 1:
                stream = bytes(value).decode()
            elif number == 2:
                offset = next((inner for index, inner in fields(value) if index == 1), 0)
            elif number == 5:
                for index, inner in fields(value):
                    if index == 2:
                        rows = next(rows_of(batch) for place, batch in fields(inner) if place == 1)
        if rows is None:
            raise Refused(_INVALID, "no Arrow rows")
        fits, end = book.append(stream, offset, rows, size)
        return _appended(stream, end) if fits else _misplaced(stream, int(offset or 0), end)

    return answer


def _appended(stream: str, offset: int) -> bytes:
    response = types.AppendRowsResponse.pb()(write_stream=stream)
    response.append_result.SetInParent()
    if not stream.endswith("/_default"):
        response.append_result.offset.value = offset
    return bytes(response.SerializeToString())


def _misplaced(stream: str, offset: int, end: int) -> bytes:
    ahead = offset > end
    response = types.AppendRowsResponse.pb()(write_stream=stream)
    response.error.code = _OUT_OF_RANGE if ahead else _EXISTS
    response.error.message = f"The offset is {offset}, the stream's end {end}."
    code = _Code.OFFSET_OUT_OF_RANGE if ahead else _Code.OFFSET_ALREADY_EXISTS
    response.error.details.add().Pack(types.StorageError.pb()(code=code, entity=stream))
    return bytes(response.SerializeToString())


def methods(book: Book) -> dict[str, Any]:
    """The calls that are served."""

    def create(head: bytes, _size: int) -> bytes:
        asked = types.CreateWriteStreamRequest.pb().FromString(head)
        made = types.WriteStream(name=book.create(asked.parent), type_=types.WriteStream.Type.COMMITTED)
        return bytes(types.WriteStream.serialize(made))

    def finalize(head: bytes, _size: int) -> bytes:
        asked = types.FinalizeWriteStreamRequest.pb().FromString(head)
        response = types.FinalizeWriteStreamResponse.pb()(row_count=book.end(asked.name))
        return bytes(response.SerializeToString())

    return {
        f"{SERVICE}CreateWriteStream": lambda: create,
        f"{SERVICE}FinalizeWriteStream": lambda: finalize,
        f"{SERVICE}AppendRows": lambda: appends(book),
    }


def application(book: Book, storage: str) -> Starlette:
    """The REST API, with the address of the other."""

    async def health(_: Request) -> Response:
        return JSONResponse({"ready": True, "storage": storage})

    async def streamed(request: Request) -> Response:
        asked = request.query_params
        rows, wait = int(asked.get("rows", 0)), float(asked.get("wait", 0))
        return JSONResponse(await asyncio.to_thread(book.so_far, rows, wait))

    return Starlette(routes=[Route("/_tidemill/health", health), Route("/streamed", streamed), *sink.app.routes])


def main() -> None:
    """Serve on free ports of loopback; the first line of output is the address."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--key", type=Path, help="write a service account's key for this server into that file")
    arguments = parser.parse_args()
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    if arguments.key:
        arguments.key.touch(mode=0o600)
        arguments.key.write_text(cases._key(url))
    book = Book()
    app = application(book, bare_grpc.serve(methods(book)))
    sys.stdout.write(f"{url}\n")
    sys.stdout.flush()
    uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False)).run(sockets=[listener])


if __name__ == "__main__":
    main()
