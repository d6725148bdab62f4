"""What exports cost, about: by list prices, for what BigQuery has said that it bills, and for rows by write streams."""

from __future__ import annotations

import dataclasses
import datetime as dt

from tidemill.settings import Settings
from tidemill.store import records

_TIB, _GIB = 2**40, 2**30


@dataclasses.dataclass(frozen=True)
class Totals:
    """Of all runs of an export that are over. Rows and the like are of those that were completed; `cost_estimate`: in
    dollars, see `estimate`; `last_run_seconds`: of the newest that exports what is new; `covered_until`: all that was
    acknowledged before is in the table."""

    runs_completed: int
    runs_failed: int
    runs_cancelled: int
    rows: int
    bytes: int
    rejected: int
    bytes_billed: int
    cost_estimate: float
    seconds: float
    last_run_seconds: float | None
    covered_until: dt.datetime | None


def totals(settings: Settings, found: records.Totals) -> Totals:
    """What is kept of an export, for people."""
    return Totals(
        runs_completed=found.completed,
        runs_failed=found.failed,
        runs_cancelled=found.cancelled,
        rows=found.rows,
        bytes=found.bytes,
        rejected=found.rejected,
        bytes_billed=found.billed_bytes,
        cost_estimate=round(estimate(settings, found.billed_bytes, found.written_bytes), 6),
        seconds=round(found.seconds, 3),
        last_run_seconds=found.last_seconds,
        covered_until=found.covered_until,
    )


def of_run(settings: Settings, run: records.Run, sent_bytes: int) -> float:
    """What a run cost, about, in dollars."""
    writes = run.mode == "stream" or run.spec.get("delivery") == "storage-write"
    return round(estimate(settings, run.bytes_billed, sent_bytes if writes else 0), 6)


def estimate(settings: Settings, billed_bytes: int, written_bytes: int) -> float:
    """Dollars, without what Google gives for nothing each month. Load jobs are free.

    `billed_bytes`: of statements (MERGE, verification); `written_bytes`: of rows by the Storage Write API.
    """
    return billed_bytes / _TIB * settings.price_query_tib + written_bytes / _GIB * settings.price_write_gib


def said(settings: Settings) -> str:
    """What is assumed."""
    return (
        f"List prices, no free tier: {settings.price_query_tib:g} dollars a TiB billed for statements, "
        f"{settings.price_write_gib:g} a GiB by the Storage Write API; load jobs are free."
    )
