"""The manifest of a project, wherever the project is."""

from __future__ import annotations

import dataclasses
import os
import tempfile
import urllib.parse
from collections.abc import Callable
from pathlib import Path

from tidemill.dbt import checkout, clear, git, hub, parse
from tidemill.dbt.packages import Checkout
from tidemill.dbt.spec import ProjectSpec
from tidemill.errors import AccessError, ConfigError, NotFoundError, UnavailableError
from tidemill.outbound.client import Http

MOST_BYTES = parse.MOST_BYTES
#: It has so long in all: somebody waits for it, and a server that sends a byte now and then is not waited for.
WHOLE_SECONDS = 60.0
#: The variable by which dbt has another hub of packages.
_HUB = "DBT_PACKAGE_HUB_URL"


@dataclasses.dataclass(frozen=True)
class Fetched:
    """The texts of the manifest, and of the catalog if there is one. `revision`: the commit, of a repository."""

    manifest: bytes
    catalog: bytes | None
    revision: str = ""


@dataclasses.dataclass(frozen=True)
class Means:
    """What is read with. `stored`: an object of Google Cloud Storage, by bucket and name; `target`: project and dataset
    that dbt would build in; `known_hosts`: where keys of SSH servers are remembered; `dbt`: the program that parses;
    `closed`: what projects of repositories may not read of this machine."""

    http: Http
    stored: Callable[[str, str], bytes]
    target: tuple[str, str] | None
    known_hosts: Path
    dbt: str | None = None
    closed: tuple[Path, ...] = ()


def fetch(spec: ProjectSpec, means: Means) -> Fetched:
    """Read it now.

    Raises
    ------
    ConfigError
        What is there is no project, or dbt would have to be installed.
    AccessError
        The credential is refused.
    NotFoundError
        There is nothing.
    UnavailableError
        A server does not answer.
    """
    token = spec.token.get_secret_value() if spec.token else None
    catalog = _file(spec.catalog, means, token if _is_beside(spec) else None) if spec.catalog else None
    if spec.manifest:
        return Fetched(_file(spec.manifest, means, token), catalog)
    checked_out = None
    with tempfile.TemporaryDirectory(prefix="tidemill-dbt-") as scratch:
        if spec.folder:
            folder, revision = Path(spec.folder).expanduser(), ""
            if not folder.is_dir():
                raise NotFoundError("dbt_folder", f"There is no folder {folder}.", hint="Name one on this machine.")
        else:
            clone = Path(scratch) / "clone"
            revision = git.clone(
                spec.git or "",
                clone,
                means.http.guard,
                branch=spec.branch,
                token=token,
                ssh_key=spec.ssh_key.get_secret_value() if spec.ssh_key else None,
                host_key=spec.host_key,
                known_hosts=means.known_hosts,
            )
            checkout.assert_no_way_out(clone)
            folder = git.within(clone, spec.subfolder)
            checked_out = Checkout(clone, means.http, means.known_hosts, os.environ.get(_HUB) or hub.URL)
        found = _of_folder(folder, spec, means, Path(scratch), checked_out)
    return dataclasses.replace(found, catalog=catalog or found.catalog, revision=revision)


def _is_beside(spec: ProjectSpec) -> bool:
    """Whether the catalog is on the server that the token is for."""
    place, catalog = urllib.parse.urlsplit(spec.manifest or ""), urllib.parse.urlsplit(spec.catalog or "")
    return (place.scheme, place.netloc) == (catalog.scheme, catalog.netloc)


def _of_folder(folder: Path, spec: ProjectSpec, means: Means, scratch: Path, checked_out: Checkout | None) -> Fetched:
    """The manifest that is in it or in its `target`, or that dbt makes of it now."""
    written = next(
        (file for file in (folder / "target/manifest.json", folder / "manifest.json") if file.is_file()), None
    )
    if written is not None:
        beside = written.with_name("catalog.json")
        return Fetched(_bounded(written), _bounded(beside) if beside.is_file() else None)
    if not parse.is_project(folder):
        where = spec.subfolder or spec.git or folder
        raise ConfigError(
            "dbt_folder",
            f"There is no dbt project in {where}: neither dbt_project.yml nor a manifest.",
            hint="Name the folder in which dbt_project.yml is: --folder, or --subfolder of a repository.",
        )
    if means.target is None:
        raise ConfigError(
            "dbt_target",
            "dbt parse must know where models are built.",
            hint="Give --connection, and --dataset: the schema of dbt's production target.",
        )
    project, dataset = means.target
    made = parse.parse(
        folder,
        scratch / "parse",
        project=project,
        dataset=dataset,
        variables=spec.variables,
        program=means.dbt,
        checked_out=checked_out,
        closed=means.closed,
    )
    return Fetched(made, None)


def _file(place: str, means: Means, token: str | None) -> bytes:
    if place.startswith("gs://"):
        bucket, _, name = place.removeprefix("gs://").partition("/")
        if not bucket or not name:
            raise ConfigError("dbt_place", f"{place} names no file.", hint="gs://bucket/path/manifest.json")
        return means.stored(bucket, name)
    if place.startswith(("https://", "http://")):
        return _downloaded(place, means.http, token)
    file = Path(place).expanduser()
    if not file.is_file():
        raise NotFoundError("dbt_manifest", f"There is no file {file}.", hint="dbt parse writes target/manifest.json.")
    return _bounded(file)


def _bounded(file: Path) -> bytes:
    if file.stat().st_size > MOST_BYTES:
        raise ConfigError("manifest_invalid", f"{file} is larger than {MOST_BYTES:,} bytes.", hint="Is it a manifest?")
    return file.read_bytes()


def _downloaded(url: str, http: Http, token: str | None) -> bytes:
    parts = urllib.parse.urlsplit(url)
    if token and parts.scheme == "http":
        clear.assert_not(parts.scheme, _address(http, parts), token)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    answer = http.request("GET", url, headers=headers, most_bytes=MOST_BYTES, whole_seconds=WHOLE_SECONDS)
    if answer.good:
        return answer.body
    secrets = [token] if token else []
    said = f"{answer.status}: {answer.said(secrets)}"
    if answer.status in {401, 403}:
        raise AccessError("dbt_manifest", f"The manifest may not be read ({said}).", hint="Give a token: --token-file.")
    if answer.status in {404, 410}:
        raise NotFoundError(
            "dbt_manifest", f"There is no manifest at that address ({said}).", hint="Is it the right one?"
        )
    if answer.status in range(300, 400):
        raise ConfigError("dbt_manifest", "The address leads on to another one.", hint="Give that one.")
    raise UnavailableError("dbt_manifest", f"The manifest cannot be read now ({said}).", hint="Try again later.")


def _address(http: Http, parts: urllib.parse.SplitResult) -> str:
    """Where the request will go, as far as that is known."""
    try:
        return http.guard.addresses(parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))[0]
    except OSError as error:
        raise UnavailableError(
            "dbt_manifest", f"{parts.hostname} cannot be found: {error}.", hint="Is it right?"
        ) from None
