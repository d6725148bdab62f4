"""The metadata database: its connections, and its migrations."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from importlib import resources
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from tidemill.errors import AccessError, ConfigError, UnavailableError
from tidemill.store import fences, locks, tables_copies
from tidemill.store.postgres import Postgres, refusal
from tidemill.store.tables import SCHEMA

#: What psycopg calls it when somebody gave the tables other names meanwhile.
_GONE = {"UndefinedTable", "InvalidSchemaName"}
#: Of migrations, while others work with the tables.
_WAITS_FOR_OTHERS_SECONDS, _WAITS_IN_LINE_SECONDS, _PAUSE_SECONDS = 600.0, 2, 1.0
#: A connection that was used less long ago is taken as being there.
_IDLE_SECONDS = 1.0
#: The newest migration. A test holds it against the files.
HEAD = "0039"


class Database:
    """Opens transactions on the metadata database."""

    def __init__(
        self, postgres: Postgres, assert_alive: Callable[[], None] = lambda: None, *, within_fence: bool = False
    ) -> None:
        """`assert_alive`: called for each new session; raises if others have taken over what this process had, which
        may not write any more then. `within_fence`: it is this process that fills the database, or moves it."""
        self.postgres, self._assert_alive, self._within_fence = postgres, assert_alive, within_fence
        self._engine = sa.create_engine(
            "postgresql+psycopg://",
            creator=self._connect,
            pool_size=5,
            max_overflow=10,
            hide_parameters=True,
        )
        sa.event.listen(self._engine, "checkin", _left)
        sa.event.listen(self._engine, "checkout", _asked)

    def _connect(self) -> Any:
        import psycopg

        session = psycopg.connect(self.postgres.dsn, connect_timeout=10)
        try:
            self._assert_alive()
        except BaseException:
            session.close()
            raise
        return session

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    @contextlib.contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        """A transaction: committed at the end of the block, rolled back if it raises.

        Raises
        ------
        UnavailableError
            The database went away, all connections have been in use for too long, or others have taken over what this
            process had.
        AccessError
            The database user lacks a permission.
        ConfigError
            A text holds what PostgreSQL cannot store.
        """
        try:
            with self._engine.begin() as connection:
                yield connection
        except (exc.OperationalError, exc.InterfaceError, exc.TimeoutError) as error:
            said = str(getattr(error, "orig", error))
            if refused := refusal(said):
                raise refused from error
            raise UnavailableError(
                "database_unavailable",
                "The metadata database does not answer.",
                hint="Run the command again; if it stays so, look at `tidemill doctor`.",
                raw=str(getattr(error, "orig", error)),
            ) from error
        except (exc.DataError, UnicodeEncodeError) as error:
            raise _not_storable(error) from error
        except exc.ProgrammingError as error:
            if type(error.orig).__name__ in _GONE and f'"{SCHEMA}' in str(error.orig):
                raise ConfigError(
                    "installation_gone",
                    "The tables of this installation are not there any more: it was moved, or dropped.",
                    hint="tidemill doctor tells where it is.",
                    raw=str(error.orig),
                ) from error
            if "permission denied" not in str(error.orig):
                raise
            raise AccessError(
                "database_permission",
                "The database user may not do this in the metadata database.",
                hint="It must be able to create schemas and tables in it.",
                raw=str(error.orig),
            ) from error
        except Exception as error:
            import psycopg

            if isinstance(error, psycopg.DataError):  # some repositories ask by the driver itself
                raise _not_storable(error) from error
            raise

    def server(self) -> tuple[str, bool]:
        """The server's version, and whether what it acknowledges is on disk (fsync)."""
        with self.begin() as connection:
            version = str(connection.scalar(sa.text("SHOW server_version")))
            return version, connection.scalar(sa.text("SHOW fsync")) == "on"

    def migrate(self) -> None:
        """Bring the tables up to date; at once if they are. Two processes at once take turns.

        Raises
        ------
        ConfigError
            A newer Tidemill has changed the tables so that this one cannot work with them; or there is a fence around
            the database.
        ConflictError
            It is being moved.
        """
        if self._usable():
            return
        with locks.hold(
            self.postgres, "migrate", waiting=_patient
        ):  # asked for again and again: see engine/liveness.py
            if not self._usable():
                self._upgrade()

    def _usable(self) -> bool:
        """Whether this program may work with the tables as they are: they are of its revision, or of a newer one that
        says so. Else they are older, or not there."""
        with self.begin() as connection:
            if not self._within_fence:
                _assert_open(connection)
            found, oldest = _revisions(connection)
        if found is None or found < HEAD:
            return False
        if found > HEAD and (oldest is None or oldest > HEAD):
            raise ConfigError(
                "database_newer",
                f"The database was made by a newer Tidemill (revision {found}, this one knows {HEAD}).",
                hint="Install the newer Tidemill: pip install --upgrade tidemill",
            )
        return True

    def _upgrade(self, revision: str = HEAD) -> None:
        """In one transaction. Who works with the tables meanwhile is waited for, a moment at a time: whoever came after
        us would wait behind us."""
        end = time.monotonic() + _WAITS_FOR_OTHERS_SECONDS
        while True:
            try:
                self._change(revision)
            except UnavailableError as error:
                if "lock timeout" not in error.raw or time.monotonic() > end:
                    raise
                time.sleep(_PAUSE_SECONDS)
            else:
                return

    def _change(self, revision: str) -> None:
        from alembic import command, config  # 150 ms, only when there is something to migrate

        with self.begin() as connection:
            connection.execute(sa.text(f"SET LOCAL lock_timeout = '{_WAITS_IN_LINE_SECONDS}s'"))
            connection.execute(sa.text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
            with resources.as_file(resources.files("tidemill.store") / "migrations") as folder:
                settings = config.Config()
                settings.set_main_option("script_location", str(folder).replace("%", "%%"))
                settings.attributes["connection"] = connection
                command.upgrade(settings, revision)


def _not_storable(error: Exception) -> ConfigError:
    """Our error for what PostgreSQL cannot hold."""
    return ConfigError(
        "value_not_storable",
        "A value cannot be stored: a number that is too large, or a text with a NUL or a broken character.",
        hint="Look at the names and options that you gave.",
        raw=str(getattr(error, "orig", error)),
    )


def _left(_: Any, record: Any) -> None:
    """A connection is given back."""
    record.info["left_at"] = time.monotonic()


def _asked(connection: Any, record: Any, _: Any) -> None:
    """A connection that was not used for a while is asked whether it is still there; the pool makes another one if not.

    As `pool_pre_ping`, which asks each time: as much work as what is asked then.
    """
    if time.monotonic() - record.info.get("left_at", time.monotonic()) < _IDLE_SECONDS:
        return
    try:
        connection.execute("SELECT 1")
        connection.rollback()
    except Exception as error:
        raise exc.DisconnectionError from error


def _patient() -> None:
    """Go on waiting."""


def _assert_open(connection: sa.Connection) -> None:
    """Raise what a fence says, or that the installation is being moved."""
    fenced, still = connection.execute(sa.text(fences.LOOK)).one()
    fence = connection.execute(sa.text(fences.READ)).first() if fenced else None
    if fence is not None and fence.kind != fences.COPYING:
        raise fences.refusal(fence.kind, fence.said, fence.put_at)
    if not still:
        raise fences.moving()


def _revisions(connection: sa.Connection) -> tuple[str | None, str | None]:
    """That of the tables, and the oldest one whose programs may work with them."""
    names = {"name": f"{SCHEMA}.alembic_version", "other": f"{SCHEMA}.compatibility"}
    known, told = connection.execute(sa.text("SELECT to_regclass(:name), to_regclass(:other)"), names).one()
    found = connection.scalar(sa.text(f"SELECT version_num FROM {SCHEMA}.alembic_version")) if known else None
    oldest = connection.scalar(sa.select(tables_copies.compatibility.c.oldest)) if told else None
    return found, oldest
