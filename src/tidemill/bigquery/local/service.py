"""Starts and stops the embedded BigQuery, and makes keys for it."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tidemill import atomic
from tidemill.bigquery.local.accounts import Accounts
from tidemill.errors import ConfigError, ConflictError, UnavailableError
from tidemill.settings import private_folder

DEFAULT_PROJECT = "tidemill-local"
_PROJECT = re.compile(r"[a-z][a-z0-9-]{4,28}[a-z0-9]")
_MAX_LOG_BYTES = 10_000_000
_STORAGE = "storage_port"  # the file that keeps the port of the Storage Write API


@dataclasses.dataclass(frozen=True)
class Status:
    """How the embedded BigQuery is. `project`: the one that its keys are for; `storage`: its Storage Write API."""

    running: bool
    url: str
    storage: str
    project: str
    pid: int | None
    directory: Path
    log: Path


class LocalBigQuery:
    """The embedded BigQuery of one directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._log = directory / "server.log"
        self._process: subprocess.Popen[bytes] | None = None  # only if this process started it

    def start(self, *, port: int | None = None, timeout: float = 60.0) -> Status:
        """Start it in the background, if it does not run. Keeps its port from start to start, so keys stay good.

        Raises
        ------
        ConfigError
            The extra `local` is not installed.
        ConflictError
            The port that was asked for is taken.
        UnavailableError
            It does not come up; `raw` has the end of its log.
        """
        if importlib.util.find_spec("bqemulator") is None:
            raise ConfigError(
                "local_missing",
                "The embedded BigQuery is not installed.",
                hint="pip install 'tidemill[local]'; in a checkout of Tidemill: pip install '.[local]'",
            )
        if "?" in str(self.directory):  # DuckDB takes it for the beginning of options
            raise ConfigError(
                "local_directory",
                f"The embedded BigQuery cannot keep its data in {self.directory}: there is a ? in the path.",
                hint="Choose another home: export TIDEMILL_HOME=FOLDER",
            )
        private_folder(self.directory)
        with self._locked():
            status = self.status()
            if status.running:
                if port not in {None, int(status.url.rsplit(":", 1)[1])}:
                    raise ConflictError(
                        "local_running", f"It runs already, at {status.url}.", hint="tidemill local stop, then start."
                    )
                return status
            return self._start(port, timeout)

    def _start(self, port: int | None, timeout: float) -> Status:
        chosen = port or self._port()
        if _taken(chosen):
            if port is not None:
                raise ConflictError(
                    "port_taken", f"The port {port} is taken by another program.", hint="Choose another, or none."
                )
            chosen = _free_port()
        self._remember_port(chosen)
        storage = self._port(_STORAGE)
        if storage == chosen or _taken(storage):
            storage = _free_port()
            self._remember_port(storage, _STORAGE)
        if self._log.exists() and self._log.stat().st_size > _MAX_LOG_BYTES:
            self._log.unlink()
        command = [sys.executable, "-m", "tidemill.bigquery.local.server"]
        with self._log.open("ab") as log:
            process = subprocess.Popen(  # noqa: S603 - ourselves
                [*command, "--directory", str(self.directory), "--port", str(chosen), "--storage-port", str(storage)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd="/",
            )
        if self._process is not None:
            self._process.poll()  # the one before is dead; nobody else asks what became of it
        self._process = process
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if process.poll() is not None:
                break
            status = self.status()
            if status.running and status.pid == process.pid:
                self._renew_keys(status.url)
                return status
            time.sleep(0.05)
        process.kill()
        process.wait()
        tail = "\n".join(self._log.read_text(errors="replace").splitlines()[-15:])
        raise UnavailableError(
            "local_not_started",
            "The embedded BigQuery does not come up.",
            hint=f"Its log says why: {self._log}",
            raw=tail,
        )

    def stop(self, timeout: float = 20.0) -> None:
        """Stop it, if it runs."""
        with self._locked():
            status = self.status()
            if status.pid is None:
                return
            with contextlib.suppress(ProcessLookupError):
                os.kill(status.pid, signal.SIGTERM)
                end = time.monotonic() + timeout
                while _alive(status.pid) and time.monotonic() < end:
                    time.sleep(0.02)
                if _alive(status.pid):
                    os.kill(status.pid, signal.SIGKILL)
            if self._process is not None:
                self._process.wait()
                self._process = None
            (self.directory / "state.json").unlink(missing_ok=True)

    def status(self) -> Status:
        """Whether it runs, and where."""
        state = self._state()
        url = f"http://127.0.0.1:{state.get('port') or self._port()}"
        running = bool(state) and _healthy(url, int(state["pid"]))
        pid = int(state["pid"]) if state and _is_ours(int(state["pid"]), self.directory) else None
        storage = str(state.get("storage") or f"127.0.0.1:{self._port(_STORAGE)}")
        return Status(running, url, storage, DEFAULT_PROJECT, pid, self.directory, self._log)

    def key(
        self, name: str = "tidemill", *, allow: Sequence[str] | None = None, deny: Sequence[str] = ()
    ) -> dict[str, str]:
        """A service account key for it, as Google would give it; for the same name the same key, with new permissions.

        Raises
        ------
        ConfigError
            The name or a permission is none.
        """
        private_folder(self.directory)
        url = self.status().url
        return Accounts(self.directory).key(name, DEFAULT_PROJECT, f"{url}/token", allow, deny)

    def create_dataset(self, name: str, location: str = "US") -> None:
        """Make a dataset, unless it is there."""
        from tidemill.bigquery.client import Client  # heavy
        from tidemill.bigquery.credentials import Auth
        from tidemill.bigquery.retry import Policy

        auth = Auth(key=json.dumps(self.key("tidemill-admin")))
        client = Client(auth, DEFAULT_PROJECT, location, Policy(deadline=20))
        client.create_dataset(name, location)
        client.close()

    def query(self, sql: str) -> tuple[list[str], list[dict[str, Any]]]:
        """Run a statement, or a script, as who may do everything. Gives columns and rows; else nothing.

        Raises
        ------
        TidemillError
            It is refused, or the embedded BigQuery does not run.
        """
        from tidemill.bigquery.client import Client  # heavy
        from tidemill.bigquery.credentials import Auth
        from tidemill.bigquery.retry import Policy

        client = Client(Auth(key=json.dumps(self.key("tidemill-admin"))), DEFAULT_PROJECT, None, Policy(deadline=20))

        def ask() -> tuple[list[str], list[dict[str, Any]]]:
            job = client.google().query(sql, retry=None, job_retry=None)
            found = job.result(retry=None, job_retry=None)
            if job.statement_type not in {None, "SELECT", "SCRIPT"}:
                return [], []
            return [column.name for column in found.schema or ()], [dict(row.items()) for row in found]

        try:
            return client.policy.call(client.target(), ask, client.cancelled)
        finally:
            client.close()

    def project(self, project: str) -> None:
        """Make another project known, running or not. Its datasets are made as Google's are.

        Raises
        ------
        ConfigError
            That is no id of a project.
        """
        if not _PROJECT.fullmatch(project):
            raise ConfigError(
                "project_id",
                f"{project!r} is no id of a project.",
                hint="6 to 30 of a-z, 0-9 and hyphens, a letter first.",
            )
        with self._locked():
            known = read_projects(self.directory) | {project}
            atomic.write(self.directory / "projects.json", json.dumps(sorted(known)))

    def set_faults(self, plan: list[dict[str, Any]]) -> None:
        """Put a fault plan in force; see faults.

        Raises
        ------
        ConfigError
            It is no plan; the one before stays in force.
        """
        self._ask("PUT", json.dumps(plan).encode())

    def faults(self) -> list[dict[str, Any]]:
        """The fault plan in force, with what has happened of it."""
        found: list[dict[str, Any]] = json.loads(self._ask("GET", None))
        return found

    def requests(self) -> list[dict[str, Any]]:
        """The requests that it has answered, oldest first."""
        path = self.directory / "requests.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def _ask(self, method: str, body: bytes | None) -> bytes:
        url = f"{self.status().url}/_tidemill/faults"
        headers = {"x-tidemill-secret": self._state().get("secret", "")}
        request = urllib.request.Request(url, data=body, method=method, headers=headers)  # noqa: S310 - loopback
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - loopback  # nosec B310
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                said = json.loads(error.read())["error"]["message"]
            raise ConfigError("fault_plan", said, hint="The fields are in bigquery/local/README.md.") from None

    def _renew_keys(self, url: str) -> None:
        """Keys name the address to sign in at: if the port had to change, they change with it."""
        for path in (self.directory / "keys").glob("*.json"):
            key = json.loads(path.read_text())
            if key["token_uri"] != f"{url}/token":
                key["token_uri"] = f"{url}/token"
                atomic.write(path, json.dumps(key, indent=2))

    def _state(self) -> dict[str, Any]:
        try:
            state: dict[str, Any] = json.loads((self.directory / "state.json").read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return state

    def _port(self, name: str = "port") -> int:
        file = self.directory / name
        if not file.exists():
            self._remember_port(_free_port(), name)
        return int(file.read_text())

    def _remember_port(self, port: int, name: str = "port") -> None:
        private_folder(self.directory)
        atomic.write(self.directory / name, str(port))

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        private_folder(self.directory)
        with (self.directory / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def read_projects(directory: Path) -> set[str]:
    """The projects that there are: the default one, and those in `projects.json`."""
    file = directory / "projects.json"
    return {DEFAULT_PROJECT} | (set(json.loads(file.read_text())) if file.exists() else set())


def _healthy(url: str, pid: int) -> bool:
    """Whether that process answers there: after a restart the port, or the process's number, may be somebody else's."""
    try:
        with urllib.request.urlopen(f"{url}/_tidemill/health", timeout=2) as answer:  # noqa: S310 - loopback  # nosec B310
            said = json.loads(answer.read())
            return bool(said.get("ready")) and said.get("pid") == pid
    except (OSError, ValueError):
        return False


def _is_ours(pid: int, directory: Path) -> bool:
    """Whether the process is the server of that directory."""
    import psutil

    try:
        return _alive(pid) and str(directory) in psutil.Process(pid).cmdline()
    except psutil.Error:
        return False


def _alive(pid: int) -> bool:
    import psutil

    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _taken(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
