"""A dataset of its own for each test, asked by Google's own client."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from google.cloud import bigquery
from tests.installation import Installation
from tests.integration.bigquery_local.warehouse import Warehouse, make
from tests.integration.bigquery_local.writer import Writer


@pytest.fixture
def warehouse(fresh_installation: Installation) -> Iterator[Warehouse]:
    yield Warehouse(fresh_installation.local, fresh_installation.dataset)
    fresh_installation.local.set_faults([])


@pytest.fixture
def client(warehouse: Warehouse) -> Iterator[bigquery.Client]:
    made = warehouse.client()
    yield made
    made.close()


@pytest.fixture
def writer(warehouse: Warehouse) -> Iterator[Writer]:
    made = Writer(warehouse)
    yield made
    made.close()


@pytest.fixture
def table(client: bigquery.Client, warehouse: Warehouse) -> str:
    """The name of a table ``a INT64``, as SQL has it."""
    make(client, warehouse.name("t"), "a INT64")
    return warehouse.name("t")
