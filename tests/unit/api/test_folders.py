"""Folders of servers: those of dead ones are removed, others never."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tidemill.api import folders

LEAVES = """
import os, sys
from pathlib import Path
from tidemill.api import folders
with folders.folder(Path(sys.argv[1])) as made:
    (made / "writer").touch()
    os.kill(os.getpid(), 9)
"""


def test_what_a_killed_server_left_is_removed_by_the_next(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", LEAVES, str(tmp_path)], check=False, timeout=60)
    (left,) = tmp_path.iterdir()
    others = tmp_path / "tidemill-of-somebody"
    others.mkdir()
    os.utime(others, (0, 0))
    with folders.folder(tmp_path) as made:
        assert left.exists(), "it is young: it may be just made"
        os.utime(left, (0, 0))
        os.utime(made, (0, 0))
        with folders.folder(tmp_path) as another:
            assert sorted(tmp_path.iterdir()) == sorted([others, made, another])
    assert list(tmp_path.iterdir()) == [others]
