"""The systemd unit of a server ("systemd.service", "systemd.exec"), and the file with its settings."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

NAME = "tidemill.service"
#: What is said by the unit itself, or is of a person.
_NOT_KEPT = {"TIDEMILL_HOME", "TIDEMILL_USER", "TIDEMILL_VERBOSE", "TIDEMILL_NOTIFY_SECRET"}
#: More than the server takes to end by itself.
_STOP_SECONDS = 150


def text(
    home: Path, settings: Path, words: Sequence[str], stop_seconds: float, user: str | None, *, system: bool
) -> str:
    """The unit. `words`: options of ``tidemill serve``; `settings`: the file of `kept`; `user`: who it runs as;
    `system`: a unit of the system, not of a person."""
    command = " ".join(_quoted(word).replace("$", "$$") for word in [sys.executable, "-m", "tidemill", "serve", *words])
    return f"""\
[Unit]
Description=Tidemill: takes events, runs exports, streams
Documentation=https://github.com/tidemill/tidemill/tree/main/docs
Wants=network-online.target
After=network-online.target

[Service]
ExecStart={command}
{f"User={user}{chr(10)}" if user else ""}WorkingDirectory={_escaped(str(home))}
Environment={_quoted(f"TIDEMILL_HOME={home}")}
EnvironmentFile=-{_escaped(str(settings))}
Restart=always
RestartSec=2
# What it has begun is finished first; its other processes end by themselves.
KillMode=mixed
TimeoutStopSec={int(stop_seconds) + _STOP_SECONDS}
LimitNOFILE=65536
NoNewPrivileges=yes
ProtectSystem=full

[Install]
WantedBy={"multi-user.target" if system else "default.target"}
"""


def kept(environment: Mapping[str, str]) -> str:
    """The settings of this environment, as a file for systemd. It may hold secrets."""
    lines = ["# Settings of the server; see the reference. Restart it after a change."]
    for name, value in sorted(environment.items()):
        if name.startswith("TIDEMILL_") and name not in _NOT_KEPT:
            escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$").replace("`", "\\`")
            lines.append(f'{name}="{escaped}"')
    return "\n".join(lines) + "\n"


def _escaped(word: str) -> str:
    """Without meaning for systemd's specifiers."""
    return word.replace("%", "%%")


def _quoted(word: str) -> str:
    """As one word."""
    return '"' + _escaped(word).replace("\\", "\\\\").replace('"', '\\"') + '"'
