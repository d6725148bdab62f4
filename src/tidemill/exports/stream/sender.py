"""Appends rows to the table, each once: several requests are on their way, and their answers come in order.

What became of a request is one of these:

``Appended``
    it is in the table;
``Duplicate`` of one that was sent before on a connection that broke
    it was in already;
``BadRows``
    BigQuery refuses some of its rows, and has kept none: these are set aside, the others are sent again;
``Failed``, and it may be tried again
    the same is sent again, at the same offset;
anything else
    the write stream is ended, which tells what is in it, and another one takes its place.
"""

from __future__ import annotations

import collections
import random
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent import futures

from tidemill import logbook
from tidemill.bigquery.client import Client
from tidemill.bigquery.write_connection import Connection
from tidemill.bigquery.write_outcomes import Ahead, Appended, BadRows, Duplicate, Failed, Gone, Outcome
from tidemill.bigquery.write_streams import WriteStreams
from tidemill.errors import Cancelled, NotFoundError, RetryableError, TidemillError, UnavailableError
from tidemill.events import sendable
from tidemill.exports.stream import remedy, settle, table
from tidemill.exports.stream.journal import Append, Journal
from tidemill.exports.stream.remedy import Remedy
from tidemill.models.model import Column
from tidemill.store.records import Export

#: Bytes of rows that are planned or on their way; more is not taken meanwhile.
_MOST_PENDING = 64_000_000
_REFUSED = "row_refused"
_FIRST_WAIT, _LONGEST_WAIT = 0.25, 60.0  # seconds
#: How often in a row a write stream is replaced, and nothing gets into the new one, before that is an error.
_MOST_REPLACED = 5
_CLOSE_SECONDS = 20.0
#: BigQuery answers within a second, mostly; a request without an answer is sent again on another connection.
ANSWERED_WITHIN_SECONDS = 120.0


class Sender:
    """Of one stream that is ours. `export`: as it is now."""

    def __init__(self, client: Client, export: Callable[[], Export], journal: Journal) -> None:
        self._client, self._export, self._journal = client, export, journal
        self._streams = WriteStreams(client)
        self._connection: Connection | None = None
        self._columns: tuple[Column, ...] = ()
        self._news: tuple[str, ...] = ()
        self._looked_at: set[str] = set()
        self._failures = self._replaced = 0
        self._heard_at = time.monotonic()
        self.pending: collections.deque[Append] = collections.deque()

    @property
    def idle(self) -> bool:
        """Whether nothing is in flight."""
        return not self.pending

    @property
    def ready(self) -> bool:
        """Whether more should be sent now: not too much is on its way, and the table is as it was."""
        return sum(append.size for append in self.pending) < _MOST_PENDING and not self._news

    @property
    def columns(self) -> tuple[str, ...]:
        """Those that are filled."""
        return tuple(column.name for column in self._columns)

    def open(self) -> None:
        """See that there is a table, and a write stream to send to."""
        if self._journal.stream.name is None:
            self._renew()

    def send(self, appends: Iterable[Append]) -> None:
        """Send what is planned in the journal."""
        self.pending.extend(appends)
        self._send()

    def collect(self, seconds: float) -> None:
        """Take in the answers that are there; wait that long for the first of them.

        Raises
        ------
        Cancelled
            Nobody waits for answers any more.
        TidemillError
            Why it cannot go on.
        """
        if self._client.cancelled():
            raise Cancelled
        if not self.pending:
            return
        self._send()
        first = self.pending[0].answer
        if first is not None:
            futures.wait([first], seconds)
        self._settle()
        if self.pending and (first := self.pending[0].answer) is not None and (first.done() or self._is_stuck()):
            self._trouble()
        self._journal_if_idle()
        if self._news and not self.pending:
            self._look_at_table()

    def close(self) -> None:
        """Close the connection. What has no answer may or may not be in."""
        self._disconnect()
        self._streams.close()

    def _journal_if_idle(self) -> None:
        if not self.pending:
            self._journal.flush(self.pending)

    def _is_any_sent(self) -> bool:
        """Whether the answer to one of them is awaited."""
        return any(append.answer is not None for append in self.pending)

    def _is_stuck(self) -> bool:
        """Whether there was no answer for so long that the connection must be broken."""
        return time.monotonic() - self._heard_at > ANSWERED_WITHIN_SECONDS

    def _send(self) -> None:
        """Send what was not sent yet, in order, as far as there is room for it."""
        for append in self.pending:
            if append.answer is not None:
                continue
            if self._connection is not None and self._connection.is_over and not self._is_any_sent():
                self._disconnect()  # BigQuery ends what is idle: nothing was lost with it
            if self._connection is None:
                name = str(self._journal.stream.name)
                self._connection = self._streams.open(name, sendable.schema(self._columns))
                self._heard_at = time.monotonic()
            if not self._connection.has_room(append.size):
                return
            if append is self.pending[0]:
                self._heard_at = time.monotonic()
            rows = append.rows.batch.select([column.name for column in self._columns])
            if self._connection.is_over:  # what comes after it need not be tried
                return
            append.answer = self._connection.send(rows, append.offset)

    def _settle(self) -> None:
        """Take in the answers that say that rows are in."""
        while self.pending and (answer := self.pending[0].answer) is not None and answer.done():
            append, outcome = self.pending[0], answer.result()
            match outcome:
                case Appended(offset, columns) if offset in {None, append.offset}:
                    self._news = columns or self._news
                case Duplicate() if append.doubtful:
                    pass
                case _:
                    return
            self._settled(append)

    def _settled(self, append: Append) -> None:
        """The first of the pending appends is in."""
        self.pending.popleft()
        self._heard_at = time.monotonic()
        self._journal.settle(append.entry())
        self._failures = self._replaced = 0

    def _trouble(self) -> None:
        """The first of the pending appends did not get in."""
        self._await_answers()
        outcome = self._first_outcome()
        if outcome is None:
            return
        later = [one.answer.result() for one in self.pending if one.answer is not None][1:]
        for append in self.pending:
            if append.answer is not None:
                said = append.answer.result()
                append.doubtful = append.doubtful or isinstance(said, Failed)
                # Behind a bad row nothing comes at its offset, of course; else nobody knows what it means.
                strange = Appended if isinstance(outcome, BadRows) else (Appended, Ahead, Duplicate)
                append.odd = append.odd or isinstance(said, strange)
            append.answer = None
        doubtful = any(append.doubtful for append in list(self.pending)[1:])
        match remedy.of(outcome, later, doubtful=doubtful), outcome:
            case Remedy.SET_ASIDE, BadRows(rows):
                self._set_aside(rows)
            case Remedy.AGAIN, Failed(error):
                self._wait(error)
            case Remedy.GIVE_UP, Failed(error):
                raise error
            case _:
                self._replace(outcome)

    def _await_answers(self) -> None:
        """Have all answers that still come. The connection is closed for that, unless all that is wrong is a row."""
        first = self.pending[0].answer
        if first is not None and first.done() and isinstance(first.result(), BadRows):
            futures.wait([append.answer for append in self.pending if append.answer], _CLOSE_SECONDS)
        if any(append.answer and not append.answer.done() for append in self.pending) or not self._takes_more():
            self._disconnect()

    def _takes_more(self) -> bool:
        """Whether all that is wrong is a row, or what came behind one."""
        outcomes = [append.answer.result() for append in self.pending if append.answer]
        return isinstance(outcomes[0], BadRows) and all(isinstance(one, BadRows | Ahead) for one in outcomes)

    def _disconnect(self) -> None:
        """Have all answers that still come, if somebody waits for them, and close the connection."""
        if self._connection is not None:
            at_once = self._is_stuck() or self._client.cancelled()
            self._connection.close(0 if at_once else _CLOSE_SECONDS)
            self._connection = None

    def _first_outcome(self) -> Outcome | None:
        """That of the first append that is not in; None if all are, or there was none."""
        self._settle()
        if not self.pending or self.pending[0].answer is None:
            return None
        return self.pending[0].answer.result()

    def _set_aside(self, rows: Sequence[tuple[int, str]]) -> None:
        """Leave these rows of the first append out; of what is behind it, the offsets change."""
        first = self.pending[0]
        rejected = first.rows.rejects(rows, _REFUSED)
        first.rows = first.rows.without([place for place, _ in rows])
        if first.number:
            first.last = settle.row_of(self._export(), first.rows.batch, first.number - 1)
        else:
            self.pending.popleft()
            self._journal.skip(first.end)
        self._journal.plan(self.pending, rejected)

    def _wait(self, error: TidemillError) -> None:
        """Before the next try: the first at once, then longer and longer."""
        if self._failures:
            self._journal.tell(error, self.pending)
            pause = random.uniform(0.5, 1) * min(_FIRST_WAIT * 2**self._failures, _LONGEST_WAIT)  # noqa: S311
            after = error.after if isinstance(error, RetryableError) else None
            if self._client.policy.pause(max(pause, after or 0), self._client.cancelled):
                raise Cancelled
        self._failures = min(self._failures + 1, 20)

    def _replace(self, outcome: Outcome) -> None:
        """End the write stream, and go on with another one: at once; then slower; and not again and again."""
        self._replaced += 1
        logbook.warning("The write stream is ended, and another one takes its place.", why=type(outcome).__name__)
        if self._replaced > 1:
            error = outcome.error if isinstance(outcome, Failed) else _not_taken(outcome)
            if self._replaced > _MOST_REPLACED:
                raise error
            self._wait(error)
        for append in list(self.pending)[: self._ended()]:
            self._settled(append)
        self._renew()

    def _ended(self) -> int:
        """End the write stream. Gives how many of the pending appends are in it."""
        entries = [append.entry() for append in self.pending]
        number = settle.ended(self._streams, str(self._journal.stream.name), self._journal.stream.rows, entries)
        if number is None:  # it is gone: what was answered is sure, and so is what was never in doubt
            asked = [place for place, append in enumerate(self.pending) if append.doubtful or append.odd]
            found = settle.in_table(self._export(), self._client, [self.pending[place].last for place in asked])
            number = asked[found - 1] + 1 if found else 0  # what comes before one that is in, is in
        return number

    def _look_at_table(self) -> None:
        """The table has other columns than it had: if some are ours, they are filled from now on."""
        known, news = {column.name for column in self._columns}, {name.lower() for name in self._news}
        self._news, looked_at = (), self._looked_at
        self._looked_at = news
        if news != looked_at and {column.name for column in self._table()} - known:
            settle.ended(self._streams, str(self._journal.stream.name), self._journal.stream.rows, [])
            self._renew()

    def _renew(self) -> None:
        """Another write stream."""
        self._disconnect()
        for append in self.pending:
            append.answer, append.doubtful, append.odd = None, False, False
        self._journal.use(None, [])
        self._columns = self._table()
        export = self._export()
        waits = self._client.policy.waits(self._client.cancelled)
        while True:
            try:
                name = self._streams.create(export.dataset, export.table_id)
                break
            except NotFoundError as error:  # a table that was just made is not known everywhere at once
                waits(error)
        self._journal.use(name, self.pending)

    def _table(self) -> tuple[Column, ...]:
        return table.prepared(self._client, self._export(), begun=self._journal.stream.sent_at is not None)


def _not_taken(outcome: Outcome) -> TidemillError:
    said = f"{outcome.reason} {outcome.message}" if isinstance(outcome, Gone) else str(outcome)
    return UnavailableError(
        "stream_refused",
        f"BigQuery takes no rows on a new write stream either: {said}",
        hint="Nothing is lost: it is tried again later.",
    )
