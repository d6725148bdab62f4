"""Channels and messages in tests, as they are in the database."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

from tidemill.store.channels import Channels
from tidemill.store.connections import Connections
from tidemill.store.database import Database
from tidemill.store.exports import Exports
from tidemill.store.outbox import Outbox
from tidemill.store.records import Export
from tidemill.store.records_notify import Alarm, Cause, Channel, Delivery
from tidemill.store.records_sync import Sync
from tidemill.store.sync_books import SyncBooks

ALARM = Alarm(Cause.FAILED, "odd", "It is odd.", "Mend it.", "It is tried again.", ("tidemill export show e",))


def made_export(database: Database, name: str = "e") -> Export:
    """An export that nobody runs."""
    known = Connections(database).find()
    owner = known[0] if known else Connections(database).add(
        name="c", project="p", dataset="d", adc=True, connected_by="me"
    )  # fmt: skip
    fields = {"name": name, "model": "events", "project": "p", "dataset": "d", "table_id": name}
    return Exports(database).add(**fields, connection_id=owner.id, spec={}, created_by="me")


def made_sync(database: Database, name: str = "s", **fields: Any) -> Sync:
    """A sync that nobody runs."""
    books = SyncBooks.of(database)
    if not books.models.find():
        owner = books.connections.add(name="w", project="p", dataset="d", adc=True, connected_by="me")
        books.sources.save(owner.id, access="read-only", state_dataset=None, location=None, made_by="me")
        books.models.add(name="people", connection_id=owner.id, spec={}, made_by="me")
        books.accounts.add(name="hook", kind="webhook", account="a", settings={}, secret=None, made_by="me")
    (model,), (account,) = books.models.find(), books.accounts.find()
    given = {"spec": {}, "made_by": "me", **fields}
    return books.syncs.add(name=name, model_id=model.id, destination_id=account.id, **given)


def made_channel(database: Database, name: str = "ops", **fields: Any) -> Channel:
    """A channel that nothing is sent by."""
    given = {"kind": "webhook", "address": "https://example.com/…", "settings": {}, "made_by": "me", **fields}
    return Channels(database).add(name=name, **given)


def told(database: Database, channel: Channel) -> list[Delivery]:
    """Messages of a channel, the oldest first."""
    return list(reversed(Outbox(database).history(channel.id, 1_000)))


def kinds(database: Database, channel: Channel) -> list[str]:
    """What they are."""
    return [delivery.kind for delivery in told(database, channel)]


def shift(database: Database, by: dt.timedelta) -> None:
    """All messages were written, and are due, so much earlier."""
    with database.begin() as connection:
        for change in ("notices SET created_at = created_at", "deliveries SET due_at = due_at"):
            connection.exec_driver_sql(f"UPDATE tidemill.{change} - %s", (by,))


def ids(*things: Export | Sync) -> list[uuid.UUID]:
    """Theirs."""
    return [thing.id for thing in things]
