"""Makes docs/benchmarks-stream.md of what stream.py found."""

from __future__ import annotations

import importlib.metadata
import os
import statistics
from collections.abc import Callable
from typing import Any

from report import processor

NAMES = {"google_writer": "Google's writer", "google_stub": "Google's stub", "ours": "ours"}
SHARE = 0.8
Results = list[dict[str, Any]]


def page(known: dict[str, Any]) -> str:
    """The text."""
    used = ", ".join(
        f"{name} {importlib.metadata.version(name)}"
        for name in ("duckdb", "google-cloud-bigquery-storage", "grpcio", "pyarrow")
    )
    parts = [SECTIONS[name](known[name]) for name in SECTIONS if name in known]
    head = f"""# Benchmarks of streaming

Measured by `make bench`, or `python benchmarks/stream.py`: {processor()}, {os.cpu_count()} cores; {used}.
Each measurement is a fresh process, theirs and ours in turn; medians.
"""
    return "\n".join([head, *parts])


def _speeds(results: Results) -> list[float]:
    return [one["rows"] / one["seconds"] for one in results]


def _median(results: Results, of: str) -> float:
    return float(statistics.median(one[of] for one in results))


def _loads(part: dict[str, Any]) -> str:
    loads = [one["load_average"] for results in part["found"].values() for one in results]
    return f"on {part['on']}, with a load average before the runs of {min(loads):.1f} to {max(loads):.1f}"


def _table(head: str, lines: list[list[str]]) -> str:
    names = head.split(", ")
    rows = [names, ["---"] * len(names), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def _verdict(goal: str, met: bool) -> str:
    return f"{goal} {'met' if met else '**missed**'}"


def catch_up(part: dict[str, Any]) -> str:
    """The export, beside the bare client."""
    found = part["found"]
    lines = [
        _line("the sink", "bare, rows lie ready", found["bare"], found["bare"]),
        _line("the sink", "bare, rows are read", found["bare reader"], found["bare"]),
        _line("the sink", "**a streaming export**", found["ours"], found["bare"], goal=True),
        _line("nowhere", "rows are read", found["read"], found["bare"]),
    ]
    of_readers = statistics.median(_speeds(found["ours"])) / statistics.median(_speeds(found["bare reader"]))
    before = _median(found["ours"], "before")
    return f"""## Catching up

{part["rows"]:,} events of 1.3 KB in an event store, {part["repeat"]} times, {_loads(part)}.

*A streaming export*: `tidemill export stream NAME --once`, from the opening of its connection to the arrival of the last row: rows are
read, put in order and checked, and what is in flight is written down. What comes before took {before:.2f} s: the table and the write
stream are made, the ledger is read, and up to two commits of 50,000 events; *from
its beginning* is the share with that time counted, too. *Bare*: Google's
`AppendRowsStream` with requests of 4 MB, of record batches that lie ready in memory; or that come from DuckDB's SELECT over the
same files, in any order, unchecked, and nothing is written down. *Rows are read*: that SELECT alone. The share is of the bare
client's rows that lie ready; of the bare client that has to read, the export has {of_readers:.2f}.

*The sink* answers at once and throws the rows away (`benchmarks/write_sink.py`); it checks offsets and counts rows. It works on the
same cores, and so does PostgreSQL. Memory is the highest of the process, with all its libraries. Rows that lie ready are
the same 50,000 again and again.

{_table(_HEAD, lines)}"""


_HEAD = "into, what, rows/s, range, share, from its beginning, CPU s per million rows, peak MB, goal"


def embedded(part: dict[str, Any]) -> str:
    """The same into the embedded BigQuery."""
    found = part["found"]
    lines = [
        _line("the embedded BigQuery", "bare, rows lie ready", found["bare"], found["bare"]),
        _line("the embedded BigQuery", "**a streaming export**", found["ours"], found["bare"], goal=True),
    ]
    return f"""The same with {found["ours"][0]["rows"]:,} events into the embedded BigQuery, which is slower than its clients, {len(found["ours"])} times,
{_loads(part)}. What comes before the first request took {_median(found["ours"], "before"):.1f} s here, and two of
its eight commits may have been read by then, so that the goal is only met where a stream runs on:

{_table(_HEAD, lines)}"""


def _line(into: str, what: str, results: Results, peer: Results, *, goal: bool = False) -> list[str]:
    speeds = _speeds(results)
    bare = statistics.median(_speeds(peer))
    share = statistics.median(speeds) / bare
    whole = statistics.median(one["rows"] / (one["seconds"] + one.get("before", 0.0)) for one in results) / bare
    return [
        into,
        what,
        f"{statistics.median(speeds):,.0f}",
        f"{min(speeds):,.0f} to {max(speeds):,.0f}",
        f"{share:.2f}",
        f"{whole:.2f}" if goal else "",
        f"{statistics.median(one['cpu'] / one['rows'] for one in results) * 1e6:.2f}",
        f"{_median(results, 'peak_mb'):,.0f}",
        _verdict(f"{SHARE}", share >= SHARE) if goal else "",
    ]


def latency(part: dict[str, Any]) -> str:
    """From the answer to the table."""
    (found,) = part["found"]["latency"]
    seconds = [f"{found[name]:.2f} s" for name in ("p50", "p95", "p99", "most")]
    cells = [f"{found['wanted']:,}", f"{found['rate']:,.0f}", f"{found['rows']:,}", *seconds]
    return f"""## From the answer to the table

Eight clients send requests of 10 to 20 events of 1.2 KB to `tidemill serve` at a steady pace, {_loads(part)}; `tidemill export
stream`, with its defaults (it waits a second for more), moves them into the embedded BigQuery. The time is that from the answer of
the capture server, when an event is durable, until a reader of the table has it. All of this runs on the same cores. The table
was read every {found["look"] * 1000:.0f} ms in the median, {found["slowest_look"] * 1000:,.0f} ms at most, which is how exact the times are (they are not too short);
the latest request was sent {found["late"]:,.2f} s late: the pace is kept where that is little. Each event was there, once.

{_table("events/s, came, events, p50, p95, p99, longest", [cells])}"""


def clients(part: dict[str, Any]) -> str:
    """Clients of the API."""
    found = part["found"]
    every = [one for results in found.values() for one in results]
    size = every[0]["bytes"] / every[0]["rows"]
    sizes = sorted({float(name.split()[1]) for name in found})
    lines = [line for megabytes in sizes for line in _clients(found, f"{megabytes:g}")]
    return f"""## Clients of the Storage Write API

{part["rows"]:,} events with the 12 columns of the events model, {size:,.0f} bytes each, into the sink, {part["repeat"]} times, {_loads(part)}.

Rows lie ready as Arrow record batches of the size in the first column, and are serialized while it is measured. At most 32 requests
are on their way. *Google's writer* is `AppendRowsStream`; *Google's stub* is `BigQueryWriteGrpcTransport.append_rows` with a
generator; *ours* is what an export sends with, and lets at most 64 MB be on their way. *share* is of the faster of Google's two.

{_table("requests, client, rows/s, range, MB/s, share, CPU s, server's CPU s, peak MB", lines)}"""


def _clients(found: dict[str, Results], megabytes: str) -> list[list[str]]:
    medians = {name: statistics.median(_speeds(found[f"{name} {megabytes}"])) for name in NAMES}
    peer = max(medians["google_writer"], medians["google_stub"])
    lines = []
    for name, shown in NAMES.items():
        results = found[f"{name} {megabytes}"]
        speeds, speed = _speeds(results), medians[name]
        lines.append(
            [
                f"{megabytes} MB",
                shown,
                f"{speed:,.0f}",
                f"{min(speeds):,.0f} to {max(speeds):,.0f}",
                f"{speed * results[0]['bytes'] / results[0]['rows'] / 1e6:,.0f}",
                f"{speed / peer:.2f}",
                f"{_median(results, 'cpu'):.2f}",
                f"{_median(results, 'sink_cpu'):.2f}",
                f"{_median(results, 'peak_mb'):,.0f}",
            ]
        )
    return lines


SECTIONS: dict[str, Callable[[dict[str, Any]], str]] = {
    "catch-up": catch_up,
    "embedded": embedded,
    "latency": latency,
    "clients": clients,
}
