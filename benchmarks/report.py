"""What `make bench` shows and writes: a table, docs/benchmarks.md and docs/benchmarks.svg."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import importlib.metadata
import os
import platform
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

DOCS = Path(__file__).parent.parent / "docs"
HEADINGS = (
    "what",
    "beside",
    "events",
    "runs",
    "rows/s",
    "range",
    "theirs, rows/s",
    "share",
    "goal",
    "peak MB",
    "theirs",
)
ABOUT = """
* **load**: JSON lines into the event store, checked, with ids looked up and two bad lines set aside; beside DuckDB's
  `read_json` and `COPY … TO parquet (zstd)` of the same file.
* **export**: a whole run, from the plan to its end, against a server that answers like BigQuery and throws the bytes
  away; beside DuckDB's `COPY … TO parquet (zstd)` of the same SELECT over the same files. Tidemill writes zstd level 1
  in row groups of 10,000; DuckDB's own choice is level 3 in groups of 122,880 (*DuckDB*). *DuckDB, our settings* is
  the same COPY at our level and row groups, without keeping the order: how much of the share is due to the settings.
* **dlt** reads the rows of the same Parquet files, as Arrow tables (Parquet load jobs) or as dicts (JSONL load jobs,
  compression off, since it is then faster); the time to make the dicts is not counted. *export* is beside it because
  JSON was taken apart when the events were loaded; *load and export* counts that too.
* Peak memory is that of the process; PostgreSQL and dlt's are processes of their own. Rows, and bytes that the server
  received, are checked in each run.
""".strip()


@dataclasses.dataclass(frozen=True)
class Line:
    """One comparison: medians of rows a second and of MB. `runs`: ours and theirs. No goal: for information."""

    what: str
    peer: str
    rows: int
    runs: tuple[int, int]
    ours: float
    lowest: float
    highest: float
    theirs: float
    memory: float
    their_memory: float
    goal: float | None = None

    @property
    def share(self) -> float:
        """Ours as a multiple of theirs."""
        return self.ours / self.theirs

    @property
    def verdict(self) -> str:
        """The goal, and whether it is met (by the share before it is rounded)."""
        if self.goal is None:
            return ""
        return f"{self.goal:g} {'met' if self.share >= self.goal else 'missed'}"

    def cells(self) -> list[str]:
        """The line, under HEADINGS."""
        runs = f"{self.runs[0]}/{self.runs[1]}"
        spread = f"{self.lowest:,.0f} to {self.highest:,.0f}"
        figures = [f"{self.ours:,.0f}", spread, f"{self.theirs:,.0f}", f"{self.share:.2f}", self.verdict]
        memory = [f"{self.memory:,.0f}", f"{self.their_memory:,.0f}"]
        return [self.what, self.peer, f"{self.rows:,}", runs, *figures, *memory]


def show(lines: Sequence[Line]) -> None:
    """The table, for the terminal."""
    table = Table(*HEADINGS)
    for line in lines:
        color = {"met": "green", "missed": "red"}.get(line.verdict.rpartition(" ")[2], "default")
        table.add_row(*line.cells(), style=color)
    Console(width=150).print(table)


def processor() -> str:
    """The processor's name."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def write(lines: Sequence[Line], loads: Sequence[float], versions: dict[str, str]) -> None:
    """docs/benchmarks.md and docs/benchmarks.svg. `loads`: the machine's load average before each run."""
    own = {name: importlib.metadata.version(name) for name in ("tidemill", "duckdb", "pyarrow")}
    used = ", ".join(f"{name} {version}" for name, version in (own | versions).items())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    text = f"""# Benchmarks

Measured by `make bench` on {dt.datetime.now(dt.UTC):%Y-%m-%d}: {processor()}, {os.cpu_count()} cores, {memory:.0f} GiB, \
{platform.system()}, Python {platform.python_version()}, {used}.
Medians, each run in a fresh process, ours and theirs in turn, two threads each; imports do not count. Events have 38
properties and about 1.3 KB of JSON (`benchmarks/generate.py`). *runs* is ours/theirs: below 5 take the figure as a hint.
The machine's load average before the runs was {min(loads):.1f} to {max(loads):.1f}: above {os.cpu_count()}, others \
were using it too, and only the shares mean something.

{ABOUT}

| {" | ".join(HEADINGS)} |
|{"---|" * len(HEADINGS)}
"""
    text += "".join(f"| {' | '.join(line.cells())} |\n" for line in lines)
    text += "\n![shares of the peers' own speed](benchmarks.svg)\n"
    (DOCS / "benchmarks.md").write_text(text)
    (DOCS / "benchmarks.svg").write_text(plot(lines))


def plot(lines: Sequence[Line]) -> str:
    """Bars of how far each share is towards its goal (the line)."""
    aimed = [line for line in lines if line.goal is not None]
    width, bar, left, goal = 760, 26, 300, 200
    longest = width - left - 130
    parts = []
    for index, line in enumerate(aimed):
        assert line.goal is not None
        top = 34 + index * (bar + 12)
        length = min(line.share / line.goal * goal, longest)
        color = "#2a9d5c" if line.verdict.endswith("met") else "#c0392b"
        said = f"{line.share:.2f} (goal {line.goal:g})"
        parts.append(
            f'<text x="{left - 8}" y="{top + 18}" text-anchor="end">{line.what} / {line.peer}, {line.rows:,}</text>'
            f'<rect x="{left}" y="{top}" width="{length:.0f}" height="{bar}" fill="{color}"/>'
            f'<text x="{left + max(length, goal) + 6:.0f}" y="{top + 18}">{said}</text>'
        )
    height = 44 + len(aimed) * (bar + 12)
    mark = f'<line x1="{left + goal}" x2="{left + goal}" y1="28" y2="{height - 8}" stroke="#222"/>'
    title = "Rows a second as a multiple of the peer's; the line is the goal"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" '
        f'font-size="13"><rect width="100%" height="100%" fill="white"/>'
        f'<text x="8" y="18" font-weight="bold">{title}</text>{"".join(parts)}{mark}</svg>\n'
    )
