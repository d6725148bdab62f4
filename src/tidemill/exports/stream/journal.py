"""What is written down of a stream: where it stands, what may be on its way, and what its run has moved."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from tidemill import logbook, tracing
from tidemill.bigquery.write_outcomes import Outcome
from tidemill.errors import TidemillError
from tidemill.events.chunks import RejectedRow
from tidemill.events.sendable import Rows
from tidemill.exports import alarms
from tidemill.exports.spec import ExportSpec
from tidemill.exports.stream.orders import Sent
from tidemill.store.records import Export, Stream
from tidemill.store.records_notify import Alarm
from tidemill.store.streams import WHOLE, Moved, Streams

Place = tuple[int, int]
#: An append, as it is written down: offset, rows, bytes, change and number of its end, and what names its last row.
Entry = dict[str, Any]
#: Of a run that goes on, a share of so many rows tells something.
_ENOUGH_ROWS = 1_000


@dataclasses.dataclass(eq=False)
class Append:
    """Rows that go into the write stream by one request. `end`: up to which place nothing is left then."""

    rows: Rows
    end: Place
    #: What names the last of them: columns with values, times as texts.
    last: dict[str, Any] = dataclasses.field(default_factory=dict)
    offset: int = 0
    answer: Future[Outcome] | None = None
    #: It was sent on a connection that broke, so it may be in.
    doubtful: bool = False
    #: BigQuery said what cannot be: that it is in, behind one that is not; or that what comes first is not.
    odd: bool = False

    @property
    def number(self) -> int:
        """Of rows."""
        return len(self.rows.sizes)

    @property
    def size(self) -> int:
        """Bytes of its rows."""
        return int(self.rows.sizes.sum())

    def entry(self) -> Entry:
        """As it is written down."""
        place = {"change": self.end[0], "number": self.end[1]}
        return {"offset": self.offset, "rows": self.number, "bytes": self.size, "last": self.last} | place


class Journal:
    """Of one stream, as long as it is ours. What is written down is all that is needed to go on with it."""

    def __init__(self, streams: Streams, export: Export) -> None:
        """Claim the stream."""
        self._streams, self._export, self._spec = streams, export, export.spec
        self.stream: Stream = streams.claim(export.id)
        run = self.stream.run_id
        logbook.turn_to(run)
        self._end_trace = self._traced(run)
        self.moved = streams.moved(run) if run else Moved()
        self._changed = False
        #: Since it is ours.
        self.sent = Sent()

    @property
    def place(self) -> Place:
        """Up to which all rows are in the table."""
        return self.stream.change, self.stream.number

    @property
    def is_whole(self) -> bool:
        """Whether that place is between two changes."""
        return self.stream.number == WHOLE

    @property
    def run_id(self) -> uuid.UUID | None:
        """Of the run that is not over."""
        return self.stream.run_id

    def begin_reading(self) -> None:
        """Rows are read from now on: not such as somebody deletes who needs quiet."""
        self.stream = self._streams.asked(self.stream)

    def begin_run(self, **fields: Any) -> None:
        """A run says what is appended from now on. Raises StreamHeldError if what was read is of no use."""
        self.stream, self.moved = self._streams.begin_run(self.stream, **fields), Moved()
        self._spec = fields.get("spec", self._spec)
        logbook.turn_to(self.run_id)
        self._end_trace = self._traced(self.run_id)
        logbook.info("A run of the stream begins: rows are appended.", by=fields.get("created_by"))

    def end_run(self) -> None:
        """Nothing is in flight, and the run is over."""
        if self.run_id is not None:
            self.stream = self._streams.end_run(self._noted([]), self.moved, self._alarm)
            moved = {"rows": self.moved.rows, "bytes": self.moved.bytes, "rejected": self.moved.rejected or None}
            logbook.info("The run is completed.", **moved)
            logbook.turn_to(None)
            self._end_trace(**moved)
        self._changed = False

    def _traced(self, run_id: uuid.UUID | None) -> Callable[..., None]:
        """The run's trace is begun. Gives what ends it."""
        if run_id is None:
            return lambda **_: None
        return tracing.ongoing(run_id, export=self._export.name, model=self._export.model)

    def plan(
        self,
        pending: Sequence[Append],
        rejected: Sequence[RejectedRow] = (),
        *,
        repaired: int = 0,
        until: dt.datetime | None = None,
    ) -> None:
        """Before it is sent: what is in flight and to be sent, one after the other. Gives each its offset."""
        offset = self.stream.rows
        for append in pending:
            append.offset = offset
            offset += append.number
        moved = self.moved
        self.moved = dataclasses.replace(
            moved,
            repaired=moved.repaired + repaired,
            interval_end=until or moved.interval_end,
        )
        self._note(pending, rejected)

    def settle(self, entry: Entry) -> None:
        """An append is in the table. It is written down with whatever is next, or by `flush`."""
        self.stream = dataclasses.replace(
            self.stream,
            rows=self.stream.rows + entry["rows"],
            change=entry["change"],
            number=entry["number"],
            sent_at=dt.datetime.now(dt.UTC),
            trouble=None,
        )
        moved = self.moved
        self.moved = dataclasses.replace(moved, rows=moved.rows + entry["rows"], bytes=moved.bytes + entry["bytes"])
        self.sent += Sent(entry["rows"], entry["bytes"])
        self._changed = True

    def skip(self, place: Place) -> None:
        """There is nothing to send up to this place."""
        self.stream = dataclasses.replace(self.stream, change=place[0], number=place[1])
        self._changed = True

    def flush(self, pending: Sequence[Append]) -> None:
        """Write down what was settled, if that is not done."""
        if self._changed:
            self._note(pending, ())

    def use(self, name: str | None, pending: Sequence[Append]) -> None:
        """From now on, rows go into this write stream, which is empty; None: into none, for the one before is over."""
        self.stream = dataclasses.replace(self.stream, name=name, rows=0)
        self.plan(pending)
        if name is not None:
            logbook.info("A write stream is begun.", stream=name)

    def tell(self, error: TidemillError | None, pending: Sequence[Append]) -> None:
        """Why it stands still; None if it does not."""
        found = {"code": error.code, "message": error.message, "hint": error.hint} if error else None
        if found != self.stream.trouble:
            self.stream = dataclasses.replace(self.stream, trouble=found)
            if error is not None:
                logbook.warning(f"The stream stands still. {logbook.said(error)}", **logbook.about(error))
            self._note(pending, ())

    def _note(self, pending: Sequence[Append], rejected: Sequence[RejectedRow]) -> None:
        self.stream = self._noted(pending)
        before = self.moved.rejected
        rejects = [self._set_aside(row) for row in rejected]
        self.moved = self._streams.note(self.stream, self.moved, rejects, self._alarm_meanwhile)
        self.sent += Sent(set_aside=self.moved.rejected - before)
        if self.moved.rejected > before:
            logbook.warning("Rows are set aside.", rejected=self.moved.rejected - before)
        self._changed = False

    def _alarm_meanwhile(self, moved: Moved) -> Alarm | None:
        """The same, of a run that is not over."""
        on_their_way = sum(entry["rows"] for entry in self.stream.in_flight)
        rows = moved.rows + on_their_way + moved.rejected
        return self._alarm(dataclasses.replace(moved, rows=rows - moved.rejected)) if rows >= _ENOUGH_ROWS else None

    def _alarm(self, moved: Moved) -> Alarm | None:
        """What is told, if too many rows of the run were set aside."""
        rows = moved.rows + moved.rejected
        share = ExportSpec.model_validate(self._spec).reject_share
        return alarms.rejects(self._export.name, rows, moved.rejected, share, ())

    def _noted(self, pending: Sequence[Append]) -> Stream:
        return dataclasses.replace(self.stream, in_flight=[append.entry() for append in pending])

    def _set_aside(self, row: RejectedRow) -> dict[str, Any]:
        named = {"source": str(self.run_id), "part": f"{row.team_id}:{row.id}", "kind": "run"}
        said = {"place": self._export.name, "code": row.code, "message": row.message}
        return named | said | {"raw": row.raw.encode(), "whole": False}
