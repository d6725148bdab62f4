"""Bodies of requests, read and unpacked in bounded memory and time, whatever their sender says of them.

They are unpacked by ISA-L, which takes three quarters of the time of zlib: it is a good part of what a request costs.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import re
import threading
import urllib.parse
from typing import Self

from isal import isal_zlib

from tidemill.capture import lz_string
from tidemill.capture.deadlines import Deadlines
from tidemill.capture.http import Request

_GZIP = b"\x1f\x8b\x08"
_BASE64 = re.compile(rb"[A-Za-z0-9+/_\-]++={0,2}+")
_BLANKS = b" \t\r\n"
_STEP = 1024 * 1024
#: Of a gzip file; each is looked for in all that follows.
_MEMBERS = 100
#: The start of a body, by which it is told what it is.
_START = 4_096


class TooLarge(Exception):  # noqa: N818 - it is answered, not raised at a user
    """The body is larger than it may be, as it came or unpacked."""


class Undecodable(Exception):  # noqa: N818
    """The body is not what it is said to be."""


class Overloaded(Exception):  # noqa: N818
    """There is no room for it now."""


class TooSlow(Exception):  # noqa: N818
    """It did not come in time."""


class Gone(Exception):  # noqa: N818
    """The sender has gone away."""


class Room:
    """The bytes that all requests of this process may hold at once. Large ones are read by threads.

    Of them, half may be of bodies that are `coming`, of which nobody knows whose they are, or whether they ever end.
    """

    def __init__(self, most: int) -> None:
        self.most, self.taken, self.coming = most, 0, 0
        self.guard = threading.Lock()

    def share(self) -> Share:
        """Room for one request."""
        return Share(self)


class Share:
    """What one request holds of it, until the end of the block."""

    __slots__ = ("_coming", "_room", "taken")

    def __init__(self, room: Room) -> None:
        self._room, self.taken, self._coming = room, 0, 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._room.guard:
            self._room.taken -= self.taken
            self._room.coming -= self._coming

    def take(self, count: int, *, coming: bool = False) -> None:
        """Take more; of a body of which more is `coming`, until `come`. Raises Overloaded if there is no more room, and
        TooLarge if there never will be."""
        room = self._room
        with room.guard:
            if self.taken + count > room.most:
                raise TooLarge
            if room.taken + count > room.most or (coming and room.coming + count > room.most // 2):
                raise Overloaded
            room.taken += count
            room.coming += count if coming else 0
        self.taken += count
        self._coming += count if coming else 0

    def give(self, count: int) -> None:
        """Give some of it back, before the end."""
        with self._room.guard:
            self._room.taken -= count
        self.taken -= count

    def come(self) -> None:
        """The body is there, or will not be."""
        with self._room.guard:
            self._room.coming -= self._coming
        self._coming = 0


async def read(request: Request, share: Share, most: int, deadlines: Deadlines) -> bytes:
    """The body as it comes, within the time that these give it.

    Raises
    ------
    TooLarge, TooSlow, Overloaded, Gone
    """
    said = request.headers.get(b"content-length")
    if said is not None and said.isdigit() and int(said) > most:
        raise TooLarge
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - ASGI applications are called by tasks
    deadline = deadlines.add(task.cancel)
    try:
        return await _read(request, share, most)
    except asyncio.CancelledError:
        if deadline.passed and task.uncancel() == 0:
            raise TooSlow from None
        raise
    finally:
        deadline.met()
        share.come()


async def _read(request: Request, share: Share, most: int) -> bytes:
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise Gone
        part = message.get("body", b"")
        size += len(part)
        if size > most:
            raise TooLarge
        more = message.get("more_body", False)
        share.take(len(part), coming=more)
        parts.append(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def inflated(body: bytes, most: int, share: Share) -> bytes:
    """What is packed with gzip, if it is (its first bytes tell, whatever was said); or the body itself.

    Raises
    ------
    TooLarge, Undecodable, Overloaded
    """
    if body[:3] != _GZIP:
        return body
    parts, size, left, members = [], 0, body, 0
    try:
        while left:
            members += 1
            if members > _MEMBERS:
                raise Undecodable("the gzip data has too many members")
            unpacking = isal_zlib.decompressobj(31)
            while not unpacking.eof:
                part = unpacking.decompress(left, min(_STEP, most - size + 1))
                size += len(part)
                if size > most:
                    raise TooLarge
                share.take(len(part))
                parts.append(part)
                left = unpacking.unconsumed_tail
                if not left and not part and not unpacking.eof:
                    raise Undecodable("the gzip data breaks off")
            left = unpacking.unused_data.lstrip(b"\0")  # another member, or nothing
    except isal_zlib.error as error:  # type: ignore[misc]
        raise Undecodable(f"the gzip data is damaged: {error}") from None
    return parts[0] if len(parts) == 1 else b"".join(parts)


def start(body: bytes) -> bytes:
    """The first of what is in a body, of which the first part is enough; nothing if that does not tell."""
    if body[:3] != _GZIP:
        return body[:_START]
    try:
        return bytes(isal_zlib.decompressobj(31).decompress(body[:_START], _START))
    except isal_zlib.error:  # type: ignore[misc]
        return b""


def plain(body: bytes, most: int, share: Share, *, form: bool = False, lz64: bool = False) -> bytes:
    """The JSON in a body that may be packed by gzip, written as base64, or a form's field `data`; in any order.

    `lz64`: it is packed by lz-string; a form says that itself.

    Raises
    ------
    TooLarge, Undecodable, Overloaded
    """
    body = inflated(body, most, share).strip()
    if form or body[:5] == b"data=":
        data, packed = _field(body)
        body, lz64 = inflated(data, most, share).strip(), lz64 or packed == "lz64"
    if lz64 and body[:1] not in {b"{", b"["}:
        return _decompressed(body, most, share).strip()
    if body[:1] not in {b"{", b"["} and _BASE64.fullmatch(body.translate(None, _BLANKS)):
        with contextlib.suppress(binascii.Error):
            body = inflated(from_base64(body), most, share).strip()
    return body


def _decompressed(body: bytes, most: int, share: Share) -> bytes:
    left = most

    def grow(characters: int, size: int) -> None:
        nonlocal left
        left -= characters
        if left < 0:
            raise TooLarge
        share.take(size)

    try:
        found = lz_string.decompressed(body, grow)
    except lz_string.Damaged as error:
        raise Undecodable(f"the lz64 data is damaged: {error}") from None
    if len(found) > most:
        raise TooLarge
    return found


def _field(form: bytes) -> tuple[bytes, str]:
    """The field `data`, and how it says that it is packed."""
    try:
        fields = urllib.parse.parse_qs(form.decode(), strict_parsing=True, max_num_fields=100)
    except ValueError as error:
        raise Undecodable(f"the form cannot be read: {error}") from None
    if "data" not in fields:
        raise Undecodable("the form has no field data")
    found = fields["data"][0].strip()
    # Whoever did not escape a + of base64 sent a blank.
    packed = fields.get("compression", [""])[0]
    return (found if found[:1] in {"{", "["} else found.replace(" ", "+")).encode(), packed


def from_base64(text: bytes) -> bytes:
    """What is written as base64, of either alphabet, with or without its end."""
    text = text.translate(bytes.maketrans(b"-_", b"+/"), b"\r\n \t=")
    return base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
