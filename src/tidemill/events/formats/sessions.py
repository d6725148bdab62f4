"""Which session an event belongs to: the UUID of version 7 in its property $session_id; other ids are none.

Fact: PostHog's sessions, whose raw table takes only such ids. Kept beside the properties, so that a session's events
are found again without a look into all properties; such ids begin with a time, so those of one day lie together.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    import pyarrow as pa

_PATTERN = "[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
_VERSION_7 = re.compile(_PATTERN)


class _Properties(msgspec.Struct, gc=False):
    session_id: msgspec.Raw = msgspec.field(name="$session_id", default=msgspec.Raw(b""))


_decode = msgspec.json.Decoder(_Properties).decode


def session_of(properties: str | bytes) -> str | None:
    """The session, by a JSON object of properties."""
    raw = bytes(_decode(properties).session_id)
    if raw[:1] != b'"':
        return None
    given = msgspec.json.decode(raw, type=str).lower()
    return given if _VERSION_7.fullmatch(given) else None


def session_ids(given: Sequence[str | None]) -> pa.Array:
    """The sessions of many events, by what their $session_id says."""
    import pyarrow as pa  # 50 ms
    import pyarrow.compute as pc

    ids = pc.ascii_lower(pa.array(given, pa.string()))
    return pc.if_else(pc.match_substring_regex(ids, f"^{_PATTERN}$"), ids, pa.scalar(None, pa.string()))
