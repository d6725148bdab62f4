"""The step that has the rows of a run be seen: the write streams of all its chunks are committed, all at once.

It is written down before BigQuery is asked. So whoever finds that a stream is gone knows whether it may be because it
was committed: if not, the chunks are written anew; if so, only what the table lacks may be added.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
from collections.abc import Sequence

from tidemill import logbook
from tidemill.bigquery import write_streams
from tidemill.bigquery.write_streams import WriteStreams
from tidemill.errors import ConflictError, NotFoundError, UnavailableError
from tidemill.exports import told
from tidemill.exports.work import Parts, Work
from tidemill.store import attempts, commits
from tidemill.store.records import Chunk

#: BigQuery, "Quotas": Storage Write API, streams of one commit.
MOST_STREAMS = 10_000
#: How often the chunks of an attempt are written, at most. A run that takes longer than a day never ends this way.
ROUNDS = 3
_FINALIZED_AT_ONCE = 8


def commit(parts: Parts, run_id: str, attempt: int, last: bool) -> bool:
    """Commit them. Whether that is done: if not, all chunks are to be written anew; never in the `last` round."""
    work = parts.work(run_id, attempt)
    run, chunks = work.run, parts.runs.chunks(work.run.id)
    streams = [chunk.job_id for chunk in chunks if chunk.job_id]
    if any(chunk.status != "loaded" for chunk in chunks):  # another process has begun them anew
        raise attempts.taken_over()
    if run.rows_merged is not None or not streams or commits.is_done(run, streams):
        return True
    parts.watches.report(run.id, "committing")
    begun = known = commits.is_begun(run, streams)
    with contextlib.closing(WriteStreams(parts.watches.client(run.id, work.export))) as writing:
        try:
            if not known:
                _finalize(writing, chunks)
                parts.watches.check(run.id)
                begun, known = True, not parts.runs.commits.begin(run.id, streams, attempt=attempt)
            ask(writing, work, streams)
        except (NotFoundError, ConflictError) as error:
            if error.code not in {write_streams.GONE, write_streams.UNCONFIRMED}:
                raise
            if last:
                raise _dropped(work, error.raw) from None
            unsure = known or error.code == write_streams.UNCONFIRMED or len(streams) > MOST_STREAMS
            _write_anew(parts, work, streams, begun=begun, unsure=unsure)
            return False
    parts.runs.commits.done(run.id, streams, attempt=attempt)
    told.done("The write streams are committed.", streams=len(streams))
    return True


def ask(writing: WriteStreams, work: Work, streams: Sequence[str]) -> None:
    """Have BigQuery commit them; once more is harmless. More than one commit takes only go into a stage table."""
    for start in range(0, len(streams), MOST_STREAMS):
        writing.commit(work.export.dataset, work.loads_into, list(streams[start : start + MOST_STREAMS]))


def _finalize(writing: WriteStreams, chunks: Sequence[Chunk]) -> None:
    """Nothing more can go into the streams, and they hold just the rows that are recorded.

    Raises
    ------
    NotFoundError
        One is gone, or holds others.
    """
    found = [chunk for chunk in chunks if chunk.job_id]
    with concurrent.futures.ThreadPoolExecutor(_FINALIZED_AT_ONCE) as threads:
        numbers = list(threads.map(logbook.carried(functools.partial(_rows_of, writing)), found))
    for chunk, number in zip(found, numbers, strict=True):
        if number != chunk.rows_loaded:
            raise write_streams.gone(f"The stream {chunk.job_id} has {number} rows, and not {chunk.rows_loaded}.")


def _rows_of(writing: WriteStreams, chunk: Chunk) -> int:
    return writing.finalize(chunk.job_id or "")


def _write_anew(parts: Parts, work: Work, streams: Sequence[str], *, begun: bool, unsure: bool) -> None:
    """All chunks are to be written anew. `unsure`: the rows may be where they were to go, or some of them.

    `begun`: a commit was written down, as far as this process knows.

    Raises
    ------
    ConflictError
        They may be in the table, and nothing tells them from those that would come again.
    """
    run = work.run
    logbook.warning("BigQuery has dropped write streams.", streams=len(streams), unsure=unsure)
    forget = functools.partial(parts.runs.commits.forget, run.id, streams, attempt=run.attempt)
    if not unsure and forget(begun=begun):
        parts.runs.remark(
            run.id, "BigQuery dropped write streams before they were committed: all rows were sent again."
        )
    elif work.staged:
        forget(layout={"unsure": work.stage[2]})
    elif work.key and len(work.key) == len(work.model.key):
        forget(mode="merge", layout={"unconfirmed": True})
        text = (
            "It is not known whether BigQuery committed the rows: all were sent again, and what was missing was added."
        )
        parts.runs.remark(run.id, text)
    else:
        raise _unconfirmed(parts, work)


def _unconfirmed(parts: Parts, work: Work) -> ConflictError:
    rows = sum(chunk.rows_loaded for chunk in parts.runs.chunks(work.run.id))
    short = work.run.id.hex[:8]
    return ConflictError(
        write_streams.UNCONFIRMED,
        f"BigQuery was asked to commit {rows:,} rows of run {short} into {'.'.join(work.final)}. Its answer was lost, "
        "and by now it does not know their write streams any more: all of these rows are in the table, or none.",
        hint="They have no key by which Tidemill could tell. Look for them in the table, and say how it is: "
        f"tidemill export run retry {short} --arrived; or --not-arrived, and they are sent again.",
    )


def _dropped(work: Work, raw: str) -> UnavailableError:
    return UnavailableError(
        "streams_dropped",
        f"BigQuery dropped the write streams of the run before they were committed, {ROUNDS} times. It keeps them "
        "for a day at most.",
        hint=f"Load jobs have no such limit: tidemill export edit {work.export.name} --delivery load, then run it.",
        raw=raw,
    )
