"""Bodies of answers, unpacked piece by piece: a few bytes may stand for gigabytes, which nobody is to hold."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

from tidemill.errors import UnavailableError

#: What servers are told that they may send.
ACCEPTED = "gzip"
#: Bytes that are unpacked at a time.
_PIECE = 65_536
_GZIP = 16 + zlib.MAX_WBITS


def unpacked(pieces: Iterable[bytes], encoding: str, host: str) -> Iterator[bytes]:
    """The body, in small pieces. `encoding`: the header Content-Encoding; `host`: for messages.

    Raises
    ------
    UnavailableError
        It is packed in a way that was not asked for, or is damaged.
    """
    named = [name for part in encoding.split(",") if (name := part.strip().lower()) not in {"", "identity"}]
    if not named:
        yield from pieces
    elif named in (["gzip"], ["x-gzip"]):
        yield from _gunzipped(pieces, host)
    else:
        raise UnavailableError(
            "answer_packed",
            f"{host} packs its answer in a way that was not asked for.",
            hint="Have it send plain answers, or gzip.",
        )


def _gunzipped(pieces: Iterable[bytes], host: str) -> Iterator[bytes]:
    unpack, empty = zlib.decompressobj(_GZIP), True
    try:
        for piece in pieces:
            if unpack.eof:  # what comes behind the end is no part of it, and not kept
                return
            left, found, empty = piece, b"", empty and not piece
            while left or len(found) == _PIECE:  # a full piece: there may be more of it inside
                found = unpack.decompress(left, _PIECE)
                yield found
                left = b"" if unpack.eof else unpack.unconsumed_tail
    except zlib.error:
        raise _damaged(host) from None
    if not empty and not unpack.eof:
        raise _damaged(host)


def _damaged(host: str) -> UnavailableError:
    return UnavailableError(
        "answer_damaged", f"The answer of {host} is damaged: it cannot be unpacked.", hint="Look at that server's log."
    )
