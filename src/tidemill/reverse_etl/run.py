"""A run of a sync, from its plan to its end: plan → deliver piece by piece → commit → write back → clean.

Who does it holds the sync's lock. Each step may be done again: the plan is found by the run's id, outcomes are in the
journal, the commit is found by its jobs' ids. Nothing but the run's row says what is to be done next.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterator
from typing import Any

from tidemill import logbook
from tidemill.destinations.home import HOME
from tidemill.destinations.port import Mode
from tidemill.errors import ConflictError, NotFoundError, TidemillError, UnavailableError
from tidemill.reverse_etl import brake, journal, kept, outward, told, write_back
from tidemill.reverse_etl.journal import Journal, Way
from tidemill.reverse_etl.plan.port import MOST_INVALID, READS_AHEAD, Counts, Piece, Planner, PlanRows, Unacknowledged
from tidemill.reverse_etl.spec import SyncSpec
from tidemill.reverse_etl.watch import Watch
from tidemill.reverse_etl.work import Job, Parts
from tidemill.schedules import telling
from tidemill.store.records_sync import Sync, SyncRun

_OF_BUG = "Report it, with the traceback. The next run makes a plan of its own."


class Runner:
    """Moves runs. `sync` is looked at anew in each."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def execute(self, sync: Sync, make: Callable[[Sync], SyncRun], watch: Watch) -> SyncRun:
        """Go on with the sync's run, or `make` one, and see it to its end. Gives it, over.

        Raises
        ------
        ConflictError
            Another process is at it.
        Interrupted
            This process stops; the run is to be gone on with.
        UnavailableError
            The database or BigQuery was away when what was delivered was to be remembered; likewise.
        """
        with self._parts.locks.attempt(f"sync:{sync.id}") as held:
            if not held:
                raise ConflictError(
                    "sync_running",
                    f"Another process is at work on {sync.name}.",
                    hint=f"Wait for it, or cancel its run: {telling.of(sync, 'cancel')}",
                )
            sync = self._parts.books.syncs.by_id(sync.id)
            unfinished = self._parts.books.runs.running(sync.id)
            run = unfinished or make(sync)
            if unfinished is not None:
                watch.say(_goes_on(unfinished))
            with told.running(self._parts, run, anew=unfinished is None):
                try:
                    return self._execute(self._parts.job(sync, run), watch)
                except TidemillError:
                    raise
                except Exception as error:
                    self._fails(run, error, watch)
                    raise

    def _execute(self, job: Job, watch: Watch) -> SyncRun:
        runs = self._parts.books.runs
        watch.asked = lambda: runs.cancel_requested(job.run.id)
        ends = False  # what was delivered is remembered, also if it is to stop
        with self._parts.planning(job, lambda: not ends and watch.cancelled()) as planner:
            if job.run.step == "plan":
                job = dataclasses.replace(job, run=self._planned(job, planner, watch))
            stopped: TidemillError | None = None
            if job.run.step == "deliver":
                logbook.at("deliver")
                try:
                    self._deliver(job, planner, watch)
                except TidemillError as error:
                    watch.assert_goes_on()
                    if _is_of_database(error):
                        raise
                    told.failed(error, theirs=True)
                    stopped = error
                note = {"error": _said(stopped)} if stopped else {}
                runs.note(job.run.id, step="commit", **note)
                job = dataclasses.replace(job, run=runs.get(job.run.id))
            ends = True
            if job.run.step == "commit":
                logbook.at("commit")
                job = dataclasses.replace(job, run=self._commit(job, planner, watch))
            return self._end(job, planner, watch)

    def _fails(self, run: SyncRun, bug: Exception, watch: Watch) -> None:
        """End a run that a bug has stopped, so that the next one makes a plan of its own. What it has delivered is
        remembered first; if that fails, too, the run stays where it is, for its rows would be sent again as others."""
        said = {"code": "bug", "message": f"This is a bug in Tidemill: {type(bug).__name__}.", "hint": _OF_BUG}
        runs, following = self._parts.books.runs, {"plan": "write", "deliver": "commit"}
        with contextlib.suppress(TidemillError):  # the database is away: another process goes on with it
            step = following.get(runs.get(run.id).step)
            if step is not None:
                runs.note(run.id, step=step, error=said)
                try:
                    self._execute(self._parts.job(self._parts.books.syncs.by_id(run.sync_id), runs.get(run.id)), watch)
                except TidemillError:
                    raise
                except Exception as error:  # noqa: BLE001 - the first one is raised
                    told.failed(error)
                else:
                    return
            if runs.get(run.id).step != "commit":
                told.ended(runs.finish(run.id, "failed", said))

    # Plan

    def _planned(self, job: Job, planner: Planner, watch: Watch) -> SyncRun:
        """The run with its plan; or about to end: there is nothing to do, or it must not go on."""
        runs, planned = self._parts.books.runs, None
        try:
            watch.check()
            watch.report("looking what has changed", 0, 0)
            fingerprint = planner.fingerprint(job.wanted)
            if fingerprint is not None:  # in another way it takes what this one passed over, though nothing has changed
                fingerprint = f"{_way(job.spec)}:{fingerprint}"
            if fingerprint is not None and fingerprint == job.sync.seen and self._may_skip(job):
                runs.note(job.run.id, step="write")
                return runs.get(job.run.id)
            _assert_remembered(job, planner)
            job = self._prepared(job, planner)
            planned = planner.plan(job.wanted)
            if stopped := brake.of(job, planned):
                raise stopped
            self._keep_invalid(job, planner, planned.counts)
        except TidemillError as error:
            watch.assert_goes_on()
            if _is_of_database(error):
                raise
            told.failed(error)
            billed = job.run.bytes_billed + planner.billed() + (planned.bytes_billed if planned else 0)
            runs.note(job.run.id, step="write", error=_said(error), bytes_billed=billed)
            return runs.get(job.run.id)
        told.planned(job.run, planned)
        ahead = planned.counts.invalid_future  # their time comes, though no table changes
        plan = {**dataclasses.asdict(planned), "seen": None if ahead else fingerprint}
        notes = [*job.run.notes, *_notes(planned.counts)]
        billed = planned.bytes_billed + planner.billed()
        runs.note(job.run.id, plan=plan, step="deliver", notes=notes, bytes_billed=billed)
        return runs.get(job.run.id)

    def _may_skip(self, job: Job) -> bool:
        """Whether nothing is left to do of what was planned before."""
        if job.run.spec.get("forced") or job.run.spec.get("pending") or job.spec.extraction == "full":
            return False
        waiting = self._parts.books.rejects.any_to_try(job.sync.id)
        return job.sync.columns == list(job.wanted.columns) and not waiting

    def _prepared(self, job: Job, planner: Planner) -> Job:
        """Do what the user wanted done with the state when the run began. Gives the job, as it is then. It stays
        pending until the commit: the plan may not pass."""
        pending = job.run.spec.get("pending")
        if pending not in {"resend", "forget"}:
            return job
        # In mode insert a row that is known is not sent: to have it sent again is to forget it.
        if pending == "forget" or job.spec.mode is Mode.INSERT:
            planner.forget()
        else:
            planner.resend()
        self._parts.books.syncs.settle(job.sync.id, position=None)
        return dataclasses.replace(job, sync=self._parts.books.syncs.by_id(job.sync.id))

    def _keep_invalid(self, job: Job, planner: Planner, counts: Counts) -> None:
        if not counts.invalid:
            return
        rows = [kept.invalid(one) for one in planner.invalid(job.wanted, MOST_INVALID)]
        self._parts.books.rejects.keep(job.sync.id, job.run.number, rows)

    # Deliver

    def _deliver(self, job: Job, planner: Planner, watch: Watch) -> None:
        every = pieces_of(job.run)
        pieces = [piece for piece in every if not self._is_through(job, piece)]
        total, waiting = (sum(piece.rows for piece in some) for some in (every, pieces))
        if not waiting:
            return
        done, tally = total - waiting, told.Tally()
        with self._way(job, watch, tally) as way:
            for piece, rows in _read_ahead(planner, job, pieces, way):
                watch.check()
                self._piece(job, piece, rows, way, tally)
                done += piece.rows
                watch.report("delivering", done, total)

    def _way(self, job: Job, watch: Watch, tally: told.Tally) -> contextlib.AbstractContextManager[Way]:
        """By which rows get where they go, for the time of the block."""
        if job.destination is HOME:
            return self._parts.inward(job, watch)
        return outward.opened(self._parts, job, watch, tally)

    def _is_through(self, job: Job, piece: Piece) -> bool:
        """Whether each of its rows has an outcome: who goes on with a run need not read it."""
        calls = self._parts.books.runs.calls(job.run.id, piece.number)
        return len({position for call in calls for position in call.positions}) >= piece.rows

    def _piece(self, job: Job, piece: Piece, rows: PlanRows, way: Way, tally: told.Tally) -> None:
        pages = Journal(self._parts, job, piece, rows)
        try:
            with pages.open():
                way.take(pages, rows)
        finally:
            tally.delivered(piece, pages.outcomes)

    # Commit

    def _commit(self, job: Job, planner: Planner, watch: Watch) -> SyncRun:
        runs, wanted, error = self._parts.books.runs, job.wanted, job.run.error
        begun = self._begun(job)
        watch.report("remembering what was delivered", 0, 0)
        try:
            table = planner.commit(wanted, self._unacknowledged(job, planner, begun), begun)
        except NotFoundError as gone:  # the plan has expired, or somebody has deleted it: there is no way back
            lost = NotFoundError(
                "plan_gone",
                f"The plan of the run is gone, so what it delivered cannot be remembered: {gone.message}",
                hint="The next run delivers them again, under other ids: a tool that knows no keys has them twice.",
            )
            told.failed(lost)
            billed = job.run.bytes_billed + planner.billed()
            runs.note(job.run.id, step="write", error=_said(lost), bytes_billed=billed)
            return runs.get(job.run.id)
        changes: dict[str, Any] = {"columns": list(wanted.columns), **self._done_of_pending(job)}
        if not error and wanted.only is not None:  # of other rows nothing is known that is new
            self._parts.books.rejects.settle(job.sync.id, job.run.number, wanted.only)
        elif not error:
            plan = job.run.plan or {}
            changes["seen"] = plan.get("seen")
            if plan.get("upto") is not None:
                changes["position"] = plan["upto"]
            self._parts.books.rejects.settle(job.sync.id, job.run.number)
        self._parts.books.syncs.settle(job.sync.id, **changes)
        logbook.info("What was delivered is remembered.", pieces=len(begun), seconds=logbook.seconds())
        plan = {**(job.run.plan or {}), "unacknowledged": table}
        runs.note(job.run.id, step="write", plan=plan, bytes_billed=job.run.bytes_billed + planner.billed())
        return runs.get(job.run.id)

    def _done_of_pending(self, job: Job) -> dict[str, None]:
        """Nothing is pending any more, if the run did what was, and nobody has asked for something since. What a
        stopped run did not send again is in the state as such; what it did not adopt is not."""
        said = self._parts.books.runs.get(job.run.id).spec
        is_done = not job.run.error if said.get("adopts") else bool(said.get("pending"))
        return {"pending": None} if is_done and not said.get("asked_anew") else {}

    def _begun(self, job: Job) -> list[Piece]:
        """The pieces of which something may have been sent: all of them, unless the run was stopped."""
        runs, pieces = self._parts.books.runs, pieces_of(job.run)
        return [piece for piece in pieces if not job.run.error or runs.calls(job.run.id, piece.number)]

    def _unacknowledged(self, job: Job, planner: Planner, pieces: list[Piece]) -> Iterator[Unacknowledged]:
        """Rows of these pieces that were not acknowledged."""
        for piece in pieces:
            calls = self._parts.books.runs.calls(job.run.id, piece.number)
            known = sum(len(call.positions) for call in calls)
            if known < piece.rows or any(call.others for call in calls):
                yield from journal.unacknowledged(calls, planner.rows(job.wanted, piece))

    # End

    def _end(self, job: Job, planner: Planner, watch: Watch) -> SyncRun:
        """The run, over. Who goes on with a run that is cleaned already finds nothing of it in the warehouse."""
        runs, status = self._parts.books.runs, _status(job.run)
        if job.run.step == "write" and job.writes_back:
            watch.report("writing back what was done", 0, 0)
            logbook.at("write")
            said, billed = write_back.write(self._parts, job, status, pieces_of(job.run), self._begun(job))
            billed += job.run.bytes_billed
            runs.note(job.run.id, step="clean", notes=[*job.run.notes, *said], bytes_billed=billed)
        if status != "skipped":
            with contextlib.suppress(TidemillError):  # they expire by themselves
                planner.clean(job.wanted)
        over = runs.finish(job.run.id, status, job.run.error)
        logbook.at("end")
        told.ended(over)
        return over


def _way(spec: SyncSpec) -> str:
    """How a sync takes rows: in another way it may take some that it passed over."""
    words = [spec.mode.value]
    words += [f"{spec.cursor_unit}-{spec.cursor_overlap}"] if spec.cursor_unit != "none" or spec.cursor_overlap else []
    return "-".join(words)


def _notes(counts: Counts) -> list[str]:
    """What is said of rows that are set aside, and for which nobody has to do anything."""
    if not counts.invalid_future:
        return []
    if counts.invalid_future == 1:
        return ["1 row has a cursor in the future: it is set aside, and comes when its time has come."]
    number = f"{counts.invalid_future:,} rows have cursors in the future"
    return [f"{number}: they are set aside, and come when their time has come."]


def _goes_on(run: SyncRun) -> str:
    """What is said of a run that another process has left."""
    if run.cancel_requested:
        return f"Run {run.number} was cancelled, and nobody was at it: what it has delivered is remembered now."
    return f"Run {run.number} was interrupted: it goes on where it was."


def _status(run: SyncRun) -> str:
    """How a run ends that has come to its end."""
    if run.error is None:
        return "completed" if run.plan is not None else "skipped"
    return "cancelled" if run.error["code"] == "cancelled" else "failed"


def pieces_of(run: SyncRun) -> list[Piece]:
    """The pieces of a run's plan."""
    return [Piece(**piece) for piece in (run.plan or {}).get("pieces", ())]


def _read_ahead(planner: Planner, job: Job, pieces: list[Piece], way: Way) -> Iterator[tuple[Piece, PlanRows]]:
    """The pieces with their rows, in order: the next ones are read, side by side, while one is delivered."""
    waiting = iter(pieces)
    with concurrent.futures.ThreadPoolExecutor(READS_AHEAD) as pool:

        def rows_of(piece: Piece) -> PlanRows:
            found = planner.rows(job.wanted, piece)
            way.ahead(found)
            return found

        def read(piece: Piece) -> tuple[Piece, concurrent.futures.Future[PlanRows]]:
            return piece, pool.submit(logbook.carried(rows_of), piece)

        reading = collections.deque(map(read, itertools.islice(waiting, READS_AHEAD)))
        try:
            while reading:
                piece, rows = reading.popleft()
                found = rows.result()
                reading.extend(map(read, itertools.islice(waiting, 1)))
                yield piece, found
        finally:
            for _, rows in reading:
                rows.cancel()


def _assert_remembered(job: Job, planner: Planner) -> None:
    """Raise ConflictError if somebody has deleted what is known of earlier runs: all rows would be sent once more."""
    if job.sync.columns is None or job.run.spec.get("pending") or job.spec.extraction == "full" or planner.remembers():
        return
    raise ConflictError(
        "state_gone",
        "What was delivered is not known any more: the state of the sync is gone.",
        hint=f"Send all again: {telling.of(job.sync, 'reset')} --resend. Or have them count as delivered: --adopt.",
    )


def _is_of_database(error: TidemillError) -> bool:
    """Whether it says that nothing can be written down now."""
    return isinstance(error, UnavailableError) and error.code.startswith(("database", "lock_lost"))


def _said(error: TidemillError | None) -> dict[str, str] | None:
    if error is None:
        return None
    return {"code": error.code, "message": error.message, "hint": error.hint}
