"""Records that are set aside together, since there are too many of them for a row each.

They are a JSON array; or, if they share fields, a body as batches of the API have it: these fields, and `batch`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from tidemill.errors import RowError
from tidemill.events.formats import text
from tidemill.events.parse import MAX_KEPT

CODE = "too_many_refused"
Fields = Mapping[str, msgspec.Raw]
_BATCH = msgspec.json.Decoder(list[msgspec.Raw])


def join(records: Sequence[bytes], shared: Fields) -> Iterator[tuple[bytes, int]]:
    """The records in as few texts of MAX_KEPT bytes as there have to be, each with their number. A record that is
    longer is a text of its own, and longer."""
    start, end = b"[", b"]"
    if shared:
        start, end = msgspec.json.encode(shared)[:-1] + b',"batch":[', b"]}"
    around = len(start) + len(end)
    first, size = 0, around
    for number, record in enumerate(records):
        if number > first and size + len(record) > MAX_KEPT:
            yield start + b",".join(records[first:number]) + end, number - first
            first, size = number, around
        size += len(record) + 1
    if records:
        yield start + b",".join(records[first:]) + end, len(records) - first


def message(count: int) -> str:
    """What is told of so many."""
    return f"{count:,} records that cannot be taken: too many for a row each."


def split(raw: bytes) -> tuple[list[bytes], Fields]:
    """The records of such a text, and what they share.

    Raises
    ------
    RowError
        It is none.
    """
    shared: dict[str, msgspec.Raw] = {}
    try:
        if raw[:1] == b"{":
            shared = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
            raw = bytes(shared.pop("batch"))
        return [bytes(record) for record in _BATCH.decode(raw)], shared
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError) as error:
        raise RowError("json_invalid", f"These are no records: {error}.") from None


def whole(record: bytes, shared: Fields) -> bytes:
    """A record with what it shares with others; what it says itself wins. What is no object is left alone."""
    if not shared:
        return record
    try:
        return msgspec.json.encode({**shared, **text.fields(record)})
    except RowError:
        return record
