"""Ways to send Arrow rows to a write stream, one a process: `python benchmarks/bare_append.py CASE key=value …`.

Each prints one line of JSON. Rows are sent as record batches that lie ready in memory; to serialize them is a part of
what is measured. The first request, with which the connection begins, is not.
"""

from __future__ import annotations

import collections
import json
import queue
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import grpc
import pyarrow as pa
from google.cloud import bigquery_storage_v1 as storage
from google.cloud.bigquery_storage_v1 import types
from google.cloud.bigquery_storage_v1.services.big_query_write.transports import BigQueryWriteGrpcTransport
from google.cloud.bigquery_storage_v1.writer import AppendRowsStream

import cases
import sink
from generate import select
from tidemill.bigquery.client import Client
from tidemill.bigquery.credentials import Auth
from tidemill.bigquery.local.service import DEFAULT_PROJECT
from tidemill.bigquery.write_channel import Door
from tidemill.bigquery.write_outcomes import Appended
from tidemill.bigquery.write_streams import WriteStreams
from tidemill.models.events import EVENTS
from tidemill.models.types import Type

DATASET, TABLE = "d", "t"
IN_FLIGHT = 32
#: So many different rows are made; more would only take longer.
ROWS = 50_000
_ARROW = {Type.STRING: pa.string(), Type.INT64: pa.int64(), Type.TIMESTAMP: pa.timestamp("us", "UTC")}
SCHEMA = pa.schema([(column.name, _ARROW[column.type]) for column in EVENTS.columns])
EMPTY = pa.RecordBatch.from_pylist([], schema=SCHEMA)
Batches = list[pa.RecordBatch]
#: Sends the batches, one after another from row 0 on, and waits for the answers.
Send = Callable[[Iterator[pa.RecordBatch]], object]


def make(out: str) -> dict[str, Any]:
    """The rows: events as an export has them, about 1.2 KB each."""
    query = f"""
        SELECT line->>'uuid', line->>'event', (line->'properties')::VARCHAR, '',
            (line->'properties'->'$."$set"')::VARCHAR, (line->'properties'->'$."$set_once"')::VARCHAR,
            line->>'distinct_id', 1::BIGINT, line->'properties'->>'$."$ip"', '', (line->>'timestamp')::TIMESTAMP,
            now()::TIMESTAMP
        FROM (SELECT line::JSON AS line FROM ({select(ROWS)}))"""
    table = duckdb.connect().execute(query).to_arrow_table().rename_columns(SCHEMA.names).cast(SCHEMA)
    with pa.OSFile(out, "wb") as file, pa.ipc.new_file(file, SCHEMA) as writer:
        writer.write_table(table.combine_chunks())
    return {"rows": table.num_rows, "bytes": table.nbytes}


def batches(file: str, megabytes: str) -> Batches:
    """The rows, in record batches of about so many MB."""
    with pa.OSFile(file) as opened:
        table = pa.ipc.open_file(opened).read_all()
    many = int(float(megabytes) * 1e6 / (table.nbytes / table.num_rows))
    pieces = [table.slice(first, many).combine_chunks() for first in range(0, table.num_rows - many + 1, many)]
    return [batch for piece in pieces for batch in piece.to_batches()]


def said(url: str, rows: int = 0) -> dict[str, Any]:
    """What has come to the sink."""
    with urllib.request.urlopen(f"{url}/streamed?rows={rows}&wait=30", timeout=60) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def measured(url: str, ready: Batches, rows: int, send: Send) -> dict[str, Any]:
    """`send` with so many rows, and what the sink says of them."""
    count = -(-rows // ready[0].num_rows)
    chosen = [ready[number % len(ready)] for number in range(count)]
    before = said(url)
    times = {}

    def timed() -> Iterator[pa.RecordBatch]:
        times["began"], times["cpu"] = time.perf_counter(), time.process_time()
        yield from chosen

    send(timed())
    seconds, cpu = time.perf_counter() - times["began"], time.process_time() - times["cpu"]
    sent = sum(batch.num_rows for batch in chosen)
    after = said(url, before["rows"] + sent)
    assert after["rows"] - before["rows"] == sent, "rows are missing"
    assert after["misplaced"] == before["misplaced"], "rows came in the wrong order"
    size = after["bytes"] - before["bytes"]
    return {
        "rows": sent,
        "seconds": seconds,
        "bytes": size,
        "request": size / len(chosen),
        "cpu": cpu,
        "sink_cpu": after["cpu"] - before["cpu"],
    }


class Google:
    """Google's stubs, and a stream: at the sink without sign-in, or in a table of the embedded BigQuery with its key."""

    def __init__(self, url: str, key: str = "", table: str = TABLE, dataset: str = DATASET) -> None:
        project, self._door = "p", None
        if key:
            client = Client(Auth(key=Path(key).read_text()), DEFAULT_PROJECT)
            url, project, self._door = client.endpoint, DEFAULT_PROJECT, Door(client)
        with urllib.request.urlopen(f"{url}/_tidemill/health", timeout=10) as answer:
            address = json.load(answer)["storage"]
        self._channel = grpc.insecure_channel(address, [("grpc.max_send_message_length", -1)])
        self.transport = BigQueryWriteGrpcTransport(channel=self._channel)
        self.client = storage.BigQueryWriteClient(transport=self.transport)
        stream = types.WriteStream(type_=types.WriteStream.Type.COMMITTED)
        parent = f"projects/{project}/datasets/{dataset}/tables/{table}"
        signed = self._signed("parent", parent)
        self.stream = self.client.create_write_stream(parent=parent, write_stream=stream, metadata=signed).name
        self.metadata = self._signed("write_stream", self.stream)

    def _signed(self, about: str, value: str) -> list[tuple[str, str]]:
        return self._door.metadata(about, value)[1] if self._door else []

    def first(self) -> types.AppendRowsRequest:
        """What a connection begins with."""
        request = types.AppendRowsRequest(write_stream=self.stream)
        request.arrow_rows.writer_schema.serialized_schema = SCHEMA.serialize().to_pybytes()
        return request

    def request(self, batch: pa.RecordBatch, offset: int) -> types.AppendRowsRequest:
        """Any other request."""
        request = types.AppendRowsRequest(write_stream=self.stream, offset=offset)
        request.arrow_rows.rows.serialized_record_batch = batch.serialize().to_pybytes()
        return request


class Writer:
    """Google's AppendRowsStream, with a connection that has begun; `first`: its first rows."""

    def __init__(self, google: Google, first: pa.RecordBatch = EMPTY) -> None:
        self._google = google
        self._on_their_way: collections.deque[Any] = collections.deque()
        self._stream = AppendRowsStream(google.client, google.first(), metadata=google.metadata)
        self._stream.send(google.request(first, 0)).result()
        self._offset: int = first.num_rows

    def send(self, many: Iterator[pa.RecordBatch]) -> int:
        """Send, and have the answers. Gives how many rows there were."""
        began = self._offset
        for batch in many:
            self._wait(IN_FLIGHT - 1)
            self._on_their_way.append(self._stream.send(self._google.request(batch, self._offset)))
            self._offset += batch.num_rows
        self._wait(0)
        return self._offset - began

    def close(self) -> None:
        """End the call."""
        self._stream.close()

    def _wait(self, left: int) -> None:
        while len(self._on_their_way) > left:
            # `result()`, and callbacks, ask once a second.
            while not self._on_their_way[0].done():
                time.sleep(0.0005)
            self._on_their_way.popleft().result()


def google_writer(url: str, file: str, megabytes: str, rows: str) -> dict[str, Any]:
    """Google's AppendRowsStream."""
    writer = Writer(Google(url))
    found = measured(url, batches(file, megabytes), int(rows), writer.send)
    writer.close()
    return found


def google_stub(url: str, file: str, megabytes: str, rows: str) -> dict[str, Any]:
    """Google's stub of AppendRows with a generator: the thread of grpcio that sends makes the requests, too."""
    google = Google(url)
    room = threading.Semaphore(IN_FLIGHT)
    many: queue.SimpleQueue[Iterator[pa.RecordBatch]] = queue.SimpleQueue()

    def requests() -> Iterator[types.AppendRowsRequest]:
        request = google.first()
        request.arrow_rows.rows.serialized_record_batch = EMPTY.serialize().to_pybytes()
        yield request
        offset = 0
        for batch in many.get():
            room.acquire()
            yield google.request(batch, offset)
            offset += batch.num_rows

    answers = iter(google.transport.append_rows(requests()))
    assert not next(answers).error.code

    def send(these: Iterator[pa.RecordBatch]) -> None:
        many.put(these)
        for answer in answers:
            assert not answer.error.code, answer.error
            room.release()

    return measured(url, batches(file, megabytes), int(rows), send)


def ours(url: str, file: str, megabytes: str, rows: str) -> dict[str, Any]:
    """Tidemill's WriteStreams and Connection."""
    streams = WriteStreams(Client(Auth(cases._key(url)), sink.PROJECT))
    connection = streams.open(streams.create(DATASET, TABLE), SCHEMA)
    connection.send(EMPTY, 0).result()

    def send(many: Iterator[pa.RecordBatch]) -> None:
        offset = 0
        answers = []
        for batch in many:
            answers.append(connection.send(batch, offset))
            offset += batch.num_rows
        for answer in answers:
            assert isinstance(answer.result(), Appended), answer.result()

    found = measured(url, batches(file, megabytes), int(rows), send)
    connection.close()
    streams.close()
    return found


CASES: dict[str, Callable[..., dict[str, Any]]] = {
    case.__name__: case for case in (make, google_writer, google_stub, ours)
}

if __name__ == "__main__":
    cases.main(CASES)
