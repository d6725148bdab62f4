"""Sends a file to BigQuery in pieces, by a resumable upload; Google's own client would hold 100 MB of it in memory.

A lost answer is no lost upload: the session is asked how far it got ("Resumable uploads"). The job starts with the last
piece, so an upload that is given up before that has loaded nothing.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests
from google.auth.transport.requests import AuthorizedSession
from google.resumable_media import common
from google.resumable_media import requests as resumable

from tidemill.bigquery import errors
from tidemill.bigquery.errors import Again, Target
from tidemill.bigquery.retry import json_of, understand
from tidemill.errors import Cancelled

if TYPE_CHECKING:
    from tidemill.bigquery.client import Client

#: Bytes of a file that are held and sent at a time: a multiple of 256 KiB ("Resumable uploads").
PIECE = 8 * 1024 * 1024
TIMEOUT = 60.0


class UnsureError(Exception):
    """Somebody cancelled while it was not clear what had arrived: the job may have been started."""


class _SessionGoneError(Exception):
    """The upload cannot be gone on with."""


def send(
    client: Client,
    path: Path,
    description: dict[str, Any],
    target: Target,
    *,
    sent: Callable[[int], None],
    cancelled: Callable[[], bool],
) -> None:
    """Send the file with the job's description. Raises whatever Google's libraries do, and Cancelled or UnsureError."""
    where = f"{client.endpoint.rstrip('/')}/upload/bigquery/v2/projects/{urllib.parse.quote(client.project)}/jobs"
    upload = resumable.ResumableUpload(f"{where}?uploadType=resumable", PIECE)
    # Its own retries would sleep for up to ten minutes, deaf to a cancel, and send a piece again without asking.
    upload._retry_strategy = common.RetryStrategy(max_retries=0)
    with client.upload_session() as session, path.open("rb") as file:
        size = path.stat().st_size
        kind = "application/octet-stream"
        upload.initiate(session, file, description, kind, total_bytes=size, timeout=TIMEOUT)
        waits, broken = client.policy.waits(cancelled), False
        while not upload.finished:
            if cancelled():
                raise UnsureError if broken else Cancelled
            try:
                if broken and _recover(upload, session):
                    return
                _transmit(upload, session)
            except _SessionGoneError as error:  # only a new upload helps: that is up to the caller, who looks first
                raise requests.ConnectionError(str(error)) from None
            except Exception as error:
                problem = understand(error, target)
                if errors.again(problem, job=False) is Again.NO:
                    raise
                broken = True
                try:
                    waits(errors.translate(problem, target))
                except Cancelled:
                    raise UnsureError from None
                continue
            waits, broken = client.policy.waits(cancelled), False
            sent(upload.bytes_uploaded)


def _recover(upload: resumable.ResumableUpload, session: AuthorizedSession) -> bool:
    """Ask the session how far it got, and go on from there. True if it has everything, and so the job is started."""
    try:
        upload.recover(session)
    except common.InvalidResponse as error:
        status = error.response.status_code
        if status in {200, 201}:
            return True
        if status in {404, 410}:
            raise _SessionGoneError("the upload session is gone") from None
        raise
    if upload.bytes_uploaded == upload.total_bytes:
        raise _SessionGoneError("the upload is complete, and its session does not say what became of it")
    return False


def _transmit(upload: resumable.ResumableUpload, session: AuthorizedSession) -> None:
    try:
        upload.transmit_next_chunk(session, timeout=TIMEOUT)
    except common.InvalidResponse as error:
        problem = errors.from_response(error.response.status_code, json_of(error.response))
        # With a reason, it is the job that was refused: its table is not there.
        if problem.status == 410 or (problem.status == 404 and not problem.reason):
            raise _SessionGoneError("the upload session is gone") from None
        raise
