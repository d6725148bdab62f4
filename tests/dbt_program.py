"""The real dbt, if it is on this machine: `make test` installs it into an environment of its own, .venv-dbt."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
_QUIET = ("--no-send-anonymous-usage-stats", "--no-version-check", "--no-use-colors")


def find() -> str | None:
    """Its path: of TIDEMILL_DBT, of .venv-dbt, or of the search path."""
    beside, failed = (ROOT / ".venv-dbt" / name for name in ("bin/dbt", "failed"))
    is_there = beside.exists() and not failed.exists()
    return os.environ.get("TIDEMILL_DBT") or (str(beside) if is_there else shutil.which("dbt"))


def _why_not() -> str:
    """Why it is not there."""
    log = ROOT / ".venv-dbt" / "failed"
    said = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return f"dbt could not be installed: {said[-1]}" if said else "dbt is not installed here: make dbt"


needs_dbt = pytest.mark.skipif(find() is None, reason=_why_not())


def run(*words: str, folder: Path, profiles: Path) -> subprocess.CompletedProcess[str]:
    """Run it in a folder, with the profiles of another one."""
    options = [*_QUIET, *words, "--project-dir", str(folder), "--profiles-dir", str(profiles)]
    # Neither variables of this machine's dbt nor its warehouse.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("DBT_", "GOOGLE_"))}
    return subprocess.run(
        [find() or "dbt", *options],
        env={**environment, "HOME": str(profiles)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
