"""An installation that is open, and a program that asks its API."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.api_client import Client
from tests.installation import Installation
from tests.stocked import made

from tidemill.app import App

__all__ = ["made"]


@pytest.fixture
def app(installation: Installation) -> Iterator[App]:
    with installation.app(outbound_allow="127.0.0.1") as opened:
        yield opened


@pytest.fixture
def client(app: App) -> Client:
    return Client(app)


@pytest.fixture
def token(client: Client) -> str:
    """One that may do everything."""
    return client.token()
