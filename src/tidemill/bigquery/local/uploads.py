"""Uploads: resumable sessions and multipart bodies, streamed to files of the embedded BigQuery's directory."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import re
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from tidemill.bigquery.local.answers import Refusal

_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")


@dataclasses.dataclass
class Session:
    """A resumable upload. `job` is the job's resource once it is done."""

    id: str
    project: str
    account: str
    description: dict[str, Any]
    file: Path
    received: int = 0
    turn: asyncio.Lock = dataclasses.field(default_factory=asyncio.Lock)
    job: dict[str, Any] | None = None


class Uploads:
    """The sessions that are open. They do not outlive the process, as Google's do not outlive a week."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.iterdir():
            left.unlink()
        self._sessions: dict[str, Session] = {}

    def new_file(self) -> Path:
        """A file for one upload."""
        return self._folder / secrets.token_hex(16)

    def open(self, project: str, account: str, description: dict[str, Any]) -> Session:
        """Begin a session."""
        session = Session(secrets.token_urlsafe(24), project, account, description, self.new_file())
        session.file.touch()
        self._sessions[session.id] = session
        return session

    def get(self, session_id: str) -> Session:
        """The session. Raises Refusal (404)."""
        try:
            return self._sessions[session_id]
        except KeyError:
            raise Refusal(404, "notFound", "The upload session is not known, or has expired.") from None


async def receive(session: Session, content_range: str, body: AsyncIterator[bytes]) -> bool:
    """Take a piece. True once the file is whole. Raises Refusal (400, 503) for a piece that does not fit."""
    found = _RANGE.fullmatch(content_range or "bytes */*")
    if not found:
        raise Refusal(400, "invalid", f"Bad Content-Range: {content_range}")
    first, last, total = found.groups()
    if first is None:
        return total != "*" and session.received == int(total)
    if int(first) != session.received:
        raise Refusal(503, "backendError", f"Expected bytes from {session.received}, got them from {first}.")
    with session.file.open("r+b") as file:
        file.seek(session.received)
        async for block in body:
            file.write(block)
        if file.tell() != int(last) + 1:
            file.truncate(session.received)
            raise Refusal(503, "backendError", "The piece was cut off.")
    session.received = int(last) + 1
    return total != "*" and session.received == int(total)


def split_multipart(content_type: str, body: bytes) -> tuple[dict[str, Any], bytes]:
    """The description and the file of a multipart/related body. Raises Refusal (400)."""
    boundary = re.search(r'boundary="?([^";]+)"?', content_type)
    parts = body.split(b"--" + boundary[1].encode()) if boundary else []
    try:
        described, media = (part.partition(b"\r\n\r\n")[2] for part in parts[1:3])
        return json.loads(described), media.removesuffix(b"\r\n")
    except ValueError:
        raise Refusal(400, "invalid", "The multipart body has not a description and a file.") from None
