"""Uploads in pieces and in one request."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tidemill.bigquery.local import uploads
from tidemill.bigquery.local.answers import Refusal
from tidemill.bigquery.local.uploads import Session, Uploads

BLOCK = 256 * 1024


async def blocks(content: bytes, size: int = 100_000, *, dies: bool = False) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]
    if dies:
        raise ConnectionResetError


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Uploads(tmp_path / "uploads").open("p", "somebody", {}, None)


def put(
    session: Session, content: bytes, first: int, total: int, *, come: int | None = None, dies: bool = False
) -> bool:
    sent = content[first:] if come is None else content[first : first + come]
    where = f"bytes {first}-{len(content) - 1}/{total}"
    return asyncio.run(uploads.receive(session, where, blocks(sent, dies=dies)))


def test_what_came_before_the_connection_was_cut_is_kept_in_whole_blocks(session: Session) -> None:
    content = bytes(range(256)) * 4000  # 1,024,000 bytes
    with pytest.raises(ConnectionResetError):
        put(session, content, 0, len(content), come=2 * BLOCK + 7, dies=True)
    assert session.received == 2 * BLOCK
    assert not asyncio.run(uploads.receive(session, f"bytes */{len(content)}", blocks(b"")))
    with pytest.raises(Refusal, match="Expected bytes from"):
        put(session, content, 2 * BLOCK + 1, len(content))
    with pytest.raises(Refusal, match="cut off"):
        put(session, content, BLOCK, len(content), come=10)
    assert session.received == 2 * BLOCK
    assert put(session, content, BLOCK, len(content))  # what is there already is passed over
    assert session.file.read_bytes() == content
    assert asyncio.run(uploads.receive(session, f"bytes */{len(content)}", blocks(b"")))


def test_a_bad_range_is_refused(session: Session) -> None:
    with pytest.raises(Refusal, match="Content-Range"):
        asyncio.run(uploads.receive(session, "bytes all", blocks(b"")))


def test_sessions_that_nobody_uses_are_removed(tmp_path: Path) -> None:
    held = Uploads(tmp_path / "uploads")
    session = held.open("p", "somebody", {}, None)
    held.remove_abandoned(older_than=3600)
    assert held.get(session.id) is session
    held.remove_abandoned(older_than=0)
    with pytest.raises(Refusal, match="not known"):
        held.get(session.id)
    assert list((tmp_path / "uploads").iterdir()) == []


def test_files_that_a_killed_process_left_are_removed(tmp_path: Path) -> None:
    Uploads(tmp_path / "uploads").open("p", "somebody", {}, None)
    Uploads(tmp_path / "uploads")
    assert list((tmp_path / "uploads").iterdir()) == []


def multipart(description: str, media: bytes, boundary: str = "===1==") -> bytes:
    return (
        f"--{boundary}\r\ncontent-type: application/json\r\n\r\n{description}\r\n"
        f"--{boundary}\r\ncontent-type: */*\r\n\r\n".encode()
        + media
        + f"\r\n--{boundary}--".encode()
    )


@given(media=st.binary(max_size=2000), end=st.sampled_from([b"", b"\r\n"]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_multipart_body_is_taken_apart(tmp_path: Path, media: bytes, end: bytes) -> None:
    body, file = tmp_path / "body", tmp_path / "media"
    body.write_bytes(multipart(json.dumps({"a": 1}), media) + end)
    assert uploads.split_multipart('multipart/related; boundary="===1=="', body, file) == {"a": 1}
    assert file.read_bytes() == media


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/plain", b""),
        ("multipart/related; boundary=x", b""),
        ("multipart/related; boundary=x", b"--x\r\n\r\n{}\r\n--x--"),
        ("multipart/related; boundary=x", multipart("{", b"m", "x")),
        ("multipart/related; boundary=x", multipart("[]", b"m", "x")),
        ("multipart/related; boundary=x", multipart("{}", b"m", "x").removesuffix(b"--x--")),
    ],
)
def test_what_is_no_multipart_body(tmp_path: Path, content_type: str, body: bytes) -> None:
    (tmp_path / "body").write_bytes(body)
    with pytest.raises(Refusal) as caught:
        uploads.split_multipart(content_type, tmp_path / "body", tmp_path / "media")
    assert caught.value.status == 400
