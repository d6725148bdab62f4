"""`make bench`: measures loads and exports beside DuckDB, prints a table, writes docs/benchmarks.md and a plot.

    python benchmarks/run.py [--rows 100000 1000000] [--repeat 5]

Each pair is measured in turn (ours, theirs, ours, …), each in a fresh process; the median counts.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import importlib.metadata
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"
GOALS = {"load": 0.5, "export": 0.8}
MEMORY_GOAL_MB = 800


def run(case: str, **arguments: object) -> dict[str, Any]:
    """One case in a process of its own."""
    words = [sys.executable, str(HERE / "cases.py"), case, *(f"{name}={value}" for name, value in arguments.items())]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{case} failed:\n{done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


@contextlib.contextmanager
def sink() -> Iterator[str]:
    """The sink, for the time of the block; gives its address."""
    process = subprocess.Popen([sys.executable, str(HERE / "sink.py")], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()


def median(results: list[dict[str, Any]]) -> tuple[float, float]:
    """Rows a second, and peak memory in MB."""
    return (
        statistics.median(result["rows"] / result["seconds"] for result in results),
        statistics.median(result["peak_mb"] for result in results),
    )


def measure(rows: int, repeat: int, folder: Path) -> list[dict[str, Any]]:
    """Load and export of so many events, ours beside DuckDB's."""
    events, out = folder / "events.jsonl", folder / "out.parquet"
    subprocess.run([sys.executable, str(HERE / "generate.py"), "--rows", str(rows), "--out", str(events)], check=True)
    with events.open("a") as file:
        file.write('{"event": "no id"}\n{not json\n')
    home = folder / "home"
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in ("load", "duckdb_load", "export", "duckdb_export")}
    for turn in range(repeat):
        if turn == 0 or rows <= 1_000_000:
            found["load"].append(run("load", home=home, events=events))
        found["duckdb_load"].append(run("duckdb_load", events=events, out=out))
    with sink() as url:
        for turn in range(repeat):
            found["export"].append(run("export", home=home, url=url, table=f"t{turn}"))
            found["duckdb_export"].append(run("duckdb_export", home=home, out=out))
    lines = []
    for name in ("load", "export"):
        ours, memory = median(found[name])
        theirs, their_memory = median(found[f"duckdb_{name}"])
        lines.append(
            {
                "what": name,
                "rows": rows,
                "ours": ours,
                "duckdb": theirs,
                "share": ours / theirs,
                "goal": GOALS[name],
                "memory": memory,
                "duckdb_memory": their_memory,
            }
        )
    return lines


def show(lines: list[dict[str, Any]]) -> None:
    """The table, for the terminal."""
    table = Table("what", "events", "rows/s", "DuckDB rows/s", "share", "goal", "peak MB", "DuckDB peak MB")
    for line in lines:
        color = "green" if line["share"] >= line["goal"] else "red"
        table.add_row(
            line["what"],
            f"{line['rows']:,}",
            f"{line['ours']:,.0f}",
            f"{line['duckdb']:,.0f}",
            f"[{color}]{line['share']:.2f}[/]",
            f"{line['goal']:.1f}",
            f"{line['memory']:,.0f}",
            f"{line['duckdb_memory']:,.0f}",
        )
    Console().print(table)


def processor() -> str:
    """The processor's name."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def write(lines: list[dict[str, Any]], repeat: int) -> None:
    """docs/benchmarks.md and docs/benchmarks.svg."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("tidemill", "duckdb", "pyarrow"))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    text = [
        "# Benchmarks",
        "",
        f"Measured by `make bench` on {dt.datetime.now(dt.UTC):%Y-%m-%d}: {processor()}, {os.cpu_count()} cores, "
        f"{memory:.0f} GiB, {platform.system()}, Python {platform.python_version()}, {versions}.",
        f"Medians of {repeat}, each in a fresh process, ours and DuckDB's in turn, two threads each. Events have 38",
        "properties and about 1.3 KB of JSON (`benchmarks/generate.py`). Imports do not count.",
        "",
        "* **load**: JSON lines into the event store, checked, with ids looked up and two bad lines set aside; beside",
        "  DuckDB's `read_json` and `COPY … TO parquet (zstd)` of the same file.",
        "* **export**: a whole run, from the plan to its end, against a server that answers like BigQuery and throws the",
        "  bytes away; beside DuckDB's `COPY … TO parquet (zstd)` of the same SELECT over the same files.",
        "",
        "| what | events | rows/s | DuckDB rows/s | share | goal | peak memory | DuckDB's |",
        "|---|---|---|---|---|---|---|---|",
    ]
    text += [
        f"| {line['what']} | {line['rows']:,} | {line['ours']:,.0f} | {line['duckdb']:,.0f} | **{line['share']:.2f}** | "
        f"{line['goal']:.1f} | {line['memory']:,.0f} MB | {line['duckdb_memory']:,.0f} MB |"
        for line in lines
    ]
    text += ["", "![shares of DuckDB's own speed](benchmarks.svg)", ""]
    (DOCS / "benchmarks.md").write_text("\n".join(text))
    (DOCS / "benchmarks.svg").write_text(plot(lines))


def plot(lines: list[dict[str, Any]]) -> str:
    """Bars of the shares, with the goal as a line across each."""
    width, bar, left, scale = 640, 26, 170, 180
    parts = []
    for index, line in enumerate(lines):
        top = 30 + index * (bar + 14)
        length, goal = line["share"] * scale, left + line["goal"] * scale
        color = "#2a9d5c" if line["share"] >= line["goal"] else "#c0392b"
        parts.append(f'<text x="{left - 8}" y="{top + 18}" text-anchor="end">{line["what"]} {line["rows"]:,}</text>')
        parts.append(f'<rect x="{left}" y="{top}" width="{length:.0f}" height="{bar}" fill="{color}"/>')
        parts.append(f'<text x="{left + length + 6:.0f}" y="{top + 18}">{line["share"]:.2f}</text>')
        parts.append(f'<line x1="{goal:.0f}" x2="{goal:.0f}" y1="{top - 4}" y2="{top + bar + 4}" stroke="#222"/>')
    height = 40 + len(lines) * (bar + 14)
    title = '<text x="8" y="18" font-weight="bold">Share of DuckDB\'s own rows/s (the mark is the goal)</text>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" '
        f'font-size="13"><rect width="100%" height="100%" fill="white"/>{title}{"".join(parts)}</svg>\n'
    )


def main() -> None:
    """Measure, show, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--repeat", type=int, default=5)
    arguments = parser.parse_args()
    lines = []
    for rows in arguments.rows:
        folder = Path(tempfile.mkdtemp(prefix="tidemill-bench-"))
        try:
            lines += measure(rows, arguments.repeat, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        show(lines)
    write(lines, arguments.repeat)


if __name__ == "__main__":
    main()
