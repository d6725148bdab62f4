"""Measures streaming into BigQuery by the Storage Write API, and writes docs/benchmarks-stream.md.

    python benchmarks/stream.py [--repeat 5] [--rows 1000000] [--megabytes 1 2 4 8]

Against write_sink.py, which throws the rows away. Google's client in both of its forms and ours in turn, each in a fresh
process; the median counts. What an export is to be measured beside is the faster of Google's two.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import datetime as dt
import importlib.metadata
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from report import DOCS, processor
from run import HERE, run

NAMES = {"google_writer": "Google's writer", "google_stub": "Google's stub", "ours": "ours"}
Found = dict[tuple[str, float], list[dict[str, Any]]]


def case(name: str, **arguments: object) -> dict[str, Any]:
    """One of bare_append.py."""
    pairs = (f"{key}={value}" for key, value in arguments.items())
    return run([sys.executable, str(HERE / "bare_append.py"), name, *pairs])


@contextlib.contextmanager
def sink() -> Iterator[str]:
    """The sink, for the time of the block; gives its address."""
    process = subprocess.Popen([sys.executable, str(HERE / "write_sink.py")], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()


def measure(file: Path, sizes: list[float], rows: int, repeat: int) -> Found:
    """Each case in turn, so many times."""
    found: Found = collections.defaultdict(list)
    with sink() as url:
        for _ in range(repeat):
            for megabytes in sizes:
                for name in NAMES:
                    found[name, megabytes].append(case(name, url=url, file=file, megabytes=megabytes, rows=rows))
    return found


def line(name: str, megabytes: float, results: list[dict[str, Any]], peer: float) -> str:
    """A line of the table. `peer`: rows a second of the faster of Google's two."""

    def median(of: str) -> float:
        return statistics.median(one[of] for one in results)

    speeds = [one["rows"] / one["seconds"] for one in results]
    speed = statistics.median(speeds)
    cells = [
        f"{megabytes:g} MB",
        NAMES[name],
        f"{speed:,.0f}",
        f"{min(speeds):,.0f} to {max(speeds):,.0f}",
        f"{speed * results[0]['bytes'] / results[0]['rows'] / 1e6:,.0f}",
        f"{speed / peer:.2f}",
        f"{median('cpu'):.2f}",
        f"{median('sink_cpu'):.2f}",
        f"{median('peak_mb'):,.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def lines(found: Found) -> list[str]:
    """The table's."""
    made = []
    for megabytes in sorted({megabytes for _, megabytes in found}):
        speeds = {
            name: statistics.median(one["rows"] / one["seconds"] for one in found[name, megabytes]) for name in NAMES
        }
        peer = max(speeds["google_writer"], speeds["google_stub"])
        made += [line(name, megabytes, found[name, megabytes], peer) for name in NAMES]
    return made


def main() -> None:
    """Measure, write, show."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--megabytes", type=float, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--repeat", type=int, default=5)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="tidemill-stream-"))
    try:
        case("make", out=folder / "rows.arrow")
        found = measure(folder / "rows.arrow", given.megabytes, given.rows, given.repeat)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    (HERE / "results").mkdir(exist_ok=True)
    kept = {f"{name} {megabytes:g}": results for (name, megabytes), results in found.items()}
    (HERE / "results" / "stream.json").write_text(json.dumps(kept, indent=1))
    text = page(found, given)
    (DOCS / "benchmarks-stream.md").write_text(text)
    sys.stdout.write(text)


def page(found: Found, given: argparse.Namespace) -> str:
    """docs/benchmarks-stream.md."""
    used = ", ".join(
        f"{name} {importlib.metadata.version(name)}" for name in ("google-cloud-bigquery-storage", "grpcio", "pyarrow")
    )
    every = [one for results in found.values() for one in results]
    loads = [one["load_average"] for one in every]
    size = every[0]["bytes"] / every[0]["rows"]
    newline = "\n"
    return f"""# Benchmarks of streaming

Measured by `python benchmarks/stream.py` on {dt.datetime.now(dt.UTC):%Y-%m-%d}: {processor()}, {os.cpu_count()} cores; {used}.
Load average before the runs {min(loads):.1f} to {max(loads):.1f}. {given.rows:,} events with the 12 columns of the events model, {size:,.0f} bytes each,
{given.repeat} times, medians; each in a fresh process, in turn. Against a server on this machine that answers each request of the Storage Write
API at once and throws the rows away (`benchmarks/write_sink.py`); it checks offsets and counts rows, and each run's were all there.

Rows lie ready as Arrow record batches of the size in the first column, and are serialized while it is measured. At most 32 requests are on
their way. *Google's writer* is `AppendRowsStream`; *Google's stub* is `BigQueryWriteGrpcTransport.append_rows` with a generator; *ours* is
what an export sends with, and lets at most 64 MB be on their way. *share* is of the faster of Google's two.

| requests | client | rows/s | range | MB/s | share | CPU s | server's CPU s | peak MB |
|---|---|---|---|---|---|---|---|---|
{newline.join(lines(found))}
"""


if __name__ == "__main__":
    main()
