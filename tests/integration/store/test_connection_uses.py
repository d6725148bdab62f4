"""What became of what used connections: what ran by itself, what could not even begin, and syncs; not what is over."""

from __future__ import annotations

import dataclasses

from tests.notices import ALARM, made_export, made_sync

from tidemill.store.connection_uses import ConnectionUses
from tidemill.store.connections import Connections
from tidemill.store.database import Database
from tidemill.store.records_notify import Cause
from tidemill.store.sync_books import SyncBooks
from tidemill.store.troubles import Troubles

CODES = ["permission_missing"]
DENIED = {"code": "permission_missing", "message": "It may not.", "hint": "Grant it."}


def test_a_sync_that_failed_and_one_that_went_well(database: Database) -> None:
    uses, sync = ConnectionUses(database), made_sync(database, "crm")
    (owner,) = Connections(database).find()
    runs = SyncBooks.of(database).runs
    assert (uses.went_well([owner.id]), uses.failed([owner.id], CODES)) == ({}, {})
    runs.finish(runs.begin(sync.id, {}, "me").id, "failed", {**DENIED, "code": "mapping_wrong"})
    assert uses.failed([owner.id], CODES) == {}, "that is no matter of the connection"
    failed = runs.finish(runs.begin(sync.id, {}, "me").id, "failed", DENIED)
    found = uses.failed([owner.id], CODES)[owner.id]
    assert (found.kind, found.name, found.at) == ("sync", "crm", failed.finished_at)
    assert (found.code, found.message, found.hint) == ("permission_missing", "It may not.", "Grant it.")
    done = runs.finish(runs.begin(sync.id, {}, "me").id, "completed")
    assert uses.failed([owner.id], CODES) == {}
    assert uses.went_well([owner.id]) == {owner.id: done.finished_at}


def test_an_export_of_which_no_run_could_be_begun(database: Database) -> None:
    uses, export = ConnectionUses(database), made_export(database, "daily")
    troubles, owner = Troubles(database), export.connection_id
    troubles.seen(export.id, dataclasses.replace(ALARM, code="permission_missing"))
    found = uses.failed([owner], CODES)[owner]
    assert (found.kind, found.name, found.message) == ("export", "daily", "It is odd.")
    troubles.over(export.id, [Cause.FAILED])
    assert uses.failed([owner], CODES) == {}
