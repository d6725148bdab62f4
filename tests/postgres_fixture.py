"""One embedded PostgreSQL for the whole test run, and a fresh database in it for each test that asks."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tidemill.settings import Settings
from tidemill.store import embedded
from tidemill.store.database import Database
from tidemill.store.postgres import Postgres, open_postgres

_TEMPLATE = "tidemill_template"
#: Folders of servers that stay to the end of the test run, though a test may be the first to ask for one.
LASTING: set[Path] = set()


def named(server: Postgres, database: str) -> Postgres:
    """Another database of the same server."""
    keywords = psycopg.conninfo.conninfo_to_dict(server.dsn)
    url = f"postgresql://postgres@/{database}?host={keywords['host']}&port={keywords['port']}"
    return open_postgres(Settings(database_url=url))


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Postgres:
    """A server with a template database that holds the tables."""
    before = embedded.used()
    server = open_postgres(Settings(home=tmp_path_factory.mktemp("server")))
    LASTING.update(embedded.used() - before)
    with psycopg.connect(server.dsn, autocommit=True) as session:
        session.execute(f"CREATE DATABASE {_TEMPLATE}")
    database = Database(named(server, _TEMPLATE))
    database.migrate()
    database.close()
    return server


@pytest.fixture
def postgres(postgres_server: Postgres) -> Iterator[Postgres]:
    """A fresh database with the tables."""
    with fresh(postgres_server) as found:
        yield found


@contextlib.contextmanager
def fresh(postgres_server: Postgres) -> Iterator[Postgres]:
    """A database with the tables, for the time of the block."""
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(postgres_server.dsn, autocommit=True) as session:
        session.execute(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}")
        yield named(postgres_server, name)
        session.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database(postgres: Postgres) -> Iterator[Database]:
    """The same, opened."""
    opened = Database(postgres)
    yield opened
    opened.close()
