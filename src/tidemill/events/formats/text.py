"""Texts of events, made fit for a database and for BigQuery; the rules are PostHog's where it has one.

* U+0000 and halves of surrogate pairs in names and ids become U+FFFD.
* An id is cut at 200 characters (that of an event keeps a hash of all); a number becomes its text.
* JSON must be JSON: no NaN, no comments, UTF-8, at most 500 levels. Half a surrogate pair in it (a cut-off emoji)
  becomes ``\\ufffd``, since no strict reader takes it; everything else stays as it came.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any, TypeVar

import msgspec

from tidemill.errors import RowError

MAX_ID = 200
MAX_DEPTH = 500
#: An object takes 5 bytes at least, {"":}; so there are not more levels in a text of this size without arrays.
_SHALLOW = 5 * MAX_DEPTH
_HALF = re.compile("[\ud800-\udfff]")
_ESCAPES = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[dD][89a-fA-F][0-9a-fA-F]{2}|\\."
)
#: Escapes of NUL, of which `clean` rids names, and of halves of surrogate pairs.
_ODD = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
#: A bracket or a string; one that does not end reaches to the end, or a search for it would begin at each quote.
_TOKENS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[{\]}]', re.DOTALL)
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
T = TypeVar("T")


def clean(text: str) -> str:
    """A name or an id without what no database takes."""
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    if not text.isascii() and _HALF.search(text):
        text = _HALF.sub("\ufffd", text)
    return text


def identifier(value: object) -> str:
    """An id as text, at most 200 characters; "" if there is none."""
    if value is None:
        return ""
    if isinstance(value, str):
        text = value
    elif isinstance(value, bool) or not isinstance(value, int | float):
        text = msgspec.json.encode(value).decode()
    else:
        text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    return clean(text[:MAX_ID])


def event_id(value: object) -> str:
    """The id of an event, by which it is known for good; a long one ends with a hash of the whole: two stay two."""
    whole = value if isinstance(value, str) else identifier(value)
    if whole.isspace():  # it would make one of all events that say so little
        return ""
    if len(whole) <= MAX_ID:
        return clean(whole)
    return (
        clean(whole[: MAX_ID - 33])
        + "#"
        + hashlib.blake2b(whole.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    )


def is_odd(record: bytes) -> bool:
    """Whether it holds escapes that `mend` or `clean` may have replaced."""
    return b"\\" in record and _ODD.search(record) is not None


def event_name(value: object) -> str:
    """The name of an event.

    Raises
    ------
    RowError
        ``event_missing``.
    """
    if not isinstance(value, str) or not value.strip():
        raise RowError("event_missing", "The event has no name.")
    return clean(value[:MAX_ID])


def person(*candidates: object) -> str:
    """The first id among them that is not empty.

    Raises
    ------
    RowError
        ``distinct_id_missing``.
    """
    for candidate in candidates:
        text = identifier(candidate)
        if text.strip():
            return text
    raise RowError("distinct_id_missing", "The event does not say whose it is (no distinct_id or user id).")


def decode(decoder: msgspec.json.Decoder[T], record: bytes) -> T:
    """Decode a JSON document.

    Raises
    ------
    RowError
        ``invalid_utf8``, ``json_invalid``, ``json_too_deep`` or ``field_type``.
    """
    if len(record) > _SHALLOW or b"[" in record:
        check_depth(record)
    try:
        if not record.isascii():
            record.decode()
        return decoder.decode(record)
    except UnicodeDecodeError:
        raise RowError("invalid_utf8", "The text is not UTF-8.") from None
    except msgspec.ValidationError as error:
        raise RowError("field_type", f"A field is not of the type it should be: {error}.") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise RowError("json_invalid", f"The line is not JSON: {error}.") from None


def mend(record: bytes) -> bytes:
    """The record with halves of surrogate pairs in escapes replaced; itself if there is none."""
    if b"\\" not in record or (b"\\ud" not in record and b"\\uD" not in record):
        return record
    return _ESCAPES.sub(lambda match: match[0] if len(match[0]) != 6 else b"\\ufffd", record)


def is_plain(record: bytes) -> bool:
    """Whether `mend`, `clean` and `check_depth` would leave this record alone; False may also mean: look closer."""
    if is_odd(record):
        return False
    if len(record) < 2 * MAX_DEPTH:
        return True
    # An array takes 2 bytes at least, an object 5: so many arrays it takes for too many levels in so many bytes.
    arrays = (_SHALLOW - len(record)) // 3
    if record.rfind(b"[") - record.find(b"[") < arrays:  # far quicker than to count, and mostly enough
        return True
    return record.count(b"{") + record.count(b"[") <= MAX_DEPTH


def check_depth(record: bytes) -> None:
    """Raise RowError ``json_too_deep`` for a document of more than 500 levels, without recursion."""
    if record.count(b"{") + record.count(b"[") <= MAX_DEPTH:
        return
    depth = 0
    for token in _TOKENS.finditer(record):
        first = token[0][:1]
        if first in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise RowError("json_too_deep", f"The JSON is nested more than {MAX_DEPTH} levels deep.")
        elif first in b"]}":
            depth -= 1


def json_object(raw: msgspec.Raw | bytes, field: str) -> str | None:
    """The text of a field that must be a JSON object, or a string that holds one; None if it is absent or null.

    Raises
    ------
    RowError
        ``not_an_object``.
    """
    text = bytes(raw).strip()
    if not text or text == b"null":
        return None
    if text[:1] == b'"':
        inner = msgspec.json.decode(text, type=str).strip()
        if not inner:
            return None
        text = mend(inner.encode("utf-8", "surrogatepass"))
        decode(_FIELDS, text)
    if text[:1] != b"{":
        raise RowError("not_an_object", f"{field} is not a JSON object.")
    return text.decode()


def fields(record: msgspec.Raw | bytes) -> dict[str, msgspec.Raw]:
    """The fields of a JSON object, each as its text. Of equal names the last one counts."""
    return decode(_FIELDS, bytes(record))


def rest(given: dict[str, msgspec.Raw], without: frozenset[str]) -> str | None:
    """A JSON object of the fields that are not in `without` and not empty; None if there is none."""
    left = {
        name: raw for name, raw in given.items() if name not in without and bytes(raw) not in {b"null", b'""', b"{}"}
    }
    return msgspec.json.encode(left).decode() if left else None


def value(raw: msgspec.Raw | None) -> Any:
    """The value of a field's text; None if it is absent.

    Raises
    ------
    RowError
        ``field_type``, for a number that no float holds.
    """
    if raw is None or not bytes(raw):
        return None
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RowError("field_type", f"A field cannot be read: {error}.") from None


_LIST = msgspec.json.Decoder(list[msgspec.Raw])


def members(raw: msgspec.Raw | bytes) -> list[bytes]:
    """The elements of a JSON array, each as its text; of a single object, that."""
    text = bytes(raw)
    return [bytes(member) for member in decode(_LIST, text if text[:1] == b"[" else b"[" + text + b"]")]
