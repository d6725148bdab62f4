"""Streams that are killed: how far one is, who has it, and what must be true in the end."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
from tests.capture_server import until
from tests.installation import CONNECTION, Installation
from tests.streams import NAME

from tidemill.app import App
from tidemill.bigquery.local.service import LocalBigQuery
from tidemill.store import locks
from tidemill.store.postgres import open_postgres
from tidemill.store.records import Stream
from tidemill.store.streams import Streams

#: Each commit is a window and a request of its own, so that several are on their way.
SMALL = {"TIDEMILL_STREAM_WINDOW_BYTES": "1000", "TIDEMILL_COMMIT_ROWS": "50"}
APPEND = "/google.cloud.bigquery.storage.v1.BigQueryWrite/AppendRows"


class Watch:
    """Sees how far a stream is, at little cost: by BigQuery's log, of which it reads what is new, and by its table."""

    def __init__(self, installation: Installation) -> None:
        self._client, self._dataset = installation.client(), installation.dataset
        self._path = installation.local.directory / "requests.jsonl"
        self._stream = f"/datasets/{installation.dataset}/"
        self._at = self._count = 0

    def rows(self) -> int:
        """In the table."""
        table = self._client.get_table(self._dataset, "events")
        return table.rows if table else 0

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def appends(self) -> int:
        """Requests of rows that were worked on."""
        if not self._path.exists():
            return 0
        if self._path.stat().st_size < self._at:  # it began anew
            self._at = 0
        with self._path.open("rb") as file:
            file.seek(self._at)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._at += len(line)
                if APPEND.encode() in line:
                    body = json.loads(line)["body"]
                    self._count += bool(body) and self._stream in body["write_stream"]
        return self._count

    def more(self, number: int) -> Callable[[], bool]:
        """Whether so many more than now were worked on."""
        wanted = self.appends() + number
        return lambda: self.appends() >= wanted


def start(installation: Installation, *words: str) -> subprocess.Popen[str]:
    """A process that moves the stream."""
    return installation.start("export", "stream", NAME, *words, **SMALL)


def make(installation: Installation) -> None:
    """A connection, and an export that is streamed; it waits for nothing."""
    with installation.app() as app:
        installation.connect(app)
        fields = {"name": NAME, "table": "events", "mode": "stream", "buffer_seconds": 0}
        app.exports.create(CONNECTION, fields, by="tester")


def load(installation: Installation, file: Path) -> None:
    """Load a file to its end."""
    done = installation.run("events", "load", str(file), **SMALL)
    assert done.returncode == 0, done.stderr


def send_all(installation: Installation) -> None:
    """Have a process send all that there is."""
    until(lambda: holder(installation) is None, "whoever was killed has lost the stream")
    done = installation.run("export", "stream", NAME, "--once", **SMALL)
    assert done.returncode == 0, done.stderr


def exact(installation: Installation, wanted: Iterable[str]) -> None:
    """The table has each event once, and the runs say so; nothing is in flight, and nothing is wrong."""
    events = sorted(wanted)
    assert installation.uuids() == events
    with installation.app() as app:
        assert app.exports.tables.verify(NAME, by="tester").different == ()
        runs = app.exports.runs.find(NAME, limit=1000)
        assert sum(run.rows_done for run in runs) == len(events)
        assert {run.status for run in runs} == {"completed"}
        view = app.exports.get(NAME)
        assert (view.waiting_rows, view.trouble) == (0, None)
        assert stream(app).in_flight == []


def stream(app: App) -> Stream:
    """As it is written down."""
    found = Streams(app.database).get(app.exports.get(NAME).id)
    assert found is not None
    return found


@contextlib.contextmanager
def database(installation: Installation) -> Iterator[psycopg.Connection[Any]]:
    """A session of PostgreSQL, beside all that Tidemill has."""
    with psycopg.connect(open_postgres(installation.settings()).dsn, autocommit=True) as session:
        yield session


def holder(installation: Installation) -> int | None:
    """The PostgreSQL session that has the stream; None if nobody does."""
    with database(installation) as session:
        (export,) = session.execute("SELECT id FROM tidemill.exports WHERE name = %s", [NAME]).fetchone() or (None,)
        found = session.execute(
            "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1 "
            "AND (classid::bigint << 32 | objid::bigint) = %s",
            [locks.key(f"stream:{export}")],
        ).fetchone()
        return int(found[0]) if found else None


def end_sessions(installation: Installation, *, every: bool = False) -> None:
    """End the PostgreSQL session that has the stream, and those in a transaction, for others would wait for these.

    `every`: all that there are.
    """
    with database(installation) as session:
        session.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
            "AND backend_type = 'client backend' AND (%s OR pid = %s OR state LIKE 'idle in transaction%%')",
            [every, holder(installation)],
        )


def kill_when(process: subprocess.Popen[str], reached: Callable[[], bool]) -> bool:
    """Kill a process as soon as it has come so far, or let it end. Whether it was running still."""
    until(lambda: process.poll() is not None or reached(), "it is time to kill it")
    process.kill()
    _, said = process.communicate()
    assert process.returncode in {0, -signal.SIGKILL}, said
    return process.returncode < 0


def kill_postgres(home: Path) -> None:
    """`kill -9` of all processes of the home's PostgreSQL."""
    pid = int((home / "postgres" / "data" / "postmaster.pid").read_text().split()[0])
    with contextlib.suppress(psutil.NoSuchProcess):
        first = psutil.Process(pid)
        every = [first, *first.children(recursive=True)]
        for process in every:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        psutil.wait_procs(every, 30)


def kill_bigquery(local: LocalBigQuery) -> None:
    """`kill -9`."""
    pid = local.status().pid
    assert pid is not None
    process = psutil.Process(pid)
    process.kill()
    process.wait(30)
