"""What a hostile repository tries, when dbt runs it, fails: it sees no secret, writes nowhere, and has an end."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tidemill.dbt import bounds, launching, parse, processes
from tidemill.dbt.bounds import Bounds
from tidemill.dbt.packages import Checkout
from tidemill.errors import ConfigError
from tidemill.outbound.client import Http
from tidemill.outbound.guard import Guard

#: Says whether each step was possible.
_TRIES = """
import json, os, resource, socket, sys
secret, parent, port, outside, own = sys.argv[1:]
def connects():
    with socket.create_connection(("127.0.0.1", int(port)), 5): pass
def reads(path):
    with open(path, "rb") as file: file.read()
def writes(path):
    with open(path, "w") as file: file.write("x")
def possible(step, *given):
    try:
        step(*given)
    except OSError as error:
        return type(error).__name__
    return "done"
print(json.dumps({
    "secret": possible(reads, secret), "listed": possible(os.listdir, os.path.dirname(secret)),
    "parent": possible(reads, f"/proc/{parent}/environ"), "network": possible(connects),
    "outside": possible(writes, outside),
    "own": possible(writes, own + "/mine"), "library": possible(reads, os.__file__),
    "user": os.getuid(), "core": resource.getrlimit(resource.RLIMIT_CORE)[1],
    "memory": resource.getrlimit(resource.RLIMIT_AS)[1], "file": resource.getrlimit(resource.RLIMIT_FSIZE)[1],
}))
"""


def _has_landlock() -> bool:
    try:
        return launching.landlock() >= 4
    except OSError:
        return False


@pytest.fixture
def tried(tmp_path: Path) -> dict[str, Any]:
    """What was possible within bounds."""
    home, own = tmp_path / "home", tmp_path / "own"
    home.mkdir()
    own.mkdir()
    (home / "secret.key").write_text("s3cret")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        given = [str(home / "secret.key"), str(os.getpid()), port, str(tmp_path / "outside"), str(own)]
        words = Bounds(own, (home,)).around([sys.executable, "-I", "-c", _TRIES, *given])
        done = processes.run(words, {"PATH": bounds.PATH}, 60, folder=own)
    assert done.returncode == 0, done.stderr.decode()
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.skipif(not _has_landlock(), reason="this kernel has no Landlock of version 4")
def test_secrets_the_parent_the_network_and_other_folders_are_closed(tried: dict[str, Any]) -> None:
    denied = {name: tried[name] for name in ("secret", "listed", "parent", "network", "outside")}
    assert set(denied.values()) == {"PermissionError"}, denied
    assert (tried["own"], tried["library"]) == ("done", "done")


def test_memory_files_and_cores_are_limited(tried: dict[str, Any]) -> None:
    assert tried["core"] == 0
    assert 0 < tried["memory"] <= 4 << 30
    assert 0 < tried["file"] <= 1 << 30


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_root_becomes_a_user_who_has_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "_is_open", lambda _: True)
    own = tmp_path / "own"
    (own / "clone").mkdir(parents=True)
    (own / "clone" / "link").symlink_to("/etc/hostname")
    words = Bounds(own).around(["/bin/true"])
    said = json.loads(words[words.index("/bin/true") - 1])
    assert said["user"] not in {0, 65_534}
    assert {one.lstat().st_uid for one in (own, *own.rglob("*"))} == {said["user"]}
    assert Path("/etc/hostname").stat().st_uid == 0, "links are not followed"
    monkeypatch.setattr(bounds, "_is_open", lambda _: False)
    assert json.loads(Bounds(own).around(["/bin/true"])[4])["user"] is None


def test_what_has_no_end_is_not_kept(tmp_path: Path) -> None:
    done = processes.run([sys.executable, "-c", "print('x' * 3_000_000)"], {}, 60, folder=tmp_path)
    assert len(done.stdout) == 1_000_000


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of one, and a machine with secrets in its environment."""
    for name in ("TIDEMILL_SECRET_KEYS", "DBT_PASSWORD", "DBT_ENV_SECRET_X", "GOOGLE_X"):
        monkeypatch.setenv(name, "s3cret")
    for name in ("http_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://me:s3cret@proxy.example.com")
    monkeypatch.setenv("PATH", f"/opt/s3cret:{os.environ['PATH']}")
    folder = tmp_path / "scratch" / "clone"
    folder.mkdir(parents=True)
    (folder / "dbt_project.yml").write_text("name: shop\n")
    return folder


def parsed(repository: Path, program: str | None) -> bytes:
    http = Http(Guard(["127.0.0.1"]))
    top = repository.parent.parent
    try:
        checked_out = Checkout(repository, http, top / "known_hosts", "http://127.0.0.1:9")
        return parse.parse(
            repository, repository.parent / "parse", project="p", dataset="d", program=program, checked_out=checked_out
        )
    finally:
        http.close()


#: If it runs, there is a manifest.
_HOSTILE = """
import os, sys
target = sys.argv[sys.argv.index("--target-path") + 1]
os.makedirs(target)
open(target + "/manifest.json", "w").write("it has run")
os._exit(0)
"""


def _pretend_that_dbt_is_beside_us(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: SimpleNamespace(submodule_search_locations=None))


def test_nothing_is_imported_from_a_repository(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("click", "sitecustomize", "usercustomize", "json", "dbt/__init__", "dbt/cli/__init__", "dbt/cli/main"):
        file = repository / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(_HOSTILE)
    monkeypatch.setenv("PYTHONPATH", str(repository))
    _pretend_that_dbt_is_beside_us(monkeypatch)
    with contextlib.suppress(ConfigError):  # dbt is not there, or does not take the project
        assert parsed(repository, None) != b"it has run"


def test_the_dbt_beside_us_is_started_so_that_it_imports_from_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    _pretend_that_dbt_is_beside_us(monkeypatch)
    assert parse._command()[:3] == [sys.executable, "-I", "-P"]


def program(tmp_path: Path, text: str) -> str:
    """A dbt that does so."""
    file = tmp_path / "dbt"
    head = "import json, os, sys\ntarget = sys.argv[sys.argv.index('--target-path') + 1]\nos.makedirs(target)\n"
    file.write_text(f"#!{sys.executable}\n{head}{text}")
    file.chmod(0o755)
    return str(file)


def test_a_project_sees_nothing_of_the_environment(repository: Path, tmp_path: Path) -> None:
    tells = "open(target + '/manifest.json', 'w').write(json.dumps([dict(os.environ), os.getcwd()]))"
    seen, place = json.loads(parsed(repository, program(tmp_path, tells)))
    assert "s3cret" not in json.dumps(seen)
    assert not [name for name in seen if name.startswith(("TIDEMILL", "DBT", "GOOGLE"))]
    assert seen["HOME"] == place == str(repository.parent / "parse")
    assert seen["HTTPS_PROXY"] == "http://127.0.0.1:9"


@pytest.mark.parametrize(
    "does",
    [
        "os.symlink({secret!r}, target + '/manifest.json')",
        "os.rmdir(target); os.symlink({folder!r}, target)",
        "os.mkfifo(target + '/manifest.json')",
        "",
    ],
)
def test_a_manifest_that_is_none_is_not_read(does: str, repository: Path, tmp_path: Path) -> None:
    secret = tmp_path / "manifest.json"
    secret.write_text("s3cret")
    with pytest.raises(ConfigError, match="has made no manifest"):
        parsed(repository, program(tmp_path, does.format(secret=str(secret), folder=str(tmp_path))))


@pytest.mark.parametrize(
    "said",
    [
        "clean-targets: [/srv]",
        "clean-targets: [target, ../..]",
        "flags: {log_path: /srv}",
        "flags: {target_path: ../x}",
    ],
)
def test_paths_that_lead_out_are_refused_before_dbt_runs(said: str, repository: Path) -> None:
    (repository / "dbt_project.yml").write_text(f"name: shop\n{said}\n")
    with pytest.raises(ConfigError, match="leads out of the repository") as caught:
        parsed(repository, "/bin/false")
    assert caught.value.code == "dbt_place"
