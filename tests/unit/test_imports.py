"""Any module may be the first that somebody imports: none needs another one to have come before."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import tidemill

#: Each is imported in a process of its own, which has all of other people's modules already.
_EACH = """
import importlib, os, sys, traceback
names = sys.argv[1].split(",")
for name in names:
    importlib.import_module(name)
for name in [known for known in sys.modules if known.partition(".")[0] == "tidemill"]:
    del sys.modules[name]
failed = []
for name in names:
    child = os.fork()
    if not child:
        try:
            importlib.import_module(name)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        failed.append(name)
sys.exit(", ".join(failed) or 0)
"""


def test_each_module_can_be_imported_first() -> None:
    folder = Path(tidemill.__file__).parent
    modules = [
        "tidemill." + ".".join(path.relative_to(folder).with_suffix("").parts)
        for path in sorted(folder.rglob("*.py"))
        if path.stem not in {"__init__", "__main__"} and "migrations" not in path.parts
    ]
    assert len(modules) > 200
    done = subprocess.run([sys.executable, "-c", _EACH, ",".join(modules)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
