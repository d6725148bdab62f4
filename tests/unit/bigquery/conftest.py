"""A fake BigQuery for each test, and a client of it whose time is the test's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests import discovery
from tests.fake_bigquery import PROJECT, Clock, FakeBigQuery

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
