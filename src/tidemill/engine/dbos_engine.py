"""The engine on DBOS 3.4, in the same PostgreSQL (schema `dbos`).

DBOS remembers steps; who is alive and who takes over is ours (liveness.py), since the open library has neither.
The application version is pinned: DBOS would compute it from the code, and an upgrade would strand unfinished runs.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg
from dbos import DBOS, DBOSConfig, SetWorkflowID, _core, _dbos, _migration
from dbos import error as dbos_error

from tidemill import errors
from tidemill.engine import liveness
from tidemill.engine.liveness import Liveness
from tidemill.engine.port import Handle
from tidemill.errors import Cancelled, TidemillError

#: Raised by one when the steps of a workflow change, so that no unfinished run goes on with other steps.
APPLICATION_VERSION = "4"
#: A workflow that waits for its children holds one; DBOS's default of a few could all be held by waiting ones.
THREADS = 100
_POLL_SECONDS = 0.05
_LIVENESS_SECONDS = 1.0


class _Started:
    """A handle on a workflow."""

    def __init__(self, handle: Any, known: Liveness) -> None:
        self._handle, self._liveness = handle, known

    def wait(self) -> Any:
        """See port.Handle. Errors of ours come back as they were raised."""
        self._until_finished()
        try:
            with self._liveness.blamed():
                return _open(self._handle.get_result())
        except _Abandoned as abandoned:
            raise abandoned.error from None
        except (dbos_error.DBOSAwaitedWorkflowCancelledError, dbos_error.DBOSWorkflowCancelledError):
            raise Cancelled from None

    def _until_finished(self) -> None:
        """DBOS's own waiting would never end if this worker lost its session, or the database is gone."""
        future = getattr(self._handle, "future", None)
        if future is None:  # it runs in another thread or process: only the database knows
            while not self._liveness.finished(self._handle.workflow_id):
                time.sleep(_POLL_SECONDS)
            return
        while not concurrent.futures.wait([future], timeout=_LIVENESS_SECONDS).done:
            self._liveness.assert_alive()


class DbosEngine:
    """See port.Engine."""

    def __init__(self, dsn: str, url: str) -> None:
        """`dsn`: libpq keywords; `url`: the same database for SQLAlchemy. Both may hold a password."""
        self._liveness = Liveness(dsn)
        self._url = url
        self._workflows: dict[str, Callable[..., Any]] = {}
        self._registered: dict[str, Callable[..., Any]] = {}
        self._launched = False
        self._launching = threading.Lock()

    @property
    def worker(self) -> str:
        """See port.Engine."""
        return self._liveness.worker

    def register(self, name: str, workflow: Callable[..., Any]) -> None:
        """See port.Engine."""
        self._workflows[name] = workflow

    def launch(self) -> None:
        """See port.Engine. The threads of a server may all be the first to need it."""
        if not self._launched:
            with self._launching:
                if not self._launched:
                    self._launch()

    def _launch(self) -> None:
        logging.getLogger("dbos").setLevel(logging.CRITICAL)
        config = DBOSConfig(
            name="tidemill",
            system_database_url=self._url,
            application_version=APPLICATION_VERSION,
            executor_id=self.worker,
            log_level="CRITICAL",
            enable_otlp=False,
            sys_db_pool_size=10,
            db_engine_kwargs={"pool_pre_ping": False},  # it would ask before each statement; DBOS tries again anyhow
            max_executor_threads=THREADS,
        )
        DBOS(config=config)
        for name, workflow in self._workflows.items():
            self._registered[name] = DBOS.workflow(name=name)(_sealed(workflow))
        try:
            self._liveness.enter()
            with self._liveness.upgrading(len(_migration.get_dbos_migrations("dbos", True, False))):
                DBOS.launch()
        except Exception as error:
            self._end()  # so that it can begin another time
            if not _is_of_database(error):
                raise
            raise errors.UnavailableError(
                "database_unavailable",
                "The engine cannot begin: the metadata database went away.",
                hint="Nothing was lost: try it again. If it stays so: tidemill doctor",
                raw=str(error),
            ) from None
        self._launched = True

    def _end(self) -> None:
        with contextlib.suppress(Exception):  # of what was begun in part, or of a database that is away
            DBOS.destroy(destroy_registry=True)
        self._liveness.leave()

    def start(self, name: str, workflow_id: str, *arguments: Any) -> Handle:
        """See port.Engine."""
        self.launch()
        self._liveness.assert_alive()
        with SetWorkflowID(workflow_id), self._liveness.blamed():
            return _Started(DBOS.start_workflow(self._registered[name], *arguments), self._liveness)

    def step(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """See port.Engine."""
        self._liveness.assert_alive()
        with self._liveness.blamed():
            return _open(DBOS.run_step({"name": name}, _sealed(function), *arguments))

    def recover(self, workflow_id: str) -> Handle | None:
        """See port.Engine."""
        self.launch()
        claimed, token = self._liveness.claim(workflow_id, APPLICATION_VERSION)
        return {name: self._go_on(name, token) for name in claimed}.get(workflow_id)

    def _go_on(self, workflow_id: str, token: str) -> Handle:
        """Run a workflow that was claimed, in this process.

        DBOS's own recovery would put it into a queue that all processes read: one that is about to end could take it.
        What is used here is private to DBOS, hence its pinned version.
        """
        dbos = _dbos._get_dbos_instance()
        status = dbos._sys_db.get_workflow_status(workflow_id)
        if status is None:
            raise errors.NotFoundError("workflow_unknown", f"The workflow {workflow_id} is gone.")
        return _Started(_core.execute_dequeued_workflow(dbos, status, token), self._liveness)

    def alive(self, worker: str) -> bool:
        """See port.Engine."""
        return self._liveness.alive(worker)

    def assert_alive(self) -> None:
        """See port.Engine."""
        if self._launched:
            self._liveness.assert_alive()

    def bury(self, worker: str) -> bool:
        """See port.Engine."""
        return self._liveness.bury(worker)

    def prune(self) -> None:
        """See port.Engine."""
        self._liveness.prune()

    def close(self) -> None:
        """See port.Engine."""
        with self._launching:
            if self._launched:
                self._end()
                self._launched = False


def _is_of_database(error: BaseException | None) -> bool:
    """Whether an error says that the database is away, or comes of one that does."""
    while error is not None:
        cause: object = getattr(error, "orig", error)  # SQLAlchemy wraps those of the driver
        if isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError | errors.UnavailableError):
            return True
        error = error.__cause__ or error.__context__
    return False


class _Abandoned(BaseException):
    """This process may not go on with the workflow. Not an Exception: DBOS must not note it as the workflow's end."""

    def __init__(self, error: TidemillError) -> None:
        super().__init__(error)
        self.error = error


def _sealed(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, with our own errors as results: DBOS would otherwise wrap, log and sometimes retry them."""

    def sealed(*arguments: Any) -> dict[str, Any]:
        try:
            return {"ok": function(*arguments)}
        except TidemillError as error:
            if error.code == liveness.LOST:
                raise _Abandoned(error) from None
            fields = {name: value for name, value in vars(error).items() if name != "__notes__"}
            return {"error": type(error).__name__, "fields": fields}

    sealed.__name__ = sealed.__qualname__ = getattr(function, "__name__", "step")
    return sealed


def _open(result: dict[str, Any]) -> Any:
    """The result, or the error that was sealed in it, raised."""
    if "error" in result:
        kind: type[TidemillError] = getattr(errors, result["error"])
        raise errors.rebuild(kind, result["fields"])
    return result["ok"]
