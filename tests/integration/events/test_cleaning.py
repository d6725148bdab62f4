"""Files of the event store that nobody needs are removed, and no others, in a folder and in a bucket alike."""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from tests.object_store import ROWS, Store, append, numbers

from tidemill.app import App
from tidemill.events import maintenance
from tidemill.events.data import cleaning
from tidemill.events.data.objects import Objects
from tidemill.settings import Settings
from tidemill.store.postgres import Postgres

_WAITING = "tidemill_events.ducklake_files_scheduled_for_deletion"
_LONG_AGO = f"UPDATE {_WAITING} SET schedule_start = now() - interval '2 hours'"


@pytest.fixture(params=["folder", "bucket"])
def app(request: pytest.FixtureRequest, store: Store, tmp_path: Path) -> Iterator[App]:
    folder = Settings(home=tmp_path / "home", database_url=store.proxy.url)
    with store.app() if request.param == "bucket" else App(folder) as opened:
        yield opened


@pytest.fixture
def own(postgres: Postgres, tmp_path: Path) -> Iterator[App]:
    with App(Settings(home=tmp_path / "home", database_url=postgres.url.replace("+psycopg", ""))) as opened:
        yield opened


def files(objects: Objects) -> int:
    return len(list(objects.list("main/events/")))


def session(app: App) -> psycopg.Connection:
    return psycopg.connect(app.postgres.dsn, autocommit=True)


def test_what_was_joined_away_stays_for_an_hour_and_for_who_reads_it(app: App) -> None:
    lake, objects = app.lake, app.event_data.objects
    for number in range(4):
        append(lake, number * ROWS)
    with lake.cursor() as cursor, session(app) as database:
        reading = cursor.execute("SELECT uuid FROM lake.events").to_arrow_reader(1)
        maintenance.compact(lake)
        assert files(objects) == 5
        database.execute(_LONG_AGO)
        with lake.files():
            assert cleaning.remove_joined(lake) == 0, "somebody reads them"
        assert sum(batch.num_rows for batch in reading) == 4 * ROWS
        del reading
        with lake.files():
            assert cleaning.remove_joined(lake) == 4
            assert cleaning.remove_joined(lake) == 0
    assert files(objects) == 1
    assert numbers(lake) == list(range(4 * ROWS))


def test_what_nobody_names_is_removed_after_a_day(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    lake, objects = app.lake, app.event_data.objects
    append(lake, 0)
    left = f"main/events/ducklake-{uuid.uuid4()}.parquet"
    for name in (left, "main/events/of somebody.parquet", "other/file"):
        objects.write(name, io.BytesIO(b"x"))
    maintenance.sweep(lake)
    assert files(objects) == 3
    monkeypatch.setattr(cleaning, "_NOBODYS_SECONDS", -60)
    with lake.elected() as elected:
        assert elected
        maintenance.sweep(lake)
    assert files(objects) == 3, "another process is at it"
    maintenance.sweep(lake)
    assert left not in {one.name for one in objects.list()}
    assert files(objects) == 2
    assert numbers(lake) == list(range(ROWS))


def test_plans_of_syncs_that_were_left_are_removed_after_a_month(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    lake, objects = app.lake, app.event_data.objects
    append(lake, 0)
    folder, run = f"syncs/{uuid.uuid4().hex}", uuid.uuid4().hex
    state = f"{folder}/state-000000000001-000000.parquet"
    ends = ("-000000.parquet", "-invalid.parquet", ".parquet", ".json")
    for name in (state, *(f"{folder}/plan-{run}{end}" for end in ends)):
        objects.write(name, io.BytesIO(b"x"))
    maintenance.sweep(lake)
    assert len(list(objects.list(folder))) == 5, "its run may go on"
    monkeypatch.setattr(cleaning, "_PLAN_DAYS", -0.01)
    maintenance.sweep(lake)
    assert [one.name for one in objects.list(folder)] == [state]


def test_many_are_removed_only_if_told(own: App, monkeypatch: pytest.MonkeyPatch) -> None:
    lake, objects = own.lake, own.event_data.objects
    append(lake, 0)
    monkeypatch.setattr(cleaning, "_NOBODYS_SECONDS", -60)
    monkeypatch.setattr(cleaning, "_MANY", 2)
    for _ in range(3):
        objects.write(f"main/events/ducklake-{uuid.uuid4()}.parquet", io.BytesIO(b"x"))
    maintenance.sweep(lake)
    assert files(objects) == 4
    maintenance.compact(lake)
    assert files(objects) == 1
    assert numbers(lake) == list(range(ROWS))


def test_a_folder_that_others_may_share_is_not_swept(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleaning, "_NOBODYS_SECONDS", -60)
    shared = Settings(home=tmp_path / "home", database_url=store.proxy.url, event_data=str(tmp_path / "shared"))
    with App(shared) as app:
        append(app.lake, 0)
        app.event_data.objects.write(f"main/events/ducklake-{uuid.uuid4()}.parquet", io.BytesIO(b"x"))
        maintenance.compact(app.lake)
        assert files(app.event_data.objects) == 2


def test_many_small_commits_are_put_into_a_file(own: App, monkeypatch: pytest.MonkeyPatch) -> None:
    lake, objects = own.lake, own.event_data.objects
    for number in range(4):
        append(lake, number * 8, 8)
    monkeypatch.setattr(maintenance, "_INLINED", 32)
    assert files(objects) == 0
    maintenance.tidy(lake)
    assert files(objects) == 1
    assert numbers(lake) == list(range(32))
