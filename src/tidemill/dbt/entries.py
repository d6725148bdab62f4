"""What packages.yml and dependencies.yml name: packages of the hub, of Git repositories, archives, and folders.

Each is checked before anything is done with it: dbt would render Jinja in it, and take paths and options as they are.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tidemill.dbt import checkout, clear, git, versions
from tidemill.dbt.spec import BRANCH
from tidemill.dbt.versions import Wish
from tidemill.errors import ConfigError

FILES = ("packages.yml", "dependencies.yml")
_LOCK = "package-lock.yml"
#: Of a package: it is the name of a folder.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}")
_OF_HUB = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,99}/[A-Za-z0-9_][A-Za-z0-9_.\-]{0,99}")
_MANIFEST = "Commit the folder dbt_packages, or give a manifest: --manifest."


@dataclasses.dataclass(frozen=True)
class OfHub:
    """A package of the hub, by owner/name."""

    package: str
    wishes: tuple[Wish, ...]
    before_releases: bool = False


@dataclasses.dataclass(frozen=True)
class OfGit:
    """A folder of a Git repository, at a branch, tag or commit."""

    url: str
    revision: str | None
    subfolder: str


@dataclasses.dataclass(frozen=True)
class OfArchive:
    """A gzipped tar file."""

    url: str
    name: str


@dataclasses.dataclass(frozen=True)
class OfFolder:
    """A folder of the same repository, as seen from the project."""

    path: str


Entry = OfHub | OfGit | OfArchive | OfFolder


def of(folder: Path) -> list[Entry]:
    """The packages that the project in a folder names.

    Raises
    ------
    ConfigError
        One of them cannot be taken.
    """
    return [entry(given) for name in FILES for given in _listed(folder / name)]


def pins(folder: Path) -> dict[str, str]:
    """Versions of packages of the hub that were taken before, by package-lock.yml."""
    found = [one for one in _listed(folder / _LOCK) if isinstance(one, dict)]
    named = [(one.get("package"), one.get("version")) for one in found]
    return {name: version for name, version in named if isinstance(name, str) and isinstance(version, str)}


def _listed(file: Path) -> list[Any]:
    found = checkout.document(file).get("packages") or []
    if not isinstance(found, list):
        raise ConfigError("dbt_package", f"packages of {file.name} is no list.", hint="See dbt's documents.")
    return found


def name(text: object) -> str:
    """A name of a package; ConfigError if it is none."""
    if not isinstance(text, str) or not _NAME.fullmatch(text):
        shown = repr(text[:100]) if isinstance(text, str) else "What stands there"
        hint = "It has letters, digits and underscores."
        raise ConfigError("dbt_package", f"{shown} is no name of a package.", hint=hint)
    return text


def entry(given: Any) -> Entry:
    """A package as it is named; ConfigError if it cannot be taken."""
    kinds = [kind for kind in _KINDS if isinstance(given, dict) and given.get(kind)]
    if len(kinds) != 1 or not all(map(_is_plain, given.values())):
        said = f"A package is named by one of {', '.join(_KINDS)}."
        raise ConfigError("dbt_package", said, hint=_MANIFEST)
    texts = [text for value in given.values() for text in (value if isinstance(value, list) else [value])]
    if any(checkout.is_template(str(text)) for text in texts):
        said = "There is Jinja in what names a package: what it would become is not known, and may be a secret."
        raise ConfigError("dbt_package", said, hint=f"Write the address itself. {_MANIFEST}")
    return _KINDS[kinds[0]](given)


def _is_plain(value: Any) -> bool:
    """Whether it is a text, a number, or a list of them. What nests by aliases of YAML has no end."""
    parts = value if isinstance(value, list) else [value]
    return all(part is None or isinstance(part, str | int | float) for part in parts)


def _of_hub(given: Mapping[str, Any]) -> OfHub:
    package = str(given["package"])
    if not _OF_HUB.fullmatch(package):
        raise ConfigError("dbt_package", f"{package!r} is no package of the hub.", hint="It looks like owner/name.")
    if given.get("version") is None:
        raise ConfigError("dbt_package", f"{package} has no version.", hint="Say which: version: 1.1.1")
    early = given.get("install-prerelease", given.get("install_prerelease"))
    return OfHub(package, versions.wishes(given["version"]), bool(early))


def _of_git(given: Mapping[str, Any]) -> OfGit:
    url = _address(str(given["git"]))
    if git.server(url)[0] == "ssh":
        said = f"The package {url} is fetched by SSH, for which there is no key."
        raise ConfigError("dbt_package", said, hint=f"Give an https:// address. {_MANIFEST}")
    revision = given.get("revision")
    if isinstance(revision, list):
        revision = revision[0] if len(revision) == 1 else ""
    if revision is not None and not re.fullmatch(BRANCH, str(revision)):
        raise ConfigError("dbt_package", f"{revision!r} is no branch, tag or commit.", hint="Name one.")
    is_head = revision in {None, "HEAD"}
    return OfGit(url, None if is_head else str(revision), str(given.get("subdirectory") or ""))


def _of_archive(given: Mapping[str, Any]) -> OfArchive:
    return OfArchive(_address(str(given["tarball"])), name(given.get("name")))


def _of_folder(given: Mapping[str, Any]) -> OfFolder:
    return OfFolder(str(given["local"]))


def _address(url: str) -> str:
    if clear.holds_secret(url):
        said = "There is what looks like a credential in the address of a package."
        raise ConfigError("dbt_package", said, hint=_MANIFEST)
    return url


_KINDS: dict[str, Callable[[Mapping[str, Any]], Entry]] = {
    "package": _of_hub,
    "git": _of_git,
    "tarball": _of_archive,
    "local": _of_folder,
}
