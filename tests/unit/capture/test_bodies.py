"""Bodies are read and unpacked in bounded memory, whatever they are said to be."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import tracemalloc
import urllib.parse
import zlib
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from tidemill.capture import bodies
from tidemill.capture.bodies import Overloaded, Room, TooLarge, TooSlow, Undecodable
from tidemill.capture.deadlines import Deadlines
from tidemill.capture.http import Request

MANY = 10_000_000


def plain(body: bytes, most: int = MANY, *, form: bool = False) -> bytes:
    with Room(10 * MANY).share() as share:
        return bodies.plain(body, most, share, form=form)


def read(parts: list[bytes], most: int = MANY, room: int = MANY, headers: dict[bytes, bytes] | None = None) -> bytes:
    messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    messages.append({"type": "http.request", "body": b"", "more_body": False})

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    scope = {"method": "POST", "path": "/", "headers": list((headers or {}).items())}
    with Room(room).share() as share:
        return asyncio.run(bodies.read(Request(scope, receive), share, most, Deadlines(60)))


JSON = b'{"event":"x","properties":{"caf\xc3\xa9":"+/="}}'
FORM = urllib.parse.urlencode({"data": base64.b64encode(JSON).decode()}).encode()


@pytest.mark.parametrize(
    "body",
    [
        JSON,
        gzip.compress(JSON),
        base64.b64encode(JSON),
        base64.urlsafe_b64encode(JSON).rstrip(b"="),
        base64.b64encode(gzip.compress(JSON)),
        gzip.compress(base64.b64encode(JSON)),
        FORM,
        gzip.compress(FORM),
        b"data=" + base64.b64encode(JSON),  # a + that was not escaped, and came as a blank
        b"compression=gzip&data=" + urllib.parse.quote(base64.b64encode(gzip.compress(JSON))).encode(),
        gzip.compress(JSON[:10]) + gzip.compress(JSON[10:]),
        b"  " + JSON + b"\r\n",
    ],
    ids=[f"body{number}" for number in range(12)],  # gzip has the time in it, and all workers must name a test the same
)
def test_a_body_is_unpacked_however_it_is_packed(body: bytes) -> None:
    assert plain(body, form=body.startswith(b"compression")) == JSON


@hypothesis.given(st.binary(max_size=300))
def test_any_bytes_are_unpacked_or_refused(body: bytes) -> None:
    for packed in (body, gzip.compress(body), gzip.compress(body)[:-3], b"\x1f\x8b\x08" + body, b"data=" + body):
        with contextlib.suppress(Undecodable, TooLarge):
            assert isinstance(plain(packed), bytes)


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    bomb = gzip.compress(b"0" * 500_000_000, 9)
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            plain(bomb, 2_000_000)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_a_bomb_in_a_bomb_is_refused() -> None:
    inner = base64.b64encode(gzip.compress(b"0" * 50_000_000, 9))
    with pytest.raises(TooLarge):
        plain(gzip.compress(inner, 9), 2_000_000)


def test_gzip_that_breaks_off_is_refused() -> None:
    with pytest.raises(Undecodable, match="breaks off"):
        plain(gzip.compress(JSON)[:-10])
    damaged = bytearray(gzip.compress(JSON * 10))
    damaged[20] ^= 0xFF
    with pytest.raises((Undecodable, zlib.error)):
        plain(bytes(damaged))


def test_no_body_takes_long_to_be_told_from_base64() -> None:
    """A pattern that tries all ways to divide blanks would take hours."""
    for body in (b"a" + b"\n" * 1_000_000 + b"!", b"a" * 1_000_000 + b"=" * 1_000_000, b"=" * 1_000_000 + b"!"):
        assert plain(body) == body


def test_gzip_of_many_members_is_refused() -> None:
    with pytest.raises(Undecodable, match="members"):
        plain(gzip.compress(b"") * 100_000)
    assert plain(gzip.compress(b"") + gzip.compress(JSON)) == JSON


def test_a_form_without_data_is_refused() -> None:
    with pytest.raises(Undecodable, match="no field data"):
        plain(b"other=1", form=True)


def test_a_body_is_read_in_parts_up_to_its_bound() -> None:
    assert read([b"a", b"bc", b""]) == b"abc"
    with pytest.raises(TooLarge):
        read([b"a" * 60, b"a" * 60], most=100)


def test_a_body_that_says_it_is_too_large_is_not_read() -> None:
    with pytest.raises(TooLarge):
        read([], most=100, headers={b"content-length": b"101"})


def test_no_more_is_held_than_there_is_room_for() -> None:
    with pytest.raises(Overloaded):
        read([b"a" * 60, b"a" * 60], room=100)


def test_what_can_never_be_held_is_too_large() -> None:
    """It would not help to come again."""
    room = Room(100)
    with room.share() as share:
        share.take(60)
        with pytest.raises(TooLarge):
            share.take(60)


def test_bodies_that_are_coming_take_half_of_the_room() -> None:
    """Whoever begins many and never ends them is in nobody's way who has sent all."""
    room = Room(100)
    with room.share() as slow, room.share() as other, room.share() as whole:
        slow.take(40, coming=True)
        with pytest.raises(Overloaded):
            other.take(20, coming=True)
        whole.take(40)
        slow.take(10)  # it is here
        slow.come()
        other.take(10, coming=True)
    assert (room.taken, room.coming) == (0, 0)


def test_room_is_given_back() -> None:
    room = Room(100)
    with room.share() as share:
        share.take(60)
        with pytest.raises(Overloaded), room.share() as other:
            other.take(60)
    assert room.taken == 0


def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    async def ask() -> None:
        with Room(MANY).share() as share:
            await bodies.read(
                Request({"method": "POST", "path": "/", "headers": []}, receive), share, MANY, Deadlines(0.01)
            )

    with pytest.raises(TooSlow):
        asyncio.run(ask())
