"""All formats by name, and which one a file has. Adding one costs its file and two lines here."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tidemill.errors import ConfigError, RowError
from tidemill.events.formats import segment, text
from tidemill.events.formats.amplitude import Amplitude
from tidemill.events.formats.event import Format
from tidemill.events.formats.generic import Generic, Mapping
from tidemill.events.formats.mixpanel import Mixpanel
from tidemill.events.formats.posthog import PostHog
from tidemill.events.formats.segment import Segment

SDK_FORMATS: dict[str, Format] = {f.name: f for f in (PostHog(), Segment(), Amplitude(), Mixpanel())}
ROW_FORMATS = ("jsonl", "csv", "parquet")
NAMES = ("auto", *SDK_FORMATS, *ROW_FORMATS)


def get(
    name: str, mapping: Mapping, first: bytes, *, rows: str | None, more: Sequence[bytes] = ()
) -> tuple[Format, str, str]:
    """The format, its name, and remarks for the user.

    `first`: the first record; `rows`: csv or parquet, if it is; `more`: other records, which may have other columns.

    Raises
    ------
    ConfigError
        If there is no such format, the mapping does not fit, or it cannot be told which format it is.
    """
    if name not in NAMES:
        raise ConfigError("format_unknown", f"There is no format {name!r}.", hint=f"Formats: {', '.join(NAMES)}.")
    if rows and name in {*SDK_FORMATS, *ROW_FORMATS} - {rows}:
        raise ConfigError("format_wrong", f"This is a {rows} file.", hint=f"Use --format {rows} or auto.")
    if name in {"csv", "parquet"} and rows != name:
        raise ConfigError("format_wrong", f"This is no {name} file.", hint="Use --format auto.")
    mapped = bool(mapping.model_dump(exclude_none=True))
    chosen = rows or (("jsonl" if mapped else detect(first)) if name == "auto" else name)
    if chosen in SDK_FORMATS:
        if mapped:
            raise ConfigError(
                "mapping_unused", f"The format {chosen} has no mapping.", hint="Leave out --map and --event."
            )
        return SDK_FORMATS[chosen], chosen, f"Read as {chosen} (--format changes that)." if name == "auto" else ""
    completed, told = mapping.guessed(
        dict.fromkeys([*_columns(first), *(c for record in more for c in _fields(record))])
    )
    return Generic(completed), chosen, told


def _columns(first: bytes) -> list[str]:
    try:
        return list(text.fields(text.mend(first)))
    except RowError as error:
        raise ConfigError(
            "format_unclear",
            f"The first record is no JSON object: {error.message} It begins: {first[:80].decode('utf-8', 'replace')}",
            hint=f"If that line is bad and the others are not, say how to read them: --format {'|'.join(NAMES[1:])}",
        ) from None


def detect(first: bytes) -> str:
    """The format that a file's first record has.

    Raises
    ------
    ConfigError
        If it looks like none.
    """
    if first[:5] == b"data=":
        return "posthog"
    if first[:1] == b"[":
        inner = _members(first)
        return detect(inner[0]) if inner else "posthog"
    _columns(first)
    given = _fields(text.mend(first))
    if "batch" in given:
        members = _members(given["batch"])
        return "segment" if members and _is_segment(_fields(members[0])) else "posthog"
    if "events" in given and {"api_key", "options"} & given.keys():
        return "amplitude"
    if "event_type" in given and _AMPLITUDE & given.keys():
        return "amplitude"
    if _is_segment(given):
        return "segment"
    if "event" in given and {"properties", "api_key", "token"} & given.keys():
        inside = _fields(given.get("properties", b"")).keys()
        if "distinct_id" not in inside and not {"distinct_id", "$distinct_id", "api_key", "token"} & given.keys():
            return "mixpanel" if inside & {"mp_lib", "$insert_id", "$device_id"} else "jsonl"
        return "mixpanel" if "time" in inside and not _POSTHOG & given.keys() else "posthog"
    return "jsonl"


#: What tells an event of Amplitude from another row with an `event_type`.
_AMPLITUDE = frozenset(
    {"event_properties", "user_properties", "amplitude_id", "insert_id", "$insert_id", "client_event_time", "time"}
)
_POSTHOG = frozenset({"distinct_id", "$distinct_id", "timestamp", "api_key", "token", "uuid", "offset"})


def _is_segment(given: dict[str, msgspec.Raw]) -> bool:
    kind = bytes(given.get("type", b"")).strip(b'"').decode("ascii", "replace")
    return kind in {"track", *segment.NAMES} and bool({"userId", "anonymousId", "messageId"} & given.keys())


def _fields(raw: msgspec.Raw | bytes) -> dict[str, msgspec.Raw]:
    try:
        return text.fields(raw)
    except RowError:
        return {}


def _members(raw: msgspec.Raw | bytes) -> list[bytes]:
    try:
        return text.members(raw)
    except RowError:
        return []
