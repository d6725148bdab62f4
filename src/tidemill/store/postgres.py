"""Opens PostgreSQL: the embedded one under the home directory, or the one that TIDEMILL_DATABASE_URL names.

fsync and synchronous_commit are PostgreSQL's defaults: on. What it acknowledged is on disk.
"""

from __future__ import annotations

import dataclasses
import errno
import functools
import os
import re
import urllib.parse
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.errors import ConfigError, UnavailableError
from tidemill.store import embedded

if TYPE_CHECKING:
    from tidemill.settings import Settings

MINIMUM_VERSION = 14
#: What PostgreSQL says of a wrong user, password or database.
_REFUSED = re.compile(
    r'password authentication failed[^\n]*"|(database|role) "[^"]*" does not exist|no password supplied'
)


@dataclasses.dataclass(frozen=True)
class Postgres:
    """How to reach the database. Neither field may be shown: a given URL can hold a password."""

    dsn: str = dataclasses.field(repr=False)  #: libpq keywords, for psycopg and DuckDB
    url: str = dataclasses.field(repr=False)  #: for SQLAlchemy
    embedded: bool


def open_postgres(settings: Settings) -> Postgres:
    """The running database of this installation; the embedded one is made and started if need be.

    Raises
    ------
    ConfigError
        The home directory cannot be used, or the given URL is not a PostgreSQL that we can use.
    UnavailableError
        The database does not answer.
    """
    if settings.database_url:
        return _given(settings.database_url)
    return _embedded(settings.home_path)


def refusal(said: str) -> ConfigError | None:
    """The error, if PostgreSQL said that it does not let us in: no patience helps against that."""
    refused = _REFUSED.search(said)
    return refused and ConfigError(
        "database_refused",
        f"PostgreSQL does not let us in: {refused[0]}.",
        hint="Correct user, password or database in TIDEMILL_DATABASE_URL.",
        raw=said,
    )


@functools.cache
def _process(pid: int) -> str:
    """What all sessions of this process are called in PostgreSQL: by that they are ended if it is frozen for long."""
    return f"tidemill-{pid}-{uuid.uuid4().hex[:16]}"


def _given(url: str) -> Postgres:
    import psycopg  # 40 ms
    from psycopg import conninfo

    hint = "Set TIDEMILL_DATABASE_URL to postgresql://user:password@host:5432/database, or unset it."
    if not url.startswith(("postgresql://", "postgres://")):
        raise ConfigError("database_url", "TIDEMILL_DATABASE_URL is no PostgreSQL URL.", hint=hint)
    if url.partition("?")[0].count("@") > 1:  # what comes after the first is taken for the host, and told
        escaped = "Write an @ in the user's name or the password as %40."
        raise ConfigError("database_url", "TIDEMILL_DATABASE_URL has more than one @.", hint=escaped)
    try:
        keywords = conninfo.conninfo_to_dict(url)
        with psycopg.connect(url, connect_timeout=10) as connection:
            version = connection.info.server_version // 10_000
            keywords["dbname"] = connection.info.dbname
    except psycopg.Error as error:
        password = _password(url)
        if isinstance(error, psycopg.ProgrammingError) or password is None:
            # The parser's own text quotes the part of the URL that it did not understand: maybe the password.
            raise ConfigError("database_url", "TIDEMILL_DATABASE_URL cannot be read.", hint=hint) from None
        said = str(error).strip().replace(password, "********") if password else str(error).strip()
        raise refusal(said) or UnavailableError(
            "database_unreachable", "The database of TIDEMILL_DATABASE_URL does not answer.", hint=hint, raw=said
        ) from None
    if version < MINIMUM_VERSION:
        raise ConfigError(
            "database_version",
            f"PostgreSQL {version} is too old.",
            hint=f"Tidemill needs PostgreSQL {MINIMUM_VERSION} or newer.",
        )
    given = {name: str(value) for name, value in keywords.items() if value is not None}
    given["application_name"] = _process(os.getpid())
    return Postgres(dsn=conninfo.make_conninfo("", **given), url=_url(given), embedded=False)


def _url(keywords: dict[str, str]) -> str:
    """The URL as SQLAlchemy understands it: libpq's own may name several hosts."""
    rest = dict(keywords)
    user, password, database = (
        urllib.parse.quote(rest.pop(name, ""), safe="") for name in ("user", "password", "dbname")
    )
    sign_in = f"{user}:{password}@" if password else f"{user}@" if user else ""
    return f"postgresql+psycopg://{sign_in}/{database}?{urllib.parse.urlencode(rest)}"


def _password(url: str) -> str | None:
    """The password in it, "" if there is none, None if it is no URL that can be read."""
    from psycopg import ProgrammingError, conninfo

    try:
        found = conninfo.conninfo_to_dict(url).get("password")
    except ProgrammingError:
        return None
    return str(found or "")


def _embedded(home: Path) -> Postgres:
    from psycopg import conninfo

    try:
        host = embedded.ensure_running(home / "postgres")
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE}:
            raise UnavailableError(
                "database_not_started", f"The embedded PostgreSQL cannot be started: {error}.", hint="Look at the disk."
            ) from None
        raise ConfigError(
            "home_not_writable",
            f"{error.filename or home} cannot be written to: {error.strerror}.",
            hint="Set TIDEMILL_HOME to a directory of yours.",
        ) from None
    keywords = {"host": str(host), "port": str(embedded.PORT), "user": "postgres", "dbname": "postgres"}
    keywords["application_name"] = _process(os.getpid())
    return Postgres(dsn=conninfo.make_conninfo("", **keywords), url=_url(keywords), embedded=True)
