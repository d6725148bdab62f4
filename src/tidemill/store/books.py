"""The repositories of exports and what belongs to them, of one database."""

from __future__ import annotations

import dataclasses

from tidemill.store.backfills import Backfills
from tidemill.store.connections import Connections
from tidemill.store.database import Database
from tidemill.store.erasures import Erasures
from tidemill.store.export_pages import ExportPages
from tidemill.store.export_triggers import ExportTriggers
from tidemill.store.exports import Exports
from tidemill.store.jobs import Jobs
from tidemill.store.late import Late
from tidemill.store.loads import Rejects
from tidemill.store.modifications import Modifications
from tidemill.store.pieces import Pieces
from tidemill.store.runs import Runs
from tidemill.store.schedules import Schedules
from tidemill.store.streams import Streams
from tidemill.store.tasks import Tasks
from tidemill.store.verifications import Verifications


@dataclasses.dataclass(frozen=True)
class Books:
    """See the module."""

    backfills: Backfills
    connections: Connections
    erasures: Erasures
    exports: Exports
    jobs: Jobs
    late: Late
    modifications: Modifications
    pages: ExportPages
    pieces: Pieces
    rejects: Rejects
    runs: Runs
    schedules: Schedules
    streams: Streams
    tasks: Tasks
    triggers: ExportTriggers
    verifications: Verifications

    @classmethod
    def of(cls, database: Database) -> Books:
        """All of a database."""
        return cls(
            Backfills(database),
            Connections(database),
            Erasures(database),
            Exports(database),
            Jobs(database),
            Late(database),
            Modifications(database),
            ExportPages(database),
            Pieces(database),
            Rejects(database),
            Runs(database),
            Schedules(database),
            Streams(database),
            Tasks(database),
            ExportTriggers(database),
            Verifications(database),
        )
