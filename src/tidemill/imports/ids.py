"""Ids of events, the same each time that they are made: by them what was imported twice is there once.

They are UUIDs of version 5 (RFC 9562, section 5.5), made from the same hash a few times faster than by `uuid`.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Callable
from typing import Any

from tidemill.events.formats import text
from tidemill.imports.unfit import Unfit

#: Of ids that a column brings and that are no UUIDs.
INSERTED = uuid.UUID("0b6c2b0e-6d4a-4b0c-9f57-6f3c1f2a8d11")
_UUID = re.compile("[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
#: The first digit of a UUID's third group of two bytes, which tells the variant, by the digit that the hash has there.
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


def namer(namespace: uuid.UUID) -> Callable[[str], str]:
    """What makes ids of names, as `str(uuid.uuid5(namespace, name))`."""
    start, variant = hashlib.sha1(namespace.bytes, usedforsecurity=False).copy, _VARIANT

    def name(of: str) -> str:
        sha = start()
        sha.update(of.encode("utf-8", "surrogatepass"))
        found = sha.hexdigest()
        return f"{found[:8]}-{found[8:12]}-5{found[13:16]}-{variant[found[16]]}{found[17:20]}-{found[20:32]}"

    return name


def inserted(team_id: int) -> Callable[[Any], str]:
    """What makes ids of the values of a column: a UUID stays what it is. It raises Unfit for one that is empty."""
    name = namer(INSERTED)

    def make(value: Any) -> str:
        if isinstance(value, dict | list):
            raise Unfit("an id of an event", "insert_id_missing")
        given = value if isinstance(value, str) else text.identifier(value)
        if _UUID.fullmatch(given):
            return given.lower()
        if not given.strip():
            raise Unfit("an id of an event", "insert_id_missing")
        return name(f"{team_id}:{given}")

    return make
