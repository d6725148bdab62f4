"""A new destination: its folder is whole, and its test fails until it is done."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tidemill.destinations import scaffold
from tidemill.errors import ConfigError, ConflictError

ROOT = Path(__file__).parents[3]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what is needed of this one."""
    for part in ("src", "tests"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def _run(checkout: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(checkout / "src")}
    return subprocess.run(
        [sys.executable, "-m", *words], cwd=checkout, env=environment, capture_output=True, text=True, check=False
    )


def test_its_folder_is_whole_and_its_test_fails_until_it_is_done(checkout: Path) -> None:
    written = scaffold.write(checkout, "acme_mail")
    assert all(path.is_relative_to(checkout) and path.exists() for path in written)
    names = [str(path) for path in written]
    for words in (("ruff", "check", "--ignore", "ARG002", *names), ("ruff", "format", "--check", *names)):
        done = _run(checkout, *words)
        assert done.returncode == 0, done.stdout + done.stderr
    shown = _run(checkout, "tidemill", "destination", "kinds")
    assert "acme_mail" in shown.stdout, shown.stderr
    done = _run(checkout, "pytest", "-q", "-p", "no:cacheprovider", "tests/contract", "-k", "acme_mail")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "say what the API has taken" in done.stdout
    assert "bug in Tidemill" not in done.stdout
    with pytest.raises(ConflictError):
        scaffold.write(checkout, "acme_mail")


def test_what_is_no_name_or_no_checkout_is_told(tmp_path: Path) -> None:
    for root, name in ((ROOT, "Acme"), (ROOT, "class"), (ROOT, "../acme"), (tmp_path, "acme")):
        with pytest.raises(ConfigError):
            scaffold.write(root, name)
    assert not (ROOT / "src" / "tidemill" / "destinations" / "acme").exists()
