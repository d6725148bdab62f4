"""A fence around a database: no process that begins uses it while it is filled, or after it was moved elsewhere.

It stands in a schema of its own, which is in no copy. Each process looks when it opens the database.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tidemill.errors import ConfigError, ConflictError, TidemillError
from tidemill.store import locks
from tidemill.store.postgres import Postgres

if TYPE_CHECKING:
    import psycopg

SCHEMA = "tidemill_fence"
#: A restore, or a move, into this database is not finished; all is here, but where it came from is not closed yet; or
#: the installation was moved elsewhere.
FILLING, FILLED, MOVED = "filling", "filled", "moved"
#: Files of events are copied elsewhere, and are used where they are until then: it keeps nobody out.
COPYING = "copying"
#: Held by who moves the installation that lies here, for as long as that takes.
MOVING = locks.key("move")
MOVING_CODE = "installation_moving"
_CREATE = f"""
    CREATE SCHEMA IF NOT EXISTS {SCHEMA};
    CREATE TABLE IF NOT EXISTS {SCHEMA}.fence (
        one_row boolean PRIMARY KEY DEFAULT true CHECK (one_row),
        kind text NOT NULL, said jsonb NOT NULL, put_at timestamptz NOT NULL DEFAULT now());
"""
#: Whether there may be a fence, and whether nobody moves the installation.
LOOK = f"SELECT to_regclass('{SCHEMA}.fence') IS NOT NULL, pg_try_advisory_xact_lock_shared({MOVING})"
READ = f"SELECT kind, said, put_at FROM {SCHEMA}.fence"


@dataclasses.dataclass(frozen=True)
class Fence:
    """`said`: by whom it was put, and for what."""

    kind: str
    said: dict[str, Any]
    put_at: dt.datetime


def find(session: psycopg.Connection[Any]) -> Fence | None:
    """The fence, if there is one."""
    row = session.execute(f"SELECT to_regclass('{SCHEMA}.fence')").fetchone()
    if row is None or row[0] is None:
        return None
    found = session.execute(READ).fetchone()
    return Fence(*found) if found else None


def put(session: psycopg.Connection[Any], kind: str, said: dict[str, Any]) -> None:
    """Put one up, in the place of another."""
    session.execute(_CREATE)
    session.execute(
        f"INSERT INTO {SCHEMA}.fence (kind, said) VALUES (%s, %s) "
        "ON CONFLICT (one_row) DO UPDATE SET kind = excluded.kind, said = excluded.said, put_at = now()",
        [kind, json.dumps(said)],
    )


def remove(session: psycopg.Connection[Any]) -> None:
    """Take it away."""
    session.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")


def refusal(kind: str, said: dict[str, Any], put_at: dt.datetime) -> TidemillError:
    """Why the database may not be used."""
    since = f"{put_at.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC"
    if kind == MOVED:
        return ConfigError(
            "installation_moved",
            f"This installation was moved at {since}, to {said.get('to')}. Nothing is written here any more.",
            hint=str(said.get("settings", "")),
        )
    return ConfigError(
        "installation_unfinished",
        f"{said.get('what', 'A restore')}, begun at {since}, is not finished: nothing here may be used yet.",
        hint=f"Run it again: {said.get('again', 'tidemill restore SOURCE')}",
    )


def moving() -> ConflictError:
    """That another process moves the installation just now."""
    return ConflictError(
        MOVING_CODE,
        "This installation is being moved to another place just now.",
        hint="Wait until tidemill migrate has ended; it says what to set then.",
    )


@contextlib.contextmanager
def held(postgres: Postgres, session: psycopg.Connection[Any]) -> Iterator[None]:
    """For the time of the block no other process begins to use the database, and there was none.

    Raises
    ------
    ConflictError
        Another process uses it.
    """
    from psycopg import errors

    session.execute("SET lock_timeout = '5s'")
    try:
        session.execute("SELECT pg_advisory_lock(%s)", [MOVING])
    except errors.LockNotAvailable:
        raise moving() from None
    finally:
        session.execute("RESET lock_timeout")
    others = _others(session)
    if others or not alone(postgres):
        who = f" ({', '.join(others[:5])})" if others else ""
        raise ConflictError(
            "installation_used",
            f"Other processes use this installation{who}.",
            hint="Stop all servers and commands first: tidemill serve, tidemill export stream, on every machine.",
        )
    yield


def alone(postgres: Postgres) -> bool:
    """Whether no other process uses the embedded PostgreSQL, if it is that."""
    from tidemill.store import embedded

    return not postgres.embedded or all(embedded.is_alone(folder) for folder in embedded.used())


def _others(session: psycopg.Connection[Any]) -> list[str]:
    """The processes that have sessions, but this one."""
    own = session.info.get_parameters().get("application_name", "")
    rows = session.execute(
        "SELECT DISTINCT split_part(application_name, '-', 2), coalesce(host(client_addr), 'this machine') "
        "FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'tidemill-%%' "
        "AND application_name <> %s ORDER BY 1",
        [own],
    ).fetchall()
    return [f"process {pid} of {host}" for pid, host in rows]
