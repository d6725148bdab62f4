"""Jobs that run once: load jobs and statements whose ids we choose.

BigQuery takes a job id once ("Loading data": jobs.insert is idempotent on it). So the id says what the job is for, and
whoever finds that it exists adopts that job instead of starting another. A job that ended in an error cannot be run
again; where that helps, the next id of a fixed series is taken: `id`, `id_t1`, `id_t2`, … A process that starts
again after a crash walks the same series, and so finds every job that any process before it began.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from google.api_core import exceptions as api

from tidemill.bigquery import errors, tables, upload
from tidemill.bigquery.errors import Again, Problem, Target
from tidemill.bigquery.retry import understand
from tidemill.errors import Cancelled, ConflictError, UnavailableError
from tidemill.models.model import Column

if TYPE_CHECKING:
    from google.cloud import bigquery

    from tidemill.bigquery.client import Client

MAX_TRIES = 20
#: Once an id is taken, `jobs.get` may answer 404 for a moment (python-bigquery, issue 2134).
_APPEARS_WITHIN = 20
_POLL_FIRST, _POLL_LONGEST = 0.05, 2.0
TIMEOUT = 60.0
#: For each call of Google's client: it must not retry by its own rules, and must not wait for ever.
ONCE: dict[str, Any] = {"retry": None, "timeout": TIMEOUT}


@dataclasses.dataclass(frozen=True)
class Load:
    """A load job. `format`: PARQUET or NEWLINE_DELIMITED_JSON. The table must exist."""

    job_id: str
    dataset: str
    table: str
    columns: Sequence[Column]
    format: str
    labels: Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class Loaded:
    """A load job that is done."""

    job_id: str
    rows: int
    bytes: int
    ended: dt.datetime | None


def run_load(
    client: Client, path: Path, load: Load, *, sent: Callable[[int], None], cancelled: Callable[[], bool]
) -> Loaded:
    """Load the file into the table once, whatever happened in calls before this one.

    Raises
    ------
    Cancelled
        The job was cancelled, and nothing was loaded. (If it was done before that, it counts as loaded.)
    TidemillError
        The job failed for good; nothing was loaded.
    """
    target = client.target("bigquery.tables.updateData", load.dataset, load.table)

    def submit(job_id: str) -> None:
        upload.send(client, path, _description(client, load, job_id), target, sent=sent, cancelled=cancelled)

    job = _run(client, load.job_id, "load", target, submit, cancelled)
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

    return _run(client, job_id, "query", target, submit, cancelled)


def _run(
    client: Client, base: str, kind: str, target: Target, submit: Callable[[str], None], cancelled: Callable[[], bool]
) -> Any:
    waits, failures = None, 0
    for number in itertools.count():
        job_id = f"{base}_t{number}" if number else base
        job = _find(client, job_id, target)
        history = job is not None and job.state == "DONE"
        if job is None:
            if cancelled():
                raise Cancelled
            job = _submit(client, job_id, target, submit, cancelled)
        job = _check(job, kind, target)
        job, stopped = _wait(client, job, target, cancelled)
        if not job.error_result:
            return job
        problem = errors.from_job(job.error_result)
        if stopped:
            raise Cancelled
        if history:  # it failed in an earlier attempt: that is why there is another one now
            continue
        if errors.again(problem, job=True) is Again.NO:
            raise errors.translate(_with_details(problem, job), target)
        failures += 1
        if failures == MAX_TRIES:
            break
        waits = waits or client.policy.waits(cancelled)  # the time that a job takes is no waiting
        waits(errors.translate(problem, target))
    raise UnavailableError(
        "job_keeps_failing",
        f"The BigQuery job {base} failed {MAX_TRIES} times in a row.",
        hint="Nothing is lost: run it again later.",
    )


def _with_details(problem: Problem, job: Any) -> Problem:
    """The message with the first of the job's detailed errors, which says what in the file was wrong."""
    for detail in job.errors or ():
        text = str(detail.get("message") or "")
        if text and text not in problem.message:
            return dataclasses.replace(problem, message=f"{problem.message} ({text})")
    return problem


def _find(client: Client, job_id: str, target: Target) -> Any:
    def ask() -> Any:
        try:
            return client.google().get_job(job_id, location=client.location, **ONCE)
        except api.NotFound:
            return None

    return client.policy.call(target, ask)


def _submit(
    client: Client, job_id: str, target: Target, submit: Callable[[str], None], cancelled: Callable[[], bool]
) -> Any:
    """Start the job; if it is unclear whether that was done, look, and start it again with the same id."""
    waits = client.policy.waits(cancelled)
    while True:
        problem = None
        try:
            submit(job_id)
        except Cancelled:
            return _found_or_cancelled(client, job_id, target)
        except Exception as error:  # noqa: BLE001 - `understand` raises again what is not from Google
            problem = understand(error, target)
        if problem and problem.status != 409 and errors.again(problem, job=False) is Again.NO:
            raise errors.translate(problem, target)
        job = _find_soon(client, job_id, target) if problem is None or problem.status == 409 else None
        if job is None:
            job = _find(client, job_id, target)
        if job is not None:
            return job
        try:
            waits(errors.translate(problem or Problem(503, "", "The job cannot be found."), target))
        except Cancelled:
            return _found_or_cancelled(client, job_id, target)


def _found_or_cancelled(client: Client, job_id: str, target: Target) -> Any:
    """The job, if the last that was sent has started it after all: then it must be cancelled like any other."""
    job = _find_soon(client, job_id, target)
    if job is None:
        raise Cancelled
    return job


def _find_soon(client: Client, job_id: str, target: Target) -> Any:
    """The job that must be there, though `jobs.get` may not know it for a moment."""
    for _ in range(_APPEARS_WITHIN):
        job = _find(client, job_id, target)
        if job is not None:
            return job
        client.policy.sleep(_POLL_FIRST * 4)
    return None


def _check(job: Any, kind: str, target: Target) -> Any:
    """A job that was found under our id must be ours: of the kind that we started, and a load into the same table."""
    ours = job.job_type == kind
    if ours and kind == "load":
        into = job.destination
        ours = (into.project, into.dataset_id, into.table_id) == (target.project, target.dataset, target.table)
    if not ours:
        raise ConflictError(
            "job_id_taken",
            f"The BigQuery job {job.job_id} is not the {kind} job into the {target.resource} that it should be.",
            hint="Somebody else uses our job ids; please report it.",
        )
    return job


def _wait(client: Client, job: Any, target: Target, cancelled: Callable[[], bool]) -> tuple[Any, bool]:
    """The job when it is done, and whether we had it cancelled."""
    pause, stopped = _POLL_FIRST, False
    job_id = job.job_id
    where = {"location": client.location, **ONCE}
    while job.state != "DONE":
        if not stopped and cancelled():
            stopped = True
            client.policy.call(target, lambda: client.google().cancel_job(job_id, **where))
        client.policy.sleep(pause)
        pause = min(pause * 1.5, _POLL_LONGEST)
        job = client.policy.call(target, lambda: client.google().get_job(job_id, **where))
    return job, stopped


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
