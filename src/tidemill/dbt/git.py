"""Files of a branch of a Git repository, without its history, by the git of the machine."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path

from tidemill.dbt import clear, processes
from tidemill.errors import AccessError, ConfigError, NotFoundError, TidemillError, UnavailableError
from tidemill.outbound.guard import Guard

#: How long is waited for a connection, and for all of it.
CONNECT_SECONDS, SECONDS = 30, 600
#: git@github.com:people/project.git
_SHORT = re.compile(r"^(?P<user>[A-Za-z0-9_][A-Za-z0-9_.\-]*)@(?P<host>[A-Za-z0-9][A-Za-z0-9.\-]*):(?P<path>[^/:].*)$")
#: Whom and where, as git and ssh read them too: they decode what begins with %.
_NAMED = re.compile(r"^([A-Za-z0-9_][A-Za-z0-9_.\-]*@)?([A-Za-z0-9][A-Za-z0-9.\-]*|\[[0-9A-Fa-f:.]+\])(:\d+)?$")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_PORTS = {"https": 443, "http": 80, "ssh": 22}
_CREDENTIAL = "There is a credential in the address of the repository."
#: Whom a token belongs to does not matter to GitHub, GitLab and Bitbucket, if there is a name.
_ASKED = """#!/bin/sh
case "$1" in Username*) echo x-access-token;; *) printf '%s\\n' "$TIDEMILL_GIT_TOKEN";; esac
"""
#: What git says (in the language C), and which of our errors that is.
_DENIED = re.compile(
    r"authentication failed|could not read (username|password)|permission denied|access denied|403", re.I
)
_NO_BRANCH = re.compile(r"remote branch .* not found|could not find remote branch|not our ref|find remote ref", re.I)
_NO_REPOSITORY = re.compile(
    r"repository .*not found|does not appear to be a git repository|repository not found|404", re.I
)


def clone(
    url: str,
    into: Path,
    guard: Guard,
    *,
    branch: str | None = None,
    token: str | None = None,
    ssh_key: str | None = None,
    host_key: str | None = None,
    known_hosts: Path,
) -> str:
    """Write the files of a branch, a tag or a commit into a new folder; gives the commit's id.

    `known_hosts`: where the keys of SSH servers are remembered: the first key of a host is believed, unless `host_key`
    says which it is.

    Raises
    ------
    ConfigError
        The address is none, or may not be reached; or there is no git here.
    AccessError
        The credential is missing or refused, or the host has another key than before.
    NotFoundError
        There is no such repository or branch.
    UnavailableError
        The server does not answer.
    """
    scheme, host, port = server(url)
    try:
        address = guard.addresses(host, port)[0]
    except OSError as error:
        said = f"{host} cannot be found: {error}."
        raise UnavailableError("git_unreachable", said, hint="Is it the right address?") from None
    clear.assert_not(scheme, address, token)
    options = ["-c", "http.lowSpeedLimit=1000", "-c", f"http.lowSpeedTime={2 * CONNECT_SECONDS}"]
    options += ["-c", "credential.helper=", "-c", "core.hooksPath=/dev/null", "-c", "http.followRedirects=false"]
    options += ["-c", f"http.curloptResolve={host}:{port}:{address}"]
    into.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tidemill-git-") as folder:
        environment = _environment(Path(folder), token)
        if scheme == "ssh":
            environment["GIT_SSH_COMMAND"] = _ssh(Path(folder), host, address, ssh_key, host_key, known_hosts)
        with _told(host, branch, token or ssh_key):
            _fetched(url, into, branch, options, environment)
            return _git(["-C", str(into), "rev-parse", "HEAD"], environment).strip()


def _fetched(url: str, into: Path, branch: str | None, options: list[str], environment: Mapping[str, str]) -> None:
    """A commit is asked for by its id: git clones no such thing."""
    if branch is None or not _COMMIT.fullmatch(branch):
        words = ["clone", "--quiet", "--depth=1", "--single-branch", "--no-tags", "--no-recurse-submodules"]
        words += ["--template=", *([f"--branch={branch}"] if branch else [])]
        _git([*options, *words, "--", url, str(into)], environment)
        return
    _git([*options, "init", "--quiet", "--template=", str(into)], environment)
    words = ["-C", str(into), "fetch", "--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules"]
    _git([*options, *words, "--", url, branch], environment)
    _git([*options, "-C", str(into), "checkout", "--quiet", "FETCH_HEAD"], environment)


def within(folder: Path, *parts: str) -> Path:
    """A path in a folder; ConfigError if a link leads out of it."""
    found = folder.joinpath(*parts)
    if not found.resolve().is_relative_to(folder.resolve()):
        raise ConfigError("dbt_place", f"{'/'.join(parts)} leads out of the repository.", hint="Name a folder in it.")
    return found


def server(url: str) -> tuple[str, str, int]:
    """Scheme, host and port."""
    short = _SHORT.match(url)
    if short and "://" not in url:
        return "ssh", short["host"], 22
    try:
        found = urllib.parse.urlsplit(url)
        port = found.port
    except ValueError:
        found, port = urllib.parse.urlsplit(""), None
    if found.password:
        raise ConfigError("git_url", _CREDENTIAL, hint="Give the token by --token-file instead.")
    if found.scheme not in _PORTS or not found.hostname or not _NAMED.match(found.netloc):
        raise ConfigError(
            "git_url",
            f"{url.rpartition('@')[2]!r} is no address of a Git repository.",
            hint="It looks like https://github.com/people/project.git, or git@github.com:people/project.git.",
        )
    if found.username and found.scheme != "ssh":
        raise ConfigError("git_url", _CREDENTIAL, hint="Give the token by --token-file instead.")
    return found.scheme, found.hostname, port or _PORTS[found.scheme]


def _environment(folder: Path, token: str | None) -> dict[str, str]:
    """What git sees: nothing of the machine's settings, and the token, if there is one, by a program that tells it."""
    asked = folder / "ask"
    asked.write_text(_ASKED)
    asked.chmod(0o700)
    return {
        "PATH": os.environ.get("PATH", ""),
        "HOME": str(folder),
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": "https:http:ssh",
        **({"GIT_ASKPASS": str(asked), "TIDEMILL_GIT_TOKEN": token} if token else {"GIT_ASKPASS": "/bin/false"}),
    }


def _ssh(folder: Path, host: str, address: str, key: str | None, host_key: str | None, known_hosts: Path) -> str:
    """The command that connects: to the address that was looked at, and to no other."""
    hosts, strict = known_hosts, "accept-new"
    if host_key:
        hosts, strict = folder / "known_hosts", "yes"
        hosts.write_text(host_key.strip() + "\n")
    hosts.parent.mkdir(parents=True, exist_ok=True)
    words = ["ssh", "-F", "none", "-o", "BatchMode=yes", "-o", f"ConnectTimeout={CONNECT_SECONDS}"]
    words += ["-o", f"HostName={address}", "-o", f"HostKeyAlias={host}"]
    words += ["-o", f"UserKnownHostsFile={hosts}", "-o", f"StrictHostKeyChecking={strict}"]
    if key:
        file = folder / "key"
        file.touch(0o600)
        file.write_text(key.strip() + "\n")
        words += ["-i", str(file), "-o", "IdentitiesOnly=yes"]
    return shlex.join(words)


def _git(words: list[str], environment: Mapping[str, str]) -> str:
    program = shutil.which("git")
    if program is None:
        hint = "apt-get install git, or brew install git; or give a manifest: --manifest."
        raise ConfigError("git_missing", "There is no git on this machine.", hint=hint)
    done = processes.run([program, *words], environment, SECONDS)
    done.check_returncode()
    return done.stdout.decode()


@contextlib.contextmanager
def _told(host: str, branch: str | None, credential: str | None) -> Iterator[None]:
    """Our errors for git's."""
    try:
        yield
    except subprocess.TimeoutExpired:
        said = f"{host} had not given the repository after {SECONDS // 60} minutes."
        raise UnavailableError("git_unreachable", said, hint="Try again later.") from None
    except subprocess.CalledProcessError as error:
        raise _error(error.stderr.decode(errors="replace"), host, branch, credential) from None


def _error(text: str, host: str, branch: str | None, credential: str | None) -> TidemillError:
    if "Host key verification failed" in text or "REMOTE HOST IDENTIFICATION HAS CHANGED" in text:
        hint = "If that is right, say the new one by --host-key, or take the old one out of the file known_hosts."
        return AccessError("git_host_key", f"{host} has another SSH key than the one that is known.", hint=hint)
    if _NO_BRANCH.search(text):
        return NotFoundError(
            "git_branch", f"The repository has no branch, tag or commit {branch}.", hint="Name one by --branch."
        )
    if _NO_REPOSITORY.search(text):
        hint = "Some servers say so, too, of one that the credential may not read."
        return NotFoundError("git_repository", f"{host} knows no such repository.", hint=hint)
    if _DENIED.search(text):
        what = "does not take the credential" if credential else "asks for a credential"
        hint = "Give a token that may read the repository (--token-file), or a deploy key (--ssh-key-file)."
        return AccessError("git_denied", f"{host} {what}.", hint=hint)
    line = " ".join(text.replace(credential or "\0", "********").split())[-500:]
    return UnavailableError("git_unreachable", f"{host} does not give the repository: {line}", hint="Try again later.")
