"""Exports and runs as they stand: what is recorded of them, and whether a living process moves them."""

from __future__ import annotations

from tidemill.exports import costs, selection, views
from tidemill.exports.integrity import Integrity
from tidemill.exports.schedules.service import Scheduling
from tidemill.exports.spec import ExportSpec
from tidemill.exports.stream.streaming import Streaming
from tidemill.exports.views import ExportView, RunView
from tidemill.exports.work import Parts
from tidemill.store.connections import Connections
from tidemill.store.records import Export, Run
from tidemill.store.totals import Totals


class Shown:
    """Makes views."""

    def __init__(
        self,
        parts: Parts,
        connections: Connections,
        integrity: Integrity,
        streaming: Streaming,
        schedules: Scheduling,
        totals: Totals,
    ) -> None:
        self._parts, self._connections = parts, connections
        self._integrity, self._streaming, self._schedules, self._totals = integrity, streaming, schedules, totals

    def export(self, export: Export) -> ExportView:
        """The view of an export."""
        last = self._parts.runs.last(export.id)
        stream, waits_since = self._streaming.status(export)
        return views.export_view(
            export,
            self._connections.by_id(export.connection_id).name,
            last,
            self._integrity.last(export),
            self._waiting(export),
            self._parts.rejects.of_export(export.id),
            stream,
            waits_since,
            self._schedules.due(export),
            moved=self._streaming.is_moved(export),
            interrupted=last is not None and self._is_interrupted(last),
            totals=costs.totals(self._parts.settings, self._totals.get(export.id)),
            doubt=self._parts.runs.doubts.of(export.id),
        )

    def run(self, run: Run, rejects: tuple[tuple[str, str, str], ...] = ()) -> RunView:
        """The view of a run."""
        export, chunks = self._parts.exports.by_id(run.export_id), self._parts.runs.chunks(run.id)
        cost = costs.of_run(self._parts.settings, run, sum(chunk.bytes for chunk in chunks))
        return views.run_view(run, export, chunks, cost, rejects, interrupted=self._is_interrupted(run))

    def _waiting(self, export: Export) -> int:
        """How many rows wait."""
        source = self._parts.source(export)
        return source.count(selection.of(ExportSpec.model_validate(export.spec), export.position, source.position()))

    def _is_interrupted(self, run: Run) -> bool:
        """Whether the process that moved a run is gone, and it is not over. One that has only just begun may not have
        said yet who moves it: that is not known to be gone."""
        if run.status != "running":
            return False
        if run.mode == "stream":
            return not self._streaming.is_moved(self._parts.exports.by_id(run.export_id))
        return run.worker is not None and not self._parts.engine.alive(run.worker)
