"""What a backup says of itself: what is in it, of which versions, and the checksum of each of its files."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
import uuid
from collections.abc import Iterator
from typing import IO

import msgspec

from tidemill import atomic
from tidemill.errors import ConfigError
from tidemill.events import filing

NAME = "manifest.json"
#: Names files of the backup that are damaged, until they were copied anew.
DAMAGED = ".tidemill-damaged"
#: Of this layout of backups.
FORMAT = 1
EVENTS = "events/"
_BLOCK = 1 << 20
#: Files in the folder of a backup, beside those of events.
_BESIDE = re.compile(r"database-[0-9a-f]{12}\.dump|secret-[0-9a-f]{12}\.key(\.sealed)?")


class Entry(msgspec.Struct, frozen=True):
    """A file."""

    size: int
    sha256: str


class Key(msgspec.Struct, frozen=True):
    """The secret key of the installation: `kind` is none, plain or sealed (by a passphrase), and `file` has it. `check`
    is a text that was encrypted with it, by which a key is known that fits (empty if it was lost); `secrets`: how many
    credentials need it."""

    kind: str
    file: str | None
    check: str
    secrets: int


class Manifest(msgspec.Struct, frozen=True):
    """It is written last: a backup without one is none. `snapshot`: the newest of the event store; `revision`: of the
    metadata; `catalog`: DuckLake's; `store`: which event store it is, wherever that lies."""

    format: int
    id: uuid.UUID
    made_at: dt.datetime
    made_by: str
    tidemill: str
    postgres: str
    revision: str
    catalog: str
    store: str
    snapshot: int
    events: int
    counts: dict[str, int]
    key: Key
    database: str
    files: dict[str, Entry]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(entry.size for entry in self.files.values())

    def text(self) -> bytes:
        """As it is written."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1)


def read(text: bytes, where: str) -> Manifest:
    """The manifest of a backup.

    Raises
    ------
    ConfigError
        It is none that this Tidemill understands.
    """
    try:
        number = msgspec.json.decode(text, type=_Numbered).format
        if number == FORMAT:
            return msgspec.json.decode(text, type=Manifest)
    except msgspec.MsgspecError as error:
        raise ConfigError(
            "backup_damaged",
            f"The {NAME} of {where} cannot be read: {error}.",
            hint="Take another backup: this one cannot be restored.",
        ) from None
    raise ConfigError(
        "backup_newer",
        f"{where} is a backup of format {number}; this Tidemill knows {FORMAT}.",
        hint="Restore it with the Tidemill that made it, or a newer one: pip install --upgrade tidemill",
    )


class _Numbered(msgspec.Struct):
    format: int


class _Known(msgspec.Struct):
    """What each format has, and no other program's file of that name."""

    format: int
    tidemill: str
    store: str


def is_one(text: bytes) -> bool:
    """Whether it is the manifest of a backup, of whichever format."""
    try:
        msgspec.json.decode(text, type=_Known)
    except msgspec.MsgspecError:
        return False
    return True


def is_own(name: str) -> bool:
    """Whether only a backup names a file in its folder so, but for the manifest: one that may be deleted."""
    if name == DAMAGED or name.startswith(f".{DAMAGED}."):
        return True
    folder, slash, last = name.rpartition("/")
    if whole := atomic.whole_name(last):
        name = f"{folder}{slash}{whole}"
        if name == NAME:
            return True
    return bool(_BESIDE.fullmatch(name)) or (name.startswith(EVENTS) and filing.is_data(name.removeprefix(EVENTS)))


def blocks(file: IO[bytes]) -> Iterator[bytes]:
    """What is in a file, a part at a time."""
    while block := file.read(_BLOCK):
        yield block


def entry_of(file: IO[bytes]) -> Entry:
    """The size and checksum of what is read from here on."""
    digest, size = hashlib.sha256(), 0
    for block in blocks(file):
        digest.update(block)
        size += len(block)
    return Entry(size, digest.hexdigest())
