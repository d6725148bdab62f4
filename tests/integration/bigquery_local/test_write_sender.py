"""The sender of rows to a stream: whatever becomes of requests, each row is in the stream once, or told as refused."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pytest
from google.cloud import bigquery
from tests.integration.bigquery_local.warehouse import Warehouse, make
from tests.integration.bigquery_local.warehouse import rows as stored
from tests.integration.bigquery_local.writer import APPEND, numbers

from tidemill.bigquery import write_sender
from tidemill.bigquery.client import Client
from tidemill.bigquery.credentials import Auth
from tidemill.bigquery.local.service import DEFAULT_PROJECT
from tidemill.bigquery.retry import Policy
from tidemill.bigquery.write_sender import Sender
from tidemill.bigquery.write_streams import WriteStreams
from tidemill.errors import AccessError, Cancelled, ConfigError, ConflictError, NotFoundError, UnavailableError

SCHEMA = numbers().schema
CODES = ["INTERNAL", "ABORTED", "UNAVAILABLE", "RESOURCE_EXHAUSTED"]


@dataclasses.dataclass(frozen=True)
class Numbers:
    """Rows of one request; NULL is refused."""

    values: tuple[int | None, ...]

    @property
    def batch(self) -> pa.RecordBatch:
        return numbers(*self.values)

    def without(self, places: Sequence[int]) -> Numbers:
        return Numbers(tuple(value for place, value in enumerate(self.values) if place not in places))


@dataclasses.dataclass
class Setting:
    """A pending stream of the table `t`, and what was refused."""

    warehouse: Warehouse
    google: bigquery.Client
    client: Client
    streams: WriteStreams
    stream: str
    refused: list[tuple[int, str]] = dataclasses.field(default_factory=list)

    def sender(self, **fields: Any) -> Sender[Numbers]:
        return Sender(self.streams, self.client, self.stream, SCHEMA, self.told, **fields)

    def told(self, rows: Numbers, bad: Sequence[tuple[int, str]]) -> None:
        assert all(rows.values[place] is None for place, _ in bad)
        self.refused += bad

    def send(self, requests: Sequence[Numbers]) -> int:
        sender = self.sender()
        try:
            for rows in requests:
                sender.send(rows)
            return sender.finish()
        finally:
            sender.close()

    def committed(self) -> list[tuple[Any, ...]]:
        """The rows of the table, once the stream is committed."""
        self.warehouse.local.set_faults([])
        assert stored(self.google, self.warehouse.name("t")) == []
        self.streams.finalize(self.stream)
        self.streams.commit(self.warehouse.dataset, "t", [self.stream])
        return stored(self.google, self.warehouse.name("t"))


@pytest.fixture
def setting(client: bigquery.Client, warehouse: Warehouse) -> Iterator[Setting]:
    make(client, warehouse.name("t"), "a INT64 REQUIRED")
    key = json.dumps(warehouse.local.key("tidemill-admin"))
    own = Client(Auth(key=key), DEFAULT_PROJECT, policy=Policy(jitter=lambda *_: 0.01))
    streams = WriteStreams(own)
    yield Setting(warehouse, client, own, streams, streams.create(warehouse.dataset, "t", pending=True))
    warehouse.local.set_faults([])
    streams.close()
    own.close()


def plan(draw: random.Random) -> list[dict[str, Any]]:
    """Some faults of appends."""
    kinds: list[dict[str, Any]] = [
        {"fault": "status", "grpc_code": draw.choice(CODES), "after_commit": draw.random() < 0.5},
        {"fault": "status", "grpc_code": draw.choice(CODES), "after_commit": draw.random() < 0.5, "in_response": True},
        {"fault": "cut", "after_commit": draw.random() < 0.5},
    ]
    chosen = [{**draw.choice(kinds), "times": draw.randint(1, 2)} for _ in range(draw.randint(1, 4))]
    chosen += [{"fault": "expire_tokens"}] * draw.randint(0, 1)  # twice in a row they are taken for refused
    return [{"path": APPEND, "nth": draw.randint(1, 12), **one} for one in chosen]


@pytest.mark.parametrize("seed", range(12))
def test_each_row_is_in_once_whatever_happens(setting: Setting, seed: int) -> None:
    draw = random.Random(seed)
    requests = [Numbers(tuple(range(n * 10, n * 10 + draw.randint(1, 10)))) for n in range(20)]
    setting.warehouse.local.set_faults(plan(draw))
    wanted = [(value,) for rows in requests for value in rows.values]
    assert setting.send(requests) == len(wanted)
    assert setting.committed() == wanted


@pytest.mark.parametrize("seed", range(6))
def test_rows_that_are_refused_are_left_out(setting: Setting, seed: int) -> None:
    """Of several requests in flight, also all rows of one; and while connections break, if they are sent one by one."""
    draw = random.Random(seed)
    requests = [
        Numbers(tuple(None if draw.random() < 0.2 else n * 10 + m for m in range(draw.randint(1, 5))))
        for n in range(20)
    ]
    requests[draw.randrange(20)] = Numbers((None, None))
    wanted = [(value,) for rows in requests for value in rows.values if value is not None]
    if seed % 2:
        assert setting.send(requests) == len(wanted)
    else:
        setting.warehouse.local.set_faults(plan(draw))
        sender = setting.sender(at_once=1)
        for rows in requests:
            sender.send(rows)
        assert sender.finish() == len(wanted)
        sender.close()
    assert setting.committed() == wanted
    assert len(setting.refused) == sum(rows.values.count(None) for rows in requests)
    assert all("cannot be empty" in why for _, why in setting.refused)


def test_a_stream_of_which_nobody_knows_what_may_come_in_is_given_up(setting: Setting) -> None:
    """A connection broke with requests on their way; then rows are refused, so those after them would move up."""
    setting.warehouse.local.set_faults([{"path": APPEND, "nth": 1, "fault": "cut"}])
    with pytest.raises(NotFoundError) as caught:
        setting.send([Numbers((1, None)), Numbers((2,)), Numbers((3,))])
    assert caught.value.code == "stream_doubtful"
    assert setting.refused == []


def test_a_stream_that_is_gone_is_told(setting: Setting) -> None:
    setting.warehouse.local.set_faults([{"path": APPEND, "nth": 3, "fault": "expire_stream"}])
    with pytest.raises(NotFoundError) as caught:
        setting.send([Numbers((n,)) for n in range(9)])
    assert caught.value.code == "stream_gone"


def test_what_does_not_help_is_not_tried_again(setting: Setting) -> None:
    faults = {"path": APPEND, "fault": "status", "times": 99}
    for code, kind in (("PERMISSION_DENIED", AccessError), ("INVALID_ARGUMENT", ConfigError)):
        setting.warehouse.local.set_faults([{**faults, "grpc_code": code, "in_response": code != "PERMISSION_DENIED"}])
        with pytest.raises(kind):
            setting.send([Numbers((1,))])
    setting.client.policy = dataclasses.replace(setting.client.policy, deadline=0.1)
    setting.warehouse.local.set_faults([faults])
    with pytest.raises(UnavailableError):
        setting.send([Numbers((1,))])


def test_a_column_that_is_not_noticed_yet_is_waited_for(setting: Setting) -> None:
    """The table has it by the time of the second try."""
    wider = pa.RecordBatch.from_pydict({"a": pa.array([1]), "b": pa.array([2])})
    tries = []

    class Wide(Numbers):
        @property
        def batch(self) -> pa.RecordBatch:
            tries.append(1)
            if len(tries) == 3:
                table = setting.google.get_table(setting.warehouse.name("t"))
                table.schema = [*table.schema, bigquery.SchemaField("b", "INT64")]
                setting.google.update_table(table, ["schema"])
            return wider

    sender: Sender[Numbers] = Sender(setting.streams, setting.client, setting.stream, wider.schema, setting.told)
    sender.send(Wide((1,)))
    assert sender.finish() == 1
    sender.close()
    assert setting.committed() == [(1, 2)]


def test_a_connection_that_is_silent_is_given_up(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write_sender, "_SILENT", 0.0)
    setting.warehouse.local.set_faults([{"path": APPEND, "fault": "delay_response", "seconds": 600}])
    assert setting.send([Numbers((1,)), Numbers((2,))]) == 2
    assert setting.committed() == [(1,), (2,)]


def test_a_wait_for_answers_can_be_cancelled(setting: Setting) -> None:
    setting.warehouse.local.set_faults([{"path": APPEND, "fault": "delay_response", "seconds": 600}])
    sender = setting.sender()
    sender.send(Numbers((1,)))
    setting.client.cancelled = lambda: True
    with pytest.raises(Cancelled):
        sender.finish()
    sender.close()


def test_a_commit_of_which_nobody_knows_says_so(setting: Setting) -> None:
    """Its answer was lost, and then the streams are gone; if one is known as committed, all are."""
    names = [setting.stream, setting.streams.create(setting.warehouse.dataset, "t", pending=True)]
    for name in names:
        setting.stream = name
        setting.send([Numbers((1,))])
        setting.streams.finalize(name)
    commit = {"path": "BatchCommit", "fault": "status"}
    said = f"Requested entity was not found. Entity: {names[0]}"
    setting.warehouse.local.set_faults([commit, {**commit, "nth": 2, "grpc_code": "NOT_FOUND", "message": said}])
    with pytest.raises(ConflictError) as unknown:
        setting.streams.commit(setting.warehouse.dataset, "t", names)
    assert unknown.value.code == "commit_unconfirmed"
    setting.warehouse.local.set_faults([{**commit, "grpc_code": "NOT_FOUND", "message": said}])
    with pytest.raises(NotFoundError) as gone:  # the first answer: nothing was committed
        setting.streams.commit(setting.warehouse.dataset, "t", names)
    assert gone.value.code == "stream_gone"
    setting.warehouse.local.set_faults([])
    setting.streams.commit(setting.warehouse.dataset, "t", names)
    setting.warehouse.local.set_faults([{"path": "Finalize", "fault": "expire_stream"}])
    with pytest.raises(NotFoundError):
        setting.streams.finalize(names[0])
    setting.streams.commit(setting.warehouse.dataset, "t", names)
    assert stored(setting.google, setting.warehouse.name("t")) == [(1,), (1,)]
