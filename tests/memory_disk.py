"""Where tests write: into memory, if there is plenty. Each of a thousand has a home of 40 MB, and is done before a disk
has it."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

#: What homes of tests that run at once, and the embedded BigQueries of the workers, may take; and what others need.
_ROOM, _MEMORY = 6 << 30, 12 << 30


def prepare() -> None:
    """Have pytest's temporary folders there, unless somebody has said where they are."""
    folder = Path("/dev/shm")  # noqa: S108 - pytest makes a folder of its own in it
    if "PYTEST_DEBUG_TEMPROOT" in os.environ or not folder.is_dir():
        return
    found = os.statvfs(folder)
    may_run_programs = not found.f_flag & os.ST_NOEXEC
    if may_run_programs and found.f_bavail * found.f_frsize > _ROOM and psutil.virtual_memory().available > _MEMORY:
        os.environ["PYTEST_DEBUG_TEMPROOT"] = str(folder)
