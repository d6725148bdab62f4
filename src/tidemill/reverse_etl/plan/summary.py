"""What a plan has of each kind of rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from tidemill.bigquery import plan_reads, plan_sql
from tidemill.reverse_etl.plan.port import Counts, Piece


@dataclasses.dataclass(frozen=True)
class Summary:
    """`is_exact`: each row of the state was met once, so that no key is of several rows without being told apart."""

    counts: Counts
    pieces: tuple[Piece, ...]
    known: int
    upto: str | None
    is_exact: bool


def of_rows(rows: Iterable[Mapping[str, Any]], *, joined: bool) -> Summary:
    """From what the statement says. `joined`: all rows of the state were looked at."""
    rows = list(rows)
    ranges = sorted(
        (int(row["first_bucket"]), int(row["last_bucket"]), int(row["row_count"]))
        for row in rows
        if row["kind"] == plan_reads.PIECE
    )
    found = {str(row["kind"]): row for row in rows if row["kind"] != plan_reads.PIECE}
    counts = {kind: int(row["row_count"]) for kind, row in found.items()}
    retried = {kind: int(row["retried"]) for kind, row in found.items()}
    known = counts.get(plan_sql.STATE, 0)
    met = sum(int(row["met"]) for row in found.values())
    upto = next((str(row["upto"]) for row in found.values() if row["upto"] is not None), None)
    return Summary(
        Counts(
            added=counts.get("added", 0),
            updated=counts.get("updated", 0),
            deleted=counts.get("deleted", 0),
            unchanged=counts.get(plan_sql.UNCHANGED, 0),
            retried=sum(retried.values()),
            dropped=counts.get(plan_sql.DROPPED, 0) + counts.get(plan_sql.KEPT, 0),
            invalid_null=counts.get(plan_sql.NULL, 0),
            invalid_duplicate=counts.get(plan_sql.DUPLICATE, 0),
            invalid_cursor=counts.get(plan_sql.CURSOR_NULL, 0),
            invalid_future=counts.get(plan_sql.CURSOR_FUTURE, 0),
            retried_updated=retried.get("updated", 0),
            retried_deleted=retried.get("deleted", 0),
        ),
        pieces=tuple(Piece(number, *one) for number, one in enumerate(ranges)),
        known=known,
        upto=upto,
        is_exact=not joined or met == known,
    )
