"""What is made of the records of a request: events for a commit, and what is set aside."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tidemill.errors import RowError
from tidemill.events.formats import posthog_quick
from tidemill.events.formats.event import Event, settle_uuid
from tidemill.events.formats.timestamps import EARLIEST, LATEST
from tidemill.events.parse import MAX_KEPT, columns_of, row_of, to_arrow

if TYPE_CHECKING:
    import pyarrow as pa

#: Events of a request that may be set aside; with more of them something else is wrong.
MOST_BAD = 1_000
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


@dataclasses.dataclass(frozen=True, slots=True)
class Usual:
    """Events that seem to be usual. Their columns are made with those of other requests, or each would cost as much as
    a hundred of them. `otherwise`: what is made of them if one is not usual."""

    events: list[posthog_quick.Plain]
    sender: Sender
    otherwise: Callable[[], Taken]


@dataclasses.dataclass(slots=True)
class Taken:
    """See the module."""

    tables: list[pa.RecordBatch] = dataclasses.field(default_factory=list)
    refused: list[tuple[bytes, RowError]] = dataclasses.field(default_factory=list)
    usual: Usual | None = None

    def rejects(self, api: str, source: str, key: str) -> list[dict[str, Any]]:
        """What was refused, for Rejects, without the key. The same text twice is one: it may have been sent again."""
        hidden = [(raw.replace(key.encode(), b"***") if key else raw, error) for raw, error in self.refused]
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
            for raw, error in hidden
        ]


def settled(many: Sequence[Taken]) -> list[pa.RecordBatch]:
    """The events of all of these, for one commit. What turns out not to be usual is taken by itself, each as it is."""
    waiting = [taken for taken in many if taken.usual is not None]
    return list(_usual(waiting)) + [table for taken in many for table in taken.tables]


def _usual(waiting: Sequence[Taken]) -> Iterator[pa.RecordBatch]:
    """The events of these, in as few tables as may be. Of one that is not usual, what is made of it is put into it."""
    joined = _joined([taken.usual for taken in waiting if taken.usual is not None])
    if joined is not None:
        yield joined
    elif len(waiting) > 1:
        half = len(waiting) // 2
        yield from _usual(waiting[:half])
        yield from _usual(waiting[half:])
    elif waiting and waiting[0].usual is not None:
        other = waiting[0].usual.otherwise()
        waiting[0].tables, waiting[0].refused, waiting[0].usual = other.tables, other.refused, None


def _joined(many: Sequence[Usual]) -> pa.RecordBatch | None:
    """The events of these requests; None if one of them is not usual, or there are none."""
    import numpy as np
    import pyarrow as pa

    if not many:
        return None
    columns = posthog_quick.columns([event for one in many for event in one.events])
    if columns is None:
        return None
    counts, senders = [len(one.events) for one in many], [one.sender for one in many]
    # Whoever sends does not choose the team.
    columns["team_id"] = pa.array(np.repeat(np.array([sender.team_id for sender in senders], np.int64), counts))
    columns["ip"] = [ip or sender.address for ip, sender in zip(columns["ip"], _repeated(senders, counts), strict=True)]
    if any(sender.off for sender in senders):
        moments = zip(columns["timestamp"].cast(pa.int64()).to_pylist(), _repeated(senders, counts), strict=True)
        shifts = [shifted(moment, sender.off) for moment, sender in moments]
        columns["timestamp"] = pa.array(shifts, pa.int64()).cast(pa.timestamp("us", "UTC"))
    return to_arrow(columns, sum(counts), 0)


def _repeated(senders: Sequence[Sender], counts: Sequence[int]) -> Iterator[Sender]:
    return itertools.chain.from_iterable(map(itertools.repeat, senders, counts))


class TooManyBad(Exception):  # noqa: N818 - it is answered, not raised at a user
    """So many events of a request cannot be taken that it is refused as a whole."""


def one_by_one(records: Iterable[bytes], parse: Callable[[bytes], Sequence[Event | RowError]], sender: Sender) -> Taken:
    """Events of records, each read on its own."""
    rows, refused = [], []
    for record in records:
        try:
            parsed = parse(record)
        except RowError as error:
            refused.append((record, error))
            if len(refused) > MOST_BAD:
                raise TooManyBad from None
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
