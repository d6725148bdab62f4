"""dlt into the sink, from dicts or from Arrow tables. Runs in a virtual environment of its own (see run.py).

    benchmarks/.venv-dlt/bin/python benchmarks/dlt_peer.py dicts|arrow key=KEY.json parquet=FOLDER rows=N work=FOLDER

The rows are those that an export reads: the store's own Parquet files. What it takes to make dicts of them is not
counted, since dlt is not to blame for it; reading Arrow tables is, as it is in an export. Prints one line of JSON.
BIGQUERY_EMULATOR_HOST tells Google's client, and so dlt, where the sink is.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

COLUMNS = ["uuid", "event", "properties", "elements", "set", "set_once", "distinct_id", "team_id", "ip", "timestamp"]
BATCH = 10_000
COMPRESSION_OFF = os.environ.get("BENCH_DLT_PLAIN", "true")


class Rows:
    """The first so many rows of a folder of Parquet files."""

    def __init__(self, folder: Path, rows: int) -> None:
        self.folder, self.left, self.making = folder, rows, 0.0

    def arrow(self) -> Iterator[Any]:
        """Arrow tables, one a row group's batch."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        for path in sorted(self.folder.glob("*.parquet")):
            for batch in pq.ParquetFile(path).iter_batches(BATCH, columns=COLUMNS):
                if not self.left:
                    return
                taken = batch.slice(0, self.left)
                self.left -= taken.num_rows
                yield pa.Table.from_batches([taken])

    def dicts(self) -> Iterator[list[dict[str, Any]]]:
        """Lists of dicts; `making` is how long it took to make them."""
        tables = self.arrow()
        while True:
            began = time.perf_counter()
            table = next(tables, None)
            rows = table.to_pylist() if table is not None else None
            self.making += time.perf_counter() - began
            if rows is None:
                return
            yield rows


def measure(kind: str, key: str, parquet: str, rows: str, work: str) -> dict[str, Any]:
    """One pipeline, from nothing to its end."""
    os.environ["DLT_DATA_DIR"] = os.environ["DLT_PROJECT_DIR"] = work
    os.environ |= {"RUNTIME__DLTHUB_TELEMETRY": "false", "DATA_WRITER__DISABLE_COMPRESSION": COMPRESSION_OFF}
    import dlt
    from dlt.destinations import bigquery

    made = Rows(Path(parquet), int(rows))
    account = json.loads(Path(key).read_text())
    pipeline = dlt.pipeline("bench", destination=bigquery(credentials=account), dataset_name="d", pipelines_dir=work)
    resource_ = dlt.resource(
        made.dicts() if kind == "dicts" else made.arrow(), name="events", write_disposition="append"
    )
    began = time.perf_counter()
    pipeline.run(resource_, loader_file_format="jsonl" if kind == "dicts" else "parquet").raise_on_failed_jobs()
    seconds = time.perf_counter() - began - made.making
    counted = pipeline.last_trace.last_normalize_info.row_counts["events"]
    if counted != int(rows):
        raise SystemExit(f"dlt took {counted} rows of {rows}")
    return {"rows": counted, "seconds": seconds, "making": made.making, "version": importlib.metadata.version("dlt")}


def main() -> None:
    """Run what the arguments name."""
    kind, *pairs = sys.argv[1:]
    result = measure(kind, **dict(pair.split("=", 1) for pair in pairs))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sys.stdout.write(json.dumps({**result, "peak_mb": peak / (1024**2 if sys.platform == "darwin" else 1024)}) + "\n")


if __name__ == "__main__":
    main()
