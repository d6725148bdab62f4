"""Bounds of a program that runs what somebody else wrote: what it may see, write and take of this machine.

How they are kept: see `launching`.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tidemill.dbt import launching

_log = logging.getLogger(__name__)
SECONDS = 600
#: Whom it runs as if we are root: nobody else, not even PostgreSQL, which may be `nobody`. Above what systemd gives to
#: services (65519), and below what means something (65534).
_USER = 65_530
#: A project of 600 models takes some 500 MB. A manifest is not larger than a file may be here.
_LIMITS = {
    "RLIMIT_AS": 4 << 30,
    "RLIMIT_FSIZE": 1 << 30,
    "RLIMIT_CPU": 2 * SECONDS,
    "RLIMIT_CORE": 0,
    "RLIMIT_NOFILE": 4_096,
}
#: Where secrets are, of machines of all kinds; below the home directory, and anywhere.
_OF_HOME = (
    ".aws", ".azure", ".bash_history", ".config", ".dbt", ".docker", ".git-credentials", ".gnupg", ".kube", ".netrc",
    ".pgpass", ".ssh",
)  # fmt: skip
_ANYWHERE = ("/run/secrets", "/var/run/secrets", "/etc/shadow", "/etc/tidemill")
#: A variable that names a file with a secret.
_KEY_FILE = "GOOGLE_APPLICATION_CREDENTIALS"
#: What programs are found by. Not ours: what the project says of itself is shown, and may name it.
PATH = "/usr/local/bin:/usr/bin:/bin"


@dataclasses.dataclass(frozen=True)
class Bounds:
    """`own`: the folder that it may write into, with all that it is about; `closed`: what it may not read, besides what
    is secret on every machine."""

    own: Path
    closed: tuple[Path, ...] = ()

    def around(self, words: Sequence[str]) -> list[str]:
        """The command that starts a program, by its path, within them. If we are root, its folder is given to whom it
        runs as."""
        closed = [*map(Path, _ANYWHERE), *self.closed, *(Path.home() / name for name in _OF_HOME)]
        if key := os.environ.get(_KEY_FILE):
            closed.append(Path(key))
        user = self._given_away(words[0]) if os.getuid() == 0 else None
        said = {
            "limits": _LIMITS,
            "closed": [str(one.absolute()) for one in closed],
            "open": [str(one) for one in _needed(words[0])],
            "own": str(self.own.resolve()),
            "user": user,
        }
        return [sys.executable, "-I", "-S", launching.__file__, json.dumps(said), *words]

    def _given_away(self, program: str) -> int | None:
        """The user that has the folder now; None if that user could not even start the program."""
        if not all(map(_is_open, (*_needed(program), self.own.parent))):
            _log.warning("dbt runs as root: no other user can get to %s. Tidemill needs not to be root.", program)
            return None
        for folder, folders, files in os.walk(self.own):
            for name in (".", *folders, *files):
                os.chown(Path(folder, name), _USER, _USER, follow_symlinks=False)
        return _USER


def _needed(program: str) -> list[Path]:
    """What a program is made of: itself, the environment that it is in, and ours."""
    found = [Path(program), Path(program).resolve(), Path(sys.prefix), Path(sys.base_prefix), Path(launching.__file__)]
    environment = Path(program).parent.parent
    if (environment / "pyvenv.cfg").is_file():
        found.append(environment)
        found.append((environment / "bin" / "python").resolve())
    spec = importlib.util.find_spec("dbt")
    return [*found, *map(Path, (spec.submodule_search_locations or ()) if spec else ())]


def _is_open(path: Path) -> bool:
    """Whether everybody may pass through to it, and look into it."""
    real = path.resolve()
    return (
        real.exists() and bool(real.stat().st_mode & 0o005) and all(one.stat().st_mode & 0o001 for one in real.parents)
    )
