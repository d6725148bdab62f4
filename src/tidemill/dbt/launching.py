"""Starts a program that runs what somebody else wrote, within bounds. It is run by its path, as a program of its own:
the bounds are those of this process, which becomes the other one. Nothing of Tidemill is imported.

On Linux, Landlock (its system calls are Linux's, 5.13 and later) closes what is secret, lets it write into its own
folder alone, and connect to nobody by TCP. Where that is not there, the rest holds nevertheless.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import stat
import struct
import sys
from collections.abc import Iterator
from typing import Any

_CREATE, _ADD, _RESTRICT, _VERSION = 444, 445, 446, 1
_NO_NEW_PRIVILEGES = 38
_DROP, _MOST_POWERS = 24, 64
_PATH_BENEATH = 1
_EXECUTE, _WRITE, _READ, _LIST = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_TRUNCATE, _DEVICES = 1 << 14, 1 << 15
#: What a rule about a file, that is no folder, may say.
_OF_FILES = _EXECUTE | _WRITE | _READ | _TRUNCATE | _DEVICES
_LOOKS = _EXECUTE | _READ | _LIST
#: By the version: how many rights there are; 4 knows TCP, 6 signals and sockets of others.
_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
_TCP, _OTHERS = 0b11, 0b11
#: What is thrown away, and where Python's locks are.
_WRITABLE = ("/dev/null", "/dev/zero", "/dev/full", "/dev/tty", "/dev/shm")  # noqa: S108  # nosec B108 - named, not used


def main(words: list[str]) -> None:
    """`words`: the bounds as JSON, and the program with its arguments."""
    bounds, program = json.loads(words[0]), words[1:]
    for name, most in bounds["limits"].items():
        _limit(getattr(resource, name, None), most)
    with contextlib.suppress(OSError):  # it is not there, or not allowed
        _close(bounds["closed"], bounds["open"], bounds["own"])
    _give_up_powers()
    if bounds["user"] is not None:
        os.setgroups([])
        os.setgid(bounds["user"])
        os.setuid(bounds["user"])
    try:
        os.execv(program[0], program)  # noqa: S606 - that is what this is for
    except OSError as error:
        sys.exit(f"{program[0]} cannot be started: {error.strerror}.")


def _give_up_powers() -> None:
    """What root may beyond files of its own: it could look into other processes. It holds from the next program on."""
    if sys.platform == "linux":
        for power in range(_MOST_POWERS):
            ctypes.CDLL(None).prctl(_DROP, power, 0, 0, 0)


def _limit(kind: int | None, most: int) -> None:
    if kind is None:
        return
    with contextlib.suppress(OSError, ValueError):  # not every system has each
        hard = resource.getrlimit(kind)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (most, most))


def _close(closed: list[str], opened: list[str], own: str) -> None:
    """Raises OSError if this system cannot."""
    system = ctypes.CDLL(None, use_errno=True)
    version = landlock()
    rights = (1 << _RIGHTS.get(version, 16)) - 1
    attributes = struct.pack("=Q", rights)
    attributes += struct.pack("=Q", _TCP) if version >= 4 else b""
    attributes += struct.pack("=Q", _OTHERS) if version >= 6 else b""
    rules = _called(system, _CREATE, attributes, len(attributes), 0)
    hidden = {os.path.realpath(one) for one in closed}
    for path in {*_beside("/", hidden), *map(os.path.realpath, opened)}:
        _allow(system, rules, path, _LOOKS & rights)
    for path in (own, *(one for one in _WRITABLE if not _holds(one, hidden))):
        _allow(system, rules, path, rights)
    if system.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    _called(system, _RESTRICT, rules, 0)
    os.close(rules)


def landlock() -> int:
    """The version of Landlock that is here; OSError if there is none."""
    if sys.platform != "linux":
        raise OSError("Landlock is Linux's")
    return _called(ctypes.CDLL(None, use_errno=True), _CREATE, None, 0, _VERSION)


def _called(system: Any, *arguments: Any) -> int:
    found: int = system.syscall(*(ctypes.c_long(one) if isinstance(one, int) else one for one in arguments))
    if found < 0:
        raise OSError(ctypes.get_errno(), "Landlock")
    return found


def _holds(folder: str, paths: set[str]) -> bool:
    return any(one.startswith(f"{folder}/") for one in paths)


def _beside(folder: str, closed: set[str]) -> Iterator[str]:
    """All that is in a folder, but for what is closed; of folders above that, what is in them."""
    with contextlib.suppress(OSError), os.scandir(folder) as found:
        for entry in found:
            if entry.is_symlink() or entry.path in closed:
                continue
            if _holds(entry.path, closed):
                yield from _beside(entry.path, closed)
            else:
                yield entry.path


def _allow(system: Any, rules: int, path: str, rights: int) -> None:
    with contextlib.suppress(OSError):  # it is gone, or may not be looked at in any case
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            rights &= rights if stat.S_ISDIR(os.fstat(place).st_mode) else _OF_FILES
            _called(system, _ADD, rules, _PATH_BENEATH, struct.pack("=Qi", rights, place), 0)
        finally:
            os.close(place)


if __name__ == "__main__":
    main(sys.argv[1:])
