"""The step of one chunk: its file is written, loaded by one job, and removed."""

from __future__ import annotations

import datetime as dt
import secrets
import time
from pathlib import Path

from tidemill import atomic
from tidemill.bigquery.jobs import Load
from tidemill.events import chunks as chunk_files
from tidemill.events import ends
from tidemill.exports import rejects, told
from tidemill.exports.steps import budget, quota
from tidemill.exports.work import Parts, Work
from tidemill.store.records import Chunk

#: A file that has waited longer for its load is written anew: `bq_ingested_timestamp` is when rows are handed over.
_FRESH_SECONDS = 600


def move(parts: Parts, run_id: str, attempt: int, number: int) -> str:
    """Write the chunk's file, load it by its job, and remove it. Gives the job's id.

    Done again after a crash, it goes on with the file that is there, and finds the job that was begun.
    """
    work = parts.work(run_id, attempt)
    chunk = parts.runs.chunk(work.run.id, number)
    path, fresh = parts.file(work.run, number), chunk.status == "planned"
    if fresh or (chunk.status == "written" and not _is_fresh(path)):
        chunk = _write(parts, work, chunk)
    job = chunk.job_id if chunk.status == "loaded" else _load(parts, work, chunk, path, fresh=fresh)
    path.unlink(missing_ok=True)
    return job or ""


def _is_fresh(path: Path) -> bool:
    """Whether the file is there. It may have been written by another machine, or be lost; or be so old that its rows
    would say they were handed over long ago."""
    return path.exists() and time.time() - path.stat().st_mtime < _FRESH_SECONDS


def _write(parts: Parts, work: Work, chunk: Chunk) -> Chunk:
    """Write the chunk's file. Gives the chunk as it is then."""
    run = work.run
    written = _write_file(parts, work, chunk)
    rejects.set_aside(parts, work, written.rejected)
    folded(parts, work, written.folded)
    noted = parts.runs.note_chunk(
        run.id,
        chunk.number,
        attempt=run.attempt,
        status="written",
        rows_written=written.rows,
        rows_rejected=len(written.rejected),
        rows_repaired=written.repaired,
        bytes=written.bytes,
        bounds=_wider(work, chunk, written),
        started_at=chunk.started_at or dt.datetime.now(dt.UTC),
    )
    told.wrote(written.rows, written.bytes, rejected=len(written.rejected), repaired=written.repaired)
    return noted


def folded(parts: Parts, work: Work, number: int) -> None:
    """So many rows of a query gave way to others with their key."""
    if number:
        text = f"{number:,} rows of the query had the key of another one: of each key only the newest was sent."
        parts.runs.remark(work.run.id, text)


def _write_file(parts: Parts, work: Work, chunk: Chunk) -> chunk_files.Written:
    run = work.run
    path = parts.file(run, chunk.number)
    part = path.with_suffix(f".{secrets.token_hex(4)}.part")  # who lost the run may still be at it
    with parts.writing:
        parts.watches.check(run.id)
        parts.watches.report(run.id, f"writing chunk {chunk.number + 1}")
        written = chunk_files.write(
            parts.lake,
            parts.source(work.export),
            work.chosen(chunk),
            work.columns,
            part,
            handed_at=dt.datetime.now(dt.UTC),
            max_row_bytes=parts.settings.max_row_bytes,
            cancelled=lambda: parts.watches.cancelled(run.id),
            ends_of=work.bounded if work.staged else (),
        )
    atomic.place(part, path)  # what is noted as written must be there after a power cut
    return written


def _wider(work: Work, chunk: Chunk, written: chunk_files.Written) -> dict[str, list[str]]:
    """The ends of the columns in the chunk's file; and in one that it had before in this attempt, if that is loaded."""
    found = ends.wider(work.bounded, chunk.bounds, written.ends) if chunk.bounds is not None else written.ends
    return {name: list(pair) for name, pair in found.items()}


def _load(parts: Parts, work: Work, chunk: Chunk, path: Path, *, fresh: bool) -> str:
    """Load the chunk's file by its job. Gives the job's id."""
    run, export, number, attempt = work.run, work.export, chunk.number, work.run.attempt
    now = dt.datetime.now
    if chunk.rows_written == 0:  # the filters left nothing
        parts.runs.note_chunk(run.id, number, attempt=attempt, status="loaded", finished_at=now(dt.UTC))
        return ""
    job = Load(
        job_id=work.job_id(f"{number:05d}"),
        dataset=export.dataset,
        table=work.loads_into,
        columns=work.columns,
        format=chunk_files.file_format(work.columns),
        labels=work.labels,
        fresh=fresh,
    )
    client = parts.watches.client(run.id, export)
    quota.spend(parts, work)
    with budget.job(parts, work):
        loaded = client.load(path, job, sent=lambda count: parts.watches.sent(run.id, number, count))
    parts.runs.note_chunk(
        run.id,
        number,
        attempt=attempt,
        status="loaded",
        rows_loaded=loaded.rows,
        job_id=loaded.job_id,
        finished_at=now(dt.UTC),
    )
    told.done("The chunk is loaded.", rows=loaded.rows, bytes=loaded.bytes or None, job=loaded.job_id)
    parts.watches.report(run.id, "loading")
    return loaded.job_id
