"""Event data in a bucket, beside a folder: loads, small commits and reading. The store is moto's server, in Python.

python benchmarks/object_store.py [EVENTS]
"""

from __future__ import annotations

import datetime as dt
import os
import statistics
import sys
import tempfile
import time
import uuid
from pathlib import Path

import pyarrow as pa

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.installation import write_events
from tests.s3_server import KEY, REGION, SECRET, S3Server

from tidemill.app import App
from tidemill.events import chunks, maintenance
from tidemill.events.catalog import BATCH_COLUMNS
from tidemill.events.lake import Place
from tidemill.events.sources.source import Selection
from tidemill.models import registry
from tidemill.settings import Settings

_TYPES = {"team_id": pa.int64(), "timestamp": pa.timestamp("us", "UTC")}
_COMMITS = 30


def batch(rows: int) -> pa.RecordBatch:
    given = {
        "uuid": [str(uuid.uuid4()) for _ in range(rows)],
        "team_id": [1] * rows,
        "properties": [f'{{"text": "{os.urandom(300).hex()}"}}' for _ in range(rows)],
    }
    return pa.record_batch(
        {n: pa.array(given.get(n, [None] * rows), _TYPES.get(n, pa.string())) for n in BATCH_COLUMNS}
    )


def measure(title: str, settings: Settings, file: Path, events: int) -> None:
    with App(settings) as app:
        app.lake.position()
        began = time.perf_counter()
        app.events.load(str(file))
        loaded = events / (time.perf_counter() - began)
        took = {}
        for rows in (100, 5_000):
            prepared = [app.lake.prepare([batch(rows)]) for _ in range(_COMMITS)]
            times = []
            for number, one in enumerate(prepared):
                began = time.perf_counter()
                app.lake.append(one, Place(f"{rows}", number), dt.timedelta(days=30))
                times.append(time.perf_counter() - began)
            took[rows] = statistics.median(times[2:]) * 1000
        began = time.perf_counter()
        maintenance.compact(app.lake)
        joined = time.perf_counter() - began
        began = time.perf_counter()
        columns = registry.get("events").columns
        selection = Selection(0, app.lake.position())
        now = dt.datetime.now(dt.UTC)
        path = settings.home_path / "exports" / "file"
        written = chunks.write(
            app.lake, app.sources["events"], selection, columns, path, handed_at=now, max_row_bytes=10**8
        )
        read = written.rows / (time.perf_counter() - began)
    print(
        f"| {title} | {loaded:,.0f} | {took[100]:.0f} ms | {took[5_000]:.0f} ms | {joined:.1f} s | {read:,.0f} |",
        flush=True,
    )


def main() -> None:
    events = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    os.environ.update(AWS_ACCESS_KEY_ID=KEY, AWS_SECRET_ACCESS_KEY=SECRET)
    server = S3Server()
    server.start()
    print("| event data in | load, rows/s | commit of 100 | commit of 5,000 | compact | a chunk's file, rows/s |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        file = Path(folder) / "events.jsonl"
        write_events(file, events, size=600)
        measure("a folder", Settings(home=Path(folder) / "home"), file, events)
        for delay in (0.0, 0.03):
            server.delay = lambda _, delay=delay: delay
            place = f"s3://{server.bucket()}/events?endpoint={server.endpoint}&region={REGION}"
            title = f"a bucket, {delay * 1000:.0f} ms a request" if delay else "a bucket"
            measure(title, Settings(home=Path(folder) / f"home-{delay}", event_data=place), file, events)
    server.stop()


if __name__ == "__main__":
    main()
