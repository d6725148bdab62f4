"""Jobs that run once: load jobs and statements whose ids we choose.

BigQuery takes a job id once ("Loading data": jobs.insert is idempotent on it). So the id says what the job is for, and
whoever finds that it exists adopts that job instead of starting another. A job that ended in an error cannot be run
again; where that helps, the next id of a fixed series is taken: `id`, `id_t1`, `id_t2`, … A process that starts
again after a crash walks the same series, and so finds every job that any process before it began.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from google.api_core import exceptions as api

from tidemill import logbook
from tidemill.bigquery import errors, tables, upload
from tidemill.bigquery.errors import Again, Problem, Target
from tidemill.bigquery.retry import Policy, never, understand
from tidemill.errors import Cancelled, ConfigError, ConflictError, UnavailableError
from tidemill.models.model import Column

if TYPE_CHECKING:
    from google.cloud import bigquery

    from tidemill.bigquery.client import Client

MAX_TRIES = 20
#: Once an id is taken, `jobs.get` may answer 404 for a moment (python-bigquery, issue 2134).
_APPEARS_WITHIN = 20
_POLL_FIRST, _POLL_LONGEST = 0.05, 2.0
#: Seconds in which a service that is down is asked to cancel a job: somebody waits at the keyboard.
STOPS_WITHIN = 10.0
TIMEOUT = 60.0
#: For each call of Google's client: it must not retry by its own rules, and must not wait for ever.
ONCE: dict[str, Any] = {"retry": None, "timeout": TIMEOUT}


@dataclasses.dataclass(frozen=True)
class Load:
    """A load job. `format`: PARQUET or NEWLINE_DELIMITED_JSON. The table must exist. `fresh`: nobody has begun it, so
    it is not looked for before it is sent."""

    job_id: str
    dataset: str
    table: str
    columns: Sequence[Column]
    format: str
    labels: Mapping[str, str]
    fresh: bool = False


@dataclasses.dataclass(frozen=True)
class Loaded:
    """A load job that is done."""

    job_id: str
    rows: int
    bytes: int
    ended: dt.datetime | None


@dataclasses.dataclass(frozen=True)
class _Once:
    """A job that is to run once: `submit(job_id)` starts it; by its kind, target and labels it is known as ours."""

    client: Client
    base: str
    kind: str
    target: Target
    labels: Mapping[str, str]
    submit: Callable[[str], None]
    cancelled: Callable[[], bool]
    policy: Policy
    fresh: bool = False  # nobody can have begun it

    def hurried(self) -> _Once:
        """The same for somebody who waits at the keyboard: a service that is down is not asked for long."""
        policy = dataclasses.replace(self.policy, deadline=STOPS_WITHIN)
        return dataclasses.replace(self, policy=policy, cancelled=never)


def run_load(
    client: Client, path: Path, load: Load, *, sent: Callable[[int], None], cancelled: Callable[[], bool]
) -> Loaded:
    """Load the file into the table once, whatever happened in calls before this one.

    Raises
    ------
    Cancelled
        The job was cancelled, and nothing was loaded (if it was done before that, it counts as loaded); or BigQuery
        could not be asked, and a later call finds what became of the job.
    TidemillError
        The job failed for good; nothing was loaded.
    """
    target = client.target("bigquery.tables.updateData", load.dataset, load.table)

    def submit(job_id: str) -> None:
        upload.send(client, path, _description(client, load, job_id), target, sent=sent, cancelled=cancelled)

    job = _run(
        _Once(client, load.job_id, "load", target, load.labels, submit, cancelled, client.policy, fresh=load.fresh)
    )
    return Loaded(str(job.job_id), int(job.output_rows or 0), int(job.input_file_bytes or 0), job.ended)


def run_query(
    client: Client,
    sql: str,
    config: bigquery.QueryJobConfig,
    job_id: str,
    target: Target,
    cancelled: Callable[[], bool],
) -> bigquery.QueryJob:
    """Run a statement once for this id; gives the job, done."""

    def submit(name: str) -> None:
        client.google().query(
            sql,
            job_config=config,
            job_id=name,
            location=client.location,
            job_retry=None,
            api_method="INSERT",
            **ONCE,
        )

    job = _run(_Once(client, job_id, "query", target, dict(config.labels), submit, cancelled, client.policy))
    client.bill(int(job.total_bytes_billed or 0))
    found: bigquery.QueryJob = job
    return found


def _run(once: _Once) -> Any:
    _assert_located(once)
    waits, failures = None, 0
    for number in itertools.count():
        job_id = f"{once.base}_t{number}" if number else once.base
        job = None if once.fresh and not number else _find(once, job_id)
        history = job is not None and job.state == "DONE"
        if job is None:
            if once.cancelled():
                raise Cancelled
            logbook.debug("A job is begun.", job=job_id, kind=once.kind)
            job = _submit(once, job_id)
        else:
            logbook.info("The job of an earlier try is found.", job=job_id, state=str(job.state))
        job, stopped = _wait(once, _check(once, job))
        if not job.error_result:
            return job
        problem = errors.from_job(job.error_result)
        if stopped:
            raise Cancelled
        if history:  # it failed in an earlier attempt: that is why there is another one now
            continue
        if errors.again(problem, job=True) is Again.NO:
            raise errors.translate(_with_details(problem, job), once.target)
        failures += 1
        if failures == MAX_TRIES:
            break
        waits = waits or once.policy.waits(once.cancelled)  # the time that a job takes is no waiting
        waits(errors.translate(problem, once.target))
    raise UnavailableError(
        "job_keeps_failing",
        f"The BigQuery job {once.base} failed {MAX_TRIES} times in a row.",
        hint="Nothing is lost: run it again later.",
    )


def settle(client: Client, base: str, target: Target) -> None:
    """See that no job of this id is at work any more: one that is, is cancelled, and waited for.

    Raises
    ------
    Cancelled
        BigQuery does not answer.
    """
    once = _Once(client, base, "", target, {}, lambda _: None, never, client.policy)
    for job in _tries(once):
        if job.state != "DONE":
            _stop(once, job)


def wait_for(client: Client, base: str, target: Target, cancelled: Callable[[], bool]) -> int:
    """Wait until no statement of this id is at work any more. It is left alone. Gives the rows that it changed.

    Raises
    ------
    Cancelled
        Whoever waits is to stop.
    UnavailableError
        BigQuery does not answer.
    """
    once = _Once(client, base, "", target, {}, lambda _: None, cancelled, client.policy)
    if _find_soon(once, base) is None:
        return 0
    return sum(_wait(once, job, leave=True)[0].num_dml_affected_rows or 0 for job in _tries(once))


def _tries(once: _Once) -> Iterator[Any]:
    """The jobs that were begun under the ids of the series."""
    _assert_located(once)
    for number in itertools.count():
        job = _find(once, f"{once.base}_t{number}" if number else once.base)
        if job is None:
            return
        yield job


def _assert_located(once: _Once) -> None:
    """Without a location, BigQuery would look for a job in one place, and run it in another."""
    if not once.client.location:
        raise ConfigError(
            "location_unknown",
            f"It is not known where the {once.target.resource} lies, and jobs are looked for where they ran.",
            hint="tidemill connection test NAME reads the location of the dataset.",
        )


def _with_details(problem: Problem, job: Any) -> Problem:
    """The message with the first of the job's detailed errors, which says what in the file was wrong."""
    for detail in job.errors or ():
        text = str(detail.get("message") or "")
        if text and text not in problem.message:
            return dataclasses.replace(problem, message=f"{problem.message} ({text})")
    return problem


def _find(once: _Once, job_id: str) -> Any:
    def ask() -> Any:
        try:
            return once.client.google().get_job(job_id, location=once.client.location, **ONCE)
        except api.NotFound:
            return None

    return once.policy.call(once.target, ask, once.cancelled)


def _submit(once: _Once, job_id: str) -> Any:
    """Start the job; if it is unclear whether that was done, look, and start it again with the same id."""
    waits = once.policy.waits(once.cancelled)
    while True:
        problem = None
        try:
            once.submit(job_id)
        except upload.UnsureError:
            return _found_or_cancelled(once, job_id)
        except Exception as error:  # noqa: BLE001 - `understand` raises again what is not from Google
            problem = understand(error, once.target)
        if problem and problem.status != 409 and errors.again(problem, job=False) is Again.NO:
            raise errors.translate(problem, once.target)
        try:
            job = _find_soon(once, job_id) if problem is None or problem.status == 409 else None
            if job is None:
                job = _find(once, job_id)
            if job is not None:
                return job
            waits(errors.translate(problem or Problem(503, "", "The job cannot be found."), once.target))
        except Cancelled:
            return _found_or_cancelled(once, job_id)


def _found_or_cancelled(once: _Once, job_id: str) -> Any:
    """The job, if the last that was sent has started it after all: then it must be cancelled like any other."""
    try:
        job = _find_soon(once.hurried(), job_id)
    except UnavailableError as error:
        raise _unsure(job_id, error) from None
    if job is None:
        raise Cancelled
    return job


def _unsure(job_id: str, error: UnavailableError) -> Cancelled:
    return Cancelled(
        f"Cancelled; but BigQuery does not answer, and the job {job_id} may be done all the same.",
        hint="Nothing is lost or done twice: the next run finds the job.",
        raw=error.raw,
    )


def _find_soon(once: _Once, job_id: str) -> Any:
    """The job that must be there, though `jobs.get` may not know it for a moment."""
    for _ in range(_APPEARS_WITHIN):
        job = _find(once, job_id)
        if job is not None:
            return job
        once.policy.sleep(_POLL_FIRST * 4)
    return None


def _check(once: _Once, job: Any) -> Any:
    """A job that was found under our id must be ours: of the kind and with the labels of the one that we start, and a
    load into the same table.
    """
    target = once.target
    ours = job.job_type == once.kind and all(job.labels.get(name) == value for name, value in once.labels.items())
    if ours and once.kind == "load":
        into = job.destination
        ours = (into.project, into.dataset_id, into.table_id) == (target.project, target.dataset, target.table)
    if not ours:
        raise ConflictError(
            "job_id_taken",
            f"The BigQuery job {job.job_id} is not the {once.kind} job into the {target.resource} that it should be.",
            hint="Somebody else uses our job ids; please report it.",
        )
    return job


def _wait(once: _Once, job: Any, *, leave: bool = False) -> tuple[Any, bool]:
    """The job when it is done, and whether we had it cancelled. With `leave`, Cancelled is raised instead of that."""
    policy, pause = once.policy, _POLL_FIRST
    while job.state != "DONE":
        if once.cancelled():
            if leave:
                raise Cancelled
            return _stop(once, job), True
        policy.pause(pause, once.cancelled)
        pause = min(pause * 1.5, _POLL_LONGEST)
        with contextlib.suppress(Cancelled):  # the next turn sees to it
            job = policy.call(once.target, _asking(once, job), once.cancelled)
    return job, False


def _asking(once: _Once, job: Any) -> Callable[[], Any]:
    name = job.job_id
    return lambda: once.client.google().get_job(name, location=once.client.location, **ONCE)


def _stop(once: _Once, job: Any) -> Any:
    """Cancel the job. Gives it when it is over: it may have been done before BigQuery came to that."""
    once = once.hurried()
    logbook.info("The job is cancelled.", job=str(job.job_id))
    name, where = job.job_id, {"location": once.client.location, **ONCE}
    try:
        once.policy.call(once.target, lambda: once.client.google().cancel_job(name, **where))
        while job.state != "DONE":
            once.policy.sleep(_POLL_FIRST * 4)
            job = once.policy.call(once.target, _asking(once, job))
    except UnavailableError as error:
        raise _unsure(name, error) from None
    return job


def _description(client: Client, load: Load, job_id: str) -> dict[str, Any]:
    from google.cloud import bigquery  # heavy

    config = bigquery.LoadJobConfig(
        schema=tables.schema(load.columns),
        source_format=load.format,
        write_disposition=bigquery.WriteDisposition.WRITE_APPEND,
        create_disposition=bigquery.CreateDisposition.CREATE_NEVER,
        labels=dict(load.labels),
    )
    if load.format == "PARQUET":
        options = bigquery.ParquetOptions()
        options.enable_list_inference = True
        config.parquet_options = options
    reference = bigquery.TableReference.from_string(f"{client.project}.{load.dataset}.{load.table}")
    body = config.to_api_repr()
    body["load"]["destinationTable"] = reference.to_api_repr()
    job = {"projectId": client.project, "jobId": job_id, "location": client.location}
    return {"jobReference": job, "configuration": body}
