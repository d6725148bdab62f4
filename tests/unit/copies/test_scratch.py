"""Folders of copies that were killed are removed by the next copy; those of others that are at work stay."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from tidemill.copies import scratch

_KILLED = """
import os, sys
from pathlib import Path
from tidemill.copies import scratch
with scratch.folder(Path(sys.argv[1]), "migrate") as folder:
    (folder / "database.dump").touch()
    os._exit(9)
"""


def test_what_a_dead_process_left_is_removed(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert subprocess.run([sys.executable, "-c", _KILLED, str(home)], check=False).returncode == 9
    assert [path.name for path in home.glob(".migrate-*/*.dump")] == ["database.dump"]
    with scratch.folder(home, "backup") as held:
        assert list(home.iterdir()) == [held]
        with scratch.folder(home, "restore") as other:
            assert {path for path in home.iterdir() if path.is_dir()} == {held, other}
    assert list(home.iterdir()) == []


def test_other_files_of_the_home_stay(tmp_path: Path) -> None:
    """And one without a lock, unless it is old: it may be made just now."""
    for name in (".backup-abcdefgh", ".backup-notes", ".restore-01234567", ".migrate-"):
        (tmp_path / name).mkdir()
    (tmp_path / ".migrate-abcdefgh").write_text("a file")
    os.utime(tmp_path / ".backup-abcdefgh", (time.time() - 200_000, time.time() - 200_000))
    scratch.clean(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".backup-notes",
        ".migrate-",
        ".migrate-abcdefgh",
        ".restore-01234567",
    ]
