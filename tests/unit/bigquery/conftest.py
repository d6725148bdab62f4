"""A fake BigQuery for each test, and a client of it whose time is the test's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import discovery
from tests.fake_bigquery import PROJECT, Clock, FakeBigQuery
from tests.load_jobs import ROWS

from tidemill.bigquery import upload
from tidemill.bigquery.client import Client
from tidemill.bigquery.credentials import Auth


@pytest.fixture
def bigquery() -> Iterator[FakeBigQuery]:
    with FakeBigQuery() as server:
        yield server
    for request in server.log:
        assert discovery.problems(request) == [], request


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def client(bigquery: FakeBigQuery, clock: Clock) -> Iterator[Client]:
    made = Client(Auth(bigquery.key()), PROJECT, "EU", policy=clock.policy())
    yield made
    made.close()


@pytest.fixture
def path(tmp_path: Path, bigquery: FakeBigQuery) -> Path:
    bigquery.add_table("events", ("event", "STRING"))
    file = tmp_path / "rows.jsonl"
    file.write_bytes(b"\n".join(ROWS) + b"\n")
    return file


@pytest.fixture
def large(path: Path) -> Path:
    """A file of three pieces."""
    path.write_bytes(b"x" * (2 * upload.PIECE + 5))
    return path
