"""The test upload by a write stream, whatever BigQuery answers: one row, once, at offset 0."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, cast

import pyarrow as pa
import pytest
from tests.fake_bigquery import PROJECT, Clock

from tidemill.bigquery import access_stream
from tidemill.bigquery.client import Client
from tidemill.bigquery.credentials import Auth
from tidemill.bigquery.write_connection import Connection
from tidemill.bigquery.write_outcomes import Ahead, Appended, BadRows, Duplicate, Failed, Gone, Outcome
from tidemill.bigquery.write_streams import WriteStreams
from tidemill.errors import ConfigError, NotFoundError, RetryableError, TidemillError, UnavailableError

LOST = Failed(RetryableError("bigquery_unavailable", "The connection was cut."))
GONE = Gone("STREAM_NOT_FOUND", "Requested entity was not found.")
BAD = Failed(ConfigError("bigquery_invalid", "No."))


class Streams(WriteStreams):
    """Streams that give these outcomes, one an append; None does not answer until the connection is closed."""

    def __init__(self, *outcomes: Outcome | None, hidden: int = 0, rows: int = 1) -> None:
        self.outcomes, self.hidden, self.rows = list(outcomes), hidden, rows
        self.sent: list[tuple[str, dict[str, Any], int | None]] = []
        self.created: list[bool] = []
        self.closed: list[float] = []

    def create(self, dataset: str, table: str, *, pending: bool = False) -> str:
        if self.hidden:
            self.hidden -= 1
            raise NotFoundError("table_not_found", "There is no such table.")
        self.created.append(pending)
        return f"{dataset}.{table}/stream"

    def open(self, name: str, schema: pa.Schema) -> Connection:
        assert schema.names == ["event"]
        return cast(Connection, _Connection(self, name))

    def finalize(self, name: str) -> int:
        assert name == "d.t/stream"
        return self.rows


class _Connection:
    def __init__(self, streams: Streams, name: str) -> None:
        self._streams, self._name = streams, name
        self._answer: Future[Outcome] = Future()

    def send(self, batch: pa.RecordBatch, offset: int | None = None) -> Future[Outcome]:
        self._streams.sent.append((self._name, batch.to_pydict(), offset))
        # The last one is for good.
        outcome = self._streams.outcomes.pop(0) if len(self._streams.outcomes) > 1 else self._streams.outcomes[0]
        if outcome:
            self._answer.set_result(outcome)
        return self._answer

    def close(self, timeout: float = 30.0) -> None:
        self._streams.closed.append(timeout)
        if not self._answer.done():
            self._answer.set_result(LOST)


@pytest.fixture
def upload(clock: Clock) -> Callable[[Streams], None]:
    client = Client(Auth(adc=True), PROJECT, policy=clock.policy(30))
    return lambda streams: access_stream.upload(client, streams, "d", "t")


@pytest.mark.parametrize(
    "outcomes",
    [
        [Appended(0)],
        [LOST, Duplicate()],
        [LOST, LOST, Appended(0)],
        [GONE, Appended(0)],
        [LOST, GONE, LOST, Duplicate()],
    ],
)
def test_the_row_is_sent_again_at_the_same_offset(upload: Callable[[Streams], None], outcomes: list[Outcome]) -> None:
    streams = Streams(*outcomes)
    upload(streams)
    assert streams.sent == [("d.t/stream", {"event": ["t"]}, 0)] * len(outcomes)
    assert streams.created == [False]
    assert len(streams.closed) == len(outcomes)


def test_a_table_that_is_not_found_yet_is_waited_for(upload: Callable[[Streams], None], clock: Clock) -> None:
    upload(Streams(Appended(0), hidden=3))
    assert clock.now > 0
    with pytest.raises(UnavailableError) as caught:
        upload(Streams(Appended(0), hidden=1000))
    assert caught.value.code == "table_not_found"
    assert clock.now < 60


@pytest.mark.parametrize("outcome", [LOST, GONE])
def test_it_does_not_try_for_ever(upload: Callable[[Streams], None], clock: Clock, outcome: Outcome) -> None:
    with pytest.raises(UnavailableError):
        upload(Streams(outcome))
    assert clock.now < 60


def test_an_append_that_is_not_answered_is_ended(
    upload: Callable[[Streams], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_stream, "_ANSWER_SECONDS", 0.01)
    streams = Streams(None, Appended(0))
    upload(streams)
    assert streams.closed == [0, access_stream._END_SECONDS]


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (BAD, "bigquery_invalid"),
        (BadRows(((0, "no"),)), "row_not_appended"),
        (Ahead("no"), "row_not_appended"),
    ],
)
def test_what_is_refused_is_not_sent_again(upload: Callable[[Streams], None], outcome: Outcome, code: str) -> None:
    streams = Streams(outcome)
    with pytest.raises(TidemillError) as caught:
        upload(streams)
    assert caught.value.code == code
    assert len(streams.sent) == 1


@pytest.mark.parametrize("rows", [0, 2])
def test_the_row_must_be_there_once(upload: Callable[[Streams], None], rows: int) -> None:
    with pytest.raises(TidemillError) as caught:
        upload(Streams(Appended(0), rows=rows))
    assert caught.value.code == "row_not_counted"
    assert str(rows) in caught.value.message
