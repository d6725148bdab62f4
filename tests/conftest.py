"""Fixtures that several suites share; test modules import the helpers beside this file as `tests.<helper>`."""

from __future__ import annotations

import functools
import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests import memory_disk
from tests.rare import is_rare

pytest_plugins = [
    "tests.installation",
    "tests.syncs",
    "tests.dbt_syncs",
    "tests.postgres_fixture",
    "tests.receivers",
    "tests.capture_server",
    "tests.s3_server",
    "tests.object_store",
    "tests.sdks.node_senders",
    "tests.sdks.browser",
]

memory_disk.prepare()

# The embedded BigQuery has no such quota, and tests cut what is small into many pieces.
os.environ.setdefault("TIDEMILL_TABLE_CHANGES_BURST", "100000")

# Hundreds of processes are started, and each would compile what it imports if none may keep it.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# The machine may be slow; a property is not.
settings.register_profile("tidemill", deadline=None)
settings.load_profile("tidemill")


def pytest_xdist_auto_num_workers() -> int:
    """Tests wait for processes and disks, too: there are more of them at a time than cores."""
    cores = os.cpu_count() or 1
    return cores + (cores + 1) // 2


@pytest.hookimpl(tryfirst=True)  # before those of `make torture` are left out
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Torture takes as long as it is told to."""
    for item in items:
        if is_rare(item.nodeid):
            item.add_marker(pytest.mark.torture)
        if item.get_closest_marker("torture"):
            item.add_marker(pytest.mark.timeout(0))


def pytest_collection_finish() -> None:
    """Thousands of tests and all that they import stay to the end: Python need not look for cycles there."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def keys_are_checked_once() -> None:
    """To see that the numbers of a private key are primes takes 80 ms, and hundreds of tests give the same key."""
    from tidemill.bigquery import credentials

    credentials._check_private_key = functools.cache(credentials._check_private_key)


@pytest.fixture(autouse=True)
def no_server_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """The PostgreSQL of a home is that of one test: hundreds of them would be left at the end."""
    from tests.postgres_fixture import LASTING

    from tidemill.store import embedded

    if "tmp_path" in request.fixturenames:
        request.getfixturevalue("tmp_path")  # it is removed after the server has ended
    before = embedded.used()
    yield
    for folder in embedded.used() - before - LASTING:
        embedded.leave(folder)
