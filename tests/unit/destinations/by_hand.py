"""Rows that are delivered without a sync, for tests of one destination."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jsonschema
from tests import lines

from tidemill.destinations import deliver, fields
from tidemill.destinations.port import Action, Destination, Mode, Op, Outcome, Outlet, Record, identity
from tidemill.outbound.client import Http
from tidemill.outbound.guard import Guard


def record(
    action: Action,
    made: dict[str, Any],
    op: Op = Op.ADDED,
    mode: Mode | None = None,
    key: str = "1",
    version: str = "hash",
) -> Record:
    """A row whose mapping gave that."""
    found = fields.checker(action)(made, op)
    assert not isinstance(found, Outcome), found.message
    return Record(key, identity("sync", key, version, op), op, mode or action.modes[0], found)


@contextlib.contextmanager
def client(
    destination: Destination, settings: dict[str, Any], sleep: Callable[[float], None] = lambda _: None
) -> Iterator[Any]:
    """The destination's client."""
    http = Http(Guard(["127.0.0.1"]))
    outlet = Outlet(http, sleep)
    with contextlib.closing(http), destination.open(destination.settings(**settings), outlet) as made:
        yield made


def delivered(
    destination: Destination,
    settings: dict[str, Any],
    action: Action,
    records: Iterable[Record],
    waits: list[float] | None = None,
    sleep: Callable[[float], None] = lambda _: None,
) -> dict[str, Outcome]:
    """The outcomes, by the rows' keys. `waits` gets the pauses of the delivery, `sleep` those of the client, too."""
    told: dict[str, Outcome] = {}
    with client(destination, settings, sleep) as made:
        pause = waits.append if waits is not None else sleep
        line = lines.unpaced(made, action, pause, secrets=destination.settings(**settings).secrets)
        deliver.deliver(
            line, records, lambda outcomes: told.update({row.row_key: outcome for row, outcome in outcomes})
        )
    return told


def assert_valid(schema: dict[str, Any], value: Any) -> None:
    """What is sent is as the vendor's description of the API has it."""
    jsonschema.validate(value, schema, cls=jsonschema.Draft202012Validator)
