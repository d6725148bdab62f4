"""What tests of connections have in common."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.installation import Installation

from tidemill.app import App


@pytest.fixture
def app(installation: Installation) -> Iterator[App]:
    """The webhook may be reached."""
    with installation.app(outbound_allow="127.0.0.1", retry_deadline_seconds=20) as opened:
        yield opened
