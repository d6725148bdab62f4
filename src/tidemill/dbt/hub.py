"""dbt's hub of packages: which versions there are, and which of them fit what all ask for.

Facts: `{hub}api/v1/{owner}/{name}.json` names of each version its packages and its archive (dbt-core,
clients/registry).
"""

from __future__ import annotations

import dataclasses
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any

from tidemill.dbt import entries, versions
from tidemill.dbt.entries import OfHub
from tidemill.errors import ConfigError, NotFoundError, UnavailableError
from tidemill.outbound.client import Answer, Http

URL = "https://hub.getdbt.com/"
_MOST_BYTES = 50_000_000
_MOST_PACKAGES, _MOST_ROUNDS, _MOST_STEPS = 200, 50, 5
_ODD = "The hub of packages does not say what it should"


@dataclasses.dataclass(frozen=True)
class Release:
    """A version of a package. `name`: of its folder; `needs`: packages of the hub that it needs."""

    package: str
    version: str
    name: str
    archive: str
    needs: tuple[OfHub, ...]


class Hub:
    """See the module."""

    def __init__(self, http: Http, url: str = URL) -> None:
        self._http, self._url = http, url.rstrip("/") + "/"
        self._known: dict[str, dict[str, Any]] = {}

    def resolved(self, wanted: Sequence[OfHub], pins: Mapping[str, str]) -> list[Release]:
        """What is to be taken, so that all have what they ask for: of each the newest version that fits, or the one
        that is pinned, if it does.

        Raises
        ------
        ConfigError
            They do not fit together, or the hub says what nobody understands.
        NotFoundError
            There is no such package.
        UnavailableError
            The hub does not answer.
        """
        chosen: dict[str, Release] = {}
        for _ in range(_MOST_ROUNDS):
            asked = [*wanted, *(need for release in chosen.values() for need in release.needs)]
            names = list(dict.fromkeys(one.package for one in asked))
            if len(names) > _MOST_PACKAGES:
                break
            found = {name: self._chosen(name, [one for one in asked if one.package == name], pins) for name in names}
            if found == chosen:
                return list(found.values())
            chosen = found
        raise ConfigError("dbt_package", "The packages do not come to an end.", hint="Name fewer of them.")

    def _chosen(self, package: str, asked: Sequence[OfHub], pins: Mapping[str, str]) -> Release:
        known = self._versions(package)
        wishes = [wish for one in asked for wish in one.wishes]
        early = any(one.before_releases for one in asked)
        version = versions.newest(known, wishes, before_releases=early, pinned=pins.get(package))
        if version is None:
            said = f"{package} has no version that fits all that is asked of it."
            raise ConfigError("dbt_package", said, hint="Look at version in packages.yml, and in its packages.")
        return _release(package, version, known[version])

    def _versions(self, package: str) -> dict[str, Any]:
        if package not in self._known:
            answer = got(self._http, f"{self._url}api/v1/{package}.json", _MOST_BYTES)
            found = answer.json()
            known = found.get("versions") if isinstance(found, dict) else None
            if not isinstance(known, dict):
                raise ConfigError("dbt_package", f"{_ODD} of {package}.", hint="Try again later.")
            self._known[package] = known
        return self._known[package]


def _release(package: str, version: str, said: Any) -> Release:
    try:
        needs = [entries.entry(one) for one in said.get("packages") or ()]
        archive = str(said["downloads"]["tarball"])
        name = entries.name(said["name"])
    except (AttributeError, TypeError, KeyError):
        raise ConfigError("dbt_package", f"{_ODD} of {package} {version}.", hint="Try again later.") from None
    of_hub = tuple(one for one in needs if isinstance(one, OfHub))
    if len(of_hub) < len(needs):
        said = f"{package} {version} needs a package that is not of the hub."
        raise ConfigError("dbt_package", said, hint="Commit the folder dbt_packages, or give a manifest: --manifest.")
    return Release(package, version, name, archive, of_hub)


def got(http: Http, url: str, most_bytes: int) -> Answer:
    """A good answer; redirections are followed, each to what may be reached.

    Raises
    ------
    NotFoundError
        There is nothing.
    ConfigError
        It may not be reached.
    UnavailableError
        It is not given now.
    """
    for _ in range(_MOST_STEPS):
        answer = http.request("GET", url, most_bytes=most_bytes)
        onward = answer.headers.get("location")
        if answer.status not in {301, 302, 303, 307, 308} or not onward:
            break
        url = urllib.parse.urljoin(url, onward)
    where = urllib.parse.urlsplit(url).hostname
    if answer.good:
        return answer
    if answer.status in {401, 403, 404, 410}:
        said = f"{where} does not give a package ({answer.status})."
        raise NotFoundError("dbt_package", said, hint="Look at packages.yml: is it the right name, or address?")
    said = f"{where} does not give a package now ({answer.status}: {answer.said()})."
    raise UnavailableError("dbt_package", said, hint="Try again later.")
