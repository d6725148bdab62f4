"""The package as it is installed: a wheel that needs nothing of the source tree, and completion in a shell."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `tidemill` of a virtual environment that has the wheel, and the dependencies from this one."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", str(folder), str(ROOT)], check=True)
    (wheel,) = folder.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert not [name for name in names if not name.startswith(("tidemill/", "tidemill-"))]
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], check=True)
    python = folder / "venv" / "bin" / "python"
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = Path(subprocess.run([python, "-c", where], capture_output=True, text=True, check=True).stdout.strip())
    subprocess.run([*pip, "--python", str(python), "install", "--no-deps", str(wheel)], check=True)
    # Of this environment: what is installed in it, not what it adds to the path (the source tree).
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "venv" / "bin" / "tidemill"


def test_the_wheel_runs_the_demo_far_from_the_source_tree(installed: Path, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("TIDEMILL", "PYTHON"))}
    where = "import tidemill; print(tidemill.__file__)"
    python = [str(installed.with_name("python")), "-c", where]
    found = subprocess.run(python, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert str(installed.parent.parent) in found.stdout
    demo = subprocess.run(
        [installed, "demo"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    try:
        assert demo.returncode == 0, demo.stderr
        assert "0 missing, 0 duplicated" in demo.stdout + demo.stderr
    finally:
        subprocess.run([installed, "local", "stop"], cwd=tmp_path, env=environment, capture_output=True, check=True)


def test_a_shell_completes_commands(installed: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "_TIDEMILL_COMPLETE": "complete_bash", "COMP_WORDS": "tidemill ev", "COMP_CWORD": "1"}
    done = subprocess.run([installed], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["events"]
