"""Delivers rows to an API of a test, in any mode, by the names of destination and action."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tests.contract.api import Api
from tests.unit.destinations import by_hand

from tidemill.destinations import registry
from tidemill.destinations.port import Mode, Op, Outcome, Record


def record(destination: str, action: str, made: dict[str, Any], **of: Any) -> Record:
    """A row with these fields. `op`, `mode`, `key`, `version`: of it."""
    op, mode, key = of.get("op", Op.ADDED), of.get("mode", Mode.UPSERT), str(of.get("key", "1"))
    found = registry.get(destination).action(action)
    return by_hand.record(found, made, op, mode, key, str(of.get("version", 1)))


def delivered(
    api: Api, action: str, records: Sequence[Record], sleep: Callable[[float], None] = lambda _: None
) -> dict[str, Outcome]:
    """Deliver them with one client; gives their outcomes by key."""
    destination = registry.get(api.destination)
    return by_hand.delivered(destination, api.settings(), destination.action(action), records, sleep=sleep)
