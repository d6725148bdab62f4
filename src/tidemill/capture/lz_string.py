"""Texts packed by lz-string, as base64: what PostHog's SDKs sent years ago.

The format is that of its `compressToBase64`: LZ78 over UTF-16. Codes have 2 bits and more, their lowest bit first; 0
and 1 announce a new character of 8 or 16 bits, 2 is the end, and each other one stands for a part that was met before.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator

_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_END = 2
#: So many parts at a time are told of; and what one takes beside its characters.
_STEP, _PART = 4_096, 120


class Damaged(Exception):  # noqa: N818 - it is answered, not raised at a user
    """It is no such text."""


def decompressed(packed: bytes, grow: Callable[[int, int], None]) -> bytes:
    """The text in UTF-8. `grow` is told of each so many parts: of how many characters they are, and what they take in
    memory; it raises what is to end this.

    Raises
    ------
    Damaged
    """
    text, found, told = [], 0, 0
    for part in _parts(_bits(packed)):
        text.append(part)
        found += len(part)
        if len(text) % _STEP == 0 or found - told > _STEP * _STEP // 16:
            grow(found - told, 4 * (found - told) + _PART * _STEP)
            told = found
    grow(found - told, 4 * (found - told))
    joined = "".join(text)
    return joined.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


def _bits(packed: bytes) -> bytes:
    """What base64 stands for, with the first bit of each byte as its lowest."""
    packed = packed.translate(bytes.maketrans(b"-_ ", b"+/+"), b"\r\n\t=")
    try:
        return base64.b64decode(packed + b"A" * (-len(packed) % 4), validate=True).translate(_REVERSED)
    except binascii.Error as error:
        raise Damaged(str(error)) from None


def _parts(bits: bytes) -> Iterator[str]:
    """The parts of the text, in their order."""
    at, width, until_wider = 0, 2, 1
    parts, last, end = ["", "", ""], "", 8 * len(bits)
    while True:
        if at + width > end:
            raise Damaged("it breaks off")
        code = int.from_bytes(bits[at >> 3 : (at + width + 7) >> 3], "little") >> (at & 7) & ((1 << width) - 1)
        at += width
        if code == _END:
            return
        if code < _END:
            size = 8 << code
            part = chr(int.from_bytes(bits[at >> 3 : (at + size + 7) >> 3], "little") >> (at & 7) & ((1 << size) - 1))
            at += size
            parts.append(part)
            until_wider -= 1
            if until_wider == 0:
                until_wider, width = 1 << width, width + 1
        elif code < len(parts):
            part = parts[code]
        elif code == len(parts) and last:
            part = last + last[0]
        else:
            raise Damaged("a code in it stands for nothing")
        yield part
        if last:
            parts.append(last + part[0])
            until_wider -= 1
            if until_wider == 0:
                until_wider, width = 1 << width, width + 1
        last = part
