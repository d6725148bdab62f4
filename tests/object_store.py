"""An installation whose event data lies in a bucket, and whose database is reached by a proxy."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.postgres_proxy import PostgresProxy
from tests.s3_server import KEY, REGION, SECRET, S3Server

from tidemill.app import App
from tidemill.events.catalog import BATCH_COLUMNS
from tidemill.events.lake import Appended, Lake, Place
from tidemill.settings import Settings
from tidemill.store.postgres import Postgres

_TYPES = {"team_id": pa.int64(), "timestamp": pa.timestamp("us", "UTC")}
#: More than what lies in the catalog itself.
ROWS = 300


@dataclasses.dataclass
class Store:
    """An installation whose event data lies in a bucket, and whose database is reached by a proxy."""

    s3: S3Server
    bucket: str
    proxy: PostgresProxy
    home: Path

    def settings(self, home: str = "home", **fields: Any) -> Settings:
        place = f"s3://{self.bucket}/events?endpoint={self.s3.endpoint}&region={REGION}"
        return Settings(home=self.home / home, database_url=self.proxy.url, event_data=place, **fields)

    def app(self, home: str = "home", **fields: Any) -> App:
        return App(self.settings(home, **fields))


@contextlib.contextmanager
def made(s3: S3Server, postgres: Postgres, folder: Path) -> Iterator[Store]:
    """One, for the time of the block."""
    s3.faults.clear()
    with PostgresProxy(postgres) as proxy, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", KEY)
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        yield Store(s3, s3.bucket(), proxy, folder)


@pytest.fixture
def store(s3: S3Server, postgres: Postgres, tmp_path: Path) -> Iterator[Store]:
    with made(s3, postgres, tmp_path) as found:
        yield found


def append(lake: Lake, first: int, rows: int = ROWS) -> Appended:
    names = [f"id-{n}" for n in range(first, first + rows)]
    given = {"uuid": names, "team_id": [1] * rows, "event": ["hit"] * rows, "properties": ["{}"] * rows}
    arrays = {name: pa.array(given.get(name, [None] * rows), _TYPES.get(name, pa.string())) for name in BATCH_COLUMNS}
    return lake.append(lake.prepare([pa.record_batch(arrays)]), Place("file", first))


def numbers(lake: Lake) -> list[int]:
    """Those of the events that there are, all of whose columns can be read."""
    with lake.cursor() as cursor:
        rows = cursor.execute("SELECT * FROM lake.events").fetchall()
    return sorted(int(row[0].removeprefix("id-")) for row in rows)
