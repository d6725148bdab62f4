"""What every reader makes of what it reads."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

import msgspec

from tidemill.errors import RowError
from tidemill.events.blocks import Lines
from tidemill.events.formats import text


class Event(msgspec.Struct, gc=False):
    """One event, ready for the store. Texts are clean (see text.py); JSON texts are as they came."""

    uuid: str  #: the sender's own id, or "" if it sent none: then it is derived
    event: str
    distinct_id: str
    timestamp: int  #: microseconds since 1970-01-01 UTC
    has_time: bool  #: False if the event carried no time: `timestamp` is then when it was read
    properties: str = "{}"  #: a JSON object
    set: str | None = None  #: person properties, a JSON object
    set_once: str | None = None
    ip: str | None = None
    elements: str | None = None
    team_id: int | None = None  #: None: the team that the load names
    kind: str = "capture"  #: which call it was: capture, track, identify, page, screen, group, alias
    envelope: str | None = None  #: what else was sent, a JSON object; never keys or tokens


#: An event as the store's batches have it: uuid, event, properties, distinct_id, team_id, ip, timestamp, set, set_once,
#: elements, kind, envelope, session_id. JSON may be bytes of UTF-8, which is what it came as.
Row: TypeAlias = tuple[
    str,
    str,
    str | bytes,
    str,
    int | None,
    str | None,
    int,
    str | bytes | None,
    str | bytes | None,
    str | None,
    str,
    str | None,
    str | None,
]


#: Columns of a batch by their names, each a list or an Arrow array; those that are not there are empty.
Columns: TypeAlias = dict[str, Any]


class Format(Protocol):
    """A reader."""

    name: str
    title: str

    @property
    def quick(self) -> Callable[[Sequence[bytes]], tuple[Columns, list[int]]] | None:
        """Gives the events of usual records (UTF-8), one each, with their own ids and times and nothing to mend; and
        the indexes of the records that are not usual.

        What it takes, `parse` would take alike: it only saves time. A format may have no such way.
        """

    @property
    def quick_lines(self) -> Callable[[Lines], Columns | None] | None:
        """As `quick`, for lines: gives the events of all of them, or None if it is not certain that all are usual."""

    def parse(self, record: bytes, now: int) -> list[Event | RowError]:
        """The events of one JSON document, or why one of them cannot be taken. `now`: microseconds since 1970.

        Raises
        ------
        RowError
            If nothing of the document can be taken.
        """


def settle_uuid(event: Event, team_id: int, record: bytes, ordinal: int, index: int, file_key: str) -> None:
    """Give the event its id for good: the sender's own, or one that is derived.

    An id of which something had to be replaced may be another's then: it is told from it by a hash of the record.
    """
    if not event.uuid:
        event.uuid = derive_uuid(team_id, record, ordinal, index, file_key, has_time=event.has_time)
    elif "\ufffd" in event.uuid and text.is_odd(record):
        event.uuid += "#" + _content(record).hex()


def derive_uuid(team_id: int, record: bytes, ordinal: int, index: int, file_key: str, *, has_time: bool) -> str:
    """An id for an event that brought none: from its content and its place.

    The place is the number of the record in its file and of the event in the record, so two equal lines of one file
    are two events. The file itself counts only if the event has no time of its own: the same line at the same place of
    a copy, or of a file that has grown, is the same event; two files of untimed lines are not.
    """
    place = f"|{team_id}|{ordinal}|{index}|{'' if has_time else file_key}".encode()
    digest = hashlib.blake2b(_content(record) + place, digest_size=16, person=b"tidemill-event")
    text = digest.hexdigest()
    variant = "89ab"[int(text[16], 16) & 3]
    return f"{text[:8]}-{text[8:12]}-8{text[13:16]}-{variant}{text[17:20]}-{text[20:]}"  # version 8: made by own rules


@functools.lru_cache(maxsize=1)
def _content(record: bytes) -> bytes:
    """Taken once for all events of a batch, or a body of 20 MB would be read as often as it has events."""
    return hashlib.blake2b(record, digest_size=16).digest()
