"""Whole copies of schemas of a database, by PostgreSQL's own programs: pg_dump, pg_restore and psql of the wheel.

They are told where the database is on the command line, but for the password, which is in their environment.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from tidemill.errors import AccessError, ConfigError, TidemillError, UnavailableError, without_passwords
from tidemill.store import embedded_programs
from tidemill.store.embedded_programs import program
from tidemill.store.postgres import Postgres

if TYPE_CHECKING:
    import psycopg

#: All that an installation keeps: what is known of it, the catalog of its events, and the engine's memory.
METADATA, CATALOG = "tidemill", "tidemill_events"
ENGINE = ("dbos", "tidemill_engine")
ALL = (METADATA, CATALOG, *ENGINE)
#: What pg_restore says to a server that is too old for it; it is about how long a restore may take.
_UNKNOWN_BEFORE_17 = b"SET transaction_timeout = 0;"
_SAID = 2_000


def connected(postgres: Postgres, **options: Any) -> psycopg.Connection[Any]:
    """A session of our own.

    Raises
    ------
    UnavailableError
        The database does not answer.
    """
    import psycopg  # 40 ms

    try:
        return psycopg.connect(postgres.dsn, connect_timeout=10, **options)
    except psycopg.OperationalError as error:
        raise UnavailableError(
            "database_unavailable",
            "The database does not answer.",
            hint="Look at it, and run the command again.",
            raw=str(error),
        ) from None


@contextlib.contextmanager
def one_moment(postgres: Postgres) -> Iterator[tuple[psycopg.Connection[Any], str]]:
    """A session that sees the database as it is now, whatever is committed meanwhile; and the name of that moment, by
    which `dump` sees the same."""
    import psycopg

    with contextlib.closing(connected(postgres)) as session:
        session.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        session.read_only = True
        found = session.execute("SELECT pg_export_snapshot()").fetchone()
        yield session, str(found[0]) if found else ""


def dump(postgres: Postgres, path: Path, schemas: Sequence[str] = (), moment: str = "") -> None:
    """Write a copy of these schemas (of all, if none is named) into a file, of whoever owns them.

    Raises
    ------
    TidemillError
        Why it cannot be done.
    """
    private(path)
    words = [*("--format=custom", "--compress=gzip:1", "--no-owner", "--no-privileges", f"--file={path}")]
    words += [f"--schema={name}" for name in schemas] + ([f"--snapshot={moment}"] if moment else [])
    address, environment = _address(postgres)
    with tempfile.TemporaryFile() as said:
        done = subprocess.run(  # noqa: S603 - our own binary, arguments without a shell
            [program("pg_dump"), *words, f"--dbname={address}"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            check=False,
        )
        if done.returncode:
            raise _failed("The database cannot be copied", _read(said))


def private(path: Path) -> None:
    """Make the file for such a copy, empty, and for its owner alone; whoever writes into it keeps that."""
    with open(path, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        os.fchmod(file.fileno(), 0o600)


def load(postgres: Postgres, path: Path) -> None:
    """Bring a copy into a database that has none of its schemas: all of it, or nothing.

    Raises
    ------
    TidemillError
        Why it cannot be done.
    """
    address, environment = _address(postgres)
    reading = [program("pg_restore"), "--file=-", "--no-owner", "--no-privileges", "--exit-on-error"]
    writing = [
        program("psql"),
        "--no-psqlrc",
        "--quiet",
        "--set=ON_ERROR_STOP=1",
        "--single-transaction",
    ]
    with (
        tempfile.TemporaryFile() as said,
        tempfile.TemporaryFile() as said_reading,
        _started([*writing, "--file=-", f"--dbname={address}"], env=environment, stdout=said, stderr=said) as target,
        _started([*reading, str(path)], stdout=subprocess.PIPE, stderr=said_reading) as source,
    ):
        with contextlib.suppress(BrokenPipeError):  # the other one has ended, and says why
            _pass_on(source.stdout, target.stdin)
        if source.wait():  # before the other one is told that this was all, for it would commit what came
            target.kill()
            raise _failed("The copy of the database cannot be read", _read(said_reading))
        with contextlib.suppress(BrokenPipeError):
            target.stdin.close()  # type: ignore[union-attr]
        if target.wait():
            raise _failed("The copy cannot be brought into the database", _read(said))


@contextlib.contextmanager
def _started(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A program, which is killed if it is not over at the end of the block."""
    stdin = subprocess.PIPE if options["stdout"] is not subprocess.PIPE else subprocess.DEVNULL
    process = subprocess.Popen(command, stdin=stdin, **options)  # noqa: S603 - our own binary
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


def _pass_on(source: IO[bytes] | None, target: IO[bytes] | None) -> None:
    """Lines from one program to the other, without what older servers do not know. Of data, none is left out."""
    assert source is not None and target is not None  # noqa: S101 - they are pipes
    for line in source:
        if line.rstrip() != _UNKNOWN_BEFORE_17:
            target.write(line)
        if line.startswith((b"CREATE ", b"COPY ")):
            break
    while block := source.read(1 << 20):
        target.write(block)
    target.flush()


def _address(postgres: Postgres) -> tuple[str, dict[str, str]]:
    """Where a database is, for a command line that everybody may read; and the environment with the rest."""
    from psycopg import conninfo

    keywords = conninfo.conninfo_to_dict(postgres.dsn)
    secrets = {"PGPASSWORD": keywords.pop("password", None)}
    if keywords.pop("sslpassword", None):
        raise ConfigError(
            "database_url",
            "The password of a client's certificate cannot be handed to pg_dump.",
            hint="Use a certificate whose key has no password, for the time of the copy.",
        )
    # One of the user's own is reached as libpq reaches it, also by PGSSLROOTCERT and the like.
    environment = embedded_programs.environment() if postgres.embedded else dict(os.environ)
    environment |= {name: str(value) for name, value in secrets.items() if value is not None}
    return conninfo.make_conninfo("", **keywords), environment


def _read(file: IO[bytes]) -> str:
    file.seek(0)
    return without_passwords(file.read().decode("utf-8", "replace").strip())


def _failed(what: str, said: str) -> TidemillError:
    if "permission denied" in said or "must be owner" in said:
        return AccessError(
            "database_permission",
            f"{what}: the database user lacks a right.",
            hint="It must own Tidemill's schemas, or be able to create schemas where there are none.",
            raw=said,
        )
    if "server version mismatch" in said:
        return ConfigError(
            "database_version",
            f"{what}: its PostgreSQL is newer than the pg_dump that comes with this Tidemill.",
            hint="Install a newer Tidemill, or copy the database with the tools of that PostgreSQL.",
            raw=said,
        )
    if "No space left" in said or "could not extend file" in said:
        return UnavailableError("disk_full", f"{what}: no space is left.", hint="Make room on the disk.", raw=said)
    last = said.splitlines()[-1] if said else "no reason was given"
    return UnavailableError(
        "database_copy", f"{what}: {last[:_SAID]}", hint="Nothing is half done: run the command again.", raw=said
    )


def counts(session: psycopg.Connection[Any], schemas: Sequence[str] = ()) -> dict[str, int]:
    """How many rows each table of these schemas has; of all but PostgreSQL's own, if none is named."""
    from psycopg import sql

    names = session.execute(
        "SELECT schemaname, tablename FROM pg_tables WHERE schemaname = ANY(%s) OR "
        "(%s AND schemaname NOT IN ('pg_catalog', 'information_schema')) ORDER BY 1, 2",
        [list(schemas), not schemas],
    ).fetchall()
    found = {}
    for schema, table in names:
        query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, table))
        row = session.execute(query).fetchone()
        found[f"{schema}.{table}"] = int(row[0]) if row else 0
    return found


def existing(session: psycopg.Connection[Any], schemas: Sequence[str] = ALL) -> list[str]:
    """Those of these schemas that there are."""
    rows = session.execute("SELECT nspname FROM pg_namespace WHERE nspname = ANY(%s) ORDER BY 1", [list(schemas)])
    return [str(name) for (name,) in rows]


def drop(session: psycopg.Connection[Any], schemas: Sequence[str] = ALL) -> None:
    """Drop these schemas, with all that is in them."""
    from psycopg import sql

    for name in existing(session, schemas):
        session.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(name)))
