"""The repositories of reverse ETL, of one database."""

from __future__ import annotations

import dataclasses

from tidemill.store.connections import Connections
from tidemill.store.database import Database
from tidemill.store.paces import Paces
from tidemill.store.sync_pages import SyncPages
from tidemill.store.sync_rejects import SyncRejects
from tidemill.store.sync_runs import SyncRuns
from tidemill.store.sync_things import Accounts, SourceModels, Sources, Syncs
from tidemill.store.sync_triggers import SyncTriggers
from tidemill.store.troubles import Troubles


@dataclasses.dataclass(frozen=True)
class SyncBooks:
    """See the module."""

    connections: Connections
    sources: Sources
    models: SourceModels
    accounts: Accounts
    syncs: Syncs
    runs: SyncRuns
    triggers: SyncTriggers
    rejects: SyncRejects
    paces: Paces
    troubles: Troubles
    pages: SyncPages

    @classmethod
    def of(cls, database: Database) -> SyncBooks:
        """All of a database."""
        return cls(
            Connections(database),
            Sources(database),
            SourceModels(database),
            Accounts(database),
            Syncs(database),
            SyncRuns(database),
            SyncTriggers(database),
            SyncRejects(database),
            Paces(database),
            Troubles(database),
            SyncPages(database),
        )
