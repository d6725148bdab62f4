"""`tidemill demo`: the main job on embedded parts, told step by step. Safe to repeat; a second time adds nothing."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from tidemill.cli import output, progress, session
from tidemill.documents import page
from tidemill.errors import ConflictError, TidemillError

if TYPE_CHECKING:
    from tidemill.app import App
    from tidemill.exports.service import RunView

CONNECTION, DATASET, EXPORT, TABLE = "demo", "product_data", "demo-events", "events"
SAMPLE = "wikipedia-edits.jsonl.gz"
_MAPPING = {"event": "channel", "distinct_id": "user", "timestamp": "time"}


def tell() -> None:
    """Run every step, and say what it did."""
    began = time.monotonic()
    output.out.print("[bold]Tidemill demo[/]: real events, exactly once, into BigQuery (an embedded one).\n")
    with session.app() as app:
        _assert_own(app)
        with _step("Start the embedded BigQuery") as said:
            status = app.local.start()
            said(status.url)
        with _step("Make a dataset and a service account key") as said:
            app.local.create_dataset(DATASET, "EU")
            key = app.local.key()
            said(key["client_email"])
        _connect(app, key)
        _load(app)
        runs = _export(app)
        _show(app, runs)
    output.out.print(f"\n[bold green]Done[/] in {time.monotonic() - began:.1f} s.\n")
    _next()


def _assert_own(app: App) -> None:
    """Raise ConflictError in an installation that is used: its exports would send the sample to its tables."""
    others = [saved.name for saved in app.connections.find() if saved.name != CONNECTION]
    others += [export.name for export in app.exports.find() if export.name != EXPORT]
    if others:
        raise ConflictError(
            "demo_not_alone",
            f"This installation is used already, by {', '.join(others[:3])}: the demo's events would be exported, too.",
            hint="Give the demo a place of its own: TIDEMILL_HOME=./demo tidemill demo",
        )


@contextlib.contextmanager
def _step(title: str) -> Iterator[Any]:
    """One line: the step, what came of it, and how long it took."""
    remarks: list[str] = []
    began = time.monotonic()
    yield remarks.append
    seconds = time.monotonic() - began
    remark = f"  [dim]{escape(', '.join(remarks))}[/]" if remarks else ""
    output.out.print(f"[green]✓[/] {seconds:6.2f} s  {escape(title)}{remark}")


def _connect(app: App, key: dict[str, str]) -> None:
    import json

    with _step("Save and test the connection") as said:
        text = json.dumps(key)
        if any(saved.name == CONNECTION for saved in app.connections.find()):
            app.connections.save(CONNECTION, app.connections.changed(CONNECTION, key=text))
        else:
            draft = app.connections.draft(name=CONNECTION, dataset=DATASET, key=text)
            app.connections.add(draft, by=session.user())
        steps = list(app.connections.test(CONNECTION))
        failed = [step for step in steps if step.status == "failed"]
        if failed:
            raise TidemillError("demo_connection", failed[0].message, hint=failed[0].hint)
        said(f"{sum(step.status == 'passed' for step in steps)} steps passed, with a test upload")


def _load(app: App) -> None:
    with (
        _step("Load the sample: edits of Wikipedia on 2015-09-12") as said,
        resources.as_file(resources.files("tidemill.data") / SAMPLE) as path,
        progress.bar("Loading") as bar,
    ):
        result = app.events.load(str(path), "jsonl", mapping=_MAPPING, progress=bar.loading)
        said("was loaded before, nothing to add" if result.already_loaded else output.number(result.rows, "event"))


def _export(app: App) -> list[RunView]:
    with _step("Export to BigQuery") as said, progress.bar("Exporting") as bar:
        if not any(export.name == EXPORT for export in app.exports.find()):
            app.exports.create(CONNECTION, {"name": EXPORT, "table": TABLE}, by=session.user())
        runs = app.exports.run(EXPORT, by=session.user(), progress=bar.running)
        rows = output.number(sum(run.rows_done for run in runs), "row")
        jobs = output.number(sum(len(run.chunks) for run in runs), "load job")
        said(f"{rows} by {jobs}" if runs else "nothing new")
    return runs


def _show(app: App, runs: list[RunView]) -> None:
    """Ask BigQuery itself, through Google's client, what is there."""
    checked = app.exports.tables.check(EXPORT)
    output.out.print(f"\n[bold]{checked.table}[/], as BigQuery describes it:")
    output.print_table(("FIELD", "TYPE"), checked.columns, empty="")
    output.out.print(f"\nEvents acknowledged  {checked.expected:>9,}")
    output.out.print(f"Rows in BigQuery     {checked.rows:>9,}")
    good = checked.missing == 0 and checked.duplicated == 0 and checked.foreign == 0
    color = "green" if good else "red"
    output.out.print(f"[bold {color}]{checked.missing:,} missing, {checked.duplicated:,} duplicated[/]\n")
    for job in (chunk.job_id for run in runs for chunk in run.chunks if chunk.job_id):
        output.out.print(f"[dim]BigQuery job {job}[/]")
    output.out.print("[bold]An example query[/]")
    example = app.exports.tables.example(EXPORT)
    output.out.print(f"[dim]{escape(example.sql)}[/]")
    output.print_table(example.columns, example.rows, empty="")
    if not good:
        raise TidemillError("demo_counts", "The table does not hold each event once.", hint="Please report this.")


def _next() -> None:
    output.out.print("[bold]What to type next[/]")
    here = Path(sys.argv[0])
    prefix = "" if shutil.which("tidemill") or here.name != "tidemill" else f"{os.path.relpath(here.parent)}/"
    for command, what in (
        ("tidemill events show --limit 3", "look at events in the store"),
        ("tidemill events load YOUR_FILE", "load your own (PostHog, Segment, Amplitude, Mixpanel, JSON, CSV, Parquet)"),
        (f"tidemill export run {EXPORT}", "export what is new, and only that"),
        (f"tidemill export runs {EXPORT}", "see what each run did"),
        ("tidemill local stop", "end the embedded BigQuery, which runs on in the background"),
        (
            "tidemill connection add --help",
            f"connect a real BigQuery, in a folder of your own: {page('howto/real-bigquery.md')}",
        ),
    ):
        output.out.print(f"  {prefix}{command:<36} [dim]{escape(what)}[/]")
