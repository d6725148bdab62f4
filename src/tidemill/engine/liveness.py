"""Who is alive: each worker holds a PostgreSQL advisory lock for as long as it lives.

The lock belongs to a database session, so it is gone the moment the process is, however that ends, and nobody has to
wait for a heartbeat to be missed. Who keeps it and gives no sign of life for a minute (its machine vanished, or it is
frozen) is suspected by the first who wants its work, and dead if it says nothing for a while longer: where the whole
machine was asleep, database and all, it has time to speak. Then all its sessions are ended, so it holds no lock any
more, and finds that out when it wakes, at its next step. A worker that lost its session must not begin another step:
`assert_alive` says so.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator

import psycopg

from tidemill.engine import pruning
from tidemill.errors import ConflictError, UnavailableError

#: The code of the error of a worker that lost its session.
LOST = "worker_lost"
_SCHEMA = "tidemill_engine"
_TABLE = f"{_SCHEMA}.workers"
_CREATE = f"""
    CREATE SCHEMA IF NOT EXISTS {_SCHEMA};
    CREATE TABLE IF NOT EXISTS {_TABLE} (
        id text PRIMARY KEY, host text NOT NULL, pid bigint NOT NULL, started_at timestamptz NOT NULL DEFAULT now());
    ALTER TABLE {_TABLE} ADD COLUMN IF NOT EXISTS sessions text NOT NULL DEFAULT '',
        ADD COLUMN IF NOT EXISTS seen_at timestamptz NOT NULL DEFAULT now(),
        ADD COLUMN IF NOT EXISTS suspected_at timestamptz;
"""
#: A worker says that it lives so often; is suspected when it has not for so long, and dead so much later.
BEAT_SECONDS, SILENT_SECONDS, SUSPECTED_SECONDS = 10.0, 60.0, 15.0
_BEAT = f"UPDATE {_TABLE} SET seen_at = now(), suspected_at = NULL WHERE id = %s"
#: All sessions of a process have the same application_name, which no other has.
_OURS = "tidemill-"
_SUSPECT = f"""
    UPDATE {_TABLE} SET suspected_at = coalesce(suspected_at, now())
    WHERE id = %s AND seen_at < now() - {SILENT_SECONDS} * interval '1 second'
    RETURNING sessions, suspected_at <= now() - {SUSPECTED_SECONDS} * interval '1 second'
"""
_END = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = %s"
_WORKERS = f"SELECT id, seen_at < now() - {SILENT_SECONDS} * interval '1 second' FROM {_TABLE}"
#: The numbers of advisory locks that are held in this database ("pg_locks").
_HELD = """
    SELECT (classid::bigint::numeric * 4294967296 + objid::bigint)::text FROM pg_locks
    WHERE locktype = 'advisory' AND granted AND objsubid = 1
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
#: Forgets workers that left nothing unfinished behind.
_FORGET = f"""
    DELETE FROM {_TABLE} w WHERE id = ANY(%s) AND NOT EXISTS
        (SELECT 1 FROM dbos.workflow_status s WHERE s.executor_id = w.id AND s.status IN ('PENDING', 'ENQUEUED'))
"""
_OWNER = "SELECT executor_id, application_version, status FROM dbos.workflow_status WHERE workflow_uuid = %s FOR UPDATE"
_UNFINISHED = ("PENDING", "ENQUEUED")
#: What DBOS's own queue does when it gives a workflow to an executor: the new owner's token fences off the old owner.
_CLAIM = """
    UPDATE dbos.workflow_status SET executor_id = %s, owner_xid = %s, status = 'PENDING'
    WHERE (workflow_uuid = %s OR starts_with(workflow_uuid, %s)) AND status IN ('PENDING', 'ENQUEUED')
    RETURNING workflow_uuid
"""


_ASKS_EVERY_SECONDS = 0.1
#: That of who changes the tables of the metadata (store/locks.py, "migrate"; a test holds it against that): DBOS's are
#: changed in turn with them.
_UPGRADES = int.from_bytes(hashlib.blake2b(b"tidemill:migrate", digest_size=8).digest(), signed=True)


def _key(worker: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"worker:{worker}".encode(), digest_size=8).digest(), signed=True)


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Of what this worker's session is asked."""
    try:
        yield
    except psycopg.Error as error:
        raise UnavailableError(
            LOST,
            "The connection to the database was lost; another process may take over this work.",
            hint="Run the command again: it goes on where it stopped.",
            raw=str(error),
        ) from None


@contextlib.contextmanager
def _asking() -> Iterator[None]:
    """Of what is asked by a session of its own: this worker has not lost its own then."""
    try:
        yield
    except psycopg.Error as error:
        raise UnavailableError(
            "database_unavailable",
            "The metadata database does not answer.",
            hint="Run the command again; if it stays so, look at `tidemill doctor`.",
            raw=str(error),
        ) from None


class Liveness:
    """This process as a worker, and its knowledge of the others. A connection that fails is an UnavailableError."""

    def __init__(self, dsn: str) -> None:
        self.worker = uuid.uuid4().hex
        self._dsn = dsn
        self._session: psycopg.Connection[tuple[object, ...]] | None = None
        self._guard = threading.Lock()
        self._left = threading.Event()

    def enter(self) -> None:
        """Be known as alive from now on."""
        with _translated():
            session = self._connect()
            with session.transaction():
                # Two processes that begin at once would both create the schema, and one would fail.
                session.execute("SELECT pg_advisory_xact_lock(%s)", [_key("create")])
                session.execute(_CREATE)
            session.execute("SELECT pg_advisory_lock(%s)", [_key(self.worker)])
            session.execute(
                f"INSERT INTO {_TABLE} (id, host, pid, sessions) VALUES (%s, %s, %s, %s)",
                [self.worker, socket.gethostname(), os.getpid(), session.info.get_parameters()["application_name"]],
            )
            self._session = session
        threading.Thread(target=self._beat, args=(session,), daemon=True).start()

    def _beat(self, session: psycopg.Connection[tuple[object, ...]]) -> None:
        """Give signs of life, as long as it has this session."""
        while not self._left.wait(BEAT_SECONDS):
            with self._guard:
                if self._session is not session:
                    return
                with contextlib.suppress(psycopg.Error):
                    session.execute(_BEAT, [self.worker])
                if session.closed:  # it is lost: whoever begins a step is told so
                    return

    @contextlib.contextmanager
    def upgrading(self, version: int) -> Iterator[None]:
        """For the time of the block nobody else changes tables, if DBOS's are older than that version, or not there.

        DBOS has a lock of its own, for which it waits half a minute, and then goes on without. It makes indexes that
        wait until no statement is under way that began before: so nobody may stand in line, but has to ask again.
        """
        known = self._ask("SELECT to_regclass('dbos.dbos_migrations') IS NOT NULL")
        if known and int(str(self._ask("SELECT coalesce(max(version), 0) FROM dbos.dbos_migrations"))) >= version:
            yield
            return
        while not self._ask("SELECT pg_try_advisory_lock(%s)", _UPGRADES):
            time.sleep(_ASKS_EVERY_SECONDS)
        try:
            yield
        finally:
            with contextlib.suppress(UnavailableError):  # it is gone with the session
                self._ask("SELECT pg_advisory_unlock(%s)", _UPGRADES)

    def leave(self) -> None:
        """Be known as gone: forgotten, unless unfinished workflows are left for others. Who enters again is another."""
        self._left.set()
        with self._guard, contextlib.suppress(psycopg.Error):
            if self._session is not None:
                with contextlib.closing(self._session) as session:
                    session.execute(_FORGET, [[self.worker]])
        self._session, self._left = None, threading.Event()
        self.worker = uuid.uuid4().hex

    def assert_alive(self) -> None:
        """Raise UnavailableError if this worker lost its session: another may have taken its work over."""
        self._ask("SELECT 1")

    @contextlib.contextmanager
    def blamed(self) -> Iterator[None]:
        """If the block fails and the session is lost, then that is the reason: what DBOS raises is a consequence."""
        try:
            yield
        except Exception:
            self.assert_alive()
            raise

    def finished(self, workflow_id: str) -> bool:
        """Whether a workflow is over, whoever runs it. Raises as `assert_alive`."""
        status = self._ask("SELECT status FROM dbos.workflow_status WHERE workflow_uuid = %s", workflow_id)
        return status not in {"PENDING", "ENQUEUED", "DELAYED"}

    def _ask(self, query: str, *arguments: object) -> object:
        with self._guard, _translated():
            if self._session is None:
                raise psycopg.OperationalError("the session is closed")
            found = self._session.execute(query.encode(), arguments).fetchone()
            return found[0] if found else None

    def alive(self, worker: str) -> bool:
        """Whether that worker has its session. It may be frozen: see `bury`."""
        with _asking(), contextlib.closing(self._connect()) as session:
            return not _lock(session, worker)

    def bury(self, worker: str) -> bool:
        """Whether that worker is dead. One that gives no sign of life is made so, in time."""
        with _asking(), contextlib.closing(self._connect()) as session:
            return _dead(session, worker)

    def claim(self, workflow_id: str, version: str) -> tuple[list[str], str]:
        """Take over an unfinished workflow of a dead worker, with its children; it is given to one process only.

        Gives their ids (none if it is over, never began, or was begun by another version), and the token that makes
        this process their owner in DBOS's eyes. It happens in one transaction: when this process dies right after it,
        they are found as its own. Raises ConflictError if a living worker has it.
        """
        token = uuid.uuid4().hex
        with _asking(), contextlib.closing(self._connect()) as session, session.transaction():
            found = session.execute(_OWNER, [workflow_id]).fetchone()
            if found is None or found[2] not in _UNFINISHED:
                return [], token
            owner = str(found[0])
            if owner == self.worker or not _dead(session, owner):
                raise ConflictError(
                    "workflow_running", "Another process is at it already.", hint="Wait for it: tidemill export runs"
                )
            if found[1] != version:
                return [], token
            claimed = session.execute(_CLAIM, [self.worker, token, workflow_id, f"{workflow_id}:"]).fetchall()
            session.execute(_FORGET, [[owner]])
        return [str(workflow) for (workflow,) in claimed], token

    def prune(self) -> None:
        """Forget what ended a day ago, and workers that are gone and left nothing unfinished behind."""
        with _asking(), contextlib.closing(self._connect()) as session:
            pruning.prune(session)
            held = _held(session)
            gone = [worker for worker, _ in session.execute(_WORKERS) if _key(str(worker)) % 2**64 not in held]
            session.execute(_FORGET, [gone])

    def _connect(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(
            self._dsn,
            autocommit=True,
            connect_timeout=10,
            keepalives_idle=15,
            keepalives_interval=5,
            keepalives_count=3,
            tcp_user_timeout=30_000,
        )


def standing(dsn: str) -> dict[str, int]:
    """How many workers there are that are alive; that have their session, and give no sign of life; and that are gone
    (those that left nothing unfinished behind are forgotten within a minute, if a worker is alive). A connection that
    fails is an UnavailableError."""
    found = dict.fromkeys(("alive", "silent", "gone"), 0)
    with _asking(), psycopg.connect(dsn, autocommit=True, connect_timeout=10) as session:
        if session.execute("SELECT to_regclass(%s)", [_TABLE]).fetchone() == (None,):
            return found  # none has ever begun
        held = _held(session)
        for worker, silent in session.execute(_WORKERS):
            there = _key(str(worker)) % 2**64 in held
            found["gone" if not there else "silent" if silent else "alive"] += 1
    return found


def _held(session: psycopg.Connection[tuple[object, ...]]) -> set[int]:
    """The advisory locks that somebody has."""
    return {int(str(number)) for (number,) in session.execute(_HELD)}


def _dead(session: psycopg.Connection[tuple[object, ...]], worker: str) -> bool:
    """Whether nobody holds the lock of that worker; who does and is silent for too long, loses it."""
    if _lock(session, worker):
        return True
    suspect = session.execute(_SUSPECT, [worker]).fetchone()
    if suspect is None or not suspect[1] or not str(suspect[0]).startswith(_OURS):
        return False
    session.execute(_END, [suspect[0]])
    return _lock(session, worker)


def _lock(session: psycopg.Connection[tuple[object, ...]], worker: str) -> bool:
    found = session.execute("SELECT pg_try_advisory_lock_shared(%s)", [_key(worker)]).fetchone()
    return bool(found and found[0])
