"""Makes a backup, while the installation runs: the database as of one moment, and the files of events that it names.

Meanwhile nobody joins or removes files of events; commits go on.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import functools
import io
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidemill import __version__
from tidemill.copies import containers, manifest, scratch, sealing
from tidemill.copies.containers import Making
from tidemill.copies.manifest import Entry, Key, Manifest
from tidemill.copies.parts import Installation, Told
from tidemill.errors import ConfigError, NotFoundError, UnavailableError
from tidemill.events import filing
from tidemill.events.data.location import Folder
from tidemill.events.data.objects import Objects
from tidemill.events.filing import Named
from tidemill.store import dumps

if TYPE_CHECKING:
    import psycopg

#: The engine's memory is not among them: it says how far processes had come that are gone. Runs are the truth.
SCHEMAS = (dumps.METADATA, dumps.CATALOG)
_REVISION = "SELECT version_num FROM tidemill.alembic_version"
_CATALOG = "SELECT value FROM tidemill_events.ducklake_metadata WHERE key = 'version'"
_STORE = "SELECT schema_uuid::text FROM tidemill_events.ducklake_schema ORDER BY schema_id LIMIT 1"
_SECRETS = """
    SELECT (SELECT count(key) FROM tidemill.connections) + (SELECT count(access_key) FROM tidemill.installation)
        + (SELECT count(secret) FROM tidemill.channels) + (SELECT count(secret) FROM tidemill.destinations)"""
#: How often the states of syncs are looked for.
_TRIES = 10
#: Folders of the home.
_KEPT = ("events", "postgres", "spill", "spool", "exports", "bigquery")
_COUNTED = ("connections", "exports", "runs", "persons", "syncs")


@dataclasses.dataclass(frozen=True)
class Seen:
    """The database as of one moment. `events`: of that moment, too."""

    revision: str
    catalog: str
    store: str
    snapshot: int
    events: int
    counts: dict[str, int]
    secrets: int
    files: list[Named]


def make(
    installation: Installation, destination: Path, *, with_key: bool, passphrase: str | None, by: str, told: Told
) -> Manifest:
    """Make one.

    Raises
    ------
    ConfigError
        The destination is none, or lies where Tidemill keeps files of its own.
    ConflictError
        Another process makes one there.
    UnavailableError
        A disk is full, or the database went away. There is no half backup then; that before stays.
    """
    _assert_outside(installation, destination)
    told.begin("waiting for files that are being joined")
    installation.lake.position()  # the store is there
    with contextlib.ExitStack() as stack:
        held = stack.enter_context(installation.lake.files())
        session, moment = stack.enter_context(dumps.one_moment(installation.postgres))
        made_at = dt.datetime.now(dt.UTC)
        seen = _seen(installation, session)
        making = stack.enter_context(containers.make(destination, seen.store))
        name = f"database-{uuid.uuid4().hex[:12]}.dump"
        entries = _database(installation, making, name, moment, told)
        session.close()
        entries |= _events(making, installation.event_data.objects, seen.files, told)
        entries |= _states(making, installation.event_data.objects, told)
        key, secret = _key(installation, making, seen, with_key=with_key, passphrase=passphrase)
        entries |= secret
        held.check()
        found = Manifest(
            format=manifest.FORMAT,
            id=uuid.uuid4(),
            made_at=made_at,
            made_by=by,
            tidemill=__version__,
            postgres=installation.database.server()[0],
            revision=seen.revision,
            catalog=seen.catalog,
            store=seen.store,
            snapshot=seen.snapshot,
            events=seen.events,
            counts=seen.counts,
            key=key,
            database=name,
            files=entries,
        )
        making.finish(found)
    return found


def _assert_outside(installation: Installation, destination: Path) -> None:
    """Raise ConfigError if it would lie among files that are swept, moved or replaced."""
    home, place = installation.settings.home_path, installation.event_data.location
    kept = [home / name for name in _KEPT] + ([place.path] if isinstance(place, Folder) else [])
    found = destination.expanduser().resolve()
    for folder in (path.resolve() for path in kept):
        if folder == found or folder in found.parents:
            raise ConfigError(
                "backup_within",
                f"{destination} lies within {folder}, where Tidemill keeps files of its own.",
                hint="Name a folder elsewhere, best on another disk.",
            )
    if found == home.resolve():
        raise ConfigError(
            "backup_within", f"{destination} is the home directory itself.", hint="Name a folder elsewhere."
        )


def _seen(installation: Installation, session: psycopg.Connection[Any]) -> Seen:
    def one(query: str) -> Any:
        row = session.execute(query.encode()).fetchone()
        return row[0] if row else None

    snapshot = int(one(filing.NEWEST))
    return Seen(
        revision=str(one(_REVISION)),
        catalog=str(one(_CATALOG)),
        store=str(one(_STORE)),
        snapshot=snapshot,
        events=installation.lake.number_at(snapshot),
        counts={name: int(one(f"SELECT count(*) FROM tidemill.{name}")) for name in _COUNTED},
        secrets=int(one(_SECRETS)),
        files=filing.checked(session.execute(filing.NAMED.encode()).fetchall()),
    )


def _database(installation: Installation, making: Making, name: str, moment: str, told: Told) -> dict[str, Entry]:
    told.begin("copying the database")
    with scratch.folder(installation.settings.home_path, "backup") as folder:
        path = folder / name
        dumps.dump(installation.postgres, path, SCHEMAS, moment)
        size = path.stat().st_size
        told.begin("writing the database", 1, size)
        return {name: making.add(name, size, lambda: path.open("rb"), told.moved)}


def _events(making: Making, objects: Objects, named: list[Named], told: Told) -> dict[str, Entry]:
    told.begin("copying events", len(named), sum(one.size for one in named))
    entries = {}
    for one in named:
        name = f"{manifest.EVENTS}{one.name}"
        try:
            entry = making.add(name, one.size, functools.partial(objects.read, one.name), told.moved)
        except NotFoundError:
            raise _damaged(objects, one, "is not there") from None
        if entry.size != one.size:
            raise _damaged(objects, one, f"has {entry.size:,} bytes, where the catalog says {one.size:,}")
        entries[name] = entry
        told.done()
    return entries


def _states(making: Making, objects: Objects, told: Told) -> dict[str, Entry]:
    """What syncs have delivered. A sync that runs may replace its state by a newer one, which is as good."""
    for _ in range(_TRIES):
        try:
            return {
                f"{manifest.EVENTS}{one.name}": making.add(
                    f"{manifest.EVENTS}{one.name}", one.size, functools.partial(objects.read, one.name), told.moved
                )
                for one in filing.states(objects)
            }
        except NotFoundError:
            continue
    raise UnavailableError(
        "sync_busy", "A sync changes its state again and again.", hint="Take the backup again in a while."
    )


def _damaged(objects: Objects, named: Named, what: str) -> UnavailableError:
    return UnavailableError(
        "event_file_damaged",
        f"A file of events {what}: {objects.place}{named.name}.",
        hint="The event store is damaged, and this backup was given up. Keep the backups that you have.",
    )


def _key(
    installation: Installation, making: Making, seen: Seen, *, with_key: bool, passphrase: str | None
) -> tuple[Key, dict[str, Entry]]:
    wanted, check = with_key or passphrase, ""
    try:
        check = installation.secrets.encrypt("tidemill").decode()
    except ConfigError:  # the key is lost: the events are worth a backup all the same
        if wanted:
            raise
    if not wanted:
        return Key("none", None, check, seen.secrets), {}
    keys = installation.secrets.keys()
    text = sealing.sealed(keys, passphrase) if passphrase else keys.encode()
    name = f"secret-{uuid.uuid4().hex[:12]}.key{'.sealed' if passphrase else ''}"
    entry = making.add(name, len(text), lambda: contextlib.nullcontext(io.BytesIO(text)), lambda _: None)
    return Key("sealed" if passphrase else "plain", name, check, seen.secrets), {name: entry}
