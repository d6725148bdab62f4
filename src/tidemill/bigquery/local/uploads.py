"""Uploads: resumable sessions and multipart bodies, streamed to files of the embedded BigQuery's directory."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import re
import secrets
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from tidemill.bigquery.local.answers import Refusal
from tidemill.bigquery.local.faults import Fault

_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")
#: What Google keeps of a piece that was cut off comes in whole blocks of this size.
_BLOCK = 256 * 1024
_MAX_DESCRIPTION = 1024 * 1024
_SESSION_SECONDS = 24 * 3600


@dataclasses.dataclass
class Session:
    """A resumable upload. `job` is the job's resource once it is done; `fault` is what shall become of it."""

    id: str
    project: str
    account: str
    description: dict[str, Any]
    file: Path
    fault: Fault | None = None
    received: int = 0
    used: float = dataclasses.field(default_factory=time.monotonic)
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

    def open(self, project: str, account: str, description: dict[str, Any], fault: Fault | None) -> Session:
        """Begin a session."""
        session = Session(secrets.token_urlsafe(24), project, account, description, self.new_file(), fault)
        session.file.touch()
        self._sessions[session.id] = session
        return session

    def get(self, session_id: str) -> Session:
        """The session. Raises Refusal (404)."""
        try:
            session = self._sessions[session_id]
        except KeyError:
            raise Refusal(404, "notFound", "The upload session is not known, or has expired.") from None
        session.used = time.monotonic()
        return session

    def close(self, session: Session) -> None:
        """End a session, and remove its file."""
        self._sessions.pop(session.id, None)
        session.file.unlink(missing_ok=True)

    def remove_abandoned(self, older_than: float = _SESSION_SECONDS) -> None:
        """End the sessions that nobody has used for so many seconds."""
        before = time.monotonic() - older_than
        for session in list(self._sessions.values()):
            if session.used <= before and not session.turn.locked():
                self.close(session)


async def receive(session: Session, content_range: str, body: AsyncIterator[bytes]) -> bool:
    """Take a piece. True once the file is whole. Raises Refusal (400, 503) for a piece that does not fit.

    If the connection ends in the middle, what has come is kept in whole blocks, as Google keeps it; and bytes that are
    sent again are passed over ("Resumable uploads").
    """
    found = _RANGE.fullmatch(content_range or "bytes */*")
    if not found:
        raise Refusal(400, "invalid", f"Bad Content-Range: {content_range}")
    first, last, total = found.groups()
    if first is None:
        return total != "*" and session.received == int(total)
    if int(first) > session.received:
        raise Refusal(503, "backendError", f"Expected bytes from {session.received}, got them from {first}.")
    came = await _write(session, int(first), int(last) + 1, body)
    if came != int(last) + 1:
        raise Refusal(503, "backendError", "The piece was cut off.")
    return total != "*" and session.received == int(total)


async def _write(session: Session, first: int, end: int, body: AsyncIterator[bytes]) -> int:
    """Put a piece into the session's file, without what is there already; gives how far it came."""
    position = first
    with session.file.open("r+b") as file:
        file.seek(session.received)
        try:
            async for block in body:
                position += len(block)
                fresh = position - file.tell()
                if fresh > 0:
                    file.write(block[-fresh:])
        finally:
            whole = position if position == end else position // _BLOCK * _BLOCK
            session.received = max(session.received, min(whole, end))
            file.truncate(session.received)
    return position


async def save(body: AsyncIterator[bytes], file: Path) -> None:
    """Write a body to a file as it comes."""
    with file.open("wb") as out:
        async for block in body:
            out.write(block)


def split_multipart(content_type: str, body: Path, media: Path) -> dict[str, Any]:
    """Take a multipart/related body apart: gives the description; the file goes to `media`. Raises Refusal (400)."""
    boundary = re.search(r'boundary="?([^";]+)"?', content_type)
    mark = b"--" + boundary[1].encode() if boundary else b""
    with body.open("rb") as file:
        head = file.read(_MAX_DESCRIPTION)
        parts = head.split(mark, 2) if mark else []
        bad = Refusal(400, "invalid", "The multipart body has not a description and a file.")
        if len(parts) < 3 or b"\r\n\r\n" not in parts[2]:
            raise bad
        start = len(head) - len(parts[2]) + parts[2].find(b"\r\n\r\n") + 4
        end = _last(file, b"\r\n" + mark, start)
        try:
            described = json.loads(parts[1].partition(b"\r\n\r\n")[2])
        except ValueError:
            raise bad from None
        if not isinstance(described, dict) or end is None:
            raise bad
        file.seek(start)
        with media.open("wb") as out:
            shutil.copyfileobj(file, out)
            out.truncate(end - start)
    return described


def _last(file: Any, mark: bytes, start: int) -> int | None:
    """Where the mark is that ends the body: in its last kilobyte, and not before `start`."""
    size = file.seek(0, 2)
    begin = max(start, size - 1024)
    file.seek(begin)
    found = file.read().rfind(mark)
    return begin + found if found >= 0 else None
