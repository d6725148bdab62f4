"""Streams out of an event store, one case a process: `python benchmarks/stream_cases.py CASE key=value …`.

Each prints one line of JSON. Into the sink, what counts is when the last row had come, which the sink says; into the
embedded BigQuery, when the last answer had: rows are in the table then.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from google.cloud import bigquery

import bare_append
import cases
from bare_append import SCHEMA, said
from tidemill.app import App
from tidemill.bigquery.client import Client
from tidemill.bigquery.credentials import Auth
from tidemill.bigquery.local.service import DEFAULT_PROJECT
from tidemill.bigquery.write_connection import Connection
from tidemill.bigquery.write_streams import WriteStreams
from tidemill.exports.stream.orders import Orders
from tidemill.settings import Settings

#: Rows of 1.3 KB that make a request of about 4 MB.
AT_ONCE = 3_000


def fill(home: str, events: str) -> dict[str, Any]:
    """The event store."""
    return cases.load(home, events)


def export(home: str, table: str, url: str = "", key: str = "", dataset: str = "d") -> dict[str, Any]:
    """Tidemill: a stream as it is, of all that there is, from where it begins to send. Into the sink at `url`, or where `key` says."""
    with App(Settings(home=Path(home)).with_threads(1)) as app:
        content = Path(key).read_text() if key else cases._key(url)
        connection = "local" if key else "sink"
        if any(one.name == connection for one in app.connections.find()):
            app.connections.save(connection, app.connections.changed(connection, key=content))
        else:
            app.connections.add(app.connections.draft(name=connection, dataset=dataset, key=content), by="benchmark")
        app.exports.create(connection, {"name": table, "table": table, "mode": "stream"}, by="benchmark")
        app.lake.position()
        before = said(url)["rows"] if url else 0
        told = [0]
        orders = Orders("benchmark", patient=False, stopping=lambda: False, report=lambda one: told.append(one.rows))
        began, cpu, sending = time.monotonic(), time.process_time(), _opened()
        app.exports.streaming.run(table, orders)
        over, rows = time.monotonic(), max(told)
        cpu = time.process_time() - cpu
        last = _last(url, before + rows) if url else over
        return {"rows": rows, "seconds": last - sending[0], "before": sending[0] - began, "cpu": cpu}


def _opened() -> list[float]:
    """When connections are opened from now on, to send rows at once: what comes before, the bare client does not do."""
    times: list[float] = []
    opening = WriteStreams.open

    def opened(streams: WriteStreams, name: str, schema: pa.Schema) -> Connection:
        times.append(time.monotonic())
        return opening(streams, name, schema)

    WriteStreams.open = opened  # type: ignore[assignment, method-assign]
    return times


def _last(url: str, rows: int) -> float:
    """When the last of so many rows came to the sink, by the clock that all processes of this machine share."""
    after = said(url, rows)
    assert after["rows"] == rows, f"{after['rows']} rows came of {rows}"
    assert not after["misplaced"], "rows came in the wrong order"
    return float(after["at"])


def read_and_append(home: str, url: str) -> dict[str, Any]:
    """The bare client, which has to read its rows: DuckDB's SELECT over the store's files, into AppendRowsStream."""
    files = _files(home)
    google = bare_append.Google(url)
    writer = bare_append.Writer(google)
    before = said(url)["rows"]
    began, cpu = time.monotonic(), time.process_time()
    rows = writer.send(_read(files))
    return {"rows": rows, "seconds": _last(url, before + rows) - began, "cpu": time.process_time() - cpu}


def read(home: str) -> dict[str, Any]:
    """The same SELECT, and nothing is done with its rows."""
    files = _files(home)
    began, cpu = time.monotonic(), time.process_time()
    rows = sum(batch.num_rows for batch in _read(files))
    return {"rows": rows, "seconds": time.monotonic() - began, "cpu": time.process_time() - cpu}


def _files(home: str) -> list[str]:
    return sorted(map(str, Path(home, "events/main/events").glob("*.parquet")))


def _read(files: list[str]) -> Iterator[pa.RecordBatch]:
    connection = duckdb.connect(config={"preserve_insertion_order": False})
    connection.execute("SET TimeZone = 'UTC'")
    query = f"SELECT {cases.SELECT} FROM read_parquet({files})"
    for batch in connection.execute(query).to_arrow_reader(AT_ONCE):
        yield pa.RecordBatch.from_arrays(
            [column.cast(kind.type) for column, kind in zip(batch, SCHEMA, strict=True)], schema=SCHEMA
        )


def append(file: str, key: str, like: str, table: str, dataset: str, rows: str) -> dict[str, Any]:
    """The bare client with rows that lie ready, into the embedded BigQuery: a table of its own, made like another."""
    client = Client(Auth(key=Path(key).read_text()), DEFAULT_PROJECT).google()
    known = client.get_table(f"{DEFAULT_PROJECT}.{dataset}.{like}")
    made = bigquery.Table(f"{DEFAULT_PROJECT}.{dataset}.{table}", known.schema)
    made.time_partitioning, made.clustering_fields = known.time_partitioning, known.clustering_fields
    client.create_table(made)
    ready = bare_append.batches(file, "4")
    # It takes no request without rows.
    writer = bare_append.Writer(bare_append.Google("", key, table, dataset), ready[0].slice(0, 1))
    chosen = (ready[number % len(ready)] for number in range(-(-int(rows) // ready[0].num_rows)))
    began, cpu = time.monotonic(), time.process_time()
    sent = writer.send(chosen)
    return {"rows": sent, "seconds": time.monotonic() - began, "cpu": time.process_time() - cpu}


CASES: dict[str, Callable[..., dict[str, Any]]] = {
    case.__name__: case for case in (fill, export, read_and_append, read, append)
}

if __name__ == "__main__":
    cases.main(CASES)
