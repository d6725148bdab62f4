"""Packages of a project in a repository that somebody gave, fetched by ourselves.

`dbt deps` would connect to any address that the repository names, also within our network; put files where an archive
or a name says; and empty the folder that dbt_project.yml calls packages-install-path. So it is not run: each address
passes the guard, of each package likewise, and what is written stays in the repository's copy.
"""

from __future__ import annotations

import dataclasses
import io
import os
import shutil
import tarfile
import tempfile
import zlib
from pathlib import Path

from tidemill.dbt import checkout, entries, git, hub
from tidemill.dbt.entries import Entry, OfArchive, OfFolder, OfGit, OfHub
from tidemill.errors import ConfigError
from tidemill.outbound.client import Http

_FOLDER = "dbt_packages"
#: Of an archive as it comes; of all in it; and of packages.
_MOST_BYTES, _MOST_UNPACKED, _MOST_FILES, _MOST_PACKAGES = 100_000_000, 500_000_000, 50_000, 200


@dataclasses.dataclass(frozen=True)
class Checkout:
    """A repository's copy. `top`: its folder; `known_hosts`: see `git.clone`; `hub`: the address of dbt's hub."""

    top: Path
    http: Http
    known_hosts: Path
    hub: str = hub.URL


def install(folder: Path, checked_out: Checkout) -> None:
    """Put all packages there that the project in a folder of a repository needs, unless they are there; and see that
    neither it nor they lead out of it.

    Raises
    ------
    ConfigError
        A package cannot be taken, or something leads out.
    NotFoundError
        There is no such package.
    AccessError
        A server refuses it.
    UnavailableError
        A server does not answer.
    """
    top = checked_out.top
    said = checkout.project(folder, top)
    named = said.get("packages-install-path") or said.get("modules-path") or _FOLDER
    into = checkout.within(top, folder, str(named), what="packages-install-path")
    if not into.is_dir() and (wanted := entries.of(folder)):
        into.mkdir(parents=True)
        with tempfile.TemporaryDirectory(prefix="tidemill-dbt-") as scratch:
            _Installing(folder, into, checked_out, Path(scratch)).run(wanted)
    checkout.assert_no_way_out(top)
    for package in sorted(into.iterdir()) if into.is_dir() else ():
        checkout.project(package, top)


class _Installing:
    """The packages of one project."""

    def __init__(self, folder: Path, into: Path, checked_out: Checkout, scratch: Path) -> None:
        self._folder, self._into, self._given, self._scratch = folder, into, checked_out, scratch
        self._number = 0

    def run(self, wanted: list[Entry]) -> None:
        """Those that are named, those that they name, and so on; at last those of the hub, which know of each other."""
        waiting, of_hub, seen = list(wanted), list[OfHub](), set[Entry]()
        while waiting:
            one = waiting.pop(0)
            if isinstance(one, OfHub):
                of_hub.append(one)
            elif one not in seen:
                seen.add(one)
                if len(seen) > _MOST_PACKAGES:
                    hint = "Name fewer of them."
                    raise ConfigError("dbt_package", f"There are more than {_MOST_PACKAGES} packages.", hint=hint)
                waiting += entries.of(self._put(one))
        found = hub.Hub(self._given.http, self._given.hub)
        for release in found.resolved(of_hub, entries.pins(self._folder)):
            self._put(OfArchive(release.archive, release.name))

    def _put(self, one: OfGit | OfArchive | OfFolder) -> Path:
        """Fetch one. Gives where it is."""
        match one:
            case OfFolder():
                return self._link(one)
            case OfGit():
                found = self._cloned(one)
                named = _name(found, found)
            case OfArchive():
                found = unpacked(hub.got(self._given.http, one.url, _MOST_BYTES).body, self._fresh())
                checkout.project(found, found)
                named = one.name
        place = self._place(named)
        shutil.move(found, place)
        return place

    def _link(self, one: OfFolder) -> Path:
        """Of a folder of the same repository: a link."""
        found = checkout.within(self._given.top, self._folder, one.path, what="local of packages.yml").resolve()
        if self._folder.resolve().is_relative_to(found):
            raise ConfigError("dbt_package", f"The package {one.path!r} has the project in it.", hint="Take it out.")
        place = self._place(_name(found, self._given.top))
        place.symlink_to(os.path.relpath(found, place.parent.resolve()))
        return place

    def _cloned(self, one: OfGit) -> Path:
        into = self._fresh()
        git.clone(
            one.url, into, self._given.http.guard, branch=one.revision, known_hosts=self._given.known_hosts
        )  # fmt: skip
        shutil.rmtree(into / ".git")
        checkout.assert_no_way_out(into)
        found = checkout.within(into, into, one.subfolder or ".", what="subdirectory of packages.yml")
        if not found.is_dir():
            raise ConfigError("dbt_package", f"There is no folder {one.subfolder} in {one.url}.", hint="Name one.")
        return found

    def _fresh(self) -> Path:
        self._number += 1
        return self._scratch / str(self._number)

    def _place(self, named: object) -> Path:
        place = self._into / entries.name(named)
        if os.path.lexists(place):
            raise ConfigError("dbt_package", f"Two packages are named {named}.", hint="Take one of them out.")
        return place


def _name(folder: Path, top: Path) -> object:
    """Of the project in a folder."""
    if not (folder / checkout.PROJECT).is_file():
        said = f"A package has no {checkout.PROJECT}: {folder.name} is none."
        raise ConfigError("dbt_package", said, hint="Look at local and subdirectory in packages.yml.")
    return checkout.project(folder, top).get("name")


def unpacked(archive: bytes, into: Path) -> Path:
    """The one folder of a gzipped tar file, of which files and folders alone are taken.

    Raises
    ------
    ConfigError
        It is something else, or too large, or leads out of its folder.
    """
    if not hasattr(tarfile, "data_filter"):
        raise ConfigError("dbt_package", "This Python unpacks archives anywhere.", hint="Update it: 3.11.4 or later.")
    into.mkdir(parents=True)
    left, files = _MOST_UNPACKED, 0
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as found:
            for member in found:
                left, files = left - member.size, files + 1
                if left < 0 or files > _MOST_FILES:
                    raise ConfigError("dbt_package", "A package is too large.", hint="Is it the right address?")
                if member.isreg() or member.isdir():
                    found.extract(member, into, filter="data")
    except (tarfile.TarError, OSError, EOFError, zlib.error, ValueError) as error:
        said = f"A package cannot be unpacked: {type(error).__name__}."
        raise ConfigError("dbt_package", said, hint="It is a .tar.gz with one folder.") from None
    folders = list(into.iterdir())
    if len(folders) != 1 or not folders[0].is_dir():
        raise ConfigError("dbt_package", "A package is not one folder.", hint="It is a .tar.gz with one folder.")
    return folders[0]
