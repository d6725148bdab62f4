"""Event data in a bucket: each event once, whatever the object store and the database do meanwhile."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import duckdb
import pytest
from tests.object_store import ROWS, Store, append, numbers
from tests.postgres_proxy import PostgresProxy
from tests.s3_server import KEY, SECRET, Fault, S3Server

from tidemill.app import App
from tidemill.errors import AccessError, ConfigError, TidemillError, UnavailableError
from tidemill.events import maintenance
from tidemill.events.erasure import PersonEvents
from tidemill.events.lake import Appended
from tidemill.events.sources import custom_sql
from tidemill.events.sources.metadata import Metadata
from tidemill.settings import Settings


def lost(proxy: PostgresProxy, what: str) -> pytest.RaisesExc[UnavailableError]:
    proxy.lose(what)
    return pytest.raises(UnavailableError)


def files(store: Store) -> list[str]:
    return [name for name in store.s3.names(store.bucket) if name.endswith(".parquet")]


@pytest.mark.parametrize("scheme", ["s3", "gs"])
def test_events_are_committed_and_read(store: Store, scheme: str) -> None:
    store.scheme = scheme
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
        store.s3.requests.clear()
        with lost(store.proxy, what):
            append(app.lake, ROWS)
        assert store.proxy.lost == 1
        # DuckLake would remove the file, of a commit whose answer was lost, too: that it cannot is what keeps it.
        assert not [method for method, _ in store.s3.requests if method in {"DELETE", "HEAD"}]
        assert len(files(store)) == 2
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


def refused(store: Store, *faults: Fault) -> pytest.RaisesExc[TidemillError]:
    store.s3.faults[:] = faults
    return pytest.raises(TidemillError)


def test_a_store_that_cannot_now_is_asked_again(store: Store) -> None:
    faults = [Fault("PUT"), Fault("PUT", late=True), Fault("PUT", status=500, code="InternalError")]
    with store.app() as app:
        for number, fault in enumerate(faults):
            with refused(store, fault) as caught:
                append(app.lake, number * ROWS)
            assert (type(caught.value), caught.value.code) == (UnavailableError, "event_data_unavailable")
            store.s3.faults[:] = [dataclasses.replace(fault, times=2, fired=0)]
            assert append(app.lake, number * ROWS) == Appended(ROWS, 0)
            assert store.s3.faults[0].fired == 2
            assert numbers(app.lake) == list(range((number + 1) * ROWS))


def test_a_store_that_is_down_holds_nobody_up(store: Store) -> None:
    with store.app() as app, store.app("other") as other:
        append(app.lake, 0)
        append(other.lake, ROWS)
        store.s3.stop()
        with pytest.raises(UnavailableError):
            append(app.lake, 2 * ROWS)
        with other.lake.turn(), pytest.raises(UnavailableError):
            append(app.lake, 2 * ROWS)  # it does not wait for its turn: it knows better
        store.s3.start()
        assert append(app.lake, 2 * ROWS) == Appended(ROWS, 0)
        assert numbers(other.lake) == list(range(3 * ROWS))


def test_what_may_not_be_done_is_named(store: Store) -> None:
    with store.app() as app:
        append(app.lake, 0)
        with refused(store, Fault("PUT", status=403, code="AccessDenied")) as caught:
            append(app.lake, ROWS)
        assert isinstance(caught.value, AccessError)
        assert "s3:PutObject" in caught.value.message
        with refused(store, Fault("GET", status=403, code="AccessDenied")) as caught:
            numbers(app.lake)
        assert "s3:GetObject" in caught.value.message
        with refused(store, Fault(status=403, code="RequestTimeTooSkewed")) as caught:
            numbers(app.lake)
        assert caught.value.code == "event_data_clock"
        store.s3.faults.clear()
        assert numbers(app.lake) == list(range(ROWS))


def test_a_file_that_somebody_deleted_is_missed(store: Store) -> None:
    with store.app() as app:
        append(app.lake, 0)
        store.s3.client().delete_object(Bucket=store.bucket, Key=files(store)[0])
        with pytest.raises(TidemillError) as caught:
            numbers(app.lake)
    assert caught.value.code == "event_data_missing"


def test_nothing_is_made_if_the_bucket_is_wrong(store: Store) -> None:
    right, store.bucket = store.bucket, "no-such-bucket"
    with store.app() as app, pytest.raises(ConfigError) as caught:
        append(app.lake, 0)
    assert caught.value.code == "event_data_bucket"
    store.bucket = right
    with store.app() as app:
        assert append(app.lake, 0) == Appended(ROWS, 0)


def test_another_place_than_that_of_the_catalog_is_refused(store: Store, s3: S3Server, tmp_path: Path) -> None:
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
    with App(settings.model_copy(update={"database_url": None, "home": tmp_path / "server"})) as app:
        with pytest.raises(ConfigError) as caught:
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


def test_nobody_reaches_the_key_or_other_objects(store: Store) -> None:
    store.s3.client().put_object(Bucket=store.bucket, Key="other.csv", Body=b"a,b\n1,2\n")
    with store.app() as app:
        append(app.lake, 0, 1)
        for sql in REACHING:
            with pytest.raises(ConfigError) as caught:
                custom_sql.describe(app.lake, sql.format(bucket=store.bucket))
            assert caught.value.code == "sql_refused"
            assert SECRET not in f"{caught.value} {caught.value.raw}"
        with app.lake.cursor() as cursor:
            with pytest.raises(duckdb.PermissionException):
                cursor.execute(f"SELECT * FROM read_text('s3://{store.bucket}/other.csv')")
            assert cursor.execute("SELECT * FROM duckdb_secrets()").fetchall() == []
        with app.lake._opened().cursor() as beside:  # nothing is known outside of the cursors that we make
            found = beside.execute("SELECT value FROM duckdb_settings() WHERE name LIKE 's3%'").fetchall()
    assert KEY not in str(found)
    assert SECRET not in str(found)
