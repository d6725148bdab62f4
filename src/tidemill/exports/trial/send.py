"""How the rows of a test upload get into the scratch table: by the ways of runs and streams."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.bigquery.client import Client
from tidemill.bigquery.jobs import Load
from tidemill.errors import Cancelled, TidemillError, UnavailableError
from tidemill.models.model import Column

if TYPE_CHECKING:
    from tidemill.events.sendable import Rows
    from tidemill.exports.trial.rows import Prepared

_WITHIN_SECONDS = 120.0
_LABELS = {"tidemill_test": "upload"}


def by_job(client: Client, dataset: str, table: str, rows: Prepared, columns: Sequence[Column], path: Path) -> str:
    """Load the file. Gives a sentence about it."""
    job = f"tidemill_test_{secrets.token_hex(12)}"
    load = Load(job, dataset, table, columns, rows.format, _LABELS, fresh=True)
    end = time.monotonic() + _WITHIN_SECONDS
    try:
        loaded = client.load(path, load, cancelled=lambda: time.monotonic() > end)
    except Cancelled:
        raise UnavailableError(
            "load_slow",
            f"The load job was not done after {_WITHIN_SECONDS:.0f} s; it was cancelled.",
            hint="BigQuery may be busy. Try again in a while.",
        ) from None
    _assert_all(loaded.rows, rows)
    return f"job {loaded.job_id}"


def by_stream(client: Client, dataset: str, table: str, rows: Prepared, columns: Sequence[Column]) -> str:
    """Append the requests to a write stream, and have them be seen. Gives a sentence about it."""
    from tidemill.bigquery import access_stream  # heavy
    from tidemill.bigquery.write_sender import Sender
    from tidemill.bigquery.write_streams import WriteStreams
    from tidemill.events import sendable

    with contextlib.closing(WriteStreams(client)) as streams:
        name = access_stream.create(client, streams, dataset, table, pending=True)
        sender = Sender(streams, client, name, sendable.schema(columns), _refused, at_once=1)
        with contextlib.closing(sender):
            for request in rows.requests:
                sender.send(request)
            sender.finish()
        _assert_all(streams.finalize(name), rows)
        streams.commit(dataset, table, [name])
    return "committed"


def _refused(_rows: Rows, bad: Sequence[tuple[int, str]]) -> None:
    raise TidemillError(
        "row_refused",
        f"BigQuery does not take {len(bad):,} of the rows: {bad[0][1]}",
        hint="A run sets such rows aside, with the reason; all others go on.",
    )


def _assert_all(number: int, rows: Prepared) -> None:
    if number != len(rows.sent):
        raise TidemillError("rows_not_counted", f"{len(rows.sent):,} rows were sent, and BigQuery counts {number:,}.")
