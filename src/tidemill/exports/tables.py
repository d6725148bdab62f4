"""What a user can do with the table of an export: hold it against the event store, and bring in what it lacks."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from tidemill.events import chunks
from tidemill.exports import check, doubt, selection
from tidemill.exports.assembly import Assembly
from tidemill.exports.backfill import BackfillProgress
from tidemill.exports.check import Example
from tidemill.exports.estimate import Estimate
from tidemill.exports.spec import ExportSpec
from tidemill.exports.verify import Verified
from tidemill.exports.views import ExportView
from tidemill.exports.watch import untold
from tidemill.exports.work import model_of


class TableService:
    """Tables of exports."""

    def __init__(self, made: Assembly) -> None:
        self._made, self._exports = made, made.books.exports

    def check(self, export: str) -> check.Checked:
        """Hold the table of an export against the event store, by queries in BigQuery."""
        owner = self._exports.get(export)
        spec = ExportSpec.model_validate(owner.spec)
        parts, chosen = self._made.parts, selection.of(spec, 0, owner.position)
        expected = chunks.keys(parts.lake, parts.source(owner), chosen) - self._made.rejects.keys(owner.id)
        with contextlib.closing(self._made.client(owner)) as client:
            return check.check(client, owner, expected, model_of(owner).key, spec.max_bytes_billed)

    def example(self, export: str) -> Example:
        """Ask the table of an export of events what was frequent."""
        owner = self._exports.get(export)
        with contextlib.closing(self._made.client(owner)) as client:
            return check.example(client, owner, ExportSpec.model_validate(owner.spec).max_bytes_billed)

    def verify(self, export: str, *, days: int | None = None, by: str) -> Verified:
        """Hold the table of an export against the event store day by day, by one cheap query; see exports/verify.py."""
        with self._made.streaming.quiet(self._exports.get(export)):
            return self._made.integrity.verify(self._exports.get(export), days, by)

    def verify_daily(
        self, export: str, *, by: str, progress: Callable[[BackfillProgress], None] = untold
    ) -> Verified | None:
        """Today's verification of an export that asks for one a day, after a backfill of what was missing.

        None if it asks for none, there was one, or it must wait. To be called when a run has ended.
        """
        return self._made.integrity.daily(self._exports.get(export), by, progress)

    def repair(self, export: str, verified: Verified) -> Estimate | None:
        """The backfill that brings in what the table was found to lack; None if it lacks nothing."""
        return self._made.estimator.repair(self._exports.get(export), verified)

    def settle(self, export: str) -> ExportView:
        """The table of an export that is in doubt holds no row that comes again, the user says. ConflictError if it is
        in none."""
        owner = self._exports.get(export)
        doubt.settle(self._made.parts, owner)
        return self._made.shown.export(owner)
