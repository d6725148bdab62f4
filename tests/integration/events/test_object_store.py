"""Event data in a bucket: each event once, whatever the object store and the database do meanwhile."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import duckdb
import psycopg
import pytest
from tests.object_store import ROWS, Store, append, made, numbers
from tests.postgres_fixture import fresh
from tests.s3_server import KEY, SECRET, Fault, S3Server

from tidemill.app import App
from tidemill.errors import AccessError, ConfigError, TidemillError, UnavailableError
from tidemill.events import chunks, maintenance
from tidemill.events.erasure import PersonEvents
from tidemill.events.lake import Appended
from tidemill.events.sources import custom_sql
from tidemill.events.sources.metadata import Metadata
from tidemill.events.sources.source import Selection
from tidemill.settings import Settings
from tidemill.store.postgres import Postgres


def files(store: Store) -> list[str]:
    return [name for name in store.s3.names(store.bucket) if name.endswith(".parquet")]


class Opened:
    """An installation that several tests use. Events of a test have numbers from `base` on."""

    def __init__(self, store: Store, app: App) -> None:
        self.store, self.app, self.base = store, app, 0

    def append(self, first: int, rows: int = ROWS) -> Appended:
        return append(self.app.lake, self.base + first, rows)

    def numbers(self) -> list[int]:
        return [number - self.base for number in numbers(self.app.lake) if number >= self.base]

    def lose(self, what: str) -> pytest.RaisesExc[UnavailableError]:
        """At the next commit the database's answer is lost, or the request."""
        self.store.proxy.lose(what)
        return pytest.raises(UnavailableError)

    def refuse(self, fault: Fault) -> pytest.RaisesExc[TidemillError]:
        self.store.s3.faults[:] = [fault]
        return pytest.raises(TidemillError)


@pytest.fixture(scope="module")
def shared(s3: S3Server, postgres_server: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    folder = tmp_path_factory.mktemp("shared")
    with fresh(postgres_server) as postgres, made(s3, postgres, folder) as store, store.app() as app:
        yield Opened(store, app)


@pytest.fixture
def opened(shared: Opened) -> Iterator[Opened]:
    shared.base += 1_000_000
    yield shared
    shared.store.s3.faults.clear()


def test_events_are_committed_and_read(opened: Opened) -> None:
    assert opened.append(0) == Appended(ROWS, 0)
    assert opened.append(ROWS // 2) == Appended(ROWS // 2, ROWS // 2)
    assert opened.append(10 * ROWS, 20) == Appended(20, 0)
    expected = [*range(ROWS + ROWS // 2), *range(10 * ROWS, 10 * ROWS + 20)]
    assert opened.numbers() == expected
    maintenance.compact(opened.app.lake)
    assert opened.numbers() == expected
    assert all(name.startswith("events/") for name in opened.store.s3.names(opened.store.bucket))


@pytest.mark.parametrize(("what", "kept"), [("answer", True), ("request", False)])
def test_the_answer_of_the_database_is_lost(opened: Opened, what: str, kept: bool) -> None:
    store, lake = opened.store, opened.app.lake
    opened.append(0)
    store.s3.requests.clear()
    before, lost = len(files(store)), store.proxy.lost
    with opened.lose(what):
        opened.append(ROWS)
    assert store.proxy.lost == lost + 1
    # DuckLake would remove the file, of a commit whose answer was lost, too: that it cannot is what keeps it.
    assert not [method for method, _ in store.s3.requests if method in {"DELETE", "HEAD"}]
    assert len(files(store)) == before + 1
    assert opened.numbers() == list(range(2 * ROWS if kept else ROWS))
    assert opened.append(ROWS) == (Appended(0, ROWS) if kept else Appended(ROWS, 0))
    assert opened.numbers() == list(range(2 * ROWS))
    with opened.lose(what):
        maintenance.compact(lake)
    assert opened.numbers() == list(range(2 * ROWS))
    gone = [f"id-{opened.base + n}" for n in range(0, 2 * ROWS, 2)]
    with opened.lose(what):
        PersonEvents(lake, Metadata("tidemill")).delete(1, gone)
    PersonEvents(lake, Metadata("tidemill")).delete(1, gone)
    assert opened.numbers() == list(range(1, 2 * ROWS, 2))


def test_a_store_that_cannot_now_is_asked_again(opened: Opened) -> None:
    faults = [Fault("PUT"), Fault("PUT", late=True), Fault("PUT", status=500, code="InternalError")]
    for number, fault in enumerate(faults):
        with opened.refuse(fault) as caught:
            opened.append(number * ROWS)
        assert (type(caught.value), caught.value.code) == (UnavailableError, "event_data_unavailable")
        again = dataclasses.replace(fault, times=2, fired=0)
        opened.store.s3.faults[:] = [again]
        assert opened.append(number * ROWS) == Appended(ROWS, 0)
        assert again.fired == 2
        assert opened.numbers() == list(range((number + 1) * ROWS))


def test_a_store_that_is_down_holds_nobody_up(opened: Opened) -> None:
    with opened.store.app("other") as other:
        opened.append(0)
        append(other.lake, opened.base + ROWS)
        opened.store.s3.stop()
        with pytest.raises(UnavailableError):
            opened.append(2 * ROWS)
        with other.lake.turn(), pytest.raises(UnavailableError):
            opened.append(2 * ROWS)  # it does not wait for its turn: it knows better
        opened.store.s3.start()
        assert opened.append(2 * ROWS) == Appended(ROWS, 0)
        assert opened.numbers() == list(range(3 * ROWS))


def test_what_may_not_be_done_is_named(opened: Opened) -> None:
    opened.append(0)
    with opened.refuse(Fault("PUT", status=403, code="AccessDenied")) as caught:
        opened.append(ROWS)
    assert isinstance(caught.value, AccessError)
    assert "s3:PutObject" in caught.value.message
    with opened.refuse(Fault("GET", status=403, code="AccessDenied")) as caught:
        opened.numbers()
    assert "s3:GetObject" in caught.value.message
    with opened.refuse(Fault(status=403, code="RequestTimeTooSkewed")) as caught:
        opened.numbers()
    assert caught.value.code == "event_data_clock"
    with opened.refuse(Fault(status=400, code="ExpiredToken")) as caught:
        opened.numbers()
    assert isinstance(caught.value, UnavailableError), "a role has another one the next time"
    opened.store.s3.faults.clear()
    assert opened.numbers() == list(range(ROWS))


def test_a_range_opens_few_files(opened: Opened) -> None:
    """DuckLake would open each file to look for snapshots."""
    maintenance.compact(opened.app.lake)
    for number in range(6):
        opened.append(number * ROWS)
    lake = opened.app.lake
    snapshots = [commit.snapshot for commit in lake.commits(0, lake.position())][-6:]
    opened.store.s3.requests.clear()
    assert chunks.count(lake, opened.app.sources["events"], Selection(snapshots[2], snapshots[4])) == 2 * ROWS
    asked = {path for method, path in opened.store.s3.requests if "/main/events/" in path}
    assert len(asked) == 2


def test_a_bucket_that_is_not_there_and_a_file_that_is_not_any_more(store: Store) -> None:
    right, store.bucket = store.bucket, "no-such-bucket"
    with store.app() as app, pytest.raises(ConfigError) as caught:
        append(app.lake, 0)
    assert caught.value.code == "event_data_bucket"
    store.bucket = right
    with store.app() as app:  # nothing was made
        assert append(app.lake, 0) == Appended(ROWS, 0)
        store.s3.client().delete_object(Bucket=store.bucket, Key=files(store)[0])
        with pytest.raises(TidemillError) as missed:
            numbers(app.lake)
    assert missed.value.code == "event_data_missing"


def test_another_place_than_that_of_the_catalog_is_refused(
    store: Store, s3: S3Server, postgres_server: Postgres, tmp_path: Path
) -> None:
    with store.app() as app:
        append(app.lake, 0)
    settings = store.settings()
    elsewhere = Settings(home=tmp_path / "folder", database_url=store.proxy.url)
    store.bucket = s3.bucket()
    for wrong in (elsewhere, store.settings()):
        with App(wrong) as app, pytest.raises(ConfigError) as caught:
            append(app.lake, 0)
        assert caught.value.code == "event_data_elsewhere"
    s3.faults[:] = [Fault(path="tidemill.json", status=404, code="NoSuchKey")]  # a bucket of that name elsewhere
    with App(settings) as app, pytest.raises(ConfigError) as caught:
        append(app.lake, 0)
    assert caught.value.code == "event_data_elsewhere"
    s3.faults.clear()
    with fresh(postgres_server) as another:
        url = another.url.replace("+psycopg", "")
        with psycopg.connect(another.dsn, autocommit=True) as session:  # as if it had been made by itself
            session.execute("UPDATE tidemill.installation SET id = gen_random_uuid()")
        with App(settings.model_copy(update={"database_url": url})) as app, pytest.raises(ConfigError) as caught:
            append(app.lake, 0)
    assert caught.value.code == "event_data_taken"


#: Of a query of one's own, which must reach neither the key nor other objects.
REACHING = (
    "SELECT current_setting('s3_secret_access_key') AS s FROM events",
    "SELECT value FROM duckdb_settings()",
    "SELECT * FROM duckdb_secrets()",
    "SELECT content FROM read_text('s3://{bucket}/events/tidemill.json')",
    "SELECT * FROM 's3://{bucket}/other.csv'",
    "SELECT which_secret('s3://{bucket}/events', 's3') AS s FROM events",
    "SELECT getvariable('s3_secret_access_key') AS s FROM events",
)


def test_nobody_reaches_the_key_or_other_objects(opened: Opened) -> None:
    store, lake = opened.store, opened.app.lake
    store.s3.client().put_object(Bucket=store.bucket, Key="other.csv", Body=b"a,b\n1,2\n")
    opened.append(0, 1)
    for sql in REACHING:
        with pytest.raises(ConfigError) as caught:
            custom_sql.describe(lake, sql.format(bucket=store.bucket))
        assert caught.value.code == "sql_refused"
        assert SECRET not in f"{caught.value} {caught.value.raw}"
    with lake.cursor() as cursor:
        with pytest.raises(duckdb.PermissionException):
            cursor.execute(f"SELECT * FROM read_text('s3://{store.bucket}/other.csv')")
        assert cursor.execute("SELECT * FROM duckdb_secrets()").fetchall() == []
    with lake._opened().cursor() as beside:  # nothing is known outside of the cursors that we make
        found = str(beside.execute("SELECT value FROM duckdb_settings() WHERE name LIKE 's3%'").fetchall())
    assert KEY not in found
    assert SECRET not in found
