"""Rows that are delivered without a sync, for tests of one destination."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import jsonschema

from tidemill.destinations import deliver, fields
from tidemill.destinations.port import Action, Destination, Mode, Op, Outcome, Outlet, Record, identity
from tidemill.outbound.client import Http
from tidemill.outbound.guard import Guard


def record(action: Action, made: dict[str, Any], op: Op = Op.ADDED, mode: Mode | None = None, key: str = "1") -> Record:
    """A row whose mapping gave that."""
    found = fields.checker(action)(made, op)
    assert not isinstance(found, Outcome), found.message
    return Record(key, identity("sync", key, "hash", op), op, mode or action.modes[0], found)


@contextlib.contextmanager
def client(destination: Destination, settings: dict[str, Any]) -> Iterator[Any]:
    """The destination's client."""
    http = Http(Guard(["127.0.0.1"]))
    outlet = Outlet(http, lambda _: None)
    with contextlib.closing(http), destination.open(destination.settings(**settings), outlet) as made:
        yield made


def delivered(
    destination: Destination,
    settings: dict[str, Any],
    action: Action,
    records: Iterable[Record],
    waits: list[float] | None = None,
) -> dict[str, Outcome]:
    """The outcomes, by the rows' keys."""
    told: dict[str, Outcome] = {}
    slept = waits if waits is not None else []
    with client(destination, settings) as made:
        line = deliver.Line(made, action, lambda _: contextlib.nullcontext(), slept.append)
        deliver.deliver(
            line, records, lambda outcomes: told.update({row.row_key: outcome for row, outcome in outcomes})
        )
    return told


def assert_valid(schema: dict[str, Any], value: Any) -> None:
    """What is sent is as the vendor's description of the API has it."""
    jsonschema.validate(value, schema, cls=jsonschema.Draft202012Validator)
