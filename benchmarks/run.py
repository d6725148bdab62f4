"""`make bench`: measures loads and exports beside DuckDB and dlt, prints a table, writes docs/benchmarks.md and a plot.

    python benchmarks/run.py [--rows 100000 1000000] [--full] [--repeat 5] [--no-dlt]

Pairs are measured in turn (ours, theirs, ours, …), each in a fresh process; the median counts. `--full` adds 5 M.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from report import Line, show, write

HERE = Path(__file__).parent
DLT = HERE / ".venv-dlt" / "bin" / "python"
BAD = '{"event": "no id"}\n{not json\n'
#: Above so many events dlt is left out: from dicts it takes minutes, and tens of gigabytes of disk.
DLT_ROWS = 1_000_000
Found = dict[str, list[dict[str, Any]]]


def run(words: list[str], environment: dict[str, str] | None = None) -> dict[str, Any]:
    """One case in a process of its own; what it says, and how busy the machine was before."""
    load = os.getloadavg()[0]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=os.environ | (environment or {}))
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} failed:\n{done.stderr[-3000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {**result, "load_average": load}


def case(name: str, **arguments: object) -> dict[str, Any]:
    """One of cases.py."""
    return run([sys.executable, str(HERE / "cases.py"), name, *(f"{key}={value}" for key, value in arguments.items())])


def dlt(kind: str, url: str, folder: Path, rows: int) -> dict[str, Any]:
    """dlt into the sink, from the store's files."""
    key, work = folder / "key.json", folder / "dlt"
    key.write_text(json.dumps(case("key", url=url)["key"]))
    parquet = folder / "home" / "events" / "main" / "events"
    pairs = {"key": key, "parquet": parquet, "rows": rows, "work": work}
    try:
        words = [str(DLT), str(HERE / "dlt_peer.py"), kind, *(f"{name}={value}" for name, value in pairs.items())]
        return run(words, {"BIGQUERY_EMULATOR_HOST": url})
    finally:
        shutil.rmtree(work, ignore_errors=True)


def install_dlt() -> None:
    """Make dlt's own virtual environment, once."""
    done = DLT.parent.parent / "installed"
    if done.exists():
        return
    subprocess.run([sys.executable, "-m", "venv", str(DLT.parent.parent)], check=True)
    pip = [str(DLT), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "dlt[bigquery]", "pyarrow"]
    subprocess.run(pip, check=True)
    done.touch()


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


def received(url: str) -> int:
    """Bytes that the sink was sent so far."""
    with urllib.request.urlopen(f"{url}/received", timeout=10) as answer:
        return int(json.load(answer)["bytes"])


def measure(rows: int, repeat: int, folder: Path, with_dlt: bool) -> Found:
    """Each case in turn, so many times."""
    events, out, home = folder / f"events-{rows}.jsonl", folder / "out.parquet", folder / "home"
    if not events.exists():
        subprocess.run(
            [sys.executable, str(HERE / "generate.py"), "--rows", str(rows), "--out", str(events)], check=True
        )
    bad = folder / "bad.jsonl"
    shutil.copyfile(events, bad)
    with bad.open("a") as file:
        file.write(BAD)
    found: Found = collections.defaultdict(list)
    for _ in range(repeat):
        found["load"].append(case("load", home=home, events=bad))
        found["duckdb_load"].append(case("duckdb_load", events=bad, out=out))
        assert found["load"][-1]["rejects"] == 2
    with sink() as url:
        for turn in range(repeat):
            before = received(url)
            found["export"].append(case("export", home=home, url=url, table=f"t{turn}"))
            assert received(url) - before == found["export"][-1]["bytes"] > 0, "the sink was not sent what was exported"
            found["duckdb_export"].append(case("duckdb_export", home=home, out=out))
            found["duckdb_export_same"].append(case("duckdb_export", home=home, out=out, level=1, group=10_000))
            if with_dlt and rows <= DLT_ROWS:
                found["dlt_arrow"].append(dlt("arrow", url, folder, rows))
                found["dlt_dicts"].append(dlt("dicts", url, folder, rows))
    wrong = {
        name: result["rows"]
        for name, results in found.items()
        for result in results
        # To DuckDB, an event without an id is a row, and a line that is no JSON may be one too.
        if not rows <= result["rows"] <= rows + 2 * (name == "duckdb_load")
    }
    assert not wrong, f"not {rows} rows: {wrong}"
    return found


def compare(found: Found, rows: int) -> list[Line]:
    """The lines of the table."""

    def speeds(name: str) -> list[float]:
        return [result["rows"] / result["seconds"] for result in found[name]]

    def memory(name: str) -> float:
        return statistics.median(result["peak_mb"] for result in found[name])

    def line(what: str, peer: str, theirs: str, goal: float | None = None) -> Line:
        mine, other = speeds(what), speeds(theirs)
        medians = statistics.median(mine), min(mine), max(mine), statistics.median(other)
        return Line(what, peer, rows, (len(mine), len(other)), *medians, memory(what), memory(theirs), goal)

    lines = [
        line("load", "DuckDB", "duckdb_load", 0.5),
        line("export", "DuckDB", "duckdb_export", 0.8),
        line("export", "DuckDB, our settings", "duckdb_export_same"),
    ]
    if "dlt_arrow" in found:
        lines.append(line("export", "dlt, Arrow", "dlt_arrow", 1.2))
    if "dlt_dicts" in found:
        lines.append(line("export", "dlt, dicts", "dlt_dicts", 12))
        seconds = rows / lines[0].ours + rows / lines[1].ours
        found["load and export"] = [
            {"rows": rows, "seconds": seconds, "peak_mb": max(memory("load"), memory("export"))}
        ]
        lines.append(line("load and export", "dlt, dicts", "dlt_dicts"))
    return lines


def main() -> None:
    """Measure, show, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--full", action="store_true", help="5 M events too")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument(
        "--no-dlt", action="store_true", help="without dlt, which is installed into its own environment"
    )
    parser.add_argument("--work", type=Path, help="folder to work in, kept; events-ROWS.jsonl in it is used")
    arguments = parser.parse_args()
    if not arguments.no_dlt:
        install_dlt()
    folder = arguments.work or Path(tempfile.mkdtemp(prefix="tidemill-bench-"))
    (HERE / "results").mkdir(exist_ok=True)
    lines: list[Line] = []
    loads: list[float] = []
    versions: dict[str, str] = {}
    try:
        for rows in arguments.rows + [5_000_000] * arguments.full:
            found = measure(rows, arguments.repeat, folder, not arguments.no_dlt)
            (HERE / "results" / f"{rows}.json").write_text(json.dumps(found, indent=1))
            loads += [result["load_average"] for results in found.values() for result in results]
            if "dlt_arrow" in found:
                versions["dlt"] = found["dlt_arrow"][0]["version"]
            lines += compare(found, rows)
            show(lines)
            write(lines, loads, versions)
    finally:
        if not arguments.work:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
