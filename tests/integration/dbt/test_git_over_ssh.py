"""Repositories over SSH, from a real sshd, where there is one."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.capture_server import free_port, until

from tidemill.dbt import git
from tidemill.errors import AccessError, NotFoundError, TidemillError
from tidemill.outbound.guard import Guard

_SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin")
_MISSING = [name for name in ("git", "ssh", "ssh-keygen") if shutil.which(name) is None] + (
    ["sshd"] if not _SSHD else []
)
pytestmark = pytest.mark.skipif(bool(_MISSING), reason=f"not installed here: {', '.join(_MISSING)} (openssh-server)")


def keygen(file: Path) -> str:
    """A new key; its public part."""
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(file)]
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL)
    return " ".join(file.with_suffix(".pub").read_text().split()[:2])


class Sshd:
    """A server that lets one key in, and gives a repository."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.host_key, public = "", keygen(folder / "deploy")
        self.key = (folder / "deploy").read_text()
        (folder / "authorized").write_text(f"{public}\n")
        self.repository = folder / "project"
        self._process: subprocess.Popen[bytes] | None = None
        self.renew()

    @property
    def url(self) -> str:
        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}{self.repository}"

    def renew(self) -> None:
        """Begin, with another key of the host than before."""
        self.stop()
        for name in ("host", "host.pub"):
            (self.folder / name).unlink(missing_ok=True)
        self.host_key = f"127.0.0.1 {keygen(self.folder / 'host')}"
        config = self.folder / "sshd_config"
        config.write_text(
            f"ListenAddress 127.0.0.1:{self.port}\nHostKey {self.folder}/host\nPidFile none\nUsePAM no\n"
            f"StrictModes no\nAuthorizedKeysFile {self.folder}/authorized\nPasswordAuthentication no\n"
            "PermitRootLogin yes\n"
        )
        with (self.folder / "log").open("ab") as log:
            words = [str(_SSHD), "-D", "-e", "-f", str(config)]
            self._process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until(lambda: self._is_over() or self._answers(), "sshd answers")

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()

    def why_not(self) -> str:
        """Why nobody can use it on this machine; empty if ssh can."""
        words = ["ssh", "-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no"]
        words += ["-o", f"UserKnownHostsFile={self.folder}/probe", "-i", str(self.folder / "deploy")]
        words += ["-p", str(self.port), f"{getpass.getuser()}@127.0.0.1", "true"]
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
        said = (self.folder / "log").read_text(errors="replace").strip().splitlines()
        return "" if done.returncode == 0 else f"sshd does not let us in: {said[-1] if said else done.stderr}"

    def _is_over(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=5) as found:
            return found.recv(4) == b"SSH-"
        return False


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    (tmp_path / "sshd").mkdir(mode=0o700)
    server = Sshd(tmp_path / "sshd")
    try:
        if said := server.why_not():
            pytest.skip(said)
        server.repository.mkdir()
        (server.repository / "dbt_project.yml").write_text("name: shop\n")
        own = ["git", "-C", str(server.repository), "-c", "user.name=t", "-c", "user.email=t@example.com"]
        for words in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-qm", "first"], ["branch", "stable"]):
            subprocess.run([*own, *words], check=True)
        yield server
    finally:
        server.stop()


class Machine:
    """What clones, and remembers keys of hosts."""

    def __init__(self, folder: Path, sshd: Sshd) -> None:
        self._folder, self._sshd, self._number = folder, sshd, 0

    def cloned(self, url: str | None = None, **options: str) -> list[str]:
        """Names of the files that came."""
        self._number += 1
        into, known_hosts = self._folder / f"clone{self._number}", self._folder / "known_hosts"
        given = {"ssh_key": self._sshd.key, **options}
        git.clone(url or self._sshd.url, into, Guard(["127.0.0.1"]), known_hosts=known_hosts, **given)
        return sorted(path.name for path in into.iterdir() if path.name != ".git")

    def refused(self, url: str | None = None, **options: str) -> TidemillError:
        """Why nothing came."""
        with pytest.raises(TidemillError) as caught:
            self.cloned(url, **options)
        assert self._sshd.key.splitlines()[2] not in str(vars(caught.value)), "a key is not told"
        return caught.value


@pytest.fixture
def machine(tmp_path: Path, sshd: Sshd) -> Machine:
    return Machine(tmp_path / "machine", sshd)


def test_a_deploy_key_opens_a_repository(machine: Machine) -> None:
    assert machine.cloned() == ["dbt_project.yml"]
    assert machine.cloned(branch="stable") == ["dbt_project.yml"]


def test_another_key_does_not(machine: Machine, tmp_path: Path) -> None:
    keygen(tmp_path / "other")
    error = machine.refused(ssh_key=(tmp_path / "other").read_text())
    assert (type(error), error.code) == (AccessError, "git_denied")


def test_a_repository_or_a_branch_that_is_not_there(machine: Machine, sshd: Sshd) -> None:
    error = machine.refused(f"{sshd.url}-not")
    assert (type(error), error.code) == (NotFoundError, "git_repository")
    assert machine.refused(branch="no").code == "git_branch"


def test_the_key_of_a_host_is_believed_once_and_must_stay(machine: Machine, sshd: Sshd) -> None:
    before = sshd.host_key
    machine.cloned()
    sshd.renew()
    assert machine.refused().code == "git_host_key"
    assert machine.refused(host_key=before).code == "git_host_key"
    assert machine.cloned(host_key=sshd.host_key) == ["dbt_project.yml"]
