"""Rows by several streams: side by side, each batch once, and nothing goes on when nobody reads any more."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from tidemill.bigquery import read_rows
from tidemill.errors import UnavailableError

SCHEMA = pa.schema([("n", pa.int64())])
STREAMS, BATCHES = 3, 4


class Calls:
    """A service with three streams. No one of them gives anything before all are asked."""

    asked = threading.Barrier(STREAMS)
    breaks = False

    def __init__(self, _client: Any, _place: Any, cancelled: Any) -> None:
        self._cancelled = cancelled

    def session(self, _names: Any, _where: str, streams: int) -> Any:
        schema = SimpleNamespace(serialized_schema=SCHEMA.serialize().to_pybytes())
        return SimpleNamespace(arrow_schema=schema, streams=[SimpleNamespace(name=f"{n}") for n in range(streams)])

    def rows(self, stream: str) -> Iterator[bytes]:
        self.asked.wait(30)
        for number in range(BATCHES):
            if self._cancelled():
                return
            yield pa.record_batch([[int(stream) * BATCHES + number]], schema=SCHEMA).serialize().to_pybytes()
        if self.breaks and stream == "1":
            raise UnavailableError("gone", "The service is gone.")

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> type[Calls]:
    monkeypatch.setattr(read_rows, "_Calls", Calls)
    monkeypatch.setattr(Calls, "asked", threading.Barrier(STREAMS))
    return Calls


def _batches() -> Iterator[Any]:
    client: Any = SimpleNamespace(cancelled=lambda: False)
    return read_rows.batches(client, ("p", "d", "t"), ["n"], streams=STREAMS)


@pytest.mark.usefixtures("calls")
def test_streams_are_read_side_by_side_and_each_batch_comes_once_in_the_order_of_its_stream() -> None:
    found = [number for batch in _batches() for number in batch.column("n").to_pylist()]
    assert sorted(found) == list(range(STREAMS * BATCHES))
    for stream in range(STREAMS):
        assert [n // BATCHES for n in found].count(stream) == BATCHES
        assert [n for n in found if n // BATCHES == stream] == sorted(n for n in found if n // BATCHES == stream)


@pytest.mark.usefixtures("calls")
def test_who_stops_reading_leaves_no_thread_behind() -> None:
    before = set(threading.enumerate())
    batches = _batches()
    assert next(batches).num_rows == 0
    assert next(batches).num_rows == 1
    batches.close()  # type: ignore[attr-defined]
    assert set(threading.enumerate()) <= before


def test_an_error_of_one_stream_is_that_of_the_reading(calls: type[Calls], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "breaks", True)
    with pytest.raises(UnavailableError, match="is gone"):
        list(_batches())
