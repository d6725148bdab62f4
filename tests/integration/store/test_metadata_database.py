"""Migrations, the errors of the database, locks, and PostgreSQL servers of one's own."""

from __future__ import annotations

import contextlib
import datetime as dt
import importlib
import pkgutil
import threading
import urllib.parse
from importlib import resources

import psycopg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from psycopg import conninfo
from tests.crash_harness import Child
from tests.postgres_fixture import named

from tidemill import store
from tidemill.engine.dbos_engine import DbosEngine
from tidemill.errors import AccessError, ConfigError, ConflictError, UnavailableError
from tidemill.exports.spec import ExportSpec
from tidemill.settings import Settings
from tidemill.store import database as database_module
from tidemill.store import fences, locks
from tidemill.store.database import HEAD, Database
from tidemill.store.exports import Exports
from tidemill.store.postgres import Postgres, open_postgres
from tidemill.store.schedules import Schedules
from tidemill.store.tables import SCHEMA, metadata


def end_sessions(postgres: Postgres, which: str = "true") -> None:
    with psycopg.connect(postgres.dsn, autocommit=True) as session:
        session.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            f"WHERE datname = current_database() AND pid <> pg_backend_pid() AND {which}".encode()
        )


def test_the_migrations_make_the_tables_that_the_code_knows(database: Database) -> None:
    for module in pkgutil.iter_modules(store.__path__):
        if module.name.startswith("tables"):
            importlib.import_module(f"{store.__name__}.{module.name}")
    files = resources.files("tidemill.store") / "migrations" / "versions"
    assert max(file.name for file in files.iterdir() if file.name[0].isdigit()).startswith(f"{HEAD}_")
    with database.begin() as connection:
        options = {"include_schemas": True, "version_table_schema": SCHEMA}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), metadata) == []


def test_processes_that_begin_at_once_migrate_once(postgres_server: Postgres) -> None:
    with psycopg.connect(postgres_server.dsn, autocommit=True) as session:
        session.execute("CREATE DATABASE together")
    code = """
        import sys
        from tidemill.settings import Settings
        from tidemill.store.database import Database
        from tidemill.store.postgres import Postgres
        database = Database(Postgres(sys.argv[1], "", embedded=False))
        say("ready"), wait()
        database.migrate(), database.close()
        say("done")
    """
    children = [Child(code, named(postgres_server, "together").dsn) for _ in range(3)]
    assert [child.heard() for child in children] == ["ready"] * 3
    for child in children:
        child.go_on()
    assert [child.end() for child in children] == ["done"] * 3


def older(database: Database, revision: str) -> None:
    """Make it as a Tidemill of that revision does."""
    with database.begin() as connection:
        connection.execute(sa.text(f"DROP SCHEMA {SCHEMA} CASCADE"))
    database._upgrade(revision)


def test_people_of_an_older_database_get_numbers(database: Database) -> None:
    older(database, "0004")
    before = f"""
        INSERT INTO {SCHEMA}.identity DEFAULT VALUES ON CONFLICT DO NOTHING;
        INSERT INTO {SCHEMA}.persons SELECT 1, 'p' || n, now() + n * interval '1 second', '{{}}', 0, false, false, 1
            FROM generate_series(1, 3) n;
        INSERT INTO {SCHEMA}.distinct_ids
            VALUES (1, 'a', 'p1', 0, 1), (1, 'b', 'p1', 0, 1), (1, 'c', 'p3', 0, 1), (1, 'd', NULL, 0, 1);
    """
    with database.begin() as connection:
        for statement in before.split(";"):
            connection.execute(sa.text(statement.replace(":", r"\:") or "SELECT 1"))
    database.migrate()
    with database.begin() as connection:
        found = connection.execute(sa.text(f"SELECT distinct_id, number FROM {SCHEMA}.distinct_ids ORDER BY 1")).all()
        last = connection.scalar(sa.text(f"SELECT numbers FROM {SCHEMA}.identity"))
    assert found == [("a", 1), ("b", 1), ("c", 3), ("d", 4)]
    assert last == 4


@pytest.mark.parametrize(
    ("oldest", "works"), [(f"'{HEAD}'", True), ("'9998'", False), (None, False)], ids=["only added", "changed", "odd"]
)
def test_with_a_newer_database_one_works_on_if_it_says_so(database: Database, oldest: str | None, works: bool) -> None:
    """The rule of docs/decisions/0021-upgrades.md, also for who begins while newer ones are at work already."""
    with database.begin() as connection:
        connection.execute(sa.text(f"UPDATE {SCHEMA}.alembic_version SET version_num = '9999'"))
        change = (
            f"UPDATE {SCHEMA}.compatibility SET oldest = {oldest}" if oldest else f"DROP TABLE {SCHEMA}.compatibility"
        )
        connection.execute(sa.text(change))
    with contextlib.nullcontext() if works else pytest.raises(ConfigError, match="newer Tidemill") as newer:
        database.migrate()
    assert works or (newer and "upgrade" in newer.value.hint)
    with database.begin() as connection:
        assert connection.scalar(sa.text(f"SELECT version_num FROM {SCHEMA}.alembic_version")) == "9999"


def test_a_migration_waits_for_who_works_with_the_tables_and_keeps_nobody_waiting(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker of the release before has a long transaction; others of them go on meanwhile."""
    monkeypatch.setattr(database_module, "_WAITS_IN_LINE_SECONDS", 0.2)
    monkeypatch.setattr(database_module, "_PAUSE_SECONDS", 0.2)
    with database.begin() as connection:
        undo = f"""
            DROP TABLE {SCHEMA}.compatibility, {SCHEMA}.restorations, {SCHEMA}.doubts;
            ALTER TABLE {SCHEMA}.identity DROP COLUMN versions;
            UPDATE {SCHEMA}.alembic_version SET version_num = '0018'
        """
        for statement in undo.split(";"):
            connection.exec_driver_sql(statement)
    looking = f"SELECT count(*) FROM {SCHEMA}.identity"
    with psycopg.connect(database.postgres.dsn) as old, psycopg.connect(database.postgres.dsn) as other:
        old.execute(looking)  # its transaction goes on
        other.execute("SET statement_timeout = '60s'")
        thread = threading.Thread(target=database.migrate)
        thread.start()
        waits = (
            "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) "
            "WHERE NOT granted AND datname = current_database()"
        )
        with psycopg.connect(database.postgres.dsn, autocommit=True) as watching:
            for wanted in (True, False):  # it stands in line, and steps out of it
                while bool((watching.execute(waits).fetchone() or [0])[0]) is not wanted:
                    assert thread.is_alive()
        other.execute(looking)
        other.commit()
        assert thread.is_alive()
        old.commit()
        thread.join(60)
    assert not thread.is_alive()
    database.migrate()


def test_a_database_with_a_fence_around_it_is_opened_by_nobody(database: Database) -> None:
    with psycopg.connect(database.postgres.dsn, autocommit=True) as session:
        with fences.held(database.postgres, session), pytest.raises(ConflictError, match="being moved"):
            database.migrate()
        session.execute("SELECT pg_advisory_unlock_all()")
        database.migrate()
        fences.put(session, fences.FILLING, {"what": "A restore", "again": "tidemill restore /backup"})
        with pytest.raises(ConfigError, match="not finished") as told:
            database.migrate()
        assert "tidemill restore /backup" in told.value.hint
        fences.put(session, fences.MOVED, {"to": "another place", "settings": "export TIDEMILL_DATABASE_URL=…"})
        with pytest.raises(ConfigError, match="moved") as told:
            database.migrate()
        assert "TIDEMILL_DATABASE_URL" in told.value.hint
        within = Database(database.postgres, within_fence=True)
        within.migrate()
        within.close()
        fences.remove(session)
    database.migrate()


def test_a_session_that_was_ended_is_an_error_to_the_user_and_the_next_one_works(database: Database) -> None:
    with pytest.raises(UnavailableError), database.begin() as connection:
        end_sessions(database.postgres)
        connection.execute(sa.text("SELECT 1"))
    assert database.server()[1]


def test_a_missing_permission_says_so(postgres: Postgres) -> None:
    with psycopg.connect(postgres.dsn, autocommit=True) as session:
        session.execute("DROP ROLE IF EXISTS guest")
        session.execute("CREATE ROLE guest LOGIN")
        session.execute("DROP SCHEMA tidemill CASCADE")
    guest = Postgres(conninfo.make_conninfo(postgres.dsn, user="guest"), "", embedded=False)
    database = Database(guest)
    with pytest.raises(AccessError):
        database.migrate()
    database.close()


def test_errors_do_not_show_what_was_being_saved(database: Database) -> None:
    with pytest.raises(sa.exc.ProgrammingError) as caught, database.begin() as connection:
        connection.execute(sa.text("SELECT wrong FROM tidemill.runs WHERE :secret <> wrong"), {"secret": "HUSH"})
    assert "HUSH" not in str(caught.value)


def test_a_lock_has_one_holder_and_is_given_on(postgres: Postgres) -> None:
    code = """
        import sys
        from tidemill.store.locks import Locks
        from tidemill.store.postgres import Postgres
        with Locks(Postgres(sys.argv[1], "", embedded=False))("turn") as held:
            held.check()
            say("holds"), wait()
    """
    first = Child(code, postgres.dsn)
    assert first.heard() == "holds"
    got = threading.Event()

    def take() -> None:
        with locks.hold(postgres, "turn"):
            got.set()

    waiting = threading.Thread(target=take)
    waiting.start()
    with locks.hold(postgres, "another"):
        assert not got.is_set()
    first.kill()
    assert got.wait(30)
    waiting.join()


def test_who_waits_longest_gets_the_lock_next(postgres: Postgres, database: Database) -> None:
    """Nobody starves: who asks again, asks behind those who wait."""
    order: list[str] = []

    def take(name: str) -> None:
        with locks.hold(postgres, "queue"):
            order.append(name)

    def wait_for(waiting: int) -> None:
        count = sa.text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        with database.begin() as connection:
            while connection.execute(count).scalar_one() < waiting:
                assert threads[-1].is_alive()

    threads: list[threading.Thread] = []
    with locks.hold(postgres, "queue"):
        for number, name in enumerate("ABCA", 1):
            threads.append(threading.Thread(target=take, args=[name]))
            threads[-1].start()
            wait_for(number)
    for thread in threads:
        thread.join(30)
    assert order == ["A", "B", "C", "A"]


def test_a_lock_that_was_lost_is_noticed(postgres: Postgres) -> None:
    with pytest.raises(UnavailableError), locks.hold(postgres, "turn") as held:
        held.check()
        end_sessions(postgres)
        held.check()
    with pytest.raises(UnavailableError), locks.hold(postgres, "turn"):
        end_sessions(postgres)
    with pytest.raises(KeyError), locks.hold(postgres, "turn"):
        end_sessions(postgres)
        raise KeyError


def test_a_connection_of_locks_is_used_again_unless_it_broke(postgres: Postgres) -> None:
    found = locks.Locks(postgres)
    for _ in range(2):
        with found("turn") as held:
            held.check()
    with locks.hold(postgres, "turn"):  # it was given back
        end_sessions(postgres, "query LIKE '%advisory_unlock%'")
    with found("turn") as held:
        held.check()
    with pytest.raises(UnavailableError), found("turn") as held:
        end_sessions(postgres)
        held.check()
    with pytest.raises(KeyError), found("turn"):
        raise KeyError
    with locks.hold(postgres, "turn"), found("another"):
        pass
    found.close()


PASSWORD = "s3cr3t/with@odd:signs%"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://bob:p%zzS3CR3T@localhost/x",
        "postgresql://bob:S3CR3T/x@localhost:1/x",
        "postgresql://bob:S3CR3T@localhost:99999/x",
        "postgresql://bob:S3CR3T@localhost:1/x",
        "postgresql://bob:S3CR3T@localhost:1/x?nope=S3CR3T",
        "postgresql://bob@localhost:1/x?password=S3CR3T",
        "mysql://bob:S3CR3T@localhost/x",
        "postgresql://bob:some@S3CR3T@localhost:1/x",
    ],
)
def test_no_error_shows_the_password(url: str) -> None:
    with pytest.raises((ConfigError, UnavailableError)) as caught:
        open_postgres(Settings(database_url=url))
    error = caught.value
    assert "S3CR3T" not in f"{error} {error.hint} {error.raw} {error.__cause__!r}"
    assert "S3CR3T" not in repr(Settings(database_url=url, secret_keys="S3CR3T"))


def test_a_server_of_ones_own_with_several_hosts_and_an_odd_password(postgres: Postgres) -> None:
    keywords = conninfo.conninfo_to_dict(postgres.dsn)
    hosts = urllib.parse.quote(f"/nowhere,{keywords['host']}", safe="")
    password = urllib.parse.quote(PASSWORD, safe="")
    url = f"postgres://postgres:{password}@/{keywords['dbname']}?host={hosts}&port=1,{keywords['port']}"
    given = open_postgres(Settings(database_url=url))
    assert not given.embedded
    assert PASSWORD not in repr(given)
    database = Database(given)
    database.migrate()
    assert database.server()[1]
    database.close()
    engine = DbosEngine(given.dsn, given.url)
    engine.register("plain", lambda: engine.step("one", lambda: 1))
    assert engine.start("plain", "plain").wait() == 1
    engine.close()


def test_an_interval_that_was_kept_for_a_scheduler_is_one_now_and_counts_from_now(database: Database) -> None:
    older(database, "0014")
    with database.begin() as connection:
        before = f"""
            INSERT INTO {SCHEMA}.connections (id, name, project, dataset, adc, connected_by)
                VALUES (gen_random_uuid(), 'c', 'p', 'd', true, 'me');
            INSERT INTO {SCHEMA}.exports
                (id, name, connection_id, model, project, dataset, table_id, spec, created_by, created_at)
                SELECT gen_random_uuid(), 'e', id, 'events', 'p', 'd', 't',
                    '{{"name": "e", "model": "events", "table": "t", "interval": "day"}}', 'me', '2020-01-01'
                FROM {SCHEMA}.connections
        """
        for statement in before.split(";"):
            connection.exec_driver_sql(statement)
    database.migrate()
    export = Exports(database).get("e")
    assert str(ExportSpec.model_validate(export.spec).schedule) == "day"
    standing = Schedules(database).get(export.id)
    assert standing is not None
    assert standing.next_start > dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)
