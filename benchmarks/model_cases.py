"""What `models.py` measures, one case a process: `python benchmarks/model_cases.py CASE key=value …` prints JSON."""

from __future__ import annotations

import datetime as dt
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cases

if TYPE_CHECKING:
    from tidemill.app import App

#: Bytes of a value as BigQuery counts them ("Data type sizes"); a text has 2 and its bytes.
_SIZES = {"INT64": 8, "FLOAT64": 8, "TIMESTAMP": 8, "BOOL": 1}


def _app(home: str, **settings: int) -> App:
    from tidemill.app import App
    from tidemill.settings import Settings

    return App(Settings(home=Path(home), duckdb_threads=cases.THREADS, **settings))


def prepare(home: str, events: str) -> dict[str, Any]:
    """Load a file into a new home."""
    shutil.rmtree(home, ignore_errors=True)
    with _app(home) as app:
        began = time.perf_counter()
        result = app.events.load(events, "posthog")
        return {"rows": result.rows, "seconds": time.perf_counter() - began}


def more(home: str, events: str) -> dict[str, Any]:
    """Load another file."""
    with _app(home) as app:
        return {"rows": app.events.load(events, "posthog").rows}


def identity(home: str) -> dict[str, Any]:
    """Apply what is new to people, with one thread of DuckDB. `cpu`: of this process, without PostgreSQL's."""
    with _app(home) as app:
        reached = app.identity.reached().snapshot
        rows = sum(commit.rows for commit in app.lake.commits(reached, app.lake.position()))
        with app.lake.cursor() as cursor:
            cursor.execute("SET threads = 1")
        began, cpu = time.perf_counter(), time.process_time()
        app.identity.catch_up()
        return {"rows": rows, "seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu}


def export(home: str, url: str, model: str, table: str) -> dict[str, Any]:
    """A whole run of a model, from the plan to its end, against the sink."""
    import google.cloud.bigquery  # noqa: F401 - imports do not count

    from tidemill.store.runs import Runs

    with _app(home) as app:
        _connect(app, url)
        app.exports.create("sink", {"name": table, "model": model, "table": table}, by="benchmark")
        app.identity.catch_up()
        app.engine.launch()
        began = time.perf_counter()
        (run,) = app.exports.run(table, by="benchmark")
        seconds = time.perf_counter() - began
        written = Runs(app.database).chunks(run.id)  # the sink counts no rows, and a plan may be an estimate
        rows = sum(chunk.rows_written for chunk in written)
        return {"rows": rows, "bytes": run.bytes_done, "chunks": len(run.chunks), "seconds": seconds}


def _connect(app: App, url: str) -> None:
    key = cases._key(url)
    if app.connections.find():
        app.connections.save("sink", app.connections.changed("sink", key=key))
    else:
        app.connections.add(app.connections.draft(name="sink", dataset="d", key=key), by="benchmark")


def copy(home: str, model: str) -> dict[str, Any]:
    """DuckDB: the same query over the same data, and COPY of its rows to one Parquet file."""
    from tidemill.events.sources.source import Selection
    from tidemill.models import registry

    file = Path(home) / "exports" / "peer.parquet"  # in a folder that DuckDB may write to
    file.parent.mkdir(exist_ok=True)
    with _app(home, duckdb_memory_mb=16_000) as app:  # all it wants
        source = app.sources[model]
        columns = ", ".join(f'"{column.name}"' for column in registry.get(model).columns)
        whole = Selection(0, source.position())
        with app.lake.cursor() as cursor:
            began = time.perf_counter()
            rows = cursor.execute(
                f"COPY (SELECT {columns} FROM ({source.rows(whole, dt.datetime.now(dt.UTC))})) "
                f"TO '{file}' (FORMAT parquet, COMPRESSION zstd)"
            ).fetchone()
            seconds = time.perf_counter() - began
    file.unlink()
    return {"rows": rows[0] if rows else 0, "seconds": seconds}


def backfill(home: str, url: str, days: str) -> dict[str, Any]:
    """A backfill day by day, one at a time, of a table that an earlier run filled. `each`: seconds a day, in order."""
    import google.cloud.bigquery  # noqa: F401 - imports do not count

    with _app(home) as app:
        _connect(app, url)
        app.exports.create("sink", {"name": "filled", "table": "filled", "interval": "day"}, by="benchmark")
        app.exports.run("filled", by="benchmark")
        estimate = app.exports.backfills.estimate("filled", "earliest", None, None)
        assert len(estimate.intervals) == int(days), estimate.intervals
        began = time.perf_counter()
        done = app.exports.backfills.begin("filled", estimate, by="benchmark", parallel=1, progress=lambda _: None)
        seconds = time.perf_counter() - began
        runs = [run for run in app.exports.runs.find("filled", limit=int(days)) if run.mode == "merge"][::-1]
        each = [(run.finished_at - run.created_at).total_seconds() for run in runs if run.finished_at]
        assert (done.status, len(each)) == ("completed", int(days))
        return {"rows": estimate.rows, "seconds": seconds, "each": each}


def sizes(home: str, model: str) -> dict[str, Any]:
    """Of a table of the model: rows, and its bytes as BigQuery counts them, whole and of the key and versions."""
    from tidemill.events.sources.source import Selection
    from tidemill.models import registry

    with _app(home, duckdb_memory_mb=16_000) as app:
        found = registry.get(model)
        source = app.sources[model]
        parts = {
            column.name: str(_SIZES[column.type])
            if column.type in _SIZES
            else f'coalesce(strlen("{column.name}"::VARCHAR) + 2, 0)'
            for column in found.columns
        }
        named = " + ".join(parts[name] for name in (*found.key, *found.versions))
        rows = source.rows(Selection(0, source.position()), dt.datetime.now(dt.UTC))
        with app.lake.cursor() as cursor:
            answer = cursor.execute(
                f"SELECT count(*), sum({' + '.join(parts.values())})::BIGINT, sum({named})::BIGINT FROM ({rows})"
            ).fetchall()
    return dict(zip(("rows", "bytes", "key_bytes"), answer[0], strict=True))


CASES: dict[str, Callable[..., dict[str, Any]]] = {
    case.__name__: case for case in (prepare, more, identity, export, copy, backfill, sizes)
}

if __name__ == "__main__":
    cases.main(CASES)
