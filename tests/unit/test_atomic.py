"""Files that are there whole or not at all. Who writes one is killed before each step."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tidemill import atomic

OLD, NEW = b"old" * 100_000, b"new" * 100_000
#: What is done to make a file, in order; and what is seen if who makes it is killed before that.
STEPS = (("tempfile.mkstemp", OLD), ("os.fsync", OLD), ("pathlib.Path.replace", OLD), ("tidemill.atomic.sync", NEW))
#: Writes a file, and is killed at one of the steps: nothing is tidied then.
KILLED = """
import importlib, os, pathlib, signal, sys
from tidemill import atomic
module, _, name = sys.argv[2].rpartition(".")
owner = pathlib.Path if module == "pathlib.Path" else importlib.import_module(module)
setattr(owner, name, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
with atomic.writing(pathlib.Path(sys.argv[1]), new=sys.argv[3] == "new") as file:
    file.write(b"new" * 100_000)
"""


def killed(path: Path, step: str, *, new: bool = False) -> None:
    command = [sys.executable, "-c", KILLED, str(path), step, "new" if new else "old"]
    assert subprocess.run(command, check=False).returncode == -9


@pytest.mark.parametrize(("step", "seen"), STEPS)
def test_whoever_is_killed_leaves_the_file_of_before_or_the_whole_new_one(
    tmp_path: Path, step: str, seen: bytes
) -> None:
    path = tmp_path / "a file"
    path.write_bytes(OLD)
    killed(path, step)
    assert path.read_bytes() == seen
    assert all(atomic.whole_name(left.name) == path.name for left in tmp_path.iterdir() if left != path)
    atomic.write(path, NEW)
    assert path.read_bytes() == NEW


@pytest.mark.parametrize("step", ["tempfile.mkstemp", "os.fsync", "os.link"])
def test_a_new_file_of_who_is_killed_is_not_there(tmp_path: Path, step: str) -> None:
    killed(tmp_path / "a file", step, new=True)
    assert not (tmp_path / "a file").exists()
    atomic.write(tmp_path / "a file", NEW, new=True)
    assert (tmp_path / "a file").read_bytes() == NEW


def test_what_is_in_a_file_is_on_disk_before_it_has_its_name_and_then_the_name_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, done = tmp_path / "a file", []
    path.write_bytes(OLD)
    real = os.fsync

    def fsync(opened: int) -> None:
        size = sum(one.stat().st_size for one in tmp_path.iterdir() if one != path)
        done.append((stat.S_ISDIR(os.fstat(opened).st_mode), path.read_bytes() == NEW, size))
        real(opened)

    monkeypatch.setattr(os, "fsync", fsync)
    atomic.write(path, NEW)
    assert done == [(False, False, len(NEW)), (True, True, 0)]
    done.clear()
    part = tmp_path / "of somebody else"
    part.write_bytes(OLD)
    atomic.place(part, path)
    assert done == [(False, True, len(OLD)), (True, False, 0)]


def test_a_block_that_fails_leaves_everything_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a file"
    path.write_bytes(OLD)
    with pytest.raises(ZeroDivisionError), atomic.writing(path) as file:
        file.write(NEW)
        raise ZeroDivisionError
    assert [(one, one.read_bytes()) for one in tmp_path.iterdir()] == [(path, OLD)]


def test_only_the_first_makes_a_new_file(tmp_path: Path) -> None:
    path = tmp_path / "a file"
    atomic.write(path, OLD, new=True)
    with pytest.raises(FileExistsError):
        atomic.write(path, NEW, new=True)
    assert [(one, one.read_bytes()) for one in tmp_path.iterdir()] == [(path, OLD)]


def test_a_file_is_for_its_owner_unless_said_otherwise(tmp_path: Path) -> None:
    atomic.write(tmp_path / "private", "ä")
    atomic.write(tmp_path / "public", "ä", mode=0o644)
    assert (tmp_path / "private").read_text(encoding="utf-8") == "ä"
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("private", "public")] == [0o600, 0o644]


def test_a_name_may_be_as_long_as_the_file_system_allows(tmp_path: Path) -> None:
    for name in ("n" * 255, "ä" * 127, "n" * 240):
        atomic.write(tmp_path / name, name)
    assert sorted(one.name for one in tmp_path.iterdir()) == sorted(("n" * 255, "ä" * 127, "n" * 240))


def test_a_file_that_is_not_whole_is_known_by_its_name() -> None:
    assert atomic.whole_name(".a.b.json.abcd_123.part") == "a.b.json"
    assert atomic.whole_name("a.json") is atomic.whole_name(".a.json.part") is None
