"""Restores a backup into an empty home, or an empty database and folder. There is a fence around it until all is there.

Who is killed leaves the fence, and the next restore begins anew. One that fails leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tidemill.copies import manifest, scratch, sealing
from tidemill.copies.containers import Made
from tidemill.copies.filling import fence_of, filling
from tidemill.copies.manifest import Manifest
from tidemill.copies.parts import Installation, Opening, Told
from tidemill.errors import ConfigError, ConflictError
from tidemill.events import filing
from tidemill.events.data.objects import Objects
from tidemill.models import registry
from tidemill.settings import Settings
from tidemill.store import database, dumps, fences, restoring
from tidemill.store.postgres import Postgres, open_postgres
from tidemill.store.secrets import GIVE_ANEW, Secrets

if TYPE_CHECKING:
    import psycopg

#: Who it was restored from may be at work still, and is another one.
_RENAMED = "UPDATE tidemill.installation SET id = gen_random_uuid()"
_WHAT = "A restore of the backup of {:%Y-%m-%d %H:%M} UTC"


@dataclasses.dataclass(frozen=True)
class Restored:
    """What was restored. `key`: whether there is a secret key that fits; `doubts`: exports that merge from now on."""

    backup: Manifest
    key: bool
    doubts: int

    @property
    def give_anew(self) -> str:
        """What to do if there is none, and it is lost."""
        return GIVE_ANEW


def verify(made: Made, told: Told) -> Manifest:
    """Hold each file of a backup against its checksum. Those that are damaged are noted in it, if that can be, and the
    next backup into it copies them anew.

    Raises
    ------
    ConfigError
        A file is missing, or is another one.
    """
    found = made.manifest
    told.begin("verifying", len(found.files), found.size)
    damaged: dict[str, str] = {}
    for name, entry in found.files.items():
        try:
            with made.open(name) as file:
                if manifest.entry_of(file) != entry:
                    damaged[name] = "is not as it was written"
        except FileNotFoundError:
            damaged[name] = "is missing"
        except OSError as error:
            damaged[name] = f"cannot be read ({error.strerror or error})"
        told.moved(entry.size)
        told.done()
    noted = made.note(list(damaged))
    if damaged:
        raise _damaged(damaged, noted=noted)
    return found


def _damaged(files: dict[str, str], *, noted: bool) -> ConfigError:
    (name, what), others = next(iter(files.items())), len(files) - 1
    more = f", and {others:,} more {'are' if others > 1 else 'is'} damaged" if others else ""
    again = "into the same place: it copies anew what is damaged" if noted else "elsewhere"
    return ConfigError(
        "backup_damaged",
        f"The backup is damaged: its file {name} {what}{more}.",
        hint=f"Nothing was restored. While the installation is there, take another backup, {again}.",
    )


def restore(made: Made, source: str, settings: Settings, opening: Opening, *, by: str, told: Told) -> Restored:
    """Restore a backup where these settings say.

    Raises
    ------
    ConfigError
        It is damaged, or of a newer Tidemill; or its secret key cannot be had.
    ConflictError
        There is something already.
    """
    found = verify(made, told)
    _assert_known(found)
    keys = _keys(made, settings)
    told.begin("opening the database")
    postgres = open_postgres(settings)
    with (
        contextlib.closing(dumps.connected(postgres, autocommit=True)) as session,
        contextlib.nullcontext(fence_of(session, "restore")),
        fences.held(postgres, session),
        _without_a_trace(settings),
        filling(session, "restore", _WHAT.format(found.made_at), f"tidemill restore {source}") as place,
    ):
        told.begin("filling the database")
        _load(made, postgres, session, settings)
        has_key = _put_key(settings, keys, found)
        with opening(settings, within_fence=True) as installation:
            installation.database.server()  # its tables are brought up to date
            installation.event_data.storage.ready()
            place.take(installation.event_data.objects)
            _copy(made, installation.event_data.objects, told)
            told.begin("taking it up")
            session.execute(filing.SET_PLACE.encode(), [installation.event_data.storage.path])
            session.execute(_RENAMED.encode())
            installation.event_data.claim()
            _assert_whole(installation, found)
            installation.identity.catch_up()  # as it went on from there: nobody gets another number
        doubts = _finish(session, found, by)
    return Restored(found, has_key, doubts)


def _assert_known(found: Manifest) -> None:
    if found.revision > database.HEAD:
        raise ConfigError(
            "backup_newer",
            f"The backup is of a newer Tidemill ({found.tidemill}; revision {found.revision}, "
            f"this one knows {database.HEAD}).",
            hint="Install the newer Tidemill: pip install --upgrade tidemill",
        )


def _keys(made: Made, settings: Settings) -> str | None:
    """The secret key that the backup has."""
    key = made.manifest.key
    if key.file is None:
        return None
    with made.open(key.file) as file:
        text = file.read()
    if key.kind == "plain":
        return text.decode()
    if settings.backup_passphrase is None:
        raise ConfigError(
            "passphrase_missing",
            "The secret key in the backup is sealed by a passphrase.",
            hint="Set TIDEMILL_BACKUP_PASSPHRASE to that which was set when the backup was made.",
        )
    return sealing.unsealed(text, settings.backup_passphrase)


def _put_key(settings: Settings, keys: str | None, found: Manifest) -> bool:
    """Whether there is a key by which secrets of the backup can be read.

    Raises
    ------
    ConflictError
        There is another one.
    """
    secrets = Secrets(settings)
    there = settings.secret_keys or (secrets.path.read_text() if secrets.path.exists() else None)
    if there is not None:
        if found.key.secrets and found.key.check and not sealing.fits(there, found.key.check):
            raise ConflictError(
                "secret_key_there",
                "There is a secret key already, and it is not that of the backup.",
                hint=f"Remove {secrets.path}, and unset TIDEMILL_SECRET_KEYS; or put the right key there.",
            )
        return bool(found.key.check)
    if keys is not None:
        secrets.put(keys)
    return keys is not None


@contextlib.contextmanager
def _without_a_trace(settings: Settings) -> Iterator[None]:
    """If the block raises, there is no secret key that was not there before."""
    key = Secrets(settings).path
    had_key = key.exists()
    try:
        yield
    except BaseException:
        if not had_key:
            key.unlink(missing_ok=True)
        raise


def _load(made: Made, postgres: Postgres, session: psycopg.Connection[Any], settings: Settings) -> None:
    """Bring in the database."""
    with scratch.folder(settings.home_path, "restore") as folder:
        path = folder / "database.dump"
        dumps.private(path)
        with made.open(made.manifest.database) as source, path.open("wb") as target:
            shutil.copyfileobj(source, target)
        dumps.load(postgres, path)
    session.execute(filing.FORGET_OLD.encode())


def _copy(made: Made, objects: Objects, told: Told) -> None:
    """Bring in the files of events."""
    files = made.manifest.files
    events = {name: entry for name, entry in files.items() if name.startswith(manifest.EVENTS)}
    told.begin("copying events", len(events), sum(entry.size for entry in events.values()))
    for name, entry in events.items():
        with made.open(name) as source:
            objects.write(name.removeprefix(manifest.EVENTS), source)
        told.moved(entry.size)
        told.done()


def _assert_whole(installation: Installation, found: Manifest) -> None:
    events = installation.lake.number_at(found.snapshot)
    if events != found.events:
        raise ConfigError(
            "backup_damaged",
            f"The backup should hold {found.events:,} events, and holds {events:,}.",
            hint="Nothing was restored. Please report this, and take another backup.",
        )


def _finish(session: psycopg.Connection[Any], found: Manifest, by: str) -> int:
    """It may be used from now on; how many exports are in doubt."""
    backup = restoring.Backup(found.id, found.made_at)
    resent = [model.name for model in registry.MODELS.values() if model.versions]
    with session.transaction():
        gap = restoring.gap(found.snapshot, backup)
        session.execute(filing.SKIP.encode(), {"gap": gap})
        session.execute(filing.SKIPPED.encode())
        row = session.execute(filing.NEWEST.encode()).fetchone()
        doubts = restoring.adjust(session, backup, resent, int(row[0]) if row else 0, by)
        fences.remove(session)
    return doubts
