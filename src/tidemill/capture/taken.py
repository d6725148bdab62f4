"""What is made of the records of a request: events for a commit, and what is set aside."""

from __future__ import annotations

import dataclasses
import hashlib
import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from tidemill.errors import RowError
from tidemill.events.formats.event import Columns, Event, settle_uuid
from tidemill.events.formats.timestamps import EARLIEST, LATEST
from tidemill.events.parse import MAX_KEPT, columns_of, row_of, to_arrow

if TYPE_CHECKING:
    import pyarrow as pa

#: A clock that is off by less is left alone: the way here takes some of it.
_OFF = 60_000_000


@dataclasses.dataclass(frozen=True, slots=True)
class Sender:
    """On whose behalf: the team, and the address that the request came from. `off`: by how much its clock is behind
    ours, in microseconds."""

    team_id: int
    address: str | None
    off: int = 0


def off(sent_at: int | None, now: int) -> int:
    """By how much a clock is behind that said `sent_at` just now; 0 if that is not much (microseconds)."""
    return now - sent_at if sent_at is not None and abs(now - sent_at) >= _OFF else 0


def shifted(moment: int, by: int) -> int:
    """A time by a clock that is behind; as it is, if there is no such time."""
    return moment + by if EARLIEST <= moment + by <= LATEST else moment


@dataclasses.dataclass(slots=True)
class Taken:
    """See the module."""

    tables: list[pa.RecordBatch]
    refused: list[tuple[bytes, RowError]]

    def rejects(self, api: str, source: str) -> list[dict[str, Any]]:
        """What was refused, for Rejects. The same text twice is one: who got no answer sends it again."""
        return [
            {
                "source": source,
                "part": str(int.from_bytes(hashlib.blake2b(raw, digest_size=7).digest())),
                "kind": "load",
                "place": f"sent by {api}",
                "code": error.code,
                "message": error.message,
                "raw": raw[:MAX_KEPT],
                "whole": len(raw) <= MAX_KEPT,
            }
            for raw, error in self.refused
        ]


def usual(columns: Columns, rows: int, sender: Sender) -> pa.RecordBatch:
    """Events that were read quickly, as the sender's."""
    import pyarrow as pa
    import pyarrow.compute as pc

    columns.pop("team_id", None)  # whoever sends does not choose it
    columns["ip"] = [ip or sender.address for ip in columns["ip"]]
    if sender.off:
        moments = [shifted(moment, sender.off) for moment in columns["timestamp"].cast(pa.int64()).to_pylist()]
        columns["timestamp"] = pc.cast(pa.array(moments, pa.int64()), pa.timestamp("us", "UTC"))
    return to_arrow(columns, rows, sender.team_id)


def one_by_one(records: Iterable[bytes], parse: Callable[[bytes], Sequence[Event | RowError]], sender: Sender) -> Taken:
    """Events of records, each read on its own."""
    rows, refused = [], []
    for record in records:
        try:
            parsed = parse(record)
        except RowError as error:
            refused.append((record, error))
            continue
        for index, event in enumerate(parsed):
            if isinstance(event, RowError):
                refused.append((record, event))
                continue
            event.team_id = sender.team_id
            event.ip = event.ip or sender.address
            if event.has_time and sender.off:
                event.timestamp = shifted(event.timestamp, sender.off)
            if event.uuid:
                settle_uuid(event, sender.team_id, record, 0, index, "")
            else:
                event.uuid = str(uuid.uuid4())
            rows.append(row_of(event))
    return Taken([to_arrow(columns_of(rows), len(rows), sender.team_id)] if rows else [], refused)
