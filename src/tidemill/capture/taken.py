"""What is made of the records of a request: events for a commit, and what is set aside."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from tidemill.errors import RowError
from tidemill.events import joined
from tidemill.events.formats import posthog_quick, text
from tidemill.events.formats.event import Event, Row, settle_uuid
from tidemill.events.formats.timestamps import EARLIEST, LATEST
from tidemill.events.parse import MAX_KEPT, columns_of, row_of, to_arrow

if TYPE_CHECKING:
    import pyarrow as pa

#: Bad records of a request that are set aside each by itself: the first ones, but those that are so many bytes longer
#: before others, since few of them would fit into a text. What is beyond is set aside together.
MOST_ALONE, _LONGER = 1_000, MAX_KEPT // 100
#: What the records of a request share is kept with each of them, unless it is longer.
_MOST_SHARED = 4_096
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


#: A record, and why it cannot be taken.
Refused: TypeAlias = tuple[bytes, RowError]


@dataclasses.dataclass(frozen=True, slots=True)
class Keeping:
    """How a record is kept that cannot be taken, so that it can be taken later as if it had been at once: with what
    the request said of all (`shared`), and with its own fields put right."""

    shared: joined.Fields
    put_right: Callable[[dict[str, msgspec.Raw]], dict[str, msgspec.Raw]]

    def own(self, record: bytes) -> bytes:
        """The record by its own fields."""
        try:
            return msgspec.json.encode(self.put_right(text.fields(text.mend(record))))
        except RowError:
            return record


_AS_IT_IS = Keeping({}, lambda given: given)


@dataclasses.dataclass(slots=True)
class Taken:
    """See the module."""

    tables: list[pa.RecordBatch] = dataclasses.field(default_factory=list)
    refused: list[Refused] = dataclasses.field(default_factory=list)
    usual: Usual | None = None
    keeping: Keeping = _AS_IT_IS

    def rejects(self, api: str, source: str, key: str) -> list[dict[str, Any]]:
        """What was refused, for Rejects, without the key. The same text twice is one: it may have been sent again."""
        alone, beyond = self._divided()
        shared = self.keeping.shared

        def reject(sent: bytes, kept: bytes, why: RowError) -> dict[str, Any]:
            hidden, kept = (raw.replace(key.encode(), b"***") if key else raw for raw in (sent, kept))
            return {
                "source": source,
                "part": str(int.from_bytes(hashlib.blake2b(hidden, digest_size=7).digest())),
                "kind": "load",
                "place": f"sent by {api}",
                "code": why.code,
                "message": why.message,
                "raw": kept[:MAX_KEPT],
                "whole": len(kept) <= MAX_KEPT,
            }

        found = [reject(raw, joined.whole(self.keeping.own(raw), shared), why) for raw, why in alone]
        first = 0
        for kept, count in joined.join([self.keeping.own(raw) for raw, _ in beyond], shared):
            sent = b",".join([raw for raw, _ in beyond[first : first + count]])
            found.append(reject(sent, kept, RowError(joined.CODE, joined.message(count))))
            first += count
        return found

    def _divided(self) -> tuple[list[Refused], list[Refused]]:
        """What is set aside each by itself, and what together."""
        if self.keeping.shared and len(msgspec.json.encode(self.keeping.shared)) > _MOST_SHARED:
            return [], self.refused
        if len(self.refused) <= MOST_ALONE:
            return self.refused, []
        ordered = sorted(self.refused, key=lambda item: -(len(item[0]) // _LONGER))
        return ordered[:MOST_ALONE], ordered[MOST_ALONE:]


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
        waiting[0].keeping = other.keeping


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


def one_by_one(
    records: Iterable[bytes],
    parse: Callable[[bytes], Sequence[Event | RowError]],
    sender: Sender,
    keeping: Keeping = _AS_IT_IS,
) -> Taken:
    """Events of records, each read on its own."""
    rows: list[Row] = []
    refused: list[Refused] = []
    told: dict[tuple[str, str], RowError] = {}
    for record in records:
        try:
            parsed = parse(record)
        except RowError as error:
            refused.append((record, _kept(error, told)))
            continue
        for index, event in enumerate(parsed):
            if isinstance(event, RowError):
                refused.append((record, _kept(event, told)))
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
    tables = [to_arrow(columns_of(rows), len(rows), sender.team_id)] if rows else []
    return Taken(tables, refused, keeping=keeping)


def _kept(error: RowError, told: dict[tuple[str, str], RowError]) -> RowError:
    """The same, once for all records: an error that was raised holds all that it was raised in."""
    why = error.code, error.message
    if why not in told:
        told[why] = RowError(*why)
    return told[why]
