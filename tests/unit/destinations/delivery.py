"""Delivers rows to an API of a test, in any mode: for what is a destination's own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from tests.contract.api import Api

from tidemill.destinations import deliver, fields, registry
from tidemill.destinations.port import Mode, Op, Outcome, Outlet, Record, identity
from tidemill.outbound.client import Http
from tidemill.outbound.guard import Guard


def record(destination: str, action: str, made: dict[str, Any], **of: Any) -> Record:
    """A row with these fields. `op`, `mode`, `key`, `version`: of it."""
    found_action = registry.get(destination).action(action)
    op, mode, key = of.get("op", Op.ADDED), of.get("mode", Mode.UPSERT), str(of.get("key", "1"))
    found = fields.checker(found_action)(made, op)
    assert not isinstance(found, Outcome), found
    return Record(key, identity("sync", key, str(of.get("version", 1)), op), op, mode, found)


def delivered(
    api: Api, action: str, records: Sequence[Record], sleep: Callable[[float], None] = lambda _: None
) -> dict[str, Outcome]:
    """Deliver them with one client; gives their outcomes by key."""
    told: dict[str, Outcome] = {}
    destination = registry.get(api.destination)
    http = Http(Guard(["127.0.0.1"]))
    settings = destination.settings(**api.settings())
    with contextlib.closing(http), destination.open(settings, Outlet(http, sleep)) as client:
        line = deliver.Line(client, destination.action(action), lambda _: contextlib.nullcontext(), sleep)
        deliver.deliver(line, records, lambda found: told.update({one.row_key: outcome for one, outcome in found}))
    return told
