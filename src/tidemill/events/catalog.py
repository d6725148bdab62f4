"""Opens the event store: DuckDB with DuckLake, whose catalog is in PostgreSQL. Makes it if there is none."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tidemill.errors import ConfigError
from tidemill.events import duck, filing
from tidemill.events.data.location import Folder
from tidemill.events.data.storage import Storage
from tidemill.settings import Settings

if TYPE_CHECKING:
    import duckdb

#: The columns of `events` that a batch brings, with their DuckDB types. `uuid_hash` and `bytes` are derived on insert.
BATCH_COLUMNS = {
    "uuid": "VARCHAR",
    "event": "VARCHAR",
    "properties": "VARCHAR",
    "distinct_id": "VARCHAR",
    "team_id": "BIGINT",
    "ip": "VARCHAR",
    "timestamp": "TIMESTAMPTZ",
    "set": "VARCHAR",
    "set_once": "VARCHAR",
    "elements": "VARCHAR",
    "kind": "VARCHAR",
    "envelope": "VARCHAR",
    "session_id": "VARCHAR",
}
#: Of PostgreSQL, with the catalog in it.
SCHEMA = "tidemill_events"
#: What DuckLake says if the files are to be in another folder than those that there are.
_ELSEWHERE = re.compile(r'existing data path in the catalog "([^"]*)"')


def opened(
    settings: Settings, storage: Storage, dsn: str, turn: contextlib.AbstractContextManager[object]
) -> duckdb.DuckDBPyConnection:
    """A DuckDB with the store in it, which is made if there is none. To be had with the turn of those who change it.

    Raises
    ------
    ConfigError
        The files of this database's events lie elsewhere.
    """
    connection = duck.connect(settings, storage.extensions)
    with turn, duck.translated():
        storage.ready()
        storage.settle(connection)
        storage.sign_in(connection)
        connection.execute(f"ATTACH {duck.literal(dsn)} AS metadata (TYPE postgres, READ_ONLY)")
        fresh = not _found(connection, f"pg_tables WHERE schemaname = '{SCHEMA}' AND tablename = 'ducklake_metadata'")
        if fresh:  # before the catalog says that its files lie there
            storage.claim(connection, fresh=True)
        _attach(settings, storage, dsn, connection)
        if not fresh:
            storage.claim(connection, fresh=False)
        if not _found(connection, f"{SCHEMA}.ducklake_table WHERE table_name = 'commits' AND end_snapshot IS NULL"):
            _create(connection)
    folders = [f"{settings.spill_path}{os.sep}", f"{settings.home_path / 'exports'}{os.sep}"]
    _lock_down(connection, [storage.path, *folders])
    return connection


def _found(connection: duckdb.DuckDBPyConnection, what: str) -> bool:
    """Asked of PostgreSQL itself: DuckDB's list of tables would first read the columns of every table that there is."""
    # Fetched whole: a result that is left open keeps a transaction open in PostgreSQL, and others wait for it.
    asked = duck.literal(f"SELECT 1 AS found FROM {what}")
    return bool(connection.execute(f"SELECT found FROM postgres_query('metadata', {asked})").fetchall())


def _attach(settings: Settings, storage: Storage, dsn: str, connection: duckdb.DuckDBPyConnection) -> None:
    """Attach the catalog. It knows where its files are, and is told so anew if a whole home was moved.

    Raises
    ------
    ConfigError
        The files of this database's events lie elsewhere.
    """
    location = storage.location
    attach = (
        f"ATTACH {duck.literal('ducklake:postgres:' + dsn)} AS lake (DATA_PATH {duck.literal(storage.path)}, "
        f"METADATA_SCHEMA '{SCHEMA}', DATA_INLINING_ROW_LIMIT {storage.inlined}{{}})"
    )
    try:
        connection.execute(attach.format(""))
    except Exception as error:
        known = _ELSEWHERE.search(str(error))
        if known is None:
            raise
        at_home = isinstance(location, Folder) and not location.given and not settings.database_url
        moved_here = isinstance(location, Folder) and at_home and any(location.path.iterdir())
        if not moved_here or filing.left(storage.objects):
            more = ", with ?endpoint=… and &region=… as the other machines have it; or gs://…, if it is Google's"
            raise ConfigError(
                "event_data_elsewhere",
                f"The events of this database lie in {known[1]}, not in {location}.",
                hint=f"Say so: export TIDEMILL_EVENT_DATA={known[1]}{more if '://' in known[1] else ''}",
            ) from None
        connection.execute(attach.format(", OVERRIDE_DATA_PATH true"))


def _lock_down(connection: duckdb.DuckDBPyConnection, places: Sequence[str]) -> None:
    """From now on DuckDB opens no file but in these places, and no other database: whatever a query says."""
    connection.execute(f"SET allowed_directories = [{', '.join(map(duck.literal, places))}]")
    connection.execute("SET enable_external_access = false")


def _create(connection: duckdb.DuckDBPyConnection) -> None:
    columns = ", ".join(f'"{name}" {kind}' for name, kind in BATCH_COLUMNS.items())
    connection.execute("BEGIN")
    connection.execute(
        f"CREATE TABLE lake.events ({columns}, inserted_at TIMESTAMPTZ, uuid_hash UBIGINT, bytes BIGINT, n INTEGER)"
    )
    connection.execute(
        "CREATE TABLE lake.commits (file_key VARCHAR, last_ordinal BIGINT, rows BIGINT, bytes BIGINT, "
        "committed_at TIMESTAMPTZ, first_time TIMESTAMPTZ, last_time TIMESTAMPTZ)"
    )
    connection.execute("COMMIT")
    # Small row groups bound the memory of every reader and writer; zstd level 1 is twice as fast as 3 and as small.
    for option, value in {
        "parquet_compression": "zstd",
        "parquet_compression_level": "1",
        "parquet_row_group_size": "20000",
        "parquet_row_group_size_bytes": "16MB",
    }.items():
        connection.execute(f"CALL lake.set_option('{option}', '{value}')")
