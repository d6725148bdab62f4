"""Here everything begins as it does for a new user: in a home that is not there yet."""

from __future__ import annotations

import pytest
from tests.installation import Installation


@pytest.fixture
def installation(fresh_installation: Installation) -> Installation:
    """A home that is not there yet, and a fresh dataset."""
    return fresh_installation
