"""Opens the event store: DuckDB with DuckLake, whose catalog is in PostgreSQL. Makes it if there is none."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.errors import ConfigError
from tidemill.events import duck, durable
from tidemill.settings import Settings, private_folder

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
#: What DuckLake says if the files are to be in another folder than those that there are.
_ELSEWHERE = re.compile(r'existing data path in the catalog "([^"]*)"')


def opened(settings: Settings, dsn: str, turn: contextlib.AbstractContextManager[object]) -> duckdb.DuckDBPyConnection:
    """A DuckDB with the store in it, which is made if there is none. To be had with the turn of those who change it.

    Raises
    ------
    ConfigError
        The files of this database's events lie elsewhere.
    """
    folder = settings.event_data_path
    if settings.event_data:  # a folder of the user's own, which others may share
        folder.mkdir(parents=True, exist_ok=True)
    else:
        private_folder(folder)
    connection = duck.connect(settings)
    with turn, duck.translated():
        durable.recover(folder)
        connection.execute(f"ATTACH {duck.literal(dsn)} AS metadata (TYPE postgres, READ_ONLY)")
        _attach(settings, dsn, connection)
        # Fetched whole: a result that is left open keeps a transaction open in PostgreSQL, and others wait for it.
        known = connection.execute(
            "SELECT 1 FROM duckdb_tables() WHERE database_name = 'lake' AND table_name = 'commits'"
        ).fetchall()
        if not known:
            _create(connection)
    _lock_down(connection, [folder, settings.spill_path, settings.home_path / "exports"])
    return connection


def _attach(settings: Settings, dsn: str, connection: duckdb.DuckDBPyConnection) -> None:
    """Attach the catalog. It knows where its files are, and is told so anew if a whole home was moved.

    Raises
    ------
    ConfigError
        The files of this database's events lie elsewhere.
    """
    folder = settings.event_data_path
    attach = (
        f"ATTACH {duck.literal('ducklake:postgres:' + dsn)} AS lake (DATA_PATH {duck.literal(str(folder))}, "
        "METADATA_SCHEMA 'tidemill_events', DATA_INLINING_ROW_LIMIT 10{})"
    )
    try:
        connection.execute(attach.format(""))
    except Exception as error:
        known = _ELSEWHERE.search(str(error))
        if known is None:
            raise
        at_home = not settings.database_url and not settings.event_data
        if not (at_home and any(folder.iterdir())):
            raise ConfigError(
                "event_data_elsewhere",
                f"The events of this database lie in {known[1]}, not in {folder}.",
                hint=f"Say so: export TIDEMILL_EVENT_DATA={known[1]}",
            ) from None
        connection.execute(attach.format(", OVERRIDE_DATA_PATH true"))


def _lock_down(connection: duckdb.DuckDBPyConnection, folders: Sequence[Path]) -> None:
    """From now on DuckDB opens no file outside of these folders, and no other database: whatever a query says."""
    listed = ", ".join(duck.literal(f"{folder}{os.sep}") for folder in folders)
    connection.execute(f"SET allowed_directories = [{listed}]")
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
