"""What is measured, one case a process: `python benchmarks/cases.py CASE key=value …` prints one line of JSON."""

from __future__ import annotations

import json
import resource
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

THREADS = 2
SELECT = (
    "uuid, event, properties, elements, \"set\", set_once, distinct_id, team_id, ip, '' AS site_url, timestamp, "
    "now() AS bq_ingested_timestamp"
)
COLUMNS = "{uuid: 'VARCHAR', event: 'VARCHAR', distinct_id: 'VARCHAR', timestamp: 'TIMESTAMPTZ', properties: 'JSON'}"


def _key(url: str) -> str:
    from tidemill.bigquery.local import accounts

    made = accounts._new_key("benchmark", "benchmark-project")
    return json.dumps({**made, "token_uri": f"{url}/token"})


def load(home: str, events: str) -> dict[str, Any]:
    """Tidemill: JSON lines into the event store, as `tidemill events load` does it: by one thread of DuckDB."""
    from tidemill.app import App
    from tidemill.settings import Settings

    shutil.rmtree(home, ignore_errors=True)
    with App(Settings(home=Path(home), duckdb_threads=1)) as app:
        app.lake.position()
        app.events.rejects()  # the installation is made by now
        began = time.perf_counter()
        result = app.events.load(events, "posthog")
        return {"rows": result.rows, "rejects": result.rejects, "seconds": time.perf_counter() - began}


def duckdb_load(events: str, out: str) -> dict[str, Any]:
    """DuckDB: read_json and COPY to Parquet."""
    import duckdb

    connection = duckdb.connect(config={"threads": THREADS})
    began = time.perf_counter()
    rows = connection.execute(
        f"COPY (SELECT * FROM read_json('{events}', format = 'newline_delimited', columns = {COLUMNS}, "
        f"ignore_errors = true)) TO '{out}' (FORMAT parquet, COMPRESSION zstd)"
    ).fetchone()
    return {"rows": rows[0] if rows else 0, "seconds": time.perf_counter() - began}


def export(home: str, url: str, table: str) -> dict[str, Any]:
    """Tidemill: a whole run, from the plan to its end, against the sink. As for DuckDB, imports do not count."""
    import google.cloud.bigquery  # noqa: F401

    from tidemill.app import App
    from tidemill.settings import Settings

    with App(Settings(home=Path(home), duckdb_threads=THREADS)) as app:
        if not app.connections.find():
            app.connections.add(app.connections.draft(name="sink", dataset="d", key=_key(url)), by="benchmark")
        else:
            app.connections.save("sink", app.connections.changed("sink", key=_key(url)))
        app.exports.create("sink", {"name": table, "table": table}, by="benchmark")
        app.engine.launch()
        began = time.perf_counter()
        (run,) = app.exports.run(table, by="benchmark")
        seconds = time.perf_counter() - began
        return {"rows": run.rows_planned, "bytes": run.bytes_done, "chunks": len(run.chunks), "seconds": seconds}


def duckdb_export(home: str, out: str, level: str = "", group: str = "") -> dict[str, Any]:
    """DuckDB: COPY of the same SELECT over the same files; with a level and row groups, in any order, as we write."""
    import duckdb

    options = f", COMPRESSION_LEVEL {level}, ROW_GROUP_SIZE {group}" if level else ""
    connection = duckdb.connect(config={"threads": THREADS, "preserve_insertion_order": not level})
    began = time.perf_counter()
    rows = connection.execute(
        f"COPY (SELECT {SELECT} FROM read_parquet('{home}/events/main/events/*.parquet')) TO '{out}' "
        f"(FORMAT parquet, COMPRESSION zstd{options})"
    ).fetchone()
    return {"rows": rows[0] if rows else 0, "seconds": time.perf_counter() - began}


def key(url: str) -> dict[str, Any]:
    """A service account's key for the sink."""
    return {"key": json.loads(_key(url))}


CASES: dict[str, Callable[..., dict[str, Any]]] = {
    case.__name__: case for case in (load, duckdb_load, export, duckdb_export, key)
}


def main(cases: dict[str, Callable[..., dict[str, Any]]]) -> None:
    """Run the case that the arguments name."""
    name, *pairs = sys.argv[1:]
    result = cases[name](**dict(pair.split("=", 1) for pair in pairs))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 if sys.platform == "darwin" else 1024)
    sys.stdout.write(json.dumps({**result, "peak_mb": peak / (1024**2 if sys.platform == "darwin" else 1)}) + "\n")


if __name__ == "__main__":
    main(CASES)
