"""Several machines that share a PostgreSQL and a bucket: they are killed, cut off from these or from BigQuery, the
database is ended, machines are upgraded. Each event is there once, each interval run once, nobody is stuck."""

from __future__ import annotations

import contextlib
import os
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from tests.hosts import Host, possible
from tests.installation import Installation
from tests.kill_workers import SILENT, come, exact, make_exports, settled
from tests.s3_server import KEY, REGION, SECRET, S3Server
from tests.stream_kills import kill_postgres
from tests.streams import eventually

from tidemill.bigquery.local.service import LocalBigQuery
from tidemill.store.postgres import open_postgres

HOSTS, PORT = 3, 5432
HARMS = (
    "kill",
    "kill",
    "freeze",
    "silence postgres",
    "cut postgres",
    "silence bigquery",
    "cut bigquery",
    "stop postgres",
)
TURNS = int(os.environ.get("TIDEMILL_MACHINE_TURNS", "60"))
AT_WORK = "At work as"
WORDS = ("serve", "--role", "worker", "--role", "scheduler")

pytestmark = pytest.mark.skipif(not possible(), reason="this machine lets us make no network namespaces")


class Machine:
    """A host with a server of an installation whose database and event data are elsewhere."""

    def __init__(self, installation: Installation, folder: Path, number: int, s3: S3Server) -> None:
        self.name, self._log = f"host {number}", folder / f"host-{number}.log"
        keywords = psycopg.conninfo.conninfo_to_dict(open_postgres(installation.settings()).dsn)
        database = f"unix:{keywords['host']}/.s.PGSQL.{keywords['port']}"
        gate = ports(installation.local)
        ways = {"postgres": (PORT, database), "bucket": (s3.port, f"tcp:{s3.port}")}
        ways |= {f"bigquery{port}": (port, f"tcp:{port}") for port in gate}
        self.host = Host(folder / f"ways-{number}", ways)
        self.environment = {
            **os.environ,
            "TIDEMILL_HOME": str(folder / f"home-{number}"),
            "TIDEMILL_DATABASE_URL": f"postgresql://postgres@127.0.0.1:{PORT}/{keywords['dbname']}?sslmode=disable",
            "TIDEMILL_EVENT_DATA": os.environ["TIDEMILL_EVENT_DATA"],
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "TIDEMILL_SECRET_KEYS": (installation.home / "secret.key").read_text().strip(),
            "TIDEMILL_CHUNK_BYTES": "3000",
            "TIDEMILL_PARALLEL_LOADS": "2",
            "TIDEMILL_TABLE_CHANGES_BURST": "100000",
        }

    def start(self) -> None:
        """Begin."""
        self.host.start([sys.executable, "-m", "tidemill", *WORDS], self.environment, self._log)

    def restart(self) -> None:
        """Stop, as for an upgrade, and begin again; it is at work then."""
        assert self.host.stop() == 0, self.said
        before = self.said.count(AT_WORK)
        self.start()
        eventually(lambda: self.said.count(AT_WORK) > before, "it is at work")

    def background(self) -> psutil.Process | None:
        """The process that does the work, if there is one."""
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(self.host.process.pid if self.host.process else 0).children(recursive=True):
                if "tidemill.api.background" in " ".join(child.cmdline()):
                    return child
        return None

    def ways(self, name: str) -> list[str]:
        """Those to PostgreSQL, or to BigQuery."""
        return [way for way in self.host._ways if way.startswith(name)]

    @property
    def said(self) -> str:
        """All that it has said."""
        return self._log.read_text()


def ports(local: LocalBigQuery) -> list[int]:
    """Where the embedded BigQuery is reached."""
    status = local.status()
    return [int(address.rsplit(":", 1)[1]) for address in (status.url, status.storage)]


def taken_for_dead(installation: Installation, process: psutil.Process) -> None:
    """As if it had said nothing for a minute."""
    dsn = open_postgres(installation.settings()).dsn
    with psycopg.connect(dsn, autocommit=True) as session, contextlib.suppress(psycopg.errors.UndefinedTable):
        session.execute(SILENT, [process.pid])


def harm(installation: Installation, machine: Machine, how: str, draw: random.Random) -> None:
    """Do it to a machine, and mend it."""
    what, _, way = how.partition(" ")
    found = machine.background()
    match what:
        case "kill":
            machine.host.kill()
            machine.start()
        case "freeze" if found:
            with contextlib.suppress(psutil.Error):
                found.suspend()
                taken_for_dead(installation, found)
                time.sleep(6)  # others look for such this often
                found.resume()
        case "silence" | "cut":
            for each in machine.ways(way):
                machine.host.silence(each) if what == "silence" else machine.host.cut(each)
            if way == "postgres" and found:
                taken_for_dead(installation, found)
            time.sleep(draw.uniform(1, 7))
            for each in machine.ways(way):
                machine.host.mend(each)
        case "stop":
            kill_postgres(installation.home)
            time.sleep(draw.uniform(0, 2))
            open_postgres(installation.settings())


@pytest.fixture
def machines(
    fresh_installation: Installation, tmp_path: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[Machine]]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("TIDEMILL_EVENT_DATA", f"s3://{s3.bucket()}/events?endpoint={s3.endpoint}&region={REGION}")
    with fresh_installation.app() as app:
        fresh_installation.connect(app)
        make_exports(app)
    made = [Machine(fresh_installation, tmp_path, number, s3) for number in range(HOSTS)]
    yield made
    for machine in made:
        machine.host.close()


def rounds(installation: Installation, folder: Path, machines: list[Machine], turns: int, seed: int) -> None:
    """Events come and intervals end, again and again; in each turn something is done to a machine."""
    draw, uuids = random.Random(seed), list[str]()
    for machine in machines:
        machine.start()
    for _ in come(installation, folder, turns, draw, uuids):
        harm(installation, draw.choice(machines), draw.choice(HARMS), draw)
    with installation.app() as app:
        for machine in machines:  # an upgrade: one after the other
            machine.restart()
        settled(app)
        for machine in machines:
            assert machine.host.stop() == 0, machine.said
            assert "Traceback" not in machine.said, machine.said
        exact(installation, app, sorted(uuids), turns)


def test_machines_that_are_killed_frozen_and_cut_off(
    fresh_installation: Installation, tmp_path: Path, machines: list[Machine]
) -> None:
    rounds(fresh_installation, tmp_path, machines, turns=4, seed=20_261_127)


@pytest.mark.torture
def test_machines_that_are_killed_frozen_and_cut_off_for_long(
    fresh_installation: Installation, tmp_path: Path, machines: list[Machine]
) -> None:
    rounds(fresh_installation, tmp_path, machines, turns=TURNS, seed=time.time_ns())
