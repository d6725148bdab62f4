"""Write-back: a run says what it did in the state dataset of its source, if its sync is to.

It is done when all is delivered and remembered, and before the run is over. That it cannot be done is a note of the
run, and no failure: nothing of what was to be delivered depends on it.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

from tidemill.bigquery.sql import Value
from tidemill.errors import ConfigError, TidemillError
from tidemill.reverse_etl.plan.port import Piece
from tidemill.reverse_etl.plan.written import Changes, Writer
from tidemill.reverse_etl.spec import Extraction, SyncSpec
from tidemill.reverse_etl.views import RunView
from tidemill.reverse_etl.work import Job, Parts
from tidemill.schedules import telling
from tidemill.store.records_sync import Source

#: How long calls are tried again: a run that is over otherwise is not held up for longer.
_SECONDS = 60.0


def assert_possible(spec: SyncSpec, source: Source, connection: str) -> None:
    """Raise ConfigError if runs of a sync are to be written down, and there is no place for it."""
    if spec.write_back_days is not None and source.state_dataset is None:
        raise ConfigError(
            "write_back_read_only",
            f"The source {connection} may only be read: nothing can be written back into it.",
            hint="Leave --write-back out, or have a source with a state dataset: "
            f"{telling.command('reverse-etl enable', connection)} --access limited",
        )


def write(
    parts: Parts, job: Job, status: str, pieces: Sequence[Piece], begun: Sequence[Piece]
) -> tuple[list[str], int]:
    """Write down what a run did. `begun`: those of its pieces of which something was sent, or would have been.

    Gives what is to be said of it to the user, nothing if it is done, and the bytes that it was billed for.
    """
    dataset = str(job.source.state_dataset)
    days, now = _days(parts, job), parts.books.syncs.now()
    row: dict[str, Value | None] = {**_row(job, status), "finished_at": now}
    changes, bound, billed, said = _changes(job, pieces, begun), job.wanted.max_bytes_billed, 0, []
    try:
        with parts.client(job.connection, job.source) as client:
            client.policy = dataclasses.replace(client.policy, deadline=min(client.policy.deadline, _SECONDS))
            writer = Writer(client, dataset, job.sync.id, job.run.id, job.run.number, days, bound)
            try:
                if changes is not None:
                    writer.write_rows(changes, now)
                writer.write_run(row)
                if job.run.plan is not None and job.wanted.extraction is not Extraction.FULL:  # there is a state
                    writer.ensure_snapshot()
            finally:
                billed = client.take_billed()
    except TidemillError as error:
        said.append(f"What the run did could not be written into {dataset}: {error.message} {error.hint}".strip())
    return said, billed


def _changes(job: Job, pieces: Sequence[Piece], begun: Sequence[Piece]) -> Changes | None:
    """None: nothing was to be delivered."""
    plan = job.run.plan
    if plan is None or not pieces:
        return None
    numbers = {piece.number for piece in begun}
    untouched = []
    for is_begun, group in itertools.groupby(pieces, lambda piece: piece.number in numbers):
        if not is_begun:
            rest = list(group)
            untouched.append((rest[0].first, rest[-1].last))
    return Changes(plan.get("unacknowledged"), bool(plan["counts"]["retried"]), untouched)


def _row(job: Job, status: str) -> dict[str, Value | None]:
    view, error = RunView.of(job.run, job.sync.name), job.run.error or {}
    return {
        "sync_name": view.sync,
        "model": job.model.name,
        "destination": job.account.name,
        "action": job.spec.action,
        "status": status,
        "added": view.added,
        "updated": view.updated,
        "deleted": view.deleted,
        "unchanged": view.unchanged,
        "retried": view.retried,
        "invalid": view.invalid,
        "written": view.written,
        "rejected": view.rejected,
        "to_retry": view.to_retry,
        "bytes_billed": view.bytes_billed,
        "error_code": error.get("code"),
        "error_message": error.get("message"),
        "began_at": view.began_at,
    }


def _days(parts: Parts, job: Job) -> int:
    """How long rows are kept: as long as any sync that writes into the same tables wants them."""
    books = parts.books
    place = (job.connection.project, job.source.state_dataset)
    beside = {
        source.connection_id
        for source in books.sources.find()
        if (books.connections.by_id(source.connection_id).project, source.state_dataset) == place
    }
    models = {model.id for model in books.models.find() if model.connection_id in beside}
    wanted = [int(sync.spec.get("write_back_days") or 0) for sync in books.syncs.find() if sync.model_id in models]
    return max([*wanted, job.spec.write_back_days or 0])
