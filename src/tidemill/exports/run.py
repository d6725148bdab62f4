"""A run, from its plan to its end: prepare the table → move each chunk → merge → log → complete.

By the Storage Write API: prepare the table → send each chunk → commit → merge → log → complete.

Each step is remembered by the engine and may run more than once: what it did is found again by the chunk's state, by
the file's name or by the BigQuery job's id. Nothing but these decides what is still to be done. A run that failed or
was cancelled is gone on with by another attempt, which finds the jobs of the attempts before it.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import uuid
from collections.abc import Callable
from typing import Any

from tidemill.errors import Cancelled, TidemillError
from tidemill.exports import told
from tidemill.exports.steps import commit, finish, log, move, prepare, send
from tidemill.exports.watch import Report
from tidemill.exports.work import Parts
from tidemill.store.records import Run

#: What our own code raises by mistake; the engine's own exceptions say that somebody else has the run.
_BUGS = (*(ArithmeticError, AssertionError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError),)
WORKFLOW, CHUNK_WORKFLOW, SEND_WORKFLOW = "export-run", "export-chunk", "export-chunk-send"


class Runner:
    """Moves runs. One instance a process."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._children: dict[str, Callable[..., None]] = {
            CHUNK_WORKFLOW: self._chunk_workflow,
            SEND_WORKFLOW: self._send_workflow,
        }
        for name, workflow in {WORKFLOW: self._workflow, **self._children}.items():
            parts.engine.register(name, workflow)

    def execute(self, run: Run, report: Report) -> None:
        """Move a run to its end, in this process.

        Raises
        ------
        TidemillError
            Why it failed, or Cancelled. Its state is recorded.
        """
        with self.watching(run.id, report):
            self._parts.engine.start(WORKFLOW, f"{run.id}:{run.attempt}", str(run.id), run.attempt).wait()

    def watching(self, run_id: uuid.UUID, report: Report) -> contextlib.AbstractContextManager[None]:
        """Tell `report` how far the run is, for the time of the block."""
        return self._parts.watches.watching(run_id, report)

    def interrupt(self) -> None:
        """Cancel every run that this process moves."""
        self._parts.watches.interrupt()

    # The workflows. They must not look at anything but their arguments and the results of steps.

    def _step(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        return self._parts.engine.step(name, functools.partial(told.step, self._parts, name, function), *arguments)

    def _workflow(self, run_id: str, attempt: int) -> None:
        with told.attempt(run_id, attempt):
            self._move(run_id, attempt)

    def _move(self, run_id: str, attempt: int) -> None:
        try:
            found = self._deliver(run_id, attempt)
            if found["staged"]:
                self._step("merge", finish.merge, run_id, attempt)
            if found["logged"]:
                self._step("log", log.write, run_id, attempt)
            self._step("complete", finish.complete, run_id, attempt)
        except TidemillError as error:
            if error.code in {"worker_lost", "run_taken_over"}:
                raise  # somebody else goes on with the run: it has not failed
            fields = {"code": error.code, "message": error.message, "hint": error.hint}
            self._step("fail", finish.fail, run_id, attempt, fields, isinstance(error, Cancelled))
            raise
        except _BUGS as error:
            fields = {"code": "bug", "message": f"This is a bug in Tidemill: {error!r}", "hint": "Please report it."}
            self._step("fail", finish.fail, run_id, attempt, fields, False)
            raise

    def _deliver(self, run_id: str, attempt: int) -> dict[str, int]:
        """Bring the rows into the table, or its stage. Again, if BigQuery dropped them before they could be seen.
        Gives what `prepare` said."""
        for turn in range(commit.ROUNDS):
            found = self._step("prepare", prepare.prepare, run_id, attempt)
            self._move_chunks(run_id, attempt, found, f":{turn}" if turn else "")
            last = turn == commit.ROUNDS - 1
            if not found["storage_write"] or self._step("commit", commit.commit, run_id, attempt, last):
                break
        return dict(found)

    def _move_chunks(self, run_id: str, attempt: int, found: dict[str, int], again: str) -> None:
        """Some chunks at once. If one fails, those that were begun are waited for, and no other is begun."""
        workflow = SEND_WORKFLOW if found["storage_write"] else CHUNK_WORKFLOW
        if found["chunks"] == 1:  # as of most runs: a workflow of its own would cost as much as it does
            self._children[workflow](run_id, attempt, 0)
            return
        moving: collections.deque[Any] = collections.deque()
        failed: TidemillError | None = None
        for number in range(found["chunks"]):
            if len(moving) >= self._parts.settings.parallel_loads:
                failed = failed or _outcome(moving.popleft())
            if failed:
                break
            child = f"{run_id}:{attempt}:{number}{again}"
            moving.append(self._parts.engine.start(workflow, child, run_id, attempt, number))
        while moving:
            failed = _outcome(moving.popleft()) or failed
        if failed:
            raise failed

    def _chunk_workflow(self, run_id: str, attempt: int, number: int) -> None:
        self._step("move", move.move, run_id, attempt, number)

    def _send_workflow(self, run_id: str, attempt: int, number: int) -> None:
        self._step("send", send.send, run_id, attempt, number)


def _outcome(handle: Any) -> TidemillError | None:
    try:
        handle.wait()
    except TidemillError as error:
        return error
    return None
