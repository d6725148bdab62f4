"""The Storage Read API of the embedded BigQuery, asked by Google's own client: columns, rows, rights, faults."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import grpc
import pyarrow as pa
import pytest
from google.api_core import exceptions as api
from google.auth.transport.requests import Request
from google.cloud import bigquery
from google.cloud import bigquery_storage_v1 as storage
from google.cloud.bigquery_storage_v1 import types
from google.cloud.bigquery_storage_v1.services.big_query_read.transports import BigQueryReadGrpcTransport
from tests.integration.bigquery_local.warehouse import Warehouse, make

from tidemill.bigquery import read_rows
from tidemill.bigquery.client import Client
from tidemill.bigquery.credentials import Auth, build
from tidemill.bigquery.local.service import DEFAULT_PROJECT
from tidemill.bigquery.retry import Policy
from tidemill.errors import AccessError, ConfigError, NotFoundError

READ_ROWS = "/google.cloud.bigquery.storage.v1.BigQueryRead/ReadRows"
CREATE = "/google.cloud.bigquery.storage.v1.BigQueryRead/CreateReadSession"
COLUMNS = {
    "i": ("1", pa.int64(), 1),
    "f": ("0.5", pa.float64(), 0.5),
    "n": ("NUMERIC '1.25'", pa.decimal128(38, 9), Decimal("1.25")),
    "s": ("'ü'", pa.string(), "ü"),
    "y": ("FROM_HEX('00ff')", pa.binary(), b"\x00\xff"),
    "b": ("TRUE", pa.bool_(), True),
    "d": ("DATE '2024-02-29'", pa.date32(), dt.date(2024, 2, 29)),
    "t": ("TIME '01:02:03'", pa.time64("us"), dt.time(1, 2, 3)),
    "dt": ("DATETIME '2024-01-02 03:04:05'", pa.timestamp("us"), dt.datetime(2024, 1, 2, 3, 4, 5)),  # noqa: DTZ001
    "ts": (
        "TIMESTAMP '2024-01-02 03:04:05+00'",
        pa.timestamp("us", "UTC"),
        dt.datetime(2024, 1, 2, 3, 4, 5, tzinfo=dt.UTC),
    ),
    "j": ("JSON '{\"a\":1}'", pa.string(), '{"a":1}'),
    "g": ("ST_GEOGPOINT(1, 2)", pa.string(), "POINT (1 2)"),
    "a": ("[1, 2]", pa.list_(pa.int64()), [1, 2]),
    "st": ("STRUCT(1 AS x, 'a' AS y)", pa.struct([("x", pa.int64()), ("y", pa.string())]), {"x": 1, "y": "a"}),
}


class Reader:
    """Google's client, signed in."""

    def __init__(self, warehouse: Warehouse, account: str = "tidemill-admin", **permissions: Any) -> None:
        self._warehouse = warehouse
        self._channel = grpc.insecure_channel(warehouse.local.status().storage)
        self.client = storage.BigQueryReadClient(transport=BigQueryReadGrpcTransport(channel=self._channel))
        credentials = build(Auth(json.dumps(warehouse.local.key(account, **permissions))))
        credentials.refresh(Request())
        self.metadata = [("authorization", f"Bearer {credentials.token}")]

    def session(self, table: str, streams: int = 1, **options: Any) -> types.ReadSession:
        """A session."""
        name = f"projects/{DEFAULT_PROJECT}/datasets/{self._warehouse.dataset}/tables/{table}"
        session = types.ReadSession(table=name, data_format="ARROW", read_options=options)
        request = types.CreateReadSessionRequest(
            parent=f"projects/{DEFAULT_PROJECT}", read_session=session, max_stream_count=streams
        )
        return self.client.create_read_session(request, metadata=self.metadata, retry=None)

    def table(self, table: str, **options: Any) -> pa.Table:
        """All rows of a table."""
        session = self.session(table, **options)
        (stream,) = session.streams
        return self.rows(session, stream.name)

    def rows(self, session: types.ReadSession, stream: str, offset: int = 0) -> pa.Table:
        """The rows of a stream from one on."""
        schema = pa.ipc.read_schema(pa.py_buffer(session.arrow_schema.serialized_schema))
        answers = self.client.read_rows(stream, offset=offset, metadata=self.metadata)
        contents = [answer.arrow_record_batch.serialized_record_batch for answer in answers]
        return pa.Table.from_batches([pa.ipc.read_record_batch(pa.py_buffer(one), schema) for one in contents], schema)

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()


@pytest.fixture
def reader(warehouse: Warehouse) -> Iterator[Reader]:
    made = Reader(warehouse)
    yield made
    made.close()


@pytest.fixture
def ours(warehouse: Warehouse) -> Iterator[Client]:
    """Our client, which does not wait long."""
    key = json.dumps(warehouse.local.key("tidemill-admin"))
    client = Client(Auth(key), DEFAULT_PROJECT, location="EU", policy=Policy(deadline=30, jitter=lambda *_: 0.01))
    yield client
    client.close()


def ask(client: bigquery.Client, sql: str) -> None:
    client.query(sql).result()


def many(client: bigquery.Client, warehouse: Warehouse, rows: int) -> tuple[str, str, str]:
    """A table of that many rows."""
    ask(client, f"CREATE TABLE `{warehouse.name('m')}` AS SELECT n FROM UNNEST(GENERATE_ARRAY(1, {rows})) AS n")
    return (DEFAULT_PROJECT, warehouse.dataset, "m")


def test_each_type_has_its_arrow_type(client: bigquery.Client, warehouse: Warehouse, reader: Reader) -> None:
    columns = ", ".join(f"{literal} AS {name}" for name, (literal, _, _) in COLUMNS.items())
    ask(client, f"CREATE TABLE `{warehouse.name('c')}` AS SELECT {columns}")
    found = reader.table("c")
    assert {name: found.schema.field(name).type for name in COLUMNS} == {n: kind for n, (_, kind, _) in COLUMNS.items()}
    assert found.to_pylist() == [{name: value for name, (_, _, value) in COLUMNS.items()}]


def test_columns_and_rows_are_chosen(client: bigquery.Client, warehouse: Warehouse, reader: Reader) -> None:
    make(client, warehouse.name("r"), "a INT64", "b STRING", "c BOOL")
    ask(client, f"INSERT INTO `{warehouse.name('r')}` VALUES (1, 'x', TRUE), (2, 'y', TRUE), (3, 'x', FALSE)")
    found = reader.table("r", selected_fields=["b", "a"], row_restriction="c = TRUE AND a >= 2 AND a <= 9")
    assert found.to_pylist() == [{"a": 2, "b": "y"}]
    assert reader.session("r", row_restriction="a > 5").streams == []


@pytest.mark.parametrize(
    "options",
    [
        {"row_restriction": "a ="},
        {"row_restriction": "a = 1; DROP TABLE r"},
        {"row_restriction": "a IN (SELECT 1)"},
        {"row_restriction": "TRUE ORDER BY a"},
        {"selected_fields": ["nope"]},
    ],
)
def test_what_is_no_condition_is_refused(table: str, reader: Reader, options: dict[str, Any]) -> None:
    assert table.endswith(".t")
    with pytest.raises(api.InvalidArgument):
        reader.session("t", **options)


def test_many_rows_come_in_several_streams_each_once(
    client: bigquery.Client, warehouse: Warehouse, ours: Client, reader: Reader
) -> None:
    place = many(client, warehouse, 250_000)
    assert len(reader.session("m", streams=4).streams) == 2
    batches = list(read_rows.batches(ours, place, ["n"], streams=4))
    assert batches[0].num_rows == 0
    found = [value for batch in batches for value in batch.column(0).to_pylist()]
    assert sorted(found) == list(range(1, 250_001))


def test_a_session_sees_the_table_as_it_was(client: bigquery.Client, warehouse: Warehouse, reader: Reader) -> None:
    many(client, warehouse, 3)
    session = reader.session("m")
    ask(client, f"DELETE FROM `{warehouse.name('m')}` WHERE TRUE")
    found = reader.rows(session, session.streams[0].name, offset=1)
    assert found.to_pylist() == [{"n": 2}, {"n": 3}]


@pytest.mark.parametrize("fault", ["cut", "status"])
def test_a_stream_that_breaks_off_is_gone_on_with(
    client: bigquery.Client, warehouse: Warehouse, ours: Client, fault: str
) -> None:
    place = many(client, warehouse, 20_000)
    warehouse.local.set_faults(
        [{"path": READ_ROWS, "method": "GRPC", "fault": fault, "after_commit": True, "times": 2}]
    )
    assert sorted(read_rows.table(ours, place, ["n"], "").column("n").to_pylist()) == list(range(1, 20_001))


@pytest.mark.parametrize("path", [CREATE, READ_ROWS])
@pytest.mark.parametrize("fault", [{"fault": "cut"}, {"fault": "status", "status": 503}, {"fault": "expire_tokens"}])
def test_a_call_that_fails_is_made_again(
    client: bigquery.Client, warehouse: Warehouse, ours: Client, path: str, fault: dict[str, Any]
) -> None:
    place = many(client, warehouse, 10)
    warehouse.local.set_faults([{"path": path, "method": "GRPC", **fault}])
    assert read_rows.table(ours, place, ["n"], "n > 3").num_rows == 7


@pytest.mark.parametrize("missing", ["bigquery.readsessions.create", "bigquery.tables.getData"])
def test_who_may_not_read_is_told_what_is_missing(client: bigquery.Client, warehouse: Warehouse, missing: str) -> None:
    place = many(client, warehouse, 1)
    key = json.dumps(warehouse.local.key("limited", deny=[missing]))
    limited = Client(Auth(key), DEFAULT_PROJECT, location="EU")
    with pytest.raises(AccessError) as caught:
        read_rows.table(limited, place, ["n"], "")
    assert missing in f"{caught.value.message} {caught.value.hint}"
    limited.close()


def test_what_is_not_there_is_told(warehouse: Warehouse, ours: Client) -> None:
    with pytest.raises((NotFoundError, ConfigError)):
        read_rows.table(ours, (DEFAULT_PROJECT, warehouse.dataset, "nope"), ["n"], "")
