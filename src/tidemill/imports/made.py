"""What is between the rows of a plan and the event store: columns on their way in, and what was made of them."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from tidemill.destinations.port import Op
from tidemill.events.formats.event import Columns


@dataclasses.dataclass(frozen=True)
class Rows:
    """Rows of a plan, by columns. `keys`, `ops`: of each row (see plan.port.PlanRow); `hashes`: of each row's version,
    with the number of the run that tried it first, `since:hash`: of it ids of events are made, and a row that goes back
    to an older version is one more event. `columns`: values as JSON
    has them (numbers, texts, booleans, None, lists, dicts; times are ISO 8601 texts; NUMERIC and INT64 beyond 2^53 are
    numbers too, see plan.values), by the names of the model's columns. `now`: microseconds since 1970, of the run."""

    keys: Sequence[str]
    hashes: Sequence[str]
    ops: Sequence[Op]
    columns: Mapping[str, Sequence[Any]]
    now: int

    def __len__(self) -> int:
        return len(self.keys)


@dataclasses.dataclass(frozen=True)
class Source:
    """Where rows came from: the import's id and name, by which ids of events are derived and properties tell where they
    came from; the number of its run; whether events follow their rows when these change or go (mirror)."""

    id: uuid.UUID
    name: str
    run: int
    mirrors: bool = False


@dataclasses.dataclass(frozen=True)
class Refusal:
    """Why nothing was made of a row. `column`: the one that it is about, if it is about one."""

    code: str
    message: str
    column: str | None = None


@dataclasses.dataclass
class Made:
    """What was made of rows: columns of a batch for the store (those of `catalog.BATCH_COLUMNS` that are needed), a row
    for each of `positions`, which are places in Rows; why nothing was made of others (`refused`); and of rows of people
    that went away, their places and distinct_ids (`deleted`). Each place is in one of the three."""

    events: Columns
    positions: list[int]
    refused: dict[int, Refusal]
    deleted: list[tuple[int, str]] = dataclasses.field(default_factory=list)
