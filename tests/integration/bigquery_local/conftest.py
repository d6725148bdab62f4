"""A dataset of its own for each test, asked by Google's own client."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from google.cloud import bigquery
from tests.installation import Installation
from tests.integration.bigquery_local.warehouse import Warehouse


@pytest.fixture
def warehouse(installation: Installation) -> Iterator[Warehouse]:
    yield Warehouse(installation.local, installation.dataset)
    installation.local.set_faults([])


@pytest.fixture
def client(warehouse: Warehouse) -> Iterator[bigquery.Client]:
    made = warehouse.client()
    yield made
    made.close()
