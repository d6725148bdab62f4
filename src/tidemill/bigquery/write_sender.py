"""Sends rows to one write stream, in order, each once: several requests at once, and again where that helps."""

from __future__ import annotations

import collections
import dataclasses
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Generic, Protocol, Self, TypeVar

from tidemill.bigquery.retry import AWAKE
from tidemill.bigquery.write_outcomes import Ahead, Appended, BadRows, Duplicate, Failed, Gone, Outcome
from tidemill.bigquery.write_streams import gone
from tidemill.errors import Cancelled, NotFoundError, RetryableError, TidemillError

if TYPE_CHECKING:
    import pyarrow as pa

    from tidemill.bigquery.client import Client
    from tidemill.bigquery.write_connection import Connection
    from tidemill.bigquery.write_streams import WriteStreams

#: Requests on their way. Three of 5 MB fill 75 MB/s at a latency of 0.2 s; Google's connections carry about 10 MB/s.
IN_FLIGHT = 3
#: The code of an error: see `Sender.send`.
DOUBTFUL = "stream_doubtful"
#: A connection that says nothing for so long is given up. Seconds.
_SILENT = 300.0
_CLOSES_WITHIN = 5.0
#: A column that was added a moment ago: the API may take minutes to notice ("Storage Write API": schema updates).
_NOT_NOTICED = "SCHEMA_MISMATCH_EXTRA_FIELDS"


class Sendable(Protocol):
    """Rows that one request brings."""

    @property
    def batch(self) -> pa.RecordBatch:
        """The rows."""

    def without(self, places: Sequence[int]) -> Self:
        """All but those at these places."""


Rows = TypeVar("Rows", bound=Sendable)


@dataclasses.dataclass
class _Request(Generic[Rows]):
    rows: Rows
    offset: int
    answer: Future[Outcome]


class Sender(Generic[Rows]):
    """Of one stream that nobody else writes to. To be closed.

    What was not answered on a connection that broke is sent again at the same offset. It may still come in from the
    first one, late: that is harmless as long as the same rows belong there.
    """

    def __init__(
        self,
        streams: WriteStreams,
        client: Client,
        name: str,
        schema: pa.Schema,
        refused: Callable[[Rows, Sequence[tuple[int, str]]], None],
        *,
        at_once: int = IN_FLIGHT,
    ) -> None:
        """`refused`: is told the rows that BigQuery does not take, by their place in a request, each with its reason.

        `at_once`: how many requests may be on their way.
        """
        self._streams, self._client, self._name, self._schema = streams, client, name, schema
        self._refused, self._at_once = refused, at_once
        self._waiting: collections.deque[_Request[Rows]] = collections.deque()
        self._next = 0  # the offset of the row that comes next
        self._doubtful = 0  # before this offset, something may come in late
        self._connection: Connection | None = None
        self._waits: Callable[[TidemillError], None] | None = None

    def send(self, rows: Rows) -> None:
        """Send them. Waits while others are on their way.

        Raises
        ------
        NotFoundError
            The stream is gone, or (``stream_doubtful``) it cannot be said any more what will be in it: the rows must go
            to a new one, all of them; one at a time in the other case.
        UnavailableError
            BigQuery did not take them until the deadline.
        Cancelled
            The client says so.
        """
        while len(self._waiting) >= self._at_once:
            self._settle()
        self._begin(rows)

    def finish(self) -> int:
        """Wait for all answers. Gives the number of rows in the stream. Raises as `send` does."""
        while self._waiting:
            self._settle()
        return self._next

    def close(self) -> None:
        """End the connection. What has no answer by then may be in the stream, or not."""
        self._disconnect(0)

    def _begin(self, rows: Rows) -> None:
        if self._connection is None:
            self._connection = self._streams.open(self._name, self._schema)
        answer = self._connection.send(rows.batch, self._next)
        self._waiting.append(_Request(rows, self._next, answer))
        self._next += rows.batch.num_rows

    def _settle(self) -> None:
        """See to the oldest request: it is in, or is sent again."""
        first = self._waiting[0]
        match self._outcome(first):
            case Appended(offset=at) if at in {None, first.offset}:
                self._done()
            case Duplicate():
                self._done()
            case BadRows(rows=bad):
                self._leave_out(first, bad)
            case Failed(error=error, reason=reason):
                if not isinstance(error, RetryableError) and reason != _NOT_NOTICED:
                    raise error
                self._doubtful = max(self._doubtful, self._next)
                self._disconnect(_CLOSES_WITHIN)
                self._waits = self._waits or self._client.policy.waits(self._client.cancelled)
                self._waits(error)
                self._again()
            case Gone(message=message) | Ahead(message=message):
                raise gone(message)
            case Appended(offset=at):
                raise gone(f"Rows for the offset {first.offset} are at {at}.")

    def _done(self) -> None:
        self._waiting.popleft()
        self._waits = None

    def _again(self) -> None:
        """Send all that waits, from the place of the oldest on."""
        waiting = list(self._waiting)
        self._next = waiting[0].offset
        self._waiting.clear()
        for request in waiting:
            if request.rows.batch.num_rows:
                self._begin(request.rows)

    def _leave_out(self, first: _Request[Rows], bad: Sequence[tuple[int, str]]) -> None:
        """Send the rest of a request that had bad rows. All after it moves up: nothing of that may come in late."""
        for request in list(self._waiting)[1:]:
            if isinstance(self._outcome(request), Failed):
                self._doubtful = max(self._doubtful, self._next)
        if self._doubtful > first.offset + first.rows.batch.num_rows:
            raise _doubtful()
        self._doubtful = 0  # it may itself come in late, and is refused again
        self._refused(first.rows, bad)
        first.rows = first.rows.without([place for place, _ in bad])
        self._waits = None
        self._again()

    def _outcome(self, request: _Request[Rows]) -> Outcome:
        silent = time.monotonic() + _SILENT
        while True:
            try:
                return request.answer.result(AWAKE)
            except TimeoutError:
                if self._client.cancelled():
                    raise Cancelled from None
                if time.monotonic() > silent:
                    self._disconnect(0)

    def _disconnect(self, timeout: float) -> None:
        if self._connection is not None:
            self._connection.close(timeout)
            self._connection = None


def _doubtful() -> NotFoundError:
    return NotFoundError(
        DOUBTFUL,
        "Rows were refused, and others that were to come after them may come in late, or not.",
        hint="Write the rows to a new stream, a request at a time.",
    )
