"""Event data in a bucket: each event once, whatever the object store and the database do meanwhile."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.postgres_proxy import PostgresProxy
from tests.s3_server import KEY, REGION, SECRET, S3Server

from tidemill.app import App
from tidemill.errors import UnavailableError
from tidemill.events import maintenance
from tidemill.events.catalog import BATCH_COLUMNS
from tidemill.events.erasure import PersonEvents
from tidemill.events.lake import Appended, Lake, Place
from tidemill.events.sources.metadata import Metadata
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


@pytest.fixture
def store(s3: S3Server, postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    s3.faults.clear()
    s3.requests.clear()
    with PostgresProxy(postgres) as proxy:
        yield Store(s3, s3.bucket(), proxy, tmp_path)


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


def lost(proxy: PostgresProxy, what: str) -> pytest.RaisesExc[UnavailableError]:
    proxy.lose(what)
    return pytest.raises(UnavailableError)


def files(store: Store) -> list[str]:
    return [name for name in store.s3.names(store.bucket) if name.endswith(".parquet")]


def test_events_are_committed_and_read(store: Store) -> None:
    with store.app() as app:
        assert append(app.lake, 0) == Appended(ROWS, 0)
        assert append(app.lake, ROWS // 2) == Appended(ROWS // 2, ROWS // 2)
        assert append(app.lake, 10 * ROWS, 20) == Appended(20, 0)
    with store.app("other") as app:
        assert numbers(app.lake) == [*range(ROWS + ROWS // 2), *range(10 * ROWS, 10 * ROWS + 20)]
        maintenance.compact(app.lake)
        assert numbers(app.lake) == [*range(ROWS + ROWS // 2), *range(10 * ROWS, 10 * ROWS + 20)]
    assert all(name.startswith("events/") for name in store.s3.names(store.bucket))


@pytest.mark.parametrize(("what", "kept"), [("answer", True), ("request", False)])
def test_the_answer_of_the_database_is_lost(store: Store, what: str, kept: bool) -> None:
    with store.app() as app:
        append(app.lake, 0)
        with lost(store.proxy, what):
            append(app.lake, ROWS)
        assert store.proxy.lost == 1
        assert numbers(app.lake) == list(range(2 * ROWS if kept else ROWS))
        assert append(app.lake, ROWS) == (Appended(0, ROWS) if kept else Appended(ROWS, 0))
        assert numbers(app.lake) == list(range(2 * ROWS))
        with lost(store.proxy, what):
            maintenance.compact(app.lake)
        assert numbers(app.lake) == list(range(2 * ROWS))
        events, gone = PersonEvents(app.lake, Metadata("tidemill")), [f"id-{n}" for n in range(0, 2 * ROWS, 2)]
        with lost(store.proxy, what):
            events.delete(1, gone)
        events.delete(1, gone)
        assert numbers(app.lake) == list(range(1, 2 * ROWS, 2))
