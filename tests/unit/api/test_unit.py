"""The systemd unit of a server: systemd understands it, whatever the paths and the settings are."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tidemill.api import unit

ODD = "ho me%h $HOME \"x\" 'y' \\z"


def made(home: Path, user: str | None = None) -> str:
    home.mkdir()
    return unit.text(home, home / "tidemill.env", ["--host", "0.0.0.0", "--port", "8010"], 25, user, system=True)  # noqa: S104


def test_it_says_how_the_server_is_begun_and_how_it_ends(tmp_path: Path) -> None:
    text = made(tmp_path / "home")
    assert '"-m" "tidemill" "serve" "--host" "0.0.0.0" "--port" "8010"\n' in text
    assert f'Environment="TIDEMILL_HOME={tmp_path / "home"}"' in text
    assert "TimeoutStopSec=175\n" in text
    assert "User=" not in text
    assert "User=tide\n" in made(tmp_path / "another", "tide")
    assert "$HOME" in made(tmp_path / "of $HOME")  # no variable, in a setting


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd")
@pytest.mark.parametrize("name", ["home", ODD])
def test_systemd_understands_it(tmp_path: Path, name: str) -> None:
    file = tmp_path / unit.NAME
    file.write_text(made(tmp_path / name))
    found = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(file)], capture_output=True, text=True, check=False
    )
    assert unit.NAME not in found.stderr, found.stderr


def test_settings_are_kept_as_they_are_and_nothing_else() -> None:
    said = unit.kept(
        {
            "TIDEMILL_DATABASE_URL": 'postgresql://u:p"a$s\\s@h/d',
            "TIDEMILL_HOME": "/srv",
            "TIDEMILL_USER": "me",
            "TIDEMILL_NOTIFY_SECRET": "s3cr3t",
            "PATH": "/bin",
        }
    )
    lines = [line for line in said.splitlines() if not line.startswith("#")]
    assert lines == ['TIDEMILL_DATABASE_URL="postgresql://u:p\\"a\\$s\\\\s@h/d"']
