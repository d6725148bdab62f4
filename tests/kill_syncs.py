"""Syncs by the command line that are killed, and what the other side and the state must be in the end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from typing import Any

from tests.contract.api import Asked, Reply
from tests.installation import CONNECTION, Installation
from tests.syncs import NAME, Crm, People, prepare, state
from tests.zygote import zygote

from tidemill.app import App

ALLOWED = {"TIDEMILL_OUTBOUND_ALLOW": "127.0.0.1"}
#: Of BigQuery's requests, those by which jobs begin.
JOBS = {"path": "/bigquery/v2/projects/[^/]+/jobs$", "method": "POST", "times": 10_000}
#: The table has some rows that the server does not take: one of so many.
BAD = 97


class Mortal(Crm):
    """A server whose callers die: it holds a request until they are dead. `tried`: all rows that came, also those that
    it did not take; `first`: is done when the next request comes."""

    def __init__(self) -> None:
        self.tried: list[dict[str, Any]] = []
        self.first: Callable[[], None] | None = None
        self.reached, self._let_go = threading.Event(), threading.Event()
        self._left, self._takes = 0, False
        super().__init__()

    def hold(self, number: int, *, taken: bool) -> None:
        """The so manyeth request from now is held; `taken`: once its rows are taken, and else it is never heard of."""
        self.reached.clear()
        self._let_go.clear()
        self._left, self._takes = number, taken

    def let_go(self) -> None:
        """Nothing is held any more."""
        self._left, self.first = 0, None
        self._let_go.set()

    def handle(self, asked: Asked) -> Any:
        """See Api."""
        if self.first is not None:
            self.first()
            self.first = None
        self._left -= 1
        held = self._left == 0
        if held and not self._takes:
            self.reached.set()
            self._let_go.wait()
            return Reply(cut=True)
        self.tried += asked.json()["rows"]
        reply = super().handle(asked)
        if held:
            self.reached.set()
            self._let_go.wait()
        return reply


class Many(People):
    """A table whose rows have, each time that they change, values that no row ever had."""

    def __init__(self, installation: Installation, number: int) -> None:
        super().__init__(installation)
        self._turn, self._number = 0, number
        self.rows = {n: (f"p{n}.0@example.com", "bad" if n % BAD == 1 else "free") for n in range(number)}
        plan = f"IF(MOD(n, {BAD}) = 1, 'bad', 'free')"
        self.ask(
            f"CREATE OR REPLACE TABLE `{self.table}` AS SELECT n AS id, CONCAT('p', n, '.0@example.com') AS email, "
            f"{plan} AS plan FROM UNNEST(GENERATE_ARRAY(0, {number - 1})) AS n"
        )

    def change(self) -> None:
        """Rows come, and are other ones, and go for ever."""
        self._turn += 1
        turn, first, more = self._turn, self._number, self._number // 8
        self._number += more
        gone = f"MOD(id, 11) = {turn % 11} AND id < {first}"
        other = f"MOD(id, 3) = {turn % 3} AND id < {first}"
        self.ask(f"DELETE FROM `{self.table}` WHERE {gone}")
        self.ask(
            f"UPDATE `{self.table}` SET email = CONCAT('p', id, '.{turn}@example.com'), plan = 'pro' WHERE {other}"
        )
        self.ask(
            f"INSERT INTO `{self.table}` (id, email, plan) SELECT n, CONCAT('p', n, '.{turn}@example.com'), 'new' "
            f"FROM UNNEST(GENERATE_ARRAY({first}, {self._number - 1})) AS n"
        )
        self.rows = {n: row for n, row in self.rows.items() if n % 11 != turn % 11}
        for n in self.rows:
            if n % 3 == turn % 3:
                self.rows[n] = (f"p{n}.{turn}@example.com", "pro")
        self.rows |= {n: (f"p{n}.{turn}@example.com", "new") for n in range(first, self._number)}


@contextlib.contextmanager
def made(installation: Installation, number: int, **fields: Any) -> Iterator[tuple[App, Mortal, Many]]:
    """A sync of so many rows that was never run, for the time of the block."""
    crm, people = Mortal(), Many(installation, number)
    try:
        with installation.app(outbound_allow="127.0.0.1") as app:
            prepare(app, installation, people, crm, **fields)
            yield app, crm, people
    finally:
        crm.let_go()
        crm.close()


def sync_run(installation: Installation, *words: str, killed: Callable[[], bool] | None = None) -> int:
    """Run the sync by the command line, and kill that as soon as this is so. Gives the code with which it ended."""
    return command(installation, "sync", "run", NAME, *words, killed=killed)


def command(installation: Installation, *words: str, killed: Callable[[], bool] | None = None) -> int:
    """Run a command that runs a sync, and kill it as soon as this is so. Gives the code with which it ended."""
    ended, begun = threading.Event(), list[int]()

    def watch() -> None:
        while not ended.wait(0.003):
            if killed is not None and begun and killed():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(begun[0], signal.SIGKILL)
                return

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        environment = {**installation.environment, **ALLOWED}
        done = zygote().run(words, environment, timeout=600, began=begun.append)
    finally:
        ended.set()
        watching.join()
    _expected(done)
    return done.returncode


def _expected(done: subprocess.CompletedProcess[str]) -> None:
    """Killed, completed, with rows that were refused, failed for a reason of ours, cancelled, or another is at it."""
    assert done.returncode in {-signal.SIGKILL, 0, 1, 5, 6, 130}, done.stdout + done.stderr
    assert "bug" not in done.stderr, done.stderr


def finish(installation: Installation, app: App) -> None:
    """Run it until nothing is left to be done but rows that are refused; what was left is gone on with first."""
    for _ in range(4):
        sync_run(installation, "--force")
        over = app.reverse_etl.syncs.show_run(NAME)
        if over.status == "completed" and not over.written + over.to_retry:
            return


def one_identity_a_version(crm: Mortal) -> None:
    """Nothing came twice as something else: neither a version of a row with two identities, nor two with one."""
    ids: dict[str, set[str]] = {}
    versions: dict[str, set[str]] = {}
    for row in crm.tried:
        version = json.dumps([row["key"], row["op"], row["data"]])
        ids.setdefault(version, set()).add(row["id"])
        versions.setdefault(row["id"], set()).add(version)
    assert not {version: found for version, found in ids.items() if len(found) > 1}
    assert not {one: found for one, found in versions.items() if len(found) > 1}


def as_it_should_be(installation: Installation, app: App, crm: Mortal, people: Many) -> None:
    """The other side has what the table has, the state what the other side has taken; each row ended once in a run."""
    one_identity_a_version(crm)
    expected = people.expected()
    assert crm.people == expected
    refused = {str(n) for n, (_, plan) in people.rows.items() if plan == "bad"}
    if app.reverse_etl.sources.get(CONNECTION).state_dataset is not None:
        known = state(installation, people, app)
        assert {key for key, row in known.items() if row.get("failed_hash")} == refused
        assert {key for key, row in known.items() if row.get("hash") and not row.get("failed_hash")} == set(expected)
        assert set(known) == set(expected) | refused
    for run in app.reverse_etl.syncs.runs(NAME, 1_000):
        assert run.status != "running"
        if run.status == "completed":
            assert run.written + run.rejected + run.to_retry == run.extracted
    last = app.reverse_etl.syncs.show_run(NAME)
    assert (last.status, last.written, last.rejected, last.to_retry) == ("completed", 0, len(refused), 0)
    assert {reject.key for reject in app.reverse_etl.rejects.find(NAME)} == refused
