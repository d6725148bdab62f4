"""The second half of `make bench`: measures identity, persons, sessions and backfills, and writes docs/benchmarks-models.md.

    python benchmarks/models.py [--persons 1000000] [--sessions 5000000] [--days 30] [--a-day 100000] [--repeat 3]

Ours and DuckDB's in turn, each in a fresh process; the median counts.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from report import DOCS, processor
from run import HERE, received, run, sink

FIRST_DAY = 1767225600  # where generate.py begins
SHARE, IDENTITY, CHANGES, GROWTH, MEMORY = 0.8, 50_000, 15_000, 0.10, 1000


def case(name: str, **arguments: object) -> dict[str, Any]:
    """One of model_cases.py."""
    pairs = (f"{key}={value}" for key, value in arguments.items())
    return run([sys.executable, str(HERE / "model_cases.py"), name, *pairs])


def generated(folder: Path, rows: int, *more: str) -> Path:
    """A file of events; made if it is not there."""
    file = folder / f"models-{rows}-{'-'.join(more).replace('--', '').replace('.', '_')}.jsonl"
    if not file.exists():
        subprocess.run(
            [sys.executable, str(HERE / "generate.py"), "--rows", str(rows), "--out", str(file), *more], check=True
        )
    return file


def each_a_person(folder: Path, rows: int) -> Path:
    """Events of which each makes or changes a person: half as many persons as events."""
    file = folder / f"persons-{rows}.jsonl"
    if not file.exists():
        with file.open("w") as out:
            for number in range(2 * rows):
                moment = dt.datetime.fromtimestamp(FIRST_DAY + number, dt.UTC).isoformat()
                changed = {"name": f"Zoë {number}", "plan": "pro", "visits": number, "city": "Zürich"}
                event = {"uuid": f"00000000-0000-4000-8000-{number:012d}", "event": "hit", "timestamp": moment}
                event |= {"distinct_id": f"user-{number % rows}", "properties": {"page": "/", "$set": changed}}
                out.write(json.dumps(event) + "\n")
    return file


def without_changes(folder: Path, rows: int, first: int = 0, *, once: bool = False) -> Path:
    """Events that change no person once their ids are known, of which there are a twentieth as many, as in generate.py.

    `first`: the number of the first event; `once`: they name properties to set once, as SDKs in browsers do.
    """
    file = folder / f"{'once' if once else 'plain'}-{rows}-{first}.jsonl"
    if not file.exists():
        padding: dict[str, object] = {f"property_{number}": "x" * 20 for number in range(30)}
        if once:
            padding["$set_once"] = {"$initial_referrer": "https://a.example", "$initial_utm_source": "x"}
        with file.open("w") as out:
            for number in range(first, first + rows):
                event = {"uuid": f"00000000-0000-4000-8000-{number:012d}", "event": "hit", "properties": padding}
                event |= {"distinct_id": f"user-{number * 7919 % (rows // 20)}", "timestamp": "2026-01-01T00:00:00Z"}
                out.write(json.dumps(event) + "\n")
    return file


def verdict(good: bool) -> str:
    """Of a goal."""
    return "met" if good else "**missed**"


def compare(what: str, home: Path, url: str, model: str, repeat: int) -> str:
    """A line of the table: a whole run beside the bare query and COPY."""
    ours, theirs = [], []
    for turn in range(repeat):
        before = received(url)
        ours.append(case("export", home=home, url=url, model=model, table=f"{model}{turn}"))
        assert received(url) - before >= ours[-1]["bytes"] > 0, "the sink was not sent what was exported"
        theirs.append(case("copy", home=home, model=model))
        assert ours[-1]["rows"] == theirs[-1]["rows"] > 0
    speed, peer = (statistics.median(one["rows"] / one["seconds"] for one in many) for many in (ours, theirs))
    memory = statistics.median(one["peak_mb"] for one in ours)
    share = speed / peer
    goals = f"{SHARE} {verdict(share >= SHARE)}; {MEMORY} MB {verdict(memory < MEMORY)}"
    return f"| {what} | {ours[0]['rows']:,} | {repeat} | {speed:,.0f} | {peer:,.0f} | {share:.2f} | {memory:,.0f} | {goals} |"


def identity(what: str, home: Path, goal: int | None = None) -> str:
    """A line: events a second."""
    found = case("identity", home=home)
    speed, own = found["rows"] / found["seconds"], found["rows"] / found["cpu"]
    aim = f"{goal:,} {verdict(speed >= goal)}" if goal else ""
    return f"| {what} | {found['rows']:,} | {speed:,.0f} | {own:,.0f} | {aim} |"


def backfill(home: Path, url: str, days: int) -> str:
    """What a backfill takes an interval, from its first ones to its last."""
    found = case("backfill", home=home, url=url, days=days)
    third = max(1, days // 3)
    first, last = statistics.median(found["each"][:third]), statistics.median(found["each"][-third:])
    growth = last / first - 1
    return (
        f"{days} days, {found['rows']:,} events: {found['seconds']:,.1f} s; a day takes {first:.2f} s among the first "
        f"{third}, {last:.2f} s among the last {third} (medians): {growth:+.1%}, goal under {GROWTH:.0%} "
        f"{verdict(growth < GROWTH)}. Peak {found['peak_mb']:,.0f} MB."
    )


def billed(home: Path, model: str, time_ordered: bool) -> str:
    """A line: bytes of the table that a MERGE of 1 % of its rows reads, by arithmetic."""
    found = case("sizes", home=home, model=model)
    part = found["bytes"] * 0.01 if time_ordered else found["bytes"]
    return (
        f"| {model} | {found['rows']:,} | {found['bytes'] / 1e6:,.1f} | {found['bytes'] / 1e6:,.1f} "
        f"| {part / 1e6:,.1f} | {found['key_bytes'] / 1e6:,.1f} |"
    )


def main() -> None:
    """Measure, write, show."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--persons", type=int, default=1_000_000)
    parser.add_argument("--sessions", type=int, default=5_000_000, help="events")
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--a-day", type=int, default=100_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--work", type=Path, help="folder to work in, kept; files of events in it are used")
    given = parser.parse_args()
    folder = given.work or Path(tempfile.mkdtemp(prefix="tidemill-bench-"))
    home = folder / "home"
    load = os.getloadavg()[0]
    try:
        with sink() as url:
            case("prepare", home=home, events=without_changes(folder, given.persons))
            people = [identity("each person is made", home)]
            case("more", home=home, events=without_changes(folder, given.persons, given.persons))
            people.append(identity("events without changes", home, IDENTITY))
            half = given.persons // 2
            case("prepare", home=home, events=without_changes(folder, half, once=True))
            case("identity", home=home)
            case("more", home=home, events=without_changes(folder, half, half, once=True))
            people.append(identity("events whose $set_once is known", home, IDENTITY))
            case("prepare", home=home, events=each_a_person(folder, given.persons))
            people.append(identity("each event changes a person", home, CHANGES))
            lines = [compare("persons", home, url, "persons", given.repeat)]
            bytes_ = [billed(home, "persons", time_ordered=False)]
            case("prepare", home=home, events=generated(folder, given.sessions, "--sessions"))
            lines.append(compare("sessions", home, url, "sessions", given.repeat))
            bytes_.append(billed(home, "sessions", time_ordered=True))
            spread = generated(folder, given.days * given.a_day, "--seconds", str(86400 / given.a_day))
            case("prepare", home=home, events=spread)
            filled = backfill(home, url, given.days)
    finally:
        shutil.rmtree(home if given.work else folder, ignore_errors=True)
    text = page(people, lines, filled, bytes_, load, given)
    (DOCS / "benchmarks-models.md").write_text(text)
    sys.stdout.write(text)


def page(
    people: list[str], lines: list[str], filled: str, bytes_: list[str], load: float, given: argparse.Namespace
) -> str:
    """docs/benchmarks-models.md."""
    newline = "\n"
    return f"""# Benchmarks of persons, sessions and backfills

Measured by `make bench` on {dt.datetime.now(dt.UTC):%Y-%m-%d}: {processor()}, {os.cpu_count()} cores; load average
before: {load:.1f}. Each case in a fresh process, two threads of DuckDB; medians where there are several runs.

## Exports

A whole run, from the plan to its end, against a server that answers like BigQuery and throws the bytes away; beside DuckDB's
`COPY` of the same query over the same data to one Parquet file. The sessions are those of {given.sessions:,} events.

| model | rows | runs | rows/s | COPY, rows/s | share | peak MB | goals |
|---|---|---|---|---|---|---|---|
{newline.join(lines)}

## Who is who

Events applied to people, with one thread of DuckDB. *own* is by this process's CPU time; the rest is PostgreSQL's.

| events | number | events/s | own, events/s | goal |
|---|---|---|---|---|
{newline.join(people)}

## Backfills

{filled}

## What a MERGE of 1 % of the rows is billed for

By arithmetic from the rows (BigQuery, "Data type sizes"), not measured: Google bills a MERGE that updates for all columns of what it
reads of the table. Bytes in MB. *pruned* is what is left when the ON clause names the first and last key of the run, as ours
does, and the table is clustered by the key: sessions that changed lately lie together, because their ids begin with a time;
persons that changed are anywhere, so nothing is left out. *key and versions*: what telling old from new needs at least.
BigQuery leaves out whole blocks: a table of this size may be one or two of them, so *pruned* holds for larger ones.

| model | rows | table | without pruning | pruned | key and versions |
|---|---|---|---|---|---|
{newline.join(bytes_)}
"""


if __name__ == "__main__":
    main()
