"""How an operation stands, as it is shown."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from typing import Any

from tidemill.store.operations import Operation

WAITING, RUNNING, COMPLETED, FAILED = "waiting", "running", "completed", "failed"


@dataclasses.dataclass(frozen=True)
class PlaceView:
    """What was done to one place. `place`: a table; persons or events: here; `error`: why it is not done yet."""

    place: str
    rows: int
    error: dict[str, str] | None


@dataclasses.dataclass(frozen=True)
class OperationView:
    """Something that a worker does, or is to do. `kind`: import_undo, person_delete, sync_rows or sync_deletes; `name`:
    of what it is about; empty: it is forgotten, as a person that is deleted; `status`: waiting, running, completed or
    failed; `already`: it was there before it was asked for, and nothing more is begun; `what`: is done at the moment;
    `done`, `total`: if there is a count; `rate`: a second; `run`: the number of a sync's run; `error`: why it failed,
    or what it waits for."""

    id: uuid.UUID
    kind: str
    name: str
    status: str
    already: bool
    by: str
    at: dt.datetime
    taken_at: dt.datetime | None
    finished_at: dt.datetime | None
    tries: int
    what: str
    done: int | None
    total: int | None
    rate: float | None
    places: tuple[PlaceView, ...]
    run: int | None
    error: dict[str, str] | None

    @property
    def is_over(self) -> bool:
        """Whether it stays like that."""
        return self.finished_at is not None

    @property
    def seconds_left(self) -> float | None:
        """How long it takes still, if it goes on like that."""
        if self.is_over or not self.rate or self.total is None or self.done is None:
            return None
        return max(0.0, (self.total - self.done) / self.rate)

    @classmethod
    def of(cls, found: Operation, *, already: bool = False) -> OperationView:
        """How one stands."""
        if found.finished_at is None:
            status = RUNNING if found.worker else WAITING
        else:
            status = FAILED if found.error else COMPLETED
        told = found.progress
        places = told.get("places", {})
        return cls(
            id=found.id,
            kind=found.kind,
            name=found.name,
            status=status,
            already=already,
            by=found.by,
            at=found.at,
            taken_at=found.taken_at,
            finished_at=found.finished_at,
            tries=found.tries,
            what=told.get("what", ""),
            done=told.get("done"),
            total=told.get("total"),
            rate=_rate(told) if status == RUNNING else None,
            places=tuple(PlaceView(name, one["rows"], one["error"]) for name, one in places.items()),
            run=told.get("run"),
            error=found.error,
        )


def _rate(told: dict[str, Any]) -> float | None:
    """How many a second, since this try began to count."""
    if not {"since", "first", "at", "done"} <= told.keys():
        return None
    seconds = (dt.datetime.fromisoformat(told["at"]) - dt.datetime.fromisoformat(told["since"])).total_seconds()
    done = told["done"] - told["first"]
    return done / seconds if seconds > 0 and done > 0 else None
