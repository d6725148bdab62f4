"""Repositories: over HTTP from a server that asks for a token, over SSH by an ssh that does as the real one."""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import psutil
import pytest

from tidemill.dbt import git
from tidemill.errors import AccessError, ConfigError, NotFoundError, TidemillError, UnavailableError
from tidemill.outbound.guard import Guard

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed here")
LOCAL = Guard(["127.0.0.1"])


def run(folder: Path, *words: str) -> None:
    subprocess.run(["git", "-C", str(folder), *words], check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with two branches and a project in a subfolder."""
    for whose in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{whose}_NAME", "A")
        monkeypatch.setenv(f"GIT_{whose}_EMAIL", "a@example.com")
    path = tmp_path / "project.git"
    (path / "shop").mkdir(parents=True)
    run(path, "init", "-b", "main")
    for name, branch in (("shop", "main"), ("next", "next")):
        (path / "shop" / "dbt_project.yml").write_text(f"name: {name}\n")
        run(path, "checkout", "-B", branch)
        run(path, "add", ".")
        run(path, "commit", "-m", name)
    run(path, "checkout", "main")
    return path


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def backend(repository: Path, environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """git's own server, a program that is started for each request (CGI)."""
    given = {name: value for name, value in environ.items() if isinstance(value, str)}
    given |= {"GIT_PROJECT_ROOT": str(repository.parent), "GIT_HTTP_EXPORT_ALL": "1"}
    length = int(environ.get("CONTENT_LENGTH") or 0)
    body = environ["wsgi.input"].read(length) if length else b""
    done = subprocess.run(["git", "http-backend"], input=body, env=given, capture_output=True, check=True).stdout
    head, _, answer = done.partition(b"\r\n\r\n")
    headers = [tuple(line.split(": ", 1)) for line in head.decode().split("\r\n")]
    status = next((value for name, value in headers if name == "Status"), "200 OK")
    start_response(status, [(name, value) for name, value in headers if name != "Status"])
    return [answer]


@contextlib.contextmanager
def served(repository: Path, token: str | None = None) -> Iterator[str]:
    """The address of a server of that repository."""

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        given = environ.get("HTTP_AUTHORIZATION", "")
        said = base64.b64decode(given.partition(" ")[2]).decode().partition(":")[2]
        if token is not None and said != token:
            start_response("401 Unauthorized", [("WWW-Authenticate", 'Basic realm="git"')])
            return [b""]
        return backend(repository, environ, start_response)

    with make_server("127.0.0.1", 0, application, handler_class=_Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/project.git"
        finally:
            server.shutdown()
            thread.join()


def cloned(url: str, tmp_path: Path, guard: Guard = LOCAL, **given: Any) -> Path:
    into = tmp_path / "clone"
    git.clone(url, into, guard, known_hosts=tmp_path / "home" / "known_hosts", **given)
    return into


def refused(url: str, tmp_path: Path, guard: Guard = LOCAL, **given: Any) -> TidemillError:
    with pytest.raises(TidemillError) as caught:
        cloned(url, tmp_path, guard, **given)
    return caught.value


def test_the_repositorys_own_branch_is_taken_unless_another_is_named(repository: Path, tmp_path: Path) -> None:
    with served(repository) as url:
        assert (cloned(url, tmp_path / "a") / "shop/dbt_project.yml").read_text() == "name: shop\n"
        assert (cloned(url, tmp_path / "b", branch="next") / "shop/dbt_project.yml").read_text() == "name: next\n"


def test_a_token_opens_a_repository_and_is_not_in_what_is_said(repository: Path, tmp_path: Path) -> None:
    with served(repository, token="s3cret-token") as url:
        assert cloned(url, tmp_path, token="s3cret-token").is_dir()
        error = refused(url, tmp_path / "other", token="wr0ng-token")
    assert isinstance(error, AccessError)
    assert error.code == "git_denied"
    assert "wr0ng-token" not in repr(vars(error))


def test_a_repository_that_asks_for_a_token_is_told(repository: Path, tmp_path: Path) -> None:
    with served(repository, token="s3cret-token") as url:
        error = refused(url, tmp_path)
    assert isinstance(error, AccessError)
    assert "--token-file" in error.hint


def test_a_branch_that_is_not_there_is_named(repository: Path, tmp_path: Path) -> None:
    with served(repository) as url:
        error = refused(url, tmp_path, branch="none")
    assert isinstance(error, NotFoundError)
    assert "none" in error.message


def test_a_repository_that_is_not_there_is_told(repository: Path, tmp_path: Path) -> None:
    with served(repository) as url:
        error = refused(url.replace("project", "other"), tmp_path)
    assert isinstance(error, NotFoundError)


def test_a_server_that_is_not_there_is_told(repository: Path, tmp_path: Path) -> None:
    with served(repository) as url:
        pass
    assert isinstance(refused(url, tmp_path), UnavailableError)


def test_a_private_address_is_not_asked_unless_it_is_allowed(repository: Path, tmp_path: Path) -> None:
    with served(repository) as url:
        error = refused(url, tmp_path, Guard())
    assert isinstance(error, ConfigError)
    assert error.code == "address_private"


@pytest.mark.parametrize(
    "url",
    [
        "project",
        "file:///etc",
        "ftp://host/x",
        "https://",
        "ssh://-oProxyCommand=x/y",
        "https://a:b@host/x",
        "ext::sh",
        "ssh://127.0.0.1%3a2222%2fx@github.com/repo.git",
        "ssh://git@github.com%2f@127.0.0.1/repo.git",
        "https://github.com%00.example.com/x",
    ],
)
def test_what_is_no_repositorys_address_is_refused(url: str, tmp_path: Path) -> None:
    error = refused(url, tmp_path)
    assert isinstance(error, ConfigError)
    assert error.code == "git_url"


_SSH = """#!{python}
import os, subprocess, sys
words = sys.argv[1:]
open({said!r}, "w").write("\\n".join(words))
options = [words[place + 1] for place, word in enumerate(words) if word == "-o"]
if "-i" in words:
    key = words[words.index("-i") + 1]
    assert os.stat(key).st_mode & 0o777 == 0o600
    good = open(key).read() == "the key\\n"
else:
    good = False
if not good:
    sys.exit(print("git@host: Permission denied (publickey).", file=sys.stderr) or 255)
sys.exit(subprocess.call(["git", "upload-pack", {repository!r}]))
"""


@pytest.fixture
def ssh(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An ssh that knows one key; gives the file with the words that it was called with."""
    program, said = tmp_path / "bin" / "ssh", tmp_path / "said"
    program.parent.mkdir()
    program.write_text(_SSH.format(python=sys.executable, said=str(said), repository=str(repository)))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    return said


@pytest.mark.parametrize("url", ["git@127.0.0.1:project.git", "ssh://git@127.0.0.1/project.git"])
def test_a_deploy_key_opens_a_repository_and_is_gone_after(url: str, ssh: Path, tmp_path: Path) -> None:
    assert (cloned(url, tmp_path, ssh_key="the key") / "shop/dbt_project.yml").is_file()
    words = ssh.read_text().splitlines()
    assert not Path(words[words.index("-i") + 1]).exists()
    assert "StrictHostKeyChecking=accept-new" in words
    assert f"UserKnownHostsFile={tmp_path}/home/known_hosts" in words


def test_a_key_of_the_host_that_is_given_is_the_only_one_that_counts(ssh: Path, tmp_path: Path) -> None:
    cloned("git@127.0.0.1:project.git", tmp_path, ssh_key="the key", host_key="127.0.0.1 ssh-ed25519 AAAA")
    assert "StrictHostKeyChecking=yes" in ssh.read_text().splitlines()


@pytest.mark.usefixtures("ssh")
def test_a_key_that_is_refused_is_told_without_the_key(tmp_path: Path) -> None:
    error = refused("git@127.0.0.1:project.git", tmp_path, ssh_key="another")
    assert isinstance(error, AccessError)
    assert "another" not in repr(vars(error))


class Elsewhere(Guard):
    """Says that a host has an address of ours."""

    def addresses(self, host: str, port: int) -> list[str]:
        """See Guard."""
        assert (host, port) == ("git.example.com", 22)
        return ["192.0.2.7"]


def test_ssh_connects_to_the_address_that_was_looked_at(ssh: Path, tmp_path: Path) -> None:
    cloned("git@git.example.com:project.git", tmp_path, Elsewhere(), ssh_key="the key")
    words = ssh.read_text().splitlines()
    assert "HostName=192.0.2.7" in words
    assert "HostKeyAlias=git.example.com" in words


class Public(Guard):
    """Says that a host is on the internet."""

    def addresses(self, host: str, port: int) -> list[str]:
        """See Guard."""
        assert host and port
        return ["8.8.8.8"]


def test_a_token_does_not_go_over_the_internet_in_clear_text(tmp_path: Path) -> None:
    error = refused("http://git.example.com/project.git", tmp_path, Public(), token="s3cret")
    assert error.code == "token_in_clear"


def test_a_server_that_says_nothing_is_not_waited_for_by_anybody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git, "SECONDS", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        error = refused(f"http://127.0.0.1:{silent.getsockname()[1]}/project.git", tmp_path, token="s3cret")
    assert isinstance(error, UnavailableError)
    left = [one for one in psutil.Process().children(recursive=True) if "git" in one.name()]
    assert left == [], "and neither is who asked it"


def test_a_link_does_not_lead_out_of_a_repository(tmp_path: Path) -> None:
    (tmp_path / "repository").mkdir()
    (tmp_path / "repository" / "out").symlink_to("/etc")
    with pytest.raises(ConfigError, match="leads out"):
        git.within(tmp_path / "repository", "out", "hostname")
