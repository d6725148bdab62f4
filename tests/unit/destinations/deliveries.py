"""Deliveries to a destination that does as it is told, for tests."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from tests import lines

from tidemill.destinations import deliver
from tidemill.destinations.port import (
    WRITTEN,
    Action,
    BatchRefused,
    Limits,
    Mode,
    Op,
    Outcome,
    Record,
    Sending,
    rejected,
)


class Tool:
    """A destination that does as it is told: of each row, by its fields; of each call, by `calls`."""

    def __init__(self, *, names_rows: bool = True) -> None:
        self.taken: Counter[str] = Counter()
        self.batches: list[list[str]] = []
        self.calls: list[Exception | None] = []
        self.names_rows = names_rows

    def send(self, _client: Any, batch: Sequence[Sending]) -> Sequence[Outcome]:
        keys = [sending.record.row_key for sending in batch]
        self.batches.append(keys)
        failure = self.calls.pop(0) if self.calls else None
        if failure is not None:
            raise failure
        bad = [bool(sending.record.fields.get("bad")) for sending in batch]
        if any(bad) and not self.names_rows:
            raise BatchRefused("no", "Something is wrong.")
        self.taken.update(key for key, wrong in zip(keys, bad, strict=True) if not wrong)
        return [rejected("bad", "It is bad.") if wrong else WRITTEN for wrong in bad]

    def action(self, **changes: Any) -> Action:
        limits = changes.pop("limits", Limits(rows=10, bytes=10_000, row_bytes=1_000, at_once=3))
        return Action(
            "send",
            "Send",
            "Sends.",
            (),
            (Mode.UPSERT,),
            limits,
            lambda r: json.dumps(dict(r.fields)).encode(),
            self.send,
            **changes,
        )


def record(number: int, **fields: Any) -> Record:
    return Record(str(number), f"id-{number}", Op.ADDED, Mode.UPSERT, {"n": number, **fields})


def delivered(action: Action, records: list[Record], waits: list[float] | None = None) -> dict[str, Outcome]:
    told: dict[str, Outcome] = {}

    def tell(outcomes: Sequence[tuple[Record, Outcome]]) -> None:
        for one, outcome in outcomes:
            assert one.row_key not in told
            told[one.row_key] = outcome

    slept = waits if waits is not None else []
    line = lines.unpaced(None, action, slept.append)
    deliver.deliver(line, records, tell)
    return told
