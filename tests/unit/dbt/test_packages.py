"""Packages of a repository: all kinds are fetched, with what they need, and dbt takes what was put there."""

from __future__ import annotations

import io
import json
import shutil
import sys
import tarfile
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests import dbt_program
from tests.dbt_program import needs_dbt
from tests.unit.dbt.test_git import repository, run, served

from tidemill.dbt import checkout, fetching, manifest, packages, spec
from tidemill.dbt.fetching import Means
from tidemill.dbt.packages import Checkout
from tidemill.errors import NotFoundError, TidemillError
from tidemill.outbound.client import Http
from tidemill.outbound.guard import Guard

__all__ = ["repository"]
needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed here")


def archive(files: Mapping[str, str], *more: tarfile.TarInfo) -> bytes:
    """A gzipped tar file."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as found:
        for path, text in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(text)
            found.addfile(member, io.BytesIO(text.encode()))
        for member in more:
            found.addfile(member)
    return made.getvalue()


class Server:
    """Answers by path; `asked`: what was asked for."""

    def __init__(self) -> None:
        self.answers: dict[str, bytes] = {}
        self.onward: dict[str, str] = {}
        self.asked: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def publish(self, package: str, **versions: list[dict[str, Any]]) -> None:
        """Put a package into the hub: its versions (`v1_0_0`), each with what it needs."""
        name = package.partition("/")[2]
        known = {}
        for version, needs in versions.items():
            number = version.removeprefix("v").replace("_", ".")
            path = f"/archives/{name}-{number}.tar.gz"
            self.answers[path] = archive({f"top-{number}/dbt_project.yml": f"name: {name}\nversion: '{number}'\n"})
            known[number] = {"name": name, "packages": needs, "downloads": {"tarball": self.url + path}}
        self.answers[f"/api/v1/{package}.json"] = json.dumps({"name": name, "versions": known}).encode()

    def _handler(server) -> type[BaseHTTPRequestHandler]:  # noqa: N805 - beside the handler's own self
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append(self.path)
                onward, body = server.onward.get(self.path), server.answers.get(self.path, b"")
                self.send_response(302 if onward else 200 if self.path in server.answers else 404)
                if onward:
                    self.send_header("Location", onward)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Nobody reads it."""

        return Handler


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The project of a repository, in a folder of it."""
    folder = tmp_path / "checkout" / "shop"
    folder.mkdir(parents=True)
    (folder / "dbt_project.yml").write_text("name: shop\n")
    return folder


def write(folder: Path, *named: Mapping[str, Any], file: str = "packages.yml") -> None:
    (folder / file).write_text(json.dumps({"packages": list(named)}))  # JSON is YAML


def install(project: Path, server: Server | None = None, *allowed: str) -> set[str]:
    """Names of the packages that are there then."""
    http = Http(Guard(allowed or ["127.0.0.1"]))
    top = project.parent
    hub = server.url if server else "http://127.0.0.1:9"
    try:
        packages.install(project, Checkout(top, http, top.parent / "known_hosts", hub))
    finally:
        http.close()
    found = project / "dbt_packages"
    return {one.name for one in found.iterdir()} if found.is_dir() else set()


def refused(project: Path, server: Server | None = None, *allowed: str) -> TidemillError:
    with pytest.raises(TidemillError) as caught:
        install(project, server, *allowed)
    return caught.value


def version(project: Path, name: str) -> str:
    return str(checkout.document(project / "dbt_packages" / name / "dbt_project.yml")["version"])


def test_a_project_without_packages_is_left_as_it_is(project: Path) -> None:
    assert install(project) == set()
    assert sorted(one.name for one in project.iterdir()) == ["dbt_project.yml"]


def test_packages_of_the_hub_come_with_what_they_need(project: Path, server: Server) -> None:
    server.publish("dbt-labs/dbt_utils", v1_0_0=[], v1_1_0=[], v1_2_0=[], v2_0_0=[])
    needs = [{"package": "dbt-labs/dbt_utils", "version": [">=1.0.0", "<1.2.0"]}]
    server.publish("acme/audit", v0_1_0=needs)
    write(project, {"package": "acme/audit", "version": "0.1.0"})
    write(project, {"package": "dbt-labs/dbt_utils", "version": [">=1.0.0"]}, file="dependencies.yml")
    assert install(project, server) == {"audit", "dbt_utils"}
    assert version(project, "dbt_utils") == "1.1.0"


def test_the_lock_file_says_which_version(project: Path, server: Server) -> None:
    server.publish("dbt-labs/dbt_utils", v1_0_0=[], v1_1_0=[])
    write(project, {"package": "dbt-labs/dbt_utils", "version": ">=1.0.0"})
    write(project, {"package": "dbt-labs/dbt_utils", "version": "1.0.0"}, file="package-lock.yml")
    install(project, server)
    assert version(project, "dbt_utils") == "1.0.0"


def test_packages_that_do_not_fit_together_are_told(project: Path, server: Server) -> None:
    server.publish("dbt-labs/dbt_utils", v1_0_0=[], v2_0_0=[])
    server.publish("acme/audit", v0_1_0=[{"package": "dbt-labs/dbt_utils", "version": "<2.0.0"}])
    write(
        project,
        {"package": "acme/audit", "version": "0.1.0"},
        {"package": "dbt-labs/dbt_utils", "version": "2.0.0"},
    )
    assert "dbt_utils has no version that fits" in refused(project, server).message


def test_what_the_hub_does_not_know_is_told(project: Path, server: Server) -> None:
    write(project, {"package": "acme/none", "version": "0.1.0"})
    assert isinstance(refused(project, server), NotFoundError)


def test_an_archive_is_fetched_where_it_leads_to(project: Path, server: Server) -> None:
    server.answers["/real.tar.gz"] = archive({"x/dbt_project.yml": "name: other\nversion: 1\n"})
    server.onward["/utils.tar.gz"] = f"{server.url}/real.tar.gz"
    write(project, {"tarball": f"{server.url}/utils.tar.gz", "name": "utils"})
    assert install(project) == {"utils"}


def test_a_folder_of_the_same_repository_is_linked(project: Path, tmp_path: Path) -> None:
    shared = project.parent / "shared"
    shared.mkdir()
    (shared / "dbt_project.yml").write_text("name: shared\n")
    write(project, {"local": "../shared"})
    assert install(project) == {"shared"}
    assert (project / "dbt_packages" / "shared").resolve() == shared.resolve()
    shutil.move(project.parent, tmp_path / "elsewhere")
    assert (tmp_path / "elsewhere" / "shop" / "dbt_packages" / "shared" / "dbt_project.yml").is_file()


@needs_git
def test_a_repository_is_cloned_at_a_branch_or_a_commit(project: Path, repository: Path) -> None:
    at = (repository / ".git" / "refs" / "heads" / "main").read_text().strip()
    for revision, name in (("next", "next"), (at, "shop"), (None, "shop")):
        with served(repository) as url:
            write(project, {"git": url, "subdirectory": "shop", **({"revision": revision} if revision else {})})
            assert install(project) == {name}
        shutil.rmtree(project / "dbt_packages")


@needs_git
def test_packages_of_packages_are_looked_at_likewise(project: Path, repository: Path) -> None:
    write(repository / "shop", {"git": "http://169.254.169.254/latest/meta-data"})
    run(repository, "add", ".")
    run(repository, "commit", "-m", "more")
    with served(repository) as url:
        write(project, {"git": url, "subdirectory": "shop"})
        assert refused(project).code == "address_private"


def test_a_project_may_say_where_within_it_its_packages_are(project: Path, server: Server) -> None:
    (project / "dbt_project.yml").write_text("name: shop\npackages-install-path: vendor\nmodel-paths: [../models]\n")
    server.publish("acme/audit", v0_1_0=[])
    write(project, {"package": "acme/audit", "version": "0.1.0"})
    install(project, server)
    assert [one.name for one in (project / "vendor").iterdir()] == ["audit"]


def test_two_packages_of_one_name_are_told(project: Path) -> None:
    for name in ("a", "b"):
        (project / name).mkdir()
        (project / name / "dbt_project.yml").write_text("name: utils\n")
    write(project, {"local": "a"}, {"local": "b"})
    assert "Two packages are named utils" in refused(project).message


def test_packages_that_name_each_other_come_to_an_end(project: Path, server: Server) -> None:
    for name, other in (("a", "b"), ("b", "a")):
        (project / name).mkdir()
        (project / name / "dbt_project.yml").write_text(f"name: {name}\n")
        write(project / name, {"local": other})
    server.publish("x/c", v1_0_0=[{"package": "x/d", "version": "1.0.0"}])
    server.publish("x/d", v1_0_0=[{"package": "x/c", "version": "1.0.0"}])
    write(project, {"local": "a"}, {"package": "x/c", "version": ">=1.0.0"})
    assert install(project, server) == {"a", "b", "c", "d"}


_DBT = """#!{python}
import json, os, pathlib, sys
words = sys.argv[1:]
assert words[0] == "parse", words
target = pathlib.Path(words[words.index("--target-path") + 1])
target.mkdir()
folder = pathlib.Path(words[words.index("--project-dir") + 1])
found = sorted(str(one.relative_to(folder)) for one in folder.glob("dbt_packages/*/dbt_project.yml"))
(target / "manifest.json").write_text(json.dumps([dict(os.environ), found]))
"""


@needs_git
def test_dbt_parses_a_repository_with_its_packages_and_without_network_or_secrets(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "dbt"
    program.write_text(_DBT.format(python=sys.executable))
    program.chmod(0o700)
    monkeypatch.setenv("DBT_ENV_SECRET_TOKEN", "s3cret")
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("DBT_OF_OURS", "1")
    (repository / "shared").mkdir()
    (repository / "shared" / "dbt_project.yml").write_text("name: shared\n")
    write(repository / "shop", {"local": "../shared"})
    run(repository, "add", ".")
    run(repository, "commit", "-m", "packages")
    http = Http(Guard(["127.0.0.1"]))
    means = Means(http, lambda *_: b"", ("prod-1", "marts"), tmp_path / "known_hosts", str(program))
    with served(repository) as url:
        found = fetching.fetch(spec.make({"name": "shop", "git": url, "subfolder": "shop"}), means)
    http.close()
    seen, installed = json.loads(found.manifest)
    assert installed == ["dbt_packages/shared/dbt_project.yml"]
    assert "s3cret" not in json.dumps(seen)
    assert "NO_PROXY" not in seen
    assert {seen["HTTPS_PROXY"], seen["http_proxy"]} == {"http://127.0.0.1:9"}
    assert not [name for name in seen if name.startswith("DBT_")]


@needs_dbt
@needs_git
def test_the_real_dbt_takes_what_was_installed(repository: Path, server: Server, tmp_path: Path) -> None:
    server.publish("acme/audit", v0_1_0=[])
    server.answers["/archives/audit-0.1.0.tar.gz"] = archive(
        {
            "top/dbt_project.yml": "name: audit\nversion: '0.1.0'\nmacro-paths: [macros]\n",
            "top/macros/one.sql": "{% macro one() %}1{% endmacro %}",
        }
    )
    shop, shared = repository / "shop", repository / "shared"
    (shop / "models").mkdir()
    (shared / "macros").mkdir(parents=True)
    (shop / "dbt_project.yml").write_text("name: shop\nversion: '1.0'\nprofile: theirs\n")
    (shop / "models" / "people.sql").write_text("select {{ audit.one() }} as id, {{ shared.two() }} as n")
    (shared / "dbt_project.yml").write_text("name: shared\nversion: '1.0'\n")
    (shared / "macros" / "two.sql").write_text("{% macro two() %}2{% endmacro %}")
    write(shop, {"package": "acme/audit", "version": [">=0.1.0", "<1.0.0"]}, {"local": "../shared"})
    run(repository, "add", ".")
    run(repository, "commit", "-m", "packages")
    http = Http(Guard(["127.0.0.1"]))
    means = Means(http, lambda *_: b"", ("prod-1", "marts"), tmp_path / "known_hosts", dbt_program.find())
    with pytest.MonkeyPatch.context() as patch, served(repository) as url:
        patch.setenv("DBT_PACKAGE_HUB_URL", server.url)
        found = fetching.fetch(spec.make({"name": "shop", "git": url, "subfolder": "shop"}), means)
    http.close()
    assert str(manifest.read(found.manifest).find("people").relation) == "prod-1.marts.people"
