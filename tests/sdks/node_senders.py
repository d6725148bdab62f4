"""The SDKs of Node.js: they are installed once, and each is run by a script of `node/`."""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from tests.sdks.known import Call, Reading, added_by_posthog, amplitudes, kept, segments

SCRIPTS = Path(__file__).parent / "node"
#: What the SDKs ask for.
_NODE = 20


def missing() -> str | None:
    """Why the SDKs cannot be run here."""
    if shutil.which("npm") is None or (node := shutil.which("node")) is None:
        return f"Node.js {_NODE} or newer and npm are needed: apt-get install nodejs npm, or brew install node"
    version = subprocess.run([node, "--version"], check=True, capture_output=True, text=True).stdout.strip()
    found = re.match(r"v(\d+)", version)
    if found is None or int(found[1]) < _NODE:
        return f"Node.js {_NODE} or newer is needed, this is {version}"
    return None


def installed(place: Path = SCRIPTS) -> Path:
    """The folder with `node_modules` for the packages that are named in a place; of each version of the lock file one,
    beside the Python that runs the tests."""
    lock = hashlib.sha256((place / "package-lock.json").read_bytes()).hexdigest()[:16]
    folder = Path(sys.prefix, "tests-node", lock)
    folder.parent.mkdir(exist_ok=True)
    with (folder.parent / "lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not folder.exists():
            _install(folder, place)
    return folder / "node_modules"


def _install(folder: Path, names: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent) as place:
        made = Path(place, "made")
        made.mkdir()
        for name in ("package.json", "package-lock.json"):
            shutil.copy(names / name, made)
        words = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(words, cwd=made, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        made.rename(folder)  # whole, or not at all


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """Where the packages are, if they can be."""
    if why := missing():
        pytest.skip(why)
    return installed()


@dataclasses.dataclass(frozen=True)
class Script:
    """One SDK."""

    name: str
    expected: Callable[[Call], dict[str, Any]]
    reading: Reading

    def start(self, folder: Path, modules: Path, url: str, key: str, calls: Iterable[Call]) -> subprocess.Popen[str]:
        """Begin to send. It says a line for each error that the SDK tells."""
        place = folder / self.name
        shutil.copytree(SCRIPTS, place)
        (place / "node_modules").symlink_to(modules)
        told = place / "told.json"
        told.write_text(json.dumps({"url": url, "key": key, "calls": [call.told() for call in calls]}, default=str))
        words = ["node", f"{self.name}.mjs", str(told)]
        return subprocess.Popen(words, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _posthogs(call: Call) -> dict[str, Any]:
    chosen = {"id": None, "at": None}
    match call.kind:
        case "identify":
            return kept(call, "$identify", set=call.properties, **chosen)
        case "group":
            group = {"$group_type": "company", "$group_key": call.group, "$group_set": call.properties}
            return kept(call, "$groupidentify", properties=group, **chosen)
        case "alias":
            return kept(call, "$create_alias", properties={"distinct_id": call.who, "alias": call.previous}, **chosen)
        case _:
            name = {"page": "$pageview", "screen": "$screen"}.get(call.kind, call.event)
            return kept(call, name, properties=call.properties)


def _amplitudes(call: Call) -> dict[str, Any]:
    """Of Node's SDK, which sends no property of a person that holds a null."""
    if call.kind in {"identify", "group"}:
        whole = {name: value for name, value in call.properties.items() if name not in {"nothing", "nested"}}
        return amplitudes(dataclasses.replace(call, properties=whole))
    return {**amplitudes(call), "properties": call.properties}


#: Calls of PostHog's SDK that take no id and no time.
_CHOSEN = frozenset({"$identify", "$groupidentify", "$create_alias"})
NODE = (
    Script(
        "posthog", _posthogs, Reading(added_by_posthog, frozenset({"$identify", "$groupidentify", "$create_alias"}))
    ),
    Script("segment", segments, Reading()),
    Script("amplitude", _amplitudes, Reading(id_of=lambda row: row["envelope"]["insert_id"])),
)
