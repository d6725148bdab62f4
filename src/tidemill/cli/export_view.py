"""Exports on the command line: in a table, or one in full; and what to do about those that do not go on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tidemill.cli import output

if TYPE_CHECKING:
    from tidemill.exports.service import ExportView, RunView

#: What only an export by runs has, and what only a stream has.
_OF_RUNS = {"interval", "delivery", "run_log", "verify_daily", "sql", "key", "versions", "last_finished_at"}
_OF_RUNS |= {"paused", "next_run_at", "queued_intervals", "missing_intervals", "overdue_since"}
_OF_STREAMS = {"buffer", "last_sent_at"}
#: Of all runs that are over: what could be thought to be of the last one.
_SUMS = {"rows", "bytes", "rejected", "bytes_billed", "cost_estimate", "seconds"}


def begin(export: ExportView) -> str:
    """How a new one is begun."""
    if export.mode == "stream":
        return f"tidemill serve streams it (also one that runs already), or: tidemill export stream {export.name}"
    if export.next_run_at is None:
        return f"Run it: tidemill export run {export.name}"
    when = f"{export.next_run_at:%Y-%m-%d %H:%M} UTC"
    return f"It runs at {when} first, if tidemill serve does. Or run it now: tidemill export run {export.name}"


def table(exports: Sequence[ExportView]) -> None:
    """All of them, a line each; below, what to do about some."""
    columns = ("NAME", "MODEL", "INTO", "INTERVAL", "STATUS", "LAST", "WAITING", "SET ASIDE")
    rows = [
        (
            *(e.name, e.model, e.target, e.interval or "stream", e.last_status),
            *(e.last_finished_at if e.interval else e.last_sent_at, e.waiting_rows, e.set_aside),
        )
        for e in exports
    ]
    output.print_table(columns, rows, empty="No exports. Make one: tidemill export create --help")
    for export in exports:
        if export.trouble:
            output.note(f"{export.name}: {export.trouble}")
        if export.what_to_do:
            output.note(f"{export.name}: {export.what_to_do}")


def fields(export: ExportView) -> dict[str, Any]:
    """One, by the names that people read, without what it has not."""
    hidden = _OF_RUNS if export.mode == "stream" else _OF_STREAMS
    seldom = {"trouble", "what_to_do", "paused", "overdue_since", "in_doubt_since"}
    found = {name: value for name, value in vars(export).items() if name not in {*hidden, "totals"}}
    found |= {f"total_{name}" if name in _SUMS else name: value for name, value in vars(export.totals).items()}
    return {name.replace("_", " "): value for name, value in found.items() if value is not None or name not in seldom}


def go_on(runs: Sequence[RunView]) -> None:
    """How those are gone on with whose process is gone."""
    how = {"stream": "stream", "backfill": "backfill resume"}
    cut_off = {(run.export, how.get(run.kind, "run")) for run in runs if run.status == "interrupted"}
    for name, command in sorted(cut_off):
        output.note(f"The process that moved it is gone; tidemill export {command} {name} goes on with it.")
