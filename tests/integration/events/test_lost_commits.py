"""PostgreSQL commits, and its answer is lost: the files of that commit stay, whoever thinks that it failed."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from tests.postgres_proxy import PostgresProxy, proxied

from tidemill.app import App
from tidemill.errors import UnavailableError
from tidemill.events import durable, maintenance
from tidemill.events.catalog import BATCH_COLUMNS
from tidemill.events.erasure import PersonEvents
from tidemill.events.lake import Appended, Lake, Place
from tidemill.events.sources.metadata import Metadata
from tidemill.store.postgres import Postgres

_TYPES = {"team_id": pa.int64(), "timestamp": pa.timestamp("us", "UTC")}
#: More than what lies in the catalog itself.
ROWS = 50


@pytest.fixture
def proxy_and_app(postgres: Postgres, tmp_path: Path) -> Iterator[tuple[PostgresProxy, App]]:
    proxy, settings = proxied(postgres, tmp_path / "home")
    with proxy, App(settings) as app:
        app.lake.position()
        yield proxy, app


def append(lake: Lake, first: int) -> Appended:
    names = [f"id-{n}" for n in range(first, first + ROWS)]
    given = {"uuid": names, "team_id": [1] * ROWS, "event": ["hit"] * ROWS, "properties": ["{}"] * ROWS}
    arrays = {name: pa.array(given.get(name, [None] * ROWS), _TYPES.get(name, pa.string())) for name in BATCH_COLUMNS}
    return lake.append(lake.prepare([pa.record_batch(arrays)]), Place("file", first))


def numbers(lake: Lake) -> list[int]:
    """Those of the events that there are, all of whose columns can be read."""
    with lake.cursor() as cursor:
        rows = cursor.execute("SELECT * FROM lake.events").fetchall()
    return sorted(int(row[0].removeprefix("id-")) for row in rows)


def lost(proxy: PostgresProxy, what: str) -> pytest.RaisesExc[UnavailableError]:
    proxy.lose(what)
    return pytest.raises(UnavailableError)


@pytest.mark.parametrize(("what", "kept"), [("answer", True), ("request", False)])
def test_events_are_all_there_or_not_at_all(proxy_and_app: tuple[PostgresProxy, App], what: str, kept: bool) -> None:
    proxy, app = proxy_and_app
    append(app.lake, 0)
    with lost(proxy, what):
        append(app.lake, ROWS)
    assert proxy.lost == 1
    assert numbers(app.lake) == list(range(2 * ROWS if kept else ROWS))
    again = append(app.lake, ROWS)
    assert again == (Appended(0, ROWS) if kept else Appended(ROWS, 0))
    assert numbers(app.lake) == list(range(2 * ROWS))


def test_a_process_dies_before_it_has_put_its_files_back(
    proxy_and_app: tuple[PostgresProxy, App], monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, app = proxy_and_app
    append(app.lake, 0)
    with monkeypatch.context() as patch:
        patch.setattr(durable.Files, "release", lambda *_, **__: None)
        with lost(proxy, "answer"):
            append(app.lake, ROWS)
    held = app.settings.home_path / "events" / "held"
    assert len(list(held.iterdir())) == 1
    with App(app.settings) as other:
        assert numbers(other.lake) == list(range(2 * ROWS))
        assert append(other.lake, ROWS) == Appended(0, ROWS)
    monkeypatch.setattr(durable, "_HELD_SECONDS", -1.0)
    with App(app.settings) as other:
        assert numbers(other.lake) == list(range(2 * ROWS))
    assert not list(held.iterdir())


def test_a_disk_without_second_names(proxy_and_app: tuple[PostgresProxy, App], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    proxy, app = proxy_and_app
    append(app.lake, 0)
    with lost(proxy, "answer"):
        append(app.lake, ROWS)
    assert numbers(app.lake) == list(range(2 * ROWS))
    assert not list((app.settings.home_path / "events" / "held").iterdir())


@pytest.mark.parametrize("what", ["answer", "request"])
def test_files_that_are_joined(proxy_and_app: tuple[PostgresProxy, App], what: str) -> None:
    proxy, app = proxy_and_app
    for number in range(4):
        append(app.lake, number * ROWS)
    with lost(proxy, what):
        maintenance.compact(app.lake)
    assert numbers(app.lake) == list(range(4 * ROWS))
    maintenance.compact(app.lake)
    assert numbers(app.lake) == list(range(4 * ROWS))


@pytest.mark.parametrize("what", ["answer", "request"])
def test_events_that_are_deleted(proxy_and_app: tuple[PostgresProxy, App], what: str) -> None:
    proxy, app = proxy_and_app
    append(app.lake, 0)
    events = PersonEvents(app.lake, Metadata("tidemill"))
    gone = [f"id-{n}" for n in range(0, ROWS, 2)]
    with lost(proxy, what):
        events.delete(1, gone)
    assert numbers(app.lake) in ([*range(ROWS)], [*range(1, ROWS, 2)])
    events.delete(1, gone)
    assert numbers(app.lake) == [*range(1, ROWS, 2)]
