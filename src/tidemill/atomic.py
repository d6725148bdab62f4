"""Files that are there whole or not at all: whoever is killed while they are written, and after a power cut, too.

A file is written by another name beside its own, put on disk, and renamed; then its name is put on disk. Without the
first `fsync` a power cut could leave the name of a file that is empty, without the second one the file of before.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

_PART = re.compile(r"\.(.+)\.[a-z0-9_]{8}\.part")
_ENDING = ".part"
#: What file systems allow, in bytes; and what is put around a name.
_LONGEST_NAME, _AROUND = 255, len("..12345678") + len(_ENDING)


@contextlib.contextmanager
def writing(
    path: Path, *, mode: int = 0o600, new: bool = False, synced: bool = True, named: bool = True
) -> Iterator[io.BufferedWriter]:
    """Write a file that takes the place of the one that is there when the block has succeeded.

    `new`: there must be none. `synced`: it is on disk before it has its name; `named`: the name is, too, at the end of
    the block. Without these a power cut may lose the file, or what is in it: for what is made anew then, or if names
    are synced together afterwards.

    Raises
    ------
    FileExistsError
        There is one that was to be new.
    OSError
        It cannot be written.
    """
    # A name that is nearly too long has no room for another one around it.
    name = path.name if len(os.fsencode(path.name)) + _AROUND <= _LONGEST_NAME else "long"
    handle, made = tempfile.mkstemp(dir=path.parent, prefix=f".{name}.", suffix=_ENDING)
    part = Path(made)
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), mode)
            yield file
            file.flush()
            if synced:
                os.fsync(file.fileno())
        if new:
            os.link(part, path)  # unlike a rename, it fails if somebody else was first
        else:
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    if named:
        sync(path.parent)


def write(path: Path, content: bytes | str, *, mode: int = 0o600, new: bool = False, synced: bool = True) -> None:
    """Write a file in one go; see writing. `synced`: it is on disk, with its name."""
    with writing(path, mode=mode, new=new, synced=synced, named=synced) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def place(part: Path, path: Path) -> None:
    """Give a file its name that somebody else wrote by another one, in the same folder; it is on disk then."""
    sync(part)
    rename(part, path)


def rename(one: Path, other: Path) -> None:
    """Rename a file or a folder that is on disk; so is its name then."""
    one.rename(other)
    sync(other.parent)


def sync(path: Path) -> None:
    """Put on disk what is in a file; of a folder, the names in it."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def whole_name(name: str) -> str | None:
    """The name that a file was to have, by the one that it has until it is whole; None if it is no such name.

    One that is left has it because somebody was killed, or is at it.
    """
    found = _PART.fullmatch(name)
    return found[1] if found else None
