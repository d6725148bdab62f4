"""The metadata database: its connections, and its migrations."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from importlib import resources
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from tidemill.errors import AccessError, ConfigError, UnavailableError
from tidemill.store import locks
from tidemill.store.postgres import Postgres
from tidemill.store.tables import SCHEMA

#: What PostgreSQL says of a wrong user, password or database.
_REFUSED = re.compile(
    r'password authentication failed[^\n]*"|(database|role) "[^"]*" does not exist|no password supplied'
)
#: The newest migration. A test holds it against the files.
HEAD = "0016"


class Database:
    """Opens transactions on the metadata database."""

    def __init__(self, postgres: Postgres) -> None:
        self.postgres = postgres
        self._engine = sa.create_engine(
            "postgresql+psycopg://",
            creator=self._connect,
            pool_size=5,
            max_overflow=10,
            pool_pre_ping=True,
            hide_parameters=True,
        )

    def _connect(self) -> Any:
        import psycopg

        return psycopg.connect(self.postgres.dsn, connect_timeout=10)

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    @contextlib.contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        """A transaction: committed at the end of the block, rolled back if it raises.

        Raises
        ------
        UnavailableError
            The database went away, or all connections have been in use for too long.
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
            if refused := _REFUSED.search(said):
                raise ConfigError(
                    "database_refused",
                    f"PostgreSQL does not let us in: {refused[0]}.",
                    hint="Correct user, password or database in TIDEMILL_DATABASE_URL.",
                    raw=said,
                ) from error
            raise UnavailableError(
                "database_unavailable",
                "The metadata database does not answer.",
                hint="Run the command again; if it stays so, look at `tidemill doctor`.",
                raw=str(getattr(error, "orig", error)),
            ) from error
        except (exc.DataError, UnicodeEncodeError) as error:
            raise ConfigError(
                "value_not_storable",
                "A value cannot be stored: a number that is too large, or a text with a NUL or a broken character.",
                hint="Look at the names and options that you gave.",
                raw=str(getattr(error, "orig", error)),
            ) from error
        except exc.ProgrammingError as error:
            if "permission denied" not in str(error.orig):
                raise
            raise AccessError(
                "database_permission",
                "The database user may not do this in the metadata database.",
                hint="It must be able to create schemas and tables in it.",
                raw=str(error.orig),
            ) from error

    def server(self) -> tuple[str, bool]:
        """The server's version, and whether what it acknowledges is on disk (fsync)."""
        with self.begin() as connection:
            version = str(connection.scalar(sa.text("SHOW server_version")))
            return version, connection.scalar(sa.text("SHOW fsync")) == "on"

    def any_secret(self) -> bool:
        """Whether anything in it is encrypted: a credential of a connection, or a secret of a channel."""
        encrypted = (("connections", "key"), ("channels", "secret"))
        found = " OR ".join(f"EXISTS (SELECT 1 FROM {SCHEMA}.{t} WHERE {c} IS NOT NULL)" for t, c in encrypted)
        with self.begin() as connection:
            return bool(connection.scalar(sa.text(f"SELECT {found}")))

    def migrate(self) -> None:
        """Bring the tables up to date; at once if they are. Two processes at once take turns.

        Raises
        ------
        ConfigError
            If a newer Tidemill has changed the tables.
        """
        if self._revision() == HEAD:
            return
        with locks.hold(self.postgres, "migrate"):
            found = self._revision()
            if found == HEAD:
                return
            if found is not None and found > HEAD:
                raise ConfigError(
                    "database_newer",
                    f"The database was made by a newer Tidemill (revision {found}, this one knows {HEAD}).",
                    hint="Install the newer Tidemill: pip install --upgrade tidemill",
                )
            self._upgrade()

    def _revision(self) -> str | None:
        with self.begin() as connection:
            known = connection.scalar(sa.text("SELECT to_regclass(:name)"), {"name": f"{SCHEMA}.alembic_version"})
            if known is None:
                return None
            found = connection.scalar(sa.text(f"SELECT version_num FROM {SCHEMA}.alembic_version"))
            return str(found) if found is not None else None

    def _upgrade(self) -> None:
        from alembic import command, config  # 150 ms, only when there is something to migrate

        with self.begin() as connection:
            connection.execute(sa.text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
            with resources.as_file(resources.files("tidemill.store") / "migrations") as folder:
                settings = config.Config()
                settings.set_main_option("script_location", str(folder).replace("%", "%%"))
                settings.attributes["connection"] = connection
                command.upgrade(settings, HEAD)
