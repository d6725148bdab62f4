"""Fixtures that several suites share; test modules import the helpers beside this file as `tests.<helper>`."""

from __future__ import annotations

import sys
from pathlib import Path

from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent.parent))

pytest_plugins = ["tests.installation", "tests.postgres_fixture"]

# The machine may be slow; a property is not.
settings.register_profile("tidemill", deadline=None)
settings.load_profile("tidemill")
