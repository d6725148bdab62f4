"""An installation of Tidemill with an embedded BigQuery, for tests that go all the way."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from google.api_core.exceptions import NotFound
from tests.discovery import problems
from tests.zygote import zygote

from tidemill.app import App
from tidemill.bigquery.client import Client
from tidemill.bigquery.credentials import Auth
from tidemill.bigquery.local.service import DEFAULT_PROJECT, LocalBigQuery
from tidemill.settings import Settings
from tidemill.store.postgres import open_postgres

CONNECTION = "warehouse"


@pytest.fixture(scope="session")
def local_bigquery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalBigQuery]:
    """One embedded BigQuery for the whole test run."""
    local = LocalBigQuery(tmp_path_factory.mktemp("bigquery"))
    local.start()
    yield local
    local.stop()
    assert not unknown(local), "Google would not know these requests"


def unknown(local: LocalBigQuery) -> set[str]:
    """Requests that Google would not know. What dbt asks is not ours."""
    return {
        f"{request['method']} {request['path']}: {said}"
        for request in local.requests()
        if not str(request.get("agent")).startswith("dbt-")
        for said in problems(request)
    }


@dataclasses.dataclass
class Installation:
    """A home directory with a connection into a dataset of its own."""

    home: Path
    local: LocalBigQuery
    dataset: str
    environment: dict[str, str]

    def settings(self, **fields: Any) -> Settings:
        """Settings of this home; small batches, so that small tests have several of everything."""
        return Settings(home=self.home, **fields)

    def app(self, **fields: Any) -> App:
        """The installation, to be used in a `with` statement."""
        return App(self.settings(**fields))

    def connect(self, app: App, *, account: str = "tidemill", **permissions: Any) -> None:
        """Save a connection into the dataset."""
        key = json.dumps(self.local.key(account, **permissions))
        app.connections.add(app.connections.draft(name=CONNECTION, dataset=self.dataset, key=key), by="tester")

    def client(self) -> Client:
        """BigQuery, seen with all permissions."""
        client = Client(Auth(key=json.dumps(self.local.key("tidemill-admin"))), DEFAULT_PROJECT)
        client.location = client.get_dataset(self.dataset).location
        return client

    def uuids(self, table: str = "events") -> list[str]:
        """The uuids in a table of BigQuery, asked through Google's client."""
        client = self.client()
        try:
            rows = client.google().list_rows(f"{DEFAULT_PROJECT}.{self.dataset}.{table}")
            return sorted(str(row["uuid"]) for row in rows)
        finally:
            client.close()

    def rows(self, table: str) -> list[dict[str, Any]]:
        """The rows of a table of BigQuery, in any order."""
        client = self.client()
        try:
            found = client.google().get_table(f"{DEFAULT_PROJECT}.{self.dataset}.{table}")
            return [dict(row) for row in client.google().list_rows(found)]
        finally:
            client.close()

    def merging(self) -> str | None:
        """The id of a MERGE that a run has begun, and that is at work."""
        with psycopg.connect(open_postgres(self.settings()).dsn, autocommit=True) as session:
            found = session.execute("SELECT merge_job FROM tidemill.runs WHERE merge_job IS NOT NULL").fetchall()
        client = self.client()
        try:
            for (job,) in found:
                with contextlib.suppress(NotFound):
                    if client.google().get_job(job, location=client.location).state == "RUNNING":
                        return str(job)
            return None
        finally:
            client.close()

    def command(self, *arguments: str) -> list[str]:
        """The command line's words."""
        return [sys.executable, "-m", "tidemill", *arguments]

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start the command line."""
        return subprocess.Popen(
            self.command(*arguments),
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        )

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the command line to its end."""
        return zygote().run(arguments, {**self.environment, **environment}, timeout=180)


_MAKE = """
import sys
from pathlib import Path
from tidemill.app import App
from tidemill.settings import Settings
with App(Settings(home=Path(sys.argv[1]))) as app:
    app.lake.position()
    app.engine.launch()
"""


@pytest.fixture(scope="session")
def made_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which nothing has happened yet, to be copied. Nobody uses it any more: its PostgreSQL has stopped."""
    home = tmp_path_factory.mktemp("made") / "home"
    subprocess.run([sys.executable, "-c", _MAKE, str(home)], check=True, timeout=120)
    with (home / "postgres" / "data" / "postgresql.auto.conf").open("a") as config:
        config.write("fsync = off\n")  # what was written outlives a process, also one that is killed
    return home


def copy_home(made: Path, home: Path) -> None:
    """Have a home that was made before at another place, too."""
    subprocess.run(["cp", "-a", str(made), str(home)], check=True)  # with owners: root's PostgreSQL is nobody's
    with psycopg.connect(open_postgres(Settings(home=home)).dsn, autocommit=True) as session:
        session.execute(
            "UPDATE tidemill_events.ducklake_metadata SET value = %s WHERE key = 'data_path'",
            [f"{home / 'events'}{os.sep}"],
        )


@pytest.fixture
def installation(fresh_installation: Installation, made_home: Path) -> Installation:
    """A home that was made before, and a fresh dataset."""
    copy_home(made_home, fresh_installation.home)
    return fresh_installation


@pytest.fixture
def fresh_installation(tmp_path: Path, local_bigquery: LocalBigQuery) -> Installation:
    """A home that is not there yet, and a fresh dataset."""
    dataset = f"d_{os.urandom(6).hex()}"
    local_bigquery.set_faults([])
    local_bigquery.create_dataset(dataset, "EU")
    home = tmp_path / "home"
    environment = {**os.environ, "TIDEMILL_HOME": str(home), "COLUMNS": "200"}
    return Installation(home, local_bigquery, dataset, environment)


def kill_when(process: subprocess.Popen[str], reached: Callable[[], bool]) -> bool:
    """Kill a command as soon as it has come so far, or let it end. Whether it was running still."""
    while process.poll() is None and not reached():
        time.sleep(0.005)  # else it takes the core that the command needs
    process.kill()
    process.communicate()
    return process.returncode < 0


def write_events(path: Path, count: int, *, first: int = 0, size: int = 200) -> list[str]:
    """A file of PostHog-like events; gives their uuids, sorted."""
    uuids = []
    with path.open("w") as file:
        for number in range(first, first + count):
            uuid = f"00000000-0000-7000-8000-{number:012d}"
            uuids.append(uuid)
            event = {
                "uuid": uuid,
                "event": f"event {number % 7}",
                "distinct_id": f"user-{number % 100}",
                "timestamp": f"2026-01-{1 + number % 28:02d}T00:00:{number % 60:02d}Z",
                "properties": {"number": number, "filler": os.urandom(size // 2).hex()},
            }
            file.write(json.dumps(event) + "\n")
    return sorted(uuids)
