"""One AppendRows call that is kept open: several requests of rows are on their way at once."""

from __future__ import annotations

import collections
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import grpc

from tidemill.bigquery import write_requests
from tidemill.bigquery.retry import AWAKE
from tidemill.bigquery.write_outcomes import Failed, Outcome
from tidemill.errors import Cancelled, RetryableError

if TYPE_CHECKING:
    import pyarrow as pa

#: What one request may have, in bytes ("Quotas and limits": AppendRows). Rows must be cut to less.
MAX_BYTES = 20 * 1024 * 1024
IN_FLIGHT, IN_FLIGHT_BYTES = 32, 64 * 1024 * 1024


class Connection:
    """Made by `WriteStreams.open`. May be used by several threads; what they send comes in the order of `send`."""

    def __init__(
        self,
        name: str,
        schema: pa.Schema,
        start: Callable[[Iterator[bytes]], Iterable[Any]],
        *,
        answered: Callable[[Any], Outcome],
        ended: Callable[[grpc.RpcError | None], Outcome],
        cancelled: Callable[[], bool],
        trace: str,
    ) -> None:
        """`start` begins the call; `answered` says what an answer means, `ended` what the call's end means."""
        self._name, self._schema, self._trace = name, schema, trace
        self._answered, self._ended, self._cancelled = answered, ended, cancelled
        self._waiting: collections.deque[tuple[Future[Outcome], int]] = collections.deque()
        self._bytes = 0
        self._first = True
        self._serializer = write_requests.Serializer(schema)
        self._over: Outcome | None = None
        self._changed = threading.Condition()
        self._requests: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._call: Any = start(iter(self._requests.get, None))
        self._reader = threading.Thread(target=self._read, name="tidemill-append-rows", daemon=True)
        self._reader.start()

    def send(self, batch: pa.RecordBatch, offset: int | None = None) -> Future[Outcome]:
        """Send rows; waits only while too much is on its way. What becomes of them is told in the order of sending.

        Raises
        ------
        Cancelled
            While it waited.
        """
        size = write_requests.size(batch)
        answer: Future[Outcome] = Future()
        answer.set_running_or_notify_cancel()
        with self._changed:
            while not self._changed.wait_for(lambda: self._over or self._has_room(size), AWAKE):
                if self._cancelled():
                    raise Cancelled
            over = self._over
            if over is None:
                self._waiting.append((answer, size))
                self._bytes += size
                self._requests.put(self._request(self._serializer.serialized(batch), offset))
        if over is not None:
            answer.set_result(over)
        return answer

    @property
    def is_over(self) -> bool:
        """Whether it has ended: nothing can be sent on it any more."""
        return self._over is not None

    def has_room(self, size: int) -> bool:
        """Whether rows of so many bytes would be sent at once, without a wait."""
        with self._changed:
            return self._over is not None or self._has_room(size)

    def close(self, timeout: float = 30.0) -> None:
        """End the call. Waits that long for answers; what has none then is to be sent again."""
        with self._changed:
            if self._over is None:
                self._over = _closed()
            self._changed.notify_all()
        self._requests.put(None)
        self._reader.join(timeout)
        if self._reader.is_alive():
            self._call.cancel()
            self._reader.join()

    def _has_room(self, size: int) -> bool:
        return not self._waiting or (len(self._waiting) < IN_FLIGHT and self._bytes + size <= IN_FLIGHT_BYTES)

    def _request(self, content: pa.Buffer, offset: int | None) -> bytes:
        # The stream in each request, also where Google could do without: who routes requests may look for it.
        if not self._first:
            return write_requests.request(self._name, content, offset)
        self._first = False
        return write_requests.request(self._name, content, offset, schema=self._schema, trace=self._trace)

    def _read(self) -> None:
        """Tell what is answered, until the call is over."""
        try:
            for response in self._call:
                self._tell(self._answered(response))
            over = self._ended(None)
        except grpc.RpcError as error:
            over = self._ended(error)
        except BaseException:
            self._end(_closed())  # whoever waits is told all the same
            raise
        self._end(over)

    def _end(self, over: Outcome) -> None:
        with self._changed:
            self._over = over
            left = [answer for answer, _ in self._waiting]
            self._waiting.clear()
            self._changed.notify_all()
        self._requests.put(None)  # the thread that sends them waits for it
        for answer in left:
            answer.set_result(over)

    def _tell(self, outcome: Outcome) -> None:
        with self._changed:
            answer, size = self._waiting.popleft()
            self._bytes -= size
            self._changed.notify_all()
        answer.set_result(outcome)


def _closed() -> Failed:
    return Failed(RetryableError("write_connection_closed", "The connection to BigQuery is closed.", hint="Open one."))
